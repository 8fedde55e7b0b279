"""Keeps the files of one offset few: small ones at the end become larger ones, what left the window goes."""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from kit.buffer.files import SCHEMA, remove_temporaries, write_table
from kit.buffer.fills import number_after
from kit.buffer.layout import BLOCK_SIZES, GRACE, CandleFile
from kit.buffer.read import Span, read_view
from kit.buffer.view import View, choose, superseded
from kit.exchange_clock import unset_wall_s
from kit.resample.series import SeriesFolder
from kit.resample.windows import COLUMNS

OVERLAYS = 24
"""Files that may lie on top of the blocks; with more of them, from parts that came late, all becomes one block."""

_SCHEMA = pa.schema([SCHEMA.field(name) for name in COLUMNS])


def write_candles(folder: SeriesFolder, kind: str, span: Span, candles: pl.DataFrame) -> None:
    """Write the candles of a span as the newest word on them. OSError when the disk refuses."""
    seq = number_after(folder.list_candle_files())
    table = candles.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(_SCHEMA)
    write_table(folder.flow_path(kind, span.first_ms, span.last_ms, seq), table, folder.save_type)


def tidy(folder: SeriesFolder, oldest_ms: int) -> None:
    """Delete what nobody reads any more, absorbed or all before the run time ``oldest_ms``, and merge what is due."""
    _delete_unread(folder, oldest_ms)
    view = choose(folder.list_candle_files(), folder.interval.ms)
    span = merge_due(view, folder.interval.ms)
    if span is not None:
        candles = read_view(folder, view.narrowed(span.first_ms, span.last_ms), COLUMNS, span=span)
        write_candles(folder, "block", span, candles)
    remove_temporaries(folder.candles)


def merge_due(view: View, step_ms: int) -> Span | None:
    """The run times to write as one block: the newest files, once those smaller than a size make up that size."""
    if len(view.revisions) > OVERLAYS:
        return Span(min(file.first_ms for file in view.files), max(file.last_ms for file in view.files))
    newest_first = sorted(view.files, key=lambda file: -file.last_ms)
    for size in BLOCK_SIZES:
        tail = _while_smaller(newest_first, size, step_ms)
        # A file that was done again may reach back into a larger block; blocks never overlap each other by parts.
        floor_ms = max((block.last_ms + step_ms for block in view.blocks if block not in tail), default=0)
        first_ms = max(min((file.first_ms for file in tail), default=0), floor_ms)
        if len(tail) > 1 and tail[0].last_ms - first_ms >= (size - 1) * step_ms:
            return Span(first_ms, tail[0].last_ms)
    return None


def _while_smaller(newest_first: list[CandleFile], size: int, step_ms: int) -> list[CandleFile]:
    tail = []
    for file in newest_first:
        if file.last_ms - file.first_ms >= (size - 1) * step_ms:
            break
        tail.append(file)
    return tail


def _delete_unread(folder: SeriesFolder, oldest_ms: int) -> None:
    cutoff = unset_wall_s() - GRACE.total_seconds()
    files = folder.list_candle_files()
    settled = [file for file in files if file.kind != "block" or (folder.candles / file.name).stat().st_mtime < cutoff]
    unread = superseded(settled, choose(settled, folder.interval.ms))
    for file in {*unread, *(file for file in files if file.last_ms < oldest_ms)}:
        (folder.candles / file.name).unlink(missing_ok=True)
