"""Compaction: slices and fills become blocks, so that a reader opens some twenty files and not thousands.

Blocks cover 8, 64 or 256 run times at fixed places, so each candle is rewritten three times in its life. What to
build is decided from the file names alone; each build reads what is readable and writes one file that absorbs it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from kit.buffer.assets import asset_name, load_assets
from kit.buffer.damage import refuse_torn
from kit.buffer.files import SCHEMA, remove_temporaries, write_table
from kit.buffer.fills import number_after
from kit.buffer.layout import BLOCK_SIZES, GRACE, CandleFile, Folder, sealed_after_ms
from kit.buffer.read import POLARS_SCHEMA, Span, current_view, read_view
from kit.buffer.view import Range, View, choose, superseded
from kit.durable import sync_folder
from kit.exchange_clock import unset_wall_s

OVERLAYS_WORTH_A_BUILD = 24
"""While history is still being filled, blocks are not rebuilt for each page of it, only for so many files."""


@dataclass(frozen=True)
class Build:
    """A block to write: everything readable from ``first_ms`` to ``last_ms``; ``retired``: only of such symbols."""

    first_ms: int
    last_ms: int
    retired: bool = False


def plan(
    files: Sequence[CandleFile], *, interval_ms: int, sealed_ms: int, window_ms: int, filling: bool = False
) -> list[Build]:
    """What to build. Run times up to ``sealed_ms`` get no more slices; those before ``window_ms`` left the window."""
    view = choose(files, interval_ms)
    cutoff_ms = _cutoff(view, min(window_ms, sealed_ms + interval_ms), interval_ms)
    builds = dict.fromkeys(_retiring(view, cutoff_ms, interval_ms))
    patient = filling and len(view.revisions + view.rests) < OVERLAYS_WORTH_A_BUILD
    dated = [file for file in view.files if file.last_ms >= cutoff_ms]
    if not dated:
        return list(builds)
    first_ms = max(min(file.first_ms for file in dated), cutoff_ms)
    # No block is named for run times after the newest data: readers take the newest run time from the names.
    newest_ms = max(file.last_ms for file in dated)
    for wanted in aligned_ranges(first_ms, min(sealed_ms, newest_ms), interval_ms):
        larger = [block for block in view.blocks if block.first_ms <= wanted[0] and wanted[1] <= block.last_ms]
        smaller = [block for block in view.blocks if wanted[0] <= block.first_ms and block.last_ms <= wanted[1]]
        # A larger block can be there when the clock went back; a smaller one beneath it would double its candles.
        place = (larger[0].first_ms, larger[0].last_ms) if larger else wanted
        if (smaller and not larger) or (not patient and _holds_fresh(view, place)):
            builds[Build(*place)] = None
    return list(builds)


def _floor(run_ms: int, interval_ms: int) -> int:
    """The first run time of the largest place that a run time is in."""
    return run_ms - run_ms % (BLOCK_SIZES[0] * interval_ms)


def _cutoff(view: View, oldest_ms: int, interval_ms: int) -> int:
    """The run time before which everything retires: in whole places, and never through a block.

    A block reaches across it when the window grew and a retired block was taken back; it retires when it is left
    altogether.
    """
    cutoff_ms = _floor(oldest_ms, interval_ms)
    return min([cutoff_ms, *(block.first_ms for block in view.blocks if block.first_ms < cutoff_ms <= block.last_ms)])


def _holds_fresh(view: View, place: Range) -> bool:
    """Whether anything that is read of these run times is not in a block yet."""
    return any(_touches(stream, place) for stream in view.streams) or any(
        _touches(overlay.file, place) and not _inside(place, overlay.absorbed)
        for overlay in view.revisions + view.rests
    )


def _touches(file: CandleFile, place: Range) -> bool:
    return file.first_ms <= place[1] and place[0] <= file.last_ms


def _inside(place: Range, ranges: Sequence[Range]) -> bool:
    return any(first <= place[0] and place[1] <= last for first, last in ranges)


def aligned_ranges(first_ms: int, last_ms: int, interval_ms: int) -> Iterator[tuple[int, int]]:
    """The largest blocks at fixed places that hold only run times up to ``last_ms``, from ``first_ms`` on."""
    largest = BLOCK_SIZES[0]
    index = first_ms // interval_ms // largest * largest
    newest = last_ms // interval_ms
    while index <= newest:
        size = next((size for size in BLOCK_SIZES if index % size == 0 and index + size - 1 <= newest), None)
        if size is None:
            return
        yield index * interval_ms, (index + size - 1) * interval_ms
        index += size


def compact(folder: Folder, *, exchange_ms: int, window_ms: int, active: Collection[str], filling: bool = False) -> int:
    """Build what is due and delete what nobody reads any more; how many blocks were built.

    ``exchange_ms``: the exchange's time; ``window_ms``: the oldest run time of the window; ``active``: the market's
    symbols, whose candles before the window are dropped, while those of all others are kept.

    Raises:
        DamagedFileError: a file is damaged; names it.
    """
    # Of what lies before the window nothing is read here for long, though readers do.
    refuse_torn(folder.candles / file.name for file in current_view(folder).files)
    sealed_ms = exchange_ms - 3 * sealed_after_ms(folder.interval)
    builds = plan(
        folder.list_candle_files(),
        interval_ms=folder.interval.ms,
        sealed_ms=sealed_ms,
        window_ms=window_ms,
        filling=filling,
    )
    for build in builds:
        _build(folder, build, active)
    _delete_absorbed(folder)
    return len(builds)


def _build(folder: Folder, build: Build, active: Collection[str]) -> None:
    # One listing for both: what appears after it is not in the block, and must not count as absorbed.
    files = folder.list_candle_files()
    view = choose(files, folder.interval.ms)
    seq = number_after(files)
    span = Span(build.first_ms, build.last_ms)
    frame = read_view(folder, view.narrowed(build.first_ms, build.last_ms), list(POLARS_SCHEMA), span=span)
    if build.retired:
        # By asset: what a ticker of the market was before it became another asset is kept, as delisted ones are.
        frame = frame.filter(~asset_name(load_assets(folder)).is_in(list(active)))
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(SCHEMA)
    path = folder.flow_path("retired" if build.retired else "block", build.first_ms, build.last_ms, seq)
    write_table(path, table, folder.save_type)


def _retiring(view: View, cutoff_ms: int, interval_ms: int) -> list[Build]:
    """One retired block takes all that lies before the cutoff, together with the retired block before it."""
    last_ms = cutoff_ms - interval_ms
    left = [file for file in view.files if file.first_ms <= last_ms]
    absorbed = {overlay.file: overlay.absorbed for overlay in view.revisions + view.rests}
    fresh = [
        file
        for file in left
        if file.kind != "retired" and not _inside((file.first_ms, min(file.last_ms, last_ms)), absorbed.get(file, ()))
    ]
    if not fresh:
        return []
    return [Build(_floor(min(file.first_ms for file in left), interval_ms), last_ms, retired=True)]


def _delete_absorbed(folder: Folder) -> None:
    """Delete what no reader has chosen for ``GRACE``: what would not be read if the younger blocks were not there."""
    cutoff = unset_wall_s() - GRACE.total_seconds()
    files = [
        file
        for file in folder.list_candle_files()
        if file.kind not in ("block", "retired") or (folder.candles / file.name).stat().st_mtime < cutoff
    ]
    unread = superseded(files, choose(files, folder.interval.ms))
    if unread:
        sync_folder(folder.candles)  # who wrote the blocks may have been killed before that
    for file in unread:
        (folder.candles / file.name).unlink(missing_ok=True)
    inner = (folder.candles, folder.ledger, folder.revisions, folder.exchange_info, folder.funding)
    for place in (folder.base_dir, *inner):
        remove_temporaries(place)
