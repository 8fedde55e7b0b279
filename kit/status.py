"""What can be said of a market from its folder alone: the last periods, the window, the streamer's heartbeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import msgspec
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kit.alarms.signs import SILENT_AFTER_S, WORKER_NAME, WorkerBeat, read_signs
from kit.buffer.ledger import Ledger, LedgerRecord
from kit.buffer.read import current_view
from kit.exchange_clock import is_off, off_words, read_local
from kit.market import Market
from kit.outside import MEGABYTE, UNREADABLE, printable, read_bounded
from kit.times import clock_of_market, due_run_ms
from kit.words import from_ms, newest_run_time_ms, to_ms, utc_now

FILLED_LATER = timedelta(minutes=10)
"""A period that was completed so long after its close is history that was filled, not a close that was late."""

NAMED = 8
"""So many symbols are named; the rest is counted."""

MAX_HEARTBEAT_BYTES = 4 * MEGABYTE  # it has some 5 kB

HEARTBEAT_STALE = timedelta(seconds=20)
"""The streamer writes its heartbeat every few seconds; older than this it is silent."""


class _Heartbeat(msgspec.Struct):
    """What is read of the streamer's heartbeat; the rest is passed on."""

    written_at: Annotated[datetime, msgspec.Meta(tz=True)]
    running: bool
    pid: int
    rss_bytes: int
    wanted_streams: int
    delivering_streams: int
    silent_streams: list[str] = []


def market_status(base_dir: Path, periods: int = 10) -> dict[str, Any]:
    """Plain values for programs: ``market``, ``now`` (the exchange's, as far as it is known), ``due`` (the newest run
    time that should be complete), ``complete`` (whether it is), ``record`` (its record or None), ``last_complete`` (the
    newest run time of the window that is complete, or None), ``newest_readable``, ``periods`` (records, newest first),
    ``window`` (complete of known), ``clock_offset_ms`` (the exchange's clock minus this machine's, None: not known),
    ``streamer`` and ``worker`` (their heartbeats with ``age_seconds`` and ``alive``, None: none has run here).

    Raises:
        ConfigError, FolderError: the folder cannot be read.
    """
    market = Market(base_dir)
    interval = market.config.interval
    clock = clock_of_market(market.config)
    now = utc_now() if clock is None else from_ms(clock.exchange_ms)
    due_ms = due_run_ms(market.config, to_ms(now))
    newest_ms = newest_run_time_ms(to_ms(now), interval)
    first_ms = newest_ms - (market.config.num_candles - 1) * interval.ms
    records = Ledger(market.folder).between(first_ms, newest_ms)
    readable_ms = current_view(market.folder).newest_run_ms
    due = records.get(due_ms)
    return {
        "market": market.folder.candles.name,
        "base_dir": str(base_dir),
        "now": _iso(now),
        "due": _iso(from_ms(due_ms)),
        "complete": due is not None and due.complete,
        "record": None if due is None else due.as_dict(),
        "last_complete": _newest_complete(records),
        "newest_readable": None if readable_ms is None else _iso(from_ms(readable_ms)),
        "window": {
            "run_times": market.config.num_candles,
            "known": len(records),
            "complete": sum(record.complete for record in records.values()),
        },
        "periods": [records[run_ms].as_dict() for run_ms in sorted(records, reverse=True)[:periods]],
        "clock_offset_ms": None if clock is None else clock.offset_ms,
        "streamer": _heartbeat(base_dir, utc_now()),
        "worker": _worker(base_dir),
    }


def _newest_complete(records: Mapping[int, LedgerRecord]) -> str | None:
    newest_ms = max((run_ms for run_ms, record in records.items() if record.complete), default=None)
    return None if newest_ms is None else _iso(from_ms(newest_ms))


def status_table(status: dict[str, Any]) -> RenderableType:
    """The same for people; times in the reader's own zone."""
    table = periods_table(f"{status['market']}   {status['base_dir']}")
    for record in status["periods"]:
        add_period(table, LedgerRecord.from_dict(record))
    window = status["window"]
    line = Text.assemble(
        *_verdict_parts(status),
        f"window: {window['complete']} of {window['run_times']} run times complete; ",
        _streamer_line(status["streamer"]),
        *_worker_parts(status["worker"]),
    )
    offset_ms = status["clock_offset_ms"]
    if offset_ms is not None and is_off(offset_ms, was_off=False):
        line.append(f"; {off_words(offset_ms)}", style="bold red")
    return Group(table, line)


