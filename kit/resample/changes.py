"""Which target candles have to be made, decided from the names and stamps of the base market's files.

The state says which files of the base market were worked in. A file that is new or was rewritten makes the candles
dirty that its run times are a part of. Blocks hold nothing new, since the flow resamples before it compacts; when that
cannot be seen from the numbers (the resample was switched off for a while, the folder was copied ...), everything is
made again, which takes less than a second.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from kit.buffer.files import write_atomically
from kit.buffer.layout import GRACE, CandleFile, Folder, parse_name, sealed_after_ms
from kit.buffer.read import Span
from kit.outside import MEGABYTE, UNREADABLE, read_bounded
from kit.resample.series import Series
from kit.words import MILLISECOND

MAX_BYTES = 64 * MEGABYTE  # a file of the base market takes 100 bytes

Stamp = tuple[int, int]
"""Time of the last change in nanoseconds, and size: a slice is written anew under its name while finals come in."""

Listing = Mapping[CandleFile, Stamp]


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What the kept candles were made of. ``taken_ms``: the local clock when the files were listed; ``made``: the files
    that the candles are in (None: of an older version, not known)."""

    base: str
    target: str
    step_ms: int
    num_candles: int
    assets: Stamp | None
    run_ms: int
    taken_ms: int
    seen: dict[str, Stamp]
    made: list[str] | None = None


def state_now(folder: Folder, series: Series, listing: Listing, run_ms: int) -> State:
    """The state once everything in ``listing`` is worked in, up to the run time ``run_ms``."""
    return State(
        base=series.base.value,
        target=series.target.value,
        step_ms=series.step_ms,
        num_candles=series.num_candles,
        assets=_stamp(folder.assets),
        run_ms=run_ms,
        taken_ms=time.time_ns() // 1_000_000,
        seen={file.name: stamp for file, stamp in listing.items()},
    )


def load_state(path: Path) -> State | None:
    """The kept state; None when there is none, or none that can be read: then everything is made again."""
    try:
        return msgspec.json.decode(read_bounded(path, MAX_BYTES), type=State)
    except (FileNotFoundError, *UNREADABLE):
        return None


def save_state(path: Path, state: State) -> None:
    """Keep the state, after everything that it says is on disk. OSError when the disk refuses."""
    write_atomically(path, msgspec.json.encode(state))


def list_stamped(folder: Folder) -> dict[CandleFile, Stamp]:
    """The candle files of a market with their stamps."""
    stamped = ((file, _stamp(folder.candles / file.name)) for file in folder.list_candle_files())
    return {file: stamp for file, stamp in stamped if stamp is not None}


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_mtime_ns, status.st_size


def dirty_spans(state: State | None, now: State, listing: Listing, series: Series, window: Span) -> list[Span] | None:
    """Run times of target candles to make within ``window``, oldest first, apart from each other; None: all.

    ``state`` is the one kept, ``now`` the one that is to be reached.
    """
    if state is None or _settings(state) != _settings(now):
        return None
    fresh = [file for file, stamp in listing.items() if state.seen.get(file.name) != stamp]
    if _blocks_may_hold_more(state, fresh, listing):
        return None
    reach_ms = series.target.ms - series.base.ms
    parts = [(file.first_ms, file.last_ms) for file in fresh if file.kind not in ("block", "retired")]
    parts += [(run_ms, run_ms) for run_ms in _gone_before_settled(state, listing, series)]
    spans = [Span(first_ms, last_ms + reach_ms) for first_ms, last_ms in parts]
    if now.run_ms > state.run_ms:
        spans.append(Span(state.run_ms + series.base.ms, now.run_ms))
    clipped = (Span(max(span.first_ms, window.first_ms), min(span.last_ms, window.last_ms)) for span in spans)
    return list(_joined((span for span in clipped if span.first_ms <= span.last_ms), series.base.ms))


def _settings(state: State) -> tuple[object, ...]:
    return state.base, state.target, state.step_ms, state.num_candles, state.assets


def _blocks_may_hold_more(state: State, fresh: Iterable[CandleFile], listing: Listing) -> bool:
    """Whether a new block may have absorbed a file that was never seen: its number, or one before it, is not there."""
    numbers = {file.seq for file in listing if file.kind != "stream"}
    seen = max((number for name in state.seen if (number := _flow_number(name)) is not None), default=0)
    blocks = [file.seq for file in fresh if file.kind == "block"]
    return any(block <= seen or not numbers.issuperset(range(seen + 1, block)) for block in blocks)


def _flow_number(name: str) -> int | None:
    """The number in the name of a file of the flow."""
    return None if name.startswith("stream_") else int(name.partition(".")[0].rpartition("_")[2])


def _gone_before_settled(state: State, listing: Listing, series: Series) -> list[int]:
    """Run times of slices that are gone, and may have been written once more after they were seen."""
    settles_ms = 3 * sealed_after_ms(series.base) + GRACE // MILLISECOND
    present = {file.name for file in listing}
    gone = (parse_name(name) for name in state.seen if name.startswith("stream_") and name not in present)
    return [file.last_ms for file in gone if file is not None and state.taken_ms - file.last_ms < settles_ms]


def _joined(spans: Iterable[Span], gap_ms: int) -> Iterator[Span]:
    """Overlapping and adjacent spans as one."""
    current: Span | None = None
    for span in sorted(spans, key=lambda span: span.first_ms):
        if current is not None and span.first_ms <= current.last_ms + gap_ms:
            current = Span(current.first_ms, max(current.last_ms, span.last_ms))
            continue
        if current is not None:
            yield current
        current = span
    if current is not None:
        yield current
