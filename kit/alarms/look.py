"""Reads a market's folder, and what this machine knows of its exchange, for the judge. Writes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

from kit.alarms.conditions import Reason, Symbols
from kit.alarms.judge import NAMED_SYMBOLS, Readings
from kit.alarms.signs import (
    PERIOD_NAME,
    STREAMER_NAME,
    WORKER_NAME,
    PeriodSigns,
    StreamerBeat,
    WorkerBeat,
    read_signs,
)
from kit.budget import known_stop
from kit.buffer.layout import Folder
from kit.buffer.ledger import Ledger, LedgerRecord
from kit.buffer.locks import is_held
from kit.buffer.states import States, load_states
from kit.config import MarketConfig
from kit.exchange_clock import read_local
from kit.times import clock_of_market, due_run_ms, host_of_market
from kit.words import from_ms, to_ms


def look(config: MarketConfig, told_since_ms: int | None = None) -> Readings:
    """What lies in the folder of ``config`` now. ``told_since_ms``: since when people know that periods are in trouble;
    the run times since then are looked at, too.

    Raises:
        OSError: the ledger or the states are there and cannot be read.
    """
    folder = Folder(config.base_dir, config.trade_type, config.interval, config.save_type)
    local = read_local()
    clock = clock_of_market(config)
    exchange_ms = local.wall_ms if clock is None else clock.exchange_ms
    pool = host_of_market(config).pool
    stop = known_stop(pool)
    due_ms = due_run_ms(config, exchange_ms)
    ledger = Ledger(folder)
    record = ledger.get(from_ms(due_ms))
    incomplete = _newest_incomplete(config, ledger, record, due_ms, told_since_ms)
    states = load_states(folder)
    period = read_signs(config.base_dir, PERIOD_NAME, PeriodSigns)
    return Readings(
        config=config,
        local=local,
        exchange_ms=exchange_ms,
        pool=pool,
        clock_offset_ms=None if clock is None else clock.offset_ms,
        clock_age_ms=None if clock is None else clock.age_ms,
        stop=stop,
        due_ms=due_ms,
        record=record,
        incomplete=incomplete,
        has_records=any(folder.ledger.glob("*.jsonl")),
        reasons={}
        if incomplete is None
        else _reasons(incomplete, config.interval.ms, states, stopped=stop is not None),
        symbols=_symbols(states),
        streamer=read_signs(config.base_dir, STREAMER_NAME, StreamerBeat),
        worker=read_signs(config.base_dir, WORKER_NAME, WorkerBeat),
        period=period,
        at_work=period is None or period.begun is None or is_held(folder, "flow"),
        disk=_disk(config.base_dir),
    )


def _newest_incomplete(
    config: MarketConfig, ledger: Ledger, due: LedgerRecord | None, due_ms: int, told_since_ms: int | None
) -> LedgerRecord | None:
    """The due run time's record when it is incomplete, else the newest incomplete one of the window since it was told:
    who reads "complete again" shall find no hole left of what they were told of."""
    if due is None or not due.complete:
        return due
    if told_since_ms is None:
        return None
    window_ms = (config.num_candles - 1) * config.interval.ms
    first_ms = max(due_run_ms(config, told_since_ms), due_ms - window_ms)
    records = ledger.between(first_ms, due_ms).values()
    return next((record for record in reversed(records) if not record.complete), None)


def _reasons(record: LedgerRecord, interval_ms: int, states: States, *, stopped: bool) -> dict[str, Reason]:
    """Why the first few of the missing symbols are missing."""
    begin_ms = to_ms(record.run_time) - interval_ms
    return {symbol: _reason(states, symbol, begin_ms, stopped=stopped) for symbol in record.missing[:NAMED_SYMBOLS]}


def _reason(states: States, symbol: str, begin_ms: int, *, stopped: bool) -> Reason:
    state = states.symbols.get(symbol)
    if state is not None and any(hole.first_ms <= begin_ms <= hole.last_ms for hole in state.unanswered):
        return Reason.UNANSWERED
    return Reason.NO_REST if stopped else Reason.UNDELIVERED


def _symbols(states: States) -> Symbols | None:
    if not states.symbols:
        return None
    stopped = {symbol: state.status for symbol, state in states.symbols.items() if state.stopped_ms is not None}
    return Symbols(frozenset(states.symbols.keys() - stopped.keys()), stopped)


def _disk(base_dir: Path) -> tuple[int, int] | None:
    """Bytes of the folder's file system: all, and those still free for us. None when it does not tell."""
    try:
        usage = shutil.disk_usage(base_dir)
    except OSError:
        return None
    return usage.total, usage.free