def _verdict_parts(status: dict[str, Any]) -> list[Text]:
    """Is it complete now; where not: what is missing, and since when. A run time that is not due yet counts once it is
    complete, as on the status page."""
    last, record = status["last_complete"], status["record"]
    if last is not None and last >= status["due"]:  # both spelled alike, so that they compare as text
        return [Text("complete ", "green"), Text(f"for {_local(_moment(last))}; ")]
    missing = "nobody has judged it yet; " if record is None else f"missing: {_some(record['missing'])}; "
    since = "no run time is complete yet; " if last is None else f"last complete: {_local(_moment(last))}; "
    due = f"for {_local(_moment(status['due']))}; "
    return [Text("NOT COMPLETE ", "bold red"), Text(due), Text(missing, "bold red"), Text(since)]


def _some(symbols: Sequence[str], count: int | None = None) -> str:
    """Some of these names, and how many more there are (``count`` in all)."""
    named = symbols[:NAMED]
    more = (len(symbols) if count is None else count) - len(named)
    return printable(", ".join(named)) + (f" and {more} more" if more else "")


def periods_table(title: str) -> Table:
    """An empty table of periods, narrow enough for 80 columns."""
    table = Table(title=Text(printable(title)), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("run time", no_wrap=True)
    for heading in ("expected", "stream", "REST", "missing", "excused", "complete after"):
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def add_period(table: Table, record: LedgerRecord) -> None:
    """One row of the table of periods."""
    table.add_row(
        _local(record.run_time),
        str(record.expected),
        str(record.by_stream),
        str(record.by_rest),
        Text(str(len(record.missing)), style="bold red" if record.missing else ""),
        str(len(record.excused)),
        _time_to_complete(record),
    )


def _time_to_complete(record: LedgerRecord) -> Text:
    seconds = record.seconds_to_complete
    if not record.complete or seconds is None:
        return Text("not complete", style="bold red")
    if seconds > FILLED_LATER.total_seconds():
        return Text("filled later", style="dim")
    return Text(f"{seconds:.2f} s", style="green")


def _heartbeat(base_dir: Path, now: datetime) -> dict[str, Any] | None:
    """What the streamer wrote, with its age; None where nothing can be read of it."""
    try:
        data = read_bounded(base_dir / "streamer.json", MAX_HEARTBEAT_BYTES)
        known = msgspec.json.decode(data, type=_Heartbeat)
        beat: dict[str, Any] = msgspec.json.decode(data)
    except (OSError, *UNREADABLE):
        return None
    age = now - known.written_at
    alive = known.running and age < HEARTBEAT_STALE
    return {**beat, **msgspec.to_builtins(known), "age_seconds": round(age.total_seconds(), 1), "alive": alive}


def _streamer_line(beat: dict[str, Any] | None) -> Text:
    if beat is None:
        return Text("no streamer has run here", style="red")
    if not beat["alive"]:
        return Text(f"the streamer is silent for {beat['age_seconds']:.0f} s (pid was {beat['pid']})", style="bold red")
    wanted, delivering = beat["wanted_streams"], beat["delivering_streams"]
    silent = f" (silent: {_some(beat['silent_streams'], wanted - delivering)})" if delivering < wanted else ""
    streams = f"{delivering} of {wanted} streams deliver{silent}"
    return Text(f"streamer pid {beat['pid']}: {streams}, {beat['rss_bytes'] / 1e6:.0f} MB")


def _worker(base_dir: Path) -> dict[str, Any] | None:
    """The long-lived worker's heartbeat; a market whose periods are begun otherwise has none."""
    beat = read_signs(base_dir, WORKER_NAME, WorkerBeat)
    if beat is None:
        return None
    age = beat.age_s(read_local())
    return {
        "pid": beat.pid,
        "running": beat.running,
        "written_at": _iso(beat.written_at),
        "next_target": None if beat.next_target is None else _iso(beat.next_target),
        "age_seconds": round(age, 1),
        "alive": beat.running and age < SILENT_AFTER_S,
    }


def _worker_parts(beat: dict[str, Any] | None) -> list[Text]:
    if beat is None:
        return []
    if beat["alive"]:
        return [Text(f"; worker pid {beat['pid']}")]
    how = "is silent for" if beat["running"] else "was stopped"
    ago = "" if beat["running"] else " ago"
    return [Text(f"; the worker {how} {beat['age_seconds']:.0f} s{ago} (pid was {beat['pid']})", style="bold red")]


def _local(moment: datetime) -> str:
    return moment.astimezone().strftime("%m-%d %H:%M:%S")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
