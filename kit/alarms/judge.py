"""What is wrong with a market, out of what was read of its folder. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from kit.alarms.conditions import Condition, Facts, Kind, Reason, Sight, Symbols
from kit.alarms.signs import Beat, Begun, Disconnect, Ended, PeriodSigns, StreamerBeat, WorkerBeat
from kit.budget import KnownStop, StopKind
from kit.buffer.ledger import LedgerRecord
from kit.config import MarketConfig
from kit.exchange_clock import Local, is_off
from kit.logs import shown
from kit.words import from_ms, to_ms

NAMED_SYMBOLS = 8
"""Symbols named in a message: what fits on a phone."""
TOLD_CHARS = 300
"""Of what others said: an exchange's answer, a connection's end."""

ANSWERED_WITHIN_MS = 150_000
"""Who serves a market asks the exchange for its time each two minutes at least. A stop's end is no answer: after a 403
the next request may meet another."""

LOST = "lost"
LOSSES, LOSSES_WITHIN = 3, timedelta(minutes=5)
"""One loss is a network's everyday, two a bad minute."""
AT_ONCE = timedelta(seconds=15)
"""A network that goes away for a moment takes all connections with it: that is one loss, however many they are."""
NEVER_ALL_QUIET = 10
"""Streams that are never all quiet for long. A few illiquid pairs are (no trade, no frame, no candle): parts."""
NO_CANDLE_FOR = timedelta(seconds=60)
"""On top of two intervals: no final of any symbol for so long, and the streams bring nothing whatever they claim."""

GB = 1_000_000_000
DISK_LEAST = 2 * GB
"""Some hours of a 600 symbol 1m market with its compactions, logs and a Prefect server beside it."""
DISK_SHARE, DISK_SHARE_AT_MOST = 0.05, 20 * GB
"""5 % is where file systems begin to slow down; of a large disk 20 GB is enough."""
SMALL_DISK_SHARE = 0.2
"""Of a volume of some GB no more than this is asked for."""
DISK_WELL = 1.1
"""Well again only with so much more, so that a compaction at the border tells once."""

STEP = "step "
"""With a step's name behind it, the key of a condition."""
FAILED_PERIODS, LONG_INTERVAL = 3, timedelta(minutes=15)
"""A step is done again in the next period, which is well at 1m; of long intervals nobody waits for another one."""

DEAD_PHASES = ("connecting", "closed", "stale")
BAD_ENDS = {"Failed": Kind.FAILED, "Crashed": Kind.CRASHED}
"""By the name of a period's end (``flows.verdict``); what is incomplete is told by the ledger."""
STOP_KINDS = {StopKind.BAN: Kind.BANNED, StopKind.FORBIDDEN: Kind.FORBIDDEN}

PERIOD, STREAM, CONNECTIONS, DISK, WRITING, STREAMER, WORKER = (
    "period", "stream", "connections", "disk", "writing", "streamer", "worker",
)  # fmt: skip
"""The keys of conditions; ``stop`` and ``clock`` have their pool behind them."""


@dataclass(frozen=True)
class Readings:
    """What was read. ``exchange_ms``: the exchange's clock; ``clock_offset_ms``: it minus ours, None: not known;
    ``clock_age_ms``: since it told its time.

    ``due_ms``: the newest run time that should be complete, ``record`` its ledger record; ``incomplete``: that one, or
    an older one of which people know, when it is incomplete. ``has_records``: the flow has worked here before.
    ``at_work``: a process holds the folder's flow lock. ``disk``: all and free bytes.
    """

    config: MarketConfig
    local: Local
    exchange_ms: int
    pool: str
    due_ms: int
    clock_offset_ms: int | None = None
    clock_age_ms: int | None = None
    stop: KnownStop | None = None
    record: LedgerRecord | None = None
    incomplete: LedgerRecord | None = None
    has_records: bool = False
    reasons: Mapping[str, Reason] = field(default_factory=dict)
    symbols: Symbols | None = None
    streamer: StreamerBeat | None = None
    worker: WorkerBeat | None = None
    period: PeriodSigns | None = None
    at_work: bool = True
    disk: tuple[int, int] | None = None


