"""The flow's side: make the candles that are due and keep them. Called by the one flow that holds the folder.

Every call looks at what is on disk and writes the state last, so work that was broken off is done again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
import polars as pl

from kit.buffer.damage import is_torn
from kit.buffer.files import VALUE_COLUMNS, remove_temporaries
from kit.buffer.layout import BLOCK_SIZES, Folder, parse_name
from kit.buffer.read import Span, read_candles
from kit.config import MarketConfig
from kit.durable import make_folder, sync_folder
from kit.resample.changes import dirty_spans, list_stamped, load_state, save_state, state_now
from kit.resample.compaction import tidy, write_candles
from kit.resample.series import Series, SeriesFolder, series_of
from kit.resample.windows import for_each, windows_of
from kit.words import to_ms

MUCH = 8
"""When more than an eighth of the window is to be done, all of it is: while history is filled in each period, files
would pile up on top of each other."""

CHUNK = 2048
"""Base run times worked on at once: more than a usual window, and some 300 MB for 750 symbols."""


def update_resample(folder: Folder, config: MarketConfig, run_time: datetime) -> int:
    """Make readable what can be made of the base candles up to ``run_time``; how many candles were written.

    Adds the offset that closes then, candles whose missing part came since the last call, and those whose parts were
    revised; everything when nothing is kept yet or the config changed. Does nothing without ``resample`` in the
    config. To be called before the market is compacted, by whoever holds the folder as its flow.

    Raises:
        NaiveTimeError: ``run_time`` has no zone.
        FolderError: a file of the base market is damaged; names it.
        OSError: the disk refuses; the next call goes on.
    """
    run_ms = to_ms(run_time)
    series = series_of(config)
    listing = list_stamped(folder)
    newest_ms = max((file.last_ms for file in listing if file.kind != "retired"), default=None)
    if series is None or newest_ms is None:
        return 0
    path = series.state_path(folder)
    make_folder(path.parent)
    kept = load_state(path)
    # A run time in the past is worked in without forgetting what is newer; one in the future brings no candles.
    reached_ms = min(newest_ms, max(run_ms - run_ms % series.base.ms, kept.run_ms if kept is not None else 0))
    oldest_ms = series.first_run_ms(reached_ms) - BLOCK_SIZES[0] * series.base.ms  # as long as the base market keeps
    window = Span(oldest_ms, reached_ms)
    state = state_now(folder, series, listing, reached_ms)
    whole = kept is not None and kept.made is not None and all_whole(path.parent, kept.made)
    spans = dirty_spans(kept, state, listing, series, window) if whole else None
    if spans is None or _is_much(spans, window):
        written = _make_all(folder, series, window)
    else:
        written = sum(_make(folder, series, chunk, oldest_ms) for span in spans for chunk in _chunks(series, span))
    save_state(path, msgspec.structs.replace(state, made=files_in(path.parent)))
    remove_temporaries(path.parent)
    return written


def files_in(place: Path) -> list[str]:
    """The files of all offsets, by their paths within the resample's folder."""
    found = (path for path in place.glob("offset_*/*") if parse_name(path.name) is not None and path.is_file())
    return sorted(str(path.relative_to(place)) for path in found)


def all_whole(place: Path, names: Iterable[str]) -> bool:
    """Whether no file that was made is gone (somebody deleted it, or put it aside) or torn."""
    try:
        return not any(is_torn(place / name) for name in names)
    except OSError:
        return False


def _is_much(spans: Sequence[Span], window: Span) -> bool:
    return sum(span.last_ms - span.first_ms for span in spans) > (window.last_ms - window.first_ms) / MUCH


def _make(folder: Folder, series: Series, span: Span, oldest_ms: int) -> int:
    """Write the candles of a span over what is there of them."""

    def add(target: SeriesFolder, candles: pl.DataFrame) -> None:
        write_candles(target, "revision", _run_times(candles, series), candles)
        tidy(target, oldest_ms)

    return _of_each_offset(folder, series, span, add)


def _make_all(folder: Folder, series: Series, window: Span) -> int:
    """Write all candles of the window, in blocks that take the place of everything that is there."""
    place = series.state_path(folder).parent
    replaced = [place / name for name in files_in(place)]  # offsets that the config gave up included

    def add(target: SeriesFolder, candles: pl.DataFrame) -> None:
        write_candles(target, "block", _run_times(candles, series), candles)

    written = sum(_of_each_offset(folder, series, chunk, add) for chunk in _chunks(series, window))
    # Deleted at once, and not after a while: until then readers would take some of their rows for the truth. Those
    # that are about to open one look again, and find the new blocks.
    for path in replaced:
        path.unlink(missing_ok=True)
    # Those deletions must not be undone by a power cut once the state says that all is made.
    for offset in {path.parent for path in replaced}:
        sync_folder(offset)
    return written


def _of_each_offset(
    folder: Folder, series: Series, span: Span, add: Callable[[SeriesFolder, pl.DataFrame], None]
) -> int:
    """Make the candles with run times in the span, and ``add`` those of each offset; how many."""
    closing = {run_ms % series.target.ms for run_ms in range(span.first_ms, span.last_ms + 1, series.base.ms)}
    offsets_ms = [offset_ms for offset_ms in series.offsets_ms if offset_ms in closing]
    if not offsets_ms:
        return 0
    needed = Span(span.first_ms - series.target.ms + series.base.ms, span.last_ms)
    windows = windows_of(read_candles(folder, columns=VALUE_COLUMNS, span=needed), series, span)

    def of_offset(offset_ms: int) -> int:
        candles = windows.of_offset(offset_ms)
        if candles.height:
            target = series.folder(folder, offset_ms)
            make_folder(target.candles)
            add(target, candles)
        return candles.height

    return sum(for_each(offsets_ms, of_offset, rows=windows.parts.height))


def _run_times(candles: pl.DataFrame, series: Series) -> Span:
    begins_ms = candles["candle_begin_time"].to_physical().to_numpy() // 1000
    return Span(int(begins_ms.min()) + series.target.ms, int(begins_ms.max()) + series.target.ms)


def _chunks(series: Series, span: Span) -> Iterator[Span]:
    """The span in pieces, oldest first."""
    size_ms = CHUNK * series.base.ms
    for first_ms in range(span.first_ms, span.last_ms + 1, size_ms):
        yield Span(first_ms, min(first_ms + size_ms - series.base.ms, span.last_ms))
