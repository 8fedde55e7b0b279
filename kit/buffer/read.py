"""Reading candles: the files of a view as one frame, each candle once, sorted by symbol and time.

Frames in here carry the symbol as a polars Categorical, which is what keeps a whole market fast; the public readers
(``kit.market``, ``kit.candle_reader``) turn it into text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from kit.buffer.files import FLOAT_COLUMNS, VALUE_COLUMNS
from kit.buffer.layout import CandleFile, Folder
from kit.buffer.view import Overlay, View, choose

ATTEMPTS = 10
"""Listings tried when a chosen file is gone: each loss means that the flow compacted at that very moment."""

KEY = ("symbol", "candle_begin_time")
UTC_TIME = pl.Datetime("us", "UTC")
POLARS_SCHEMA: dict[str, pl.DataType] = {
    "symbol": pl.Categorical(),
    "candle_begin_time": UTC_TIME,
    **{name: pl.Float64() if name in FLOAT_COLUMNS else pl.Int64() for name in VALUE_COLUMNS},
    "source": pl.Categorical(),
    "received_time": UTC_TIME,
}


Ranks = np.ndarray[tuple[int], np.dtype[np.uint16]]


@dataclass(frozen=True)
class Span:
    """Run times from ``first_ms`` to ``last_ms``, both included, in milliseconds."""

    first_ms: int
    last_ms: int


def current_view(folder: Folder) -> View:
    """What a reader would open now."""
    return choose(folder.list_candle_files(), folder.interval.ms)


def read_candles(
    folder: Folder,
    *,
    columns: Sequence[str] | None = None,
    symbols: Sequence[str] | None = None,
    span: Span | None = None,
    last: int | None = None,
    retired: bool = False,
) -> pl.DataFrame:
    """The readable candles: symbol, candle_begin_time and ``columns`` (all, provenance too, when None).

    ``span`` keeps its run times only; ``last`` those of the newest so many periods that anything is readable of;
    ``retired`` adds what is kept of symbols that left the market before the window began.
    """
    wanted = [*KEY, *(name for name in (POLARS_SCHEMA if columns is None else columns) if name not in KEY)]
    for attempt in range(ATTEMPTS):
        view = current_view(folder)
        newest_ms = view.newest_run_ms
        kept = Span(newest_ms - (last - 1) * folder.interval.ms, newest_ms) if last and newest_ms is not None else span
        if kept is not None:
            view = view.narrowed(kept.first_ms, kept.last_ms)
        if not retired:
            view = view.without_retired()
        try:
            return read_view(folder, view, wanted, symbols=symbols, span=kept)
        except FileNotFoundError:
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


def read_view(
    folder: Folder,
    view: View,
    wanted: Sequence[str],
    *,
    symbols: Sequence[str] | None = None,
    span: Span | None = None,
) -> pl.DataFrame:
    """The rows of a view. FileNotFoundError when one of its files has been deleted meanwhile."""
    if symbols is not None and not symbols:
        return _empty(wanted)
    conditions = _conditions(folder, symbols, span)
    base = _scan(folder, view.blocks, wanted, conditions)
    over = [
        *(_overlay(folder, overlay, wanted, conditions) for overlay in view.revisions + view.rests),
        _scan(folder, view.streams, wanted, conditions),
    ]
    frames = pl.collect_all([frame for frame in [base, *over] if frame is not None])
    blocks = frames.pop(0) if base is not None else _empty(wanted)
    loose = pl.concat(frames) if frames else _empty(wanted)
    if len(frames) > 1 or len(view.streams) > 1:
        loose = loose.unique(KEY, keep="first", maintain_order=True)
    if view.revisions:
        blocks = blocks.join(loose.select(KEY), on=KEY, how="anti")
    return in_order(pl.concat([blocks, loose]))


def in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame sorted by symbol (as text) and candle_begin_time; of equal keys the first row stays.

    Files are sorted by symbol and follow each other in time, so a stable radix sort of the symbol's number does
    nearly always; it takes a tenth of the time of a general sort, which is the fall-back.
    """
    if frame.is_empty():
        return frame
    frame = frame.rechunk()
    rank = symbol_rank(frame["symbol"])
    order = np.argsort(rank, kind="stable").astype(np.uint32)
    times = frame["candle_begin_time"].to_physical().to_numpy()[order]
    ranks = rank[order]
    if np.all((np.diff(times) > 0) | (np.diff(ranks) > 0)):
        return frame[order]
    order = np.lexsort((frame["candle_begin_time"].to_physical().to_numpy(), rank)).astype(np.uint32)
    # lexsort is stable: of rows with one key the first is the one that wins.
    return frame[order].unique(KEY, keep="first", maintain_order=True)


def symbol_rank(symbols: pl.Series) -> Ranks:
    """For each row the place of its symbol in the sorted list of symbols; uint16 sorts by radix."""
    codes = symbols.to_physical().to_numpy()
    names = symbols.unique()
    by_name = np.argsort(names.cast(pl.String).to_numpy(), kind="stable")
    table = np.zeros(int(codes.max()) + 1, dtype=np.uint16)
    table[names.to_physical().to_numpy()[by_name]] = np.arange(len(names), dtype=np.uint16)
    ranks: Ranks = table[codes]
    return ranks


def _conditions(folder: Folder, symbols: Sequence[str] | None, span: Span | None) -> list[pl.Expr]:
    conditions = []
    if symbols is not None:
        name = pl.col("symbol")
        conditions.append(name == symbols[0] if len(symbols) == 1 else name.is_in(list(symbols)))
    if span is not None:
        conditions.append(_run_time_within(folder, span.first_ms, span.last_ms))
    return conditions


def _run_time_within(folder: Folder, first_ms: int, last_ms: int) -> pl.Expr:
    begins = (first_ms - folder.interval.ms, last_ms - folder.interval.ms)
    lower, upper = (pl.lit(ms * 1000).cast(UTC_TIME) for ms in begins)
    return pl.col("candle_begin_time").is_between(lower, upper)


def _scan(
    folder: Folder, files: Sequence[CandleFile], wanted: Sequence[str], conditions: Sequence[pl.Expr]
) -> pl.LazyFrame | None:
    if not files:
        return None
    frame = pl.concat(list(_lazy_frames(folder, files)))
    return frame.filter(*conditions).select(wanted) if conditions else frame.select(wanted)


def _lazy_frames(folder: Folder, files: Sequence[CandleFile]) -> Iterator[pl.LazyFrame]:
    """polars opens a path more than once, and the streamer may put a newer slice under the same name in between; so
    slices, which are small, are read here in one go. Files of the flow never change under their name."""
    scan = partial(pl.scan_parquet, glob=False) if folder.save_type == "parquet" else pl.scan_ipc
    slices = [(folder.candles / file.name).read_bytes() for file in files if file.kind == "stream"]
    if slices:
        yield scan(slices)
    paths = [folder.candles / file.name for file in files if file.kind != "stream"]
    for path in paths:
        path.stat()  # raises FileNotFoundError, which polars would wrap
    if paths:
        yield scan(paths)


def _overlay(
    folder: Folder, overlay: Overlay, wanted: Sequence[str], conditions: Sequence[pl.Expr]
) -> pl.LazyFrame | None:
    absorbed = [~_run_time_within(folder, first, last) for first, last in overlay.absorbed]
    return _scan(folder, [overlay.file], wanted, [*conditions, *absorbed])


def _empty(wanted: Sequence[str]) -> pl.DataFrame:
    return pl.DataFrame(schema={name: POLARS_SCHEMA[name] for name in wanted})