def judge(seen: Readings, open_keys: frozenset[str] = frozenset()) -> Sight:
    """What is wrong. ``open_keys``: of what has been told, for those that need more to be called well again."""
    clock, stop = f"clock {seen.pool}", f"stop {seen.pool}"
    found = [
        *_beat(seen, seen.streamer, STREAMER, Kind.STREAMER_SILENT, Kind.STREAMER_STOPPED),
        *_beat(seen, seen.worker, WORKER, Kind.WORKER_SILENT, Kind.WORKER_STOPPED),
        *_stop(seen, stop),
        *_clock(seen, clock, was_off=clock in open_keys),
        *_disk(seen, was_low=DISK in open_keys),
        *_steps(seen, open_keys),
    ]
    keys = {each.key for each in found}
    told_steps = [key for key in open_keys if key.startswith(STEP)]
    blind = {
        **dict.fromkeys(told_steps, seen.period is None),
        STREAMER: seen.streamer is None,
        WORKER: seen.worker is None,
        clock: seen.clock_offset_ms is None,
        # Nobody here has asked the exchange since boot, or the budget of those who do is kept elsewhere; or it has not
        # answered since.
        stop: seen.stop is None and (seen.clock_offset_ms is None or (stop in open_keys and not _answers(seen))),
        DISK: seen.disk is None,
    }
    if seen.streamer is None or not seen.streamer.running or STREAMER in keys:
        blind |= dict.fromkeys((STREAM, CONNECTIONS, WRITING), True)
    else:
        found += _streams(seen, seen.streamer)
        blind[CONNECTIONS] = any(each.kind is Kind.STALLED for each in found)
    # Why nobody has done a period is told by the worker's silence, and a stopped one was stopped by somebody.
    idle = seen.worker is not None and (not seen.worker.running or WORKER in keys)
    period = _period(seen, idle=idle)
    found += [] if period is None else [period]
    blind[PERIOD] = period is None and seen.record is None
    return Sight(
        label=f"{seen.config.trade_type} {seen.config.interval}",
        conditions=tuple(each for each in found if not blind.get(each.key)),
        blind=frozenset(key for key, is_blind in blind.items() if is_blind),
        well=_well(seen, clock) | {key: {"step": key.removeprefix(STEP)} for key in told_steps},
        symbols=seen.symbols,
    )


def disk_needs(total: int) -> float:
    """Bytes that should be free on a file system of that size."""
    return max(min(DISK_LEAST, total * SMALL_DISK_SHARE), min(DISK_SHARE_AT_MOST, total * DISK_SHARE))


def _beat(seen: Readings, beat: Beat | None, key: str, silent: Kind, stopped: Kind) -> Iterator[Condition]:
    if beat is not None and beat.silent(seen.local):
        since_ms = seen.local.wall_ms - int(beat.age_s(seen.local) * 1000)
        yield Condition(key, silent if beat.running else stopped, {"last_ms": since_ms, "pid": beat.pid})


def _answers(seen: Readings) -> bool:
    return seen.clock_age_ms is not None and seen.clock_age_ms <= ANSWERED_WITHIN_MS


def _stop(seen: Readings, key: str) -> Iterator[Condition]:
    if seen.stop is not None and seen.stop.kind in STOP_KINDS:
        kind = STOP_KINDS[seen.stop.kind]
        yield Condition(
            key, kind, {"until_ms": seen.stop.until_ms, "pool": seen.pool, "reason": _told(seen.stop.message)}
        )


def _clock(seen: Readings, key: str, *, was_off: bool) -> Iterator[Condition]:
    offset_ms = seen.clock_offset_ms
    if offset_ms is not None and is_off(offset_ms, was_off=was_off):
        word = "behind" if offset_ms > 0 else "ahead"
        yield Condition(key, Kind.CLOCK_OFF, {"seconds": f"{abs(offset_ms) / 1000:.1f}", "direction": word})


def _disk(seen: Readings, *, was_low: bool) -> Iterator[Condition]:
    if seen.disk is None:
        return
    total, free = seen.disk
    if free < disk_needs(total) * (DISK_WELL if was_low else 1.0):
        yield Condition(DISK, Kind.DISK_LOW, {"free_gb": f"{free / GB:.1f}", "percent": f"{100 * free / total:.0f}"})


