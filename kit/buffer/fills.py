"""The flow's side of the buffer: candles by REST, revisions, and the numbering of its files.

Everything here is called by the one flow that holds the folder (``kit.buffer.locks``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
import polars as pl

from kit.buffer.files import candle_table, write_atomically, write_table
from kit.buffer.layout import BLOCK_SIZES, CandleFile, Folder
from kit.buffer.read import Span, read_candles
from kit.durable import make_folder
from kit.errors import FolderError
from kit.outside import MEGABYTE, UNREADABLE, read_bounded
from kit.words import Candle, Source, from_ms, to_ms, utc_now

MAX_REVISIONS_BYTES = 1024 * MEGABYTE
"""A revision has some 500 bytes; a file of this size would tell every candle of a large market anew."""


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """A readable candle that the exchange later told otherwise: what it was, what it is, who said so, when."""

    symbol: str
    candle_begin_time: datetime
    old: Candle
    old_source: str
    new: Candle
    reason: str
    at: datetime


def next_seq(folder: Folder) -> int:
    """The number of the flow's next file: larger than that of every file that is there."""
    return number_after(folder.list_candle_files())


def number_after(files: Iterable[CandleFile]) -> int:
    """The number that follows those of a listing."""
    return 1 + max((file.seq for file in files if file.kind != "stream"), default=0)


def store_rest(folder: Folder, candles: Sequence[Candle], *, received_ms: int, racing_from_ms: int) -> int:
    """Store final candles fetched by REST; how many were new.

    The streamer may deliver a candle of a period that it has not sealed at the same moment: candles that closed from
    ``racing_from_ms`` on are looked up just before writing, and those that are readable by then are left as they are.
    What can go into a block at once and what cannot yet come into files of their own: else the whole of a long fill
    would be read beside its blocks until its newest candles are in one, too.
    """
    fresh = {(candle.symbol, candle.begin_ms): candle for candle in candles}
    racing = [begin_ms for _, begin_ms in fresh if begin_ms + folder.interval.ms >= racing_from_ms]
    readable: set[tuple[str, int]] = set()
    if racing:
        readable = readable_keys(folder, Span(min(racing) + folder.interval.ms, max(racing) + folder.interval.ms))
    rows = [(candle, received_ms) for key, candle in fresh.items() if key not in readable]
    block_ms = BLOCK_SIZES[-1] * folder.interval.ms
    open_from_ms = (racing_from_ms + folder.interval.ms) // block_ms * block_ms - folder.interval.ms
    for part in (
        [row for row in rows if row[0].begin_ms >= open_from_ms],
        [row for row in rows if row[0].begin_ms < open_from_ms],
    ):
        if part:
            _write(folder, "rest", part, Source.REST)
    return len(rows)


def readable_keys(folder: Folder, span: Span) -> set[tuple[str, int]]:
    """Symbol and begin time (milliseconds) of every readable candle of the span."""
    frame = read_candles(folder, columns=[], span=span)
    return set(
        zip(
            frame["symbol"].cast(pl.String).to_list(),
            (frame["candle_begin_time"].to_physical() // 1000).to_list(),
            strict=True,
        )
    )


def stored_candles(
    folder: Folder, span: Span, symbols: Sequence[str] | None = None, source: Source | None = None
) -> dict[tuple[str, int], tuple[Candle, str]]:
    """The readable candles of the span with their source, by symbol and begin time; those of one ``source`` only."""
    frame = read_candles(folder, span=span, symbols=symbols).with_columns(
        pl.col("symbol", "source").cast(pl.String), pl.col("candle_begin_time").dt.epoch("ms")
    )
    if source is not None:
        frame = frame.filter(pl.col("source") == source.value)
    names = [name if name != "begin_ms" else "candle_begin_time" for name in Candle._fields]
    rows = frame.select(*names, "source").rows()
    return {(row[0], row[1]): (Candle(*row[:-1]), row[-1]) for row in rows}


def store_revisions(folder: Folder, revisions: Sequence[Revision]) -> None:
    """Make the new values readable, after what they replace has been recorded for ever."""
    if not revisions:
        return
    make_folder(folder.revisions)
    # Never a number that was used, even when the candle files that it came from are gone: these are kept for ever.
    used = [int(path.stem) for path in _revision_files(folder)]
    seq = max([next_seq(folder), *(number + 1 for number in used)])
    lines = b"\n".join(map(msgspec.json.encode, revisions)) + b"\n"
    write_atomically(folder.revisions / f"{seq:012d}.jsonl", lines)
    _write(folder, "revision", [(revision.new, to_ms(revision.at)) for revision in revisions], Source.REVISION)


def read_revisions(folder: Folder) -> list[Revision]:
    """Every revision that was made here, oldest first. FolderError when a file is damaged."""
    return [revision for path in _revision_files(folder) for revision in _revisions_in(path)]


def _revision_files(folder: Folder) -> list[Path]:
    """Oldest first; temporary files, which ``*`` would match, are none."""
    paths = folder.revisions.glob("[0-9]*.jsonl") if folder.revisions.is_dir() else ()
    return sorted(path for path in paths if path.stem.isdecimal())


def _revisions_in(path: Path) -> list[Revision]:
    try:
        lines = read_bounded(path, MAX_REVISIONS_BYTES).splitlines()
        return [msgspec.json.decode(line, type=Revision) for line in lines]
    except (OSError, *UNREADABLE) as error:
        raise FolderError(str(path), f"is damaged ({error}); nothing else reads it, so it may be deleted") from error


def differences(
    stored: dict[tuple[str, int], tuple[Candle, str]], truth: Iterable[Candle], reason: str
) -> list[Revision]:
    """The revisions that make what is stored equal to what the exchange says now, to the bit."""
    now = utc_now()
    found = []
    for new in truth:
        old, source = stored.get((new.symbol, new.begin_ms), (new, ""))
        if old != new:
            found.append(
                Revision(
                    symbol=new.symbol,
                    candle_begin_time=from_ms(new.begin_ms),
                    old=old,
                    old_source=source,
                    new=new,
                    reason=reason,
                    at=now,
                )
            )
    return found


def _write(folder: Folder, kind: str, rows: Sequence[tuple[Candle, int]], source: Source) -> None:
    runs = [candle.begin_ms + folder.interval.ms for candle, _ in rows]
    path = folder.flow_path(kind, min(runs), max(runs), next_seq(folder))
    write_table(path, candle_table(rows, source), folder.save_type)