def _streams(seen: Readings, beat: StreamerBeat) -> Iterator[Condition]:
    counts: Facts = {"wanted": beat.wanted_streams, "delivering": beat.delivering_streams}
    losses = [
        loss
        for loss in beat.route.last_disconnects
        if loss.since is not None and from_ms(seen.local.wall_ms) - loss.since < LOSSES_WITHIN
    ]
    why = _told(losses[-1].reason) if losses else ""
    lost = _moments(losses)
    dead = sum(beat.route.connections.get(phase, 0) for phase in DEAD_PHASES)
    silent = beat.wanted_streams - beat.delivering_streams
    if beat.wanted_streams >= NEVER_ALL_QUIET and (beat.delivering_streams == 0 or _no_candle(seen, beat)):
        yield Condition(STREAM, Kind.STALLED, {**counts, "last_ms": _ms_of(beat), "reason": why})
    elif silent > 0:
        named = dict.fromkeys(beat.silent_streams[:NAMED_SYMBOLS], "")
        yield Condition(STREAM, Kind.PART_SILENT, {**counts, "count": silent, "symbols": named})
    if lost >= LOSSES:
        facts = {"count": lost, "minutes": LOSSES_WITHIN // timedelta(minutes=1), "reason": why}
        yield Condition(CONNECTIONS, Kind.LOSING, facts)
    elif dead:
        yield Condition(CONNECTIONS, Kind.FAILING, {"count": dead, "reason": why})
    if beat.disk_error:
        yield Condition(WRITING, Kind.UNWRITABLE, {"reason": _told(beat.disk_error)})


def _moments(losses: Iterable[Disconnect]) -> int:
    """How often connections were lost. One that was left for its silence is what quiet symbols are, too."""
    count, since = 0, None
    for moment in sorted(loss.since for loss in losses if loss.kind == LOST and loss.since is not None):
        if since is None or moment - since > AT_ONCE:
            count, since = count + 1, moment
    return count


def _no_candle(seen: Readings, beat: StreamerBeat) -> bool:
    if beat.last_run_time is None:
        return False
    return from_ms(seen.exchange_ms) - beat.last_run_time > 2 * seen.config.interval.delta + NO_CANDLE_FOR


def _ms_of(beat: StreamerBeat) -> int | None:
    return None if beat.last_run_time is None else to_ms(beat.last_run_time)


def _period(seen: Readings, *, idle: bool) -> Condition | None:
    """The worst that can be said of the periods."""
    signs = seen.period or PeriodSigns()
    if signs.begun is not None and not (seen.at_work or _waits(seen, signs.begun)):
        facts: Facts = {"run_ms": to_ms(signs.begun.run_time), "since_ms": to_ms(signs.begun.begun_at)}
        return Condition(PERIOD, Kind.CRASHED, facts)
    last = signs.last
    if last is not None and last.verdict in BAD_ENDS and not _done_since(seen, last):
        facts = {"run_ms": to_ms(last.run_time), "since_ms": to_ms(last.ended_at), "reason": _told(last.message)}
        return Condition(PERIOD, BAD_ENDS[last.verdict], facts)
    if seen.record is None:
        return Condition(PERIOD, Kind.NO_RECORD, {"run_ms": seen.due_ms}) if seen.has_records and not idle else None
    record = seen.incomplete
    if record is None:
        return None
    missing = record.missing
    facts = {
        "run_ms": to_ms(record.run_time),
        "count": len(missing),
        "expected": record.expected - len(record.excused),
        "symbols": {symbol: str(seen.reasons.get(symbol, "")) for symbol in missing[:NAMED_SYMBOLS]},
    }
    return Condition(PERIOD, Kind.INCOMPLETE, facts)


def _steps(seen: Readings, open_keys: frozenset[str]) -> Iterator[Condition]:
    """One that was told is well when it went well, also where ``period.json`` was lost and counts from one again."""
    at_once = seen.config.interval.delta >= LONG_INTERVAL
    for name, failing in sorted((seen.period or PeriodSigns()).failing.items()):
        key = STEP + name
        if failing.periods >= (1 if at_once or key in open_keys else FAILED_PERIODS):
            facts: Facts = {
                "step": name,
                "run_ms": to_ms(failing.run_time),
                "count": failing.periods,
                "reason": _told(failing.reason),
            }
            yield Condition(key, Kind.STEP_FAILING, facts)


def _waits(seen: Readings, begun: Begun) -> bool:
    """Whether the worker that began it lives: between two attempts it holds nothing."""
    worker = seen.worker
    return worker is not None and worker.running and not worker.silent(seen.local) and worker.pid == begun.pid


def _done_since(seen: Readings, last: Ended) -> bool:
    """Whether somebody else has completed a later period."""
    return seen.record is not None and seen.record.complete and seen.record.run_time > last.run_time


def _well(seen: Readings, clock: str) -> dict[str, Facts]:
    well: dict[str, Facts] = {PERIOD: {"run_ms": seen.due_ms}}
    if seen.streamer is not None:
        well[STREAM] = {"wanted": seen.streamer.wanted_streams, "delivering": seen.streamer.delivering_streams}
    if seen.clock_offset_ms is not None:
        well[clock] = {"offset": abs(seen.clock_offset_ms)}
    if seen.disk is not None:
        well[DISK] = {"free_gb": f"{seen.disk[1] / GB:.1f}"}
    return well


def _told(text: str) -> str:
    return shown(" ".join(text.split()), limit=TOLD_CHARS)
