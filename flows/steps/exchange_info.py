"""Step: refresh the exchange info, and with it which symbols are in the market and since when."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import polars as pl
import structlog

from flows.steps.context import ANSWER_WITHIN, Period
from kit.buffer.assets import add_boundary, load_assets
from kit.buffer.exchange_info import ExchangeInfoStore
from kit.buffer.ledger import Ledger
from kit.buffer.read import read_candles
from kit.buffer.states import Hole, States, SymbolState, save_states
from kit.completeness import NO_CANDLE
from kit.dialect.symbols import SymbolInfo, select, trades
from kit.errors import BadAnswerError, ExchangeError, FolderError
from kit.words import MILLISECOND, to_ms

log = structlog.get_logger(__name__)

WAIT_FOR_WEIGHT = timedelta(seconds=1)
"""What is on disk serves when the exchange has told us to wait: a stream that delivered everything is not held up."""

AT_MOST_EVERY = timedelta(seconds=20)
"""Of markets whose periods are shorter: on spot each answer is some megabytes and a weight of 20."""

OUTSIDE = "not in the market"
"""The status of a symbol that the exchange does not list, or the config excludes: what it does then is not known."""

MOST_HALTS = 16
"""Of one symbol so many are remembered; older ones fall back on what REST says of their candles."""

YOUNG, YOUNG_PERIODS = timedelta(hours=1), 3
"""So old (the longer of the two) what is on disk may be to serve while the exchange lets us wait: it lists a symbol on
few days. What is older is worth the time-outs."""


async def refresh_exchange_info(period: Period) -> str:
    """Fetch and keep the exchange info; when the exchange does not give it, what is on disk serves.

    What is on disk and young serves for now, too, while the exchange lets us wait; ``take_late_answer`` has the rest.
    Nobody has told then of a symbol listed since, so the verdict does not speak of it. Its first candle is expected as
    soon as the newer exchange info is taken: in the same run, if it comes at all, and the record is written anew. It
    is not so in the other direction: a symbol that has stopped since is expected and missing until that is known.

    Raises:
        ExchangeError: none on disk either.
    """
    known = ExchangeInfoStore(period.folder).latest()
    if known is not None and _just_fetched(period):
        _take(period, map(SymbolInfo.from_dict, known))
        return f"{len(period.trading)} symbols trade, as a moment ago"
    asked = period.asked_info = asyncio.create_task(_ask(period, known))
    told = [] if period.asked_clock is None else [period.asked_clock]
    await _wait([*told, asked], ANSWER_WITHIN if known is not None and _young(period) else None)
    if not asked.done():
        log.warning("exchange_info.awaited", market=period.folder.candles.name)
        _take(period, map(SymbolInfo.from_dict, known or ()))
        return f"{len(period.trading)} symbols trade, as far as is known: the exchange lets us wait"
    changed = take_late_answer(period)
    return f"{len(period.trading)} symbols trade" + (", changed" if changed and known is not None else "")


async def await_late_answer(period: Period) -> str:
    """Wait for the exchange info that ``refresh_exchange_info`` could not wait for, at most until the next period."""
    trading = period.trading
    if period.asked_info is not None:
        await _wait([period.asked_info], None if period.deadline is None else period.deadline - period.exchange_now())
        take_late_answer(period)
    return f"{len(period.trading)} symbols trade" + (", changed" if period.trading != trading else "")


def take_late_answer(period: Period) -> bool:
    """Take the exchange info, if it has come; whether it is another one than on disk.

    Raises:
        ExchangeError: it did not come, and none is on disk either.
    """
    if period.asked_info is None or not period.asked_info.done():
        return False
    asked, period.asked_info = period.asked_info, None
    store = ExchangeInfoStore(period.folder)
    try:
        infos = asked.result()
        told_at = period.exchange_now()
        changed = store.save([info.to_dict() for info in infos], told_at)
        _take(period, infos, told_ms=to_ms(told_at))
    except ExchangeError as error:
        known = store.latest()
        if known is None:
            raise
        log.warning("exchange_info.stale", market=period.folder.candles.name, error=str(error))
        _take(period, map(SymbolInfo.from_dict, known))
        return False
    return changed


async def _ask(period: Period, known: Sequence[Mapping[str, Any]] | None) -> tuple[SymbolInfo, ...]:
    deadline_ms = None if known is None else to_ms(period.exchange_now() + WAIT_FOR_WEIGHT)
    told = await period.client.exchange_info(deadline_ms=deadline_ms)
    symbols = _plausible(told.symbols, known)
    if not told.malformed:
        return symbols
    # What is not there may be what could not be read, and to take it for delisted would excuse it and end its stream.
    names = {info.symbol for info in symbols}
    return (*symbols, *(SymbolInfo.from_dict(row) for row in known or () if row["symbol"] not in names))


async def _wait(tasks: Sequence[asyncio.Task[Any]], patience: timedelta | None) -> None:
    """Until all are done or patience ends. FolderError: one could not keep the weight budget."""
    done, _ = await asyncio.wait(tasks, timeout=None if patience is None else max(0.0, patience.total_seconds()))
    for task in done:
        if isinstance(problem := task.exception(), FolderError):
            raise problem


def _young(period: Period) -> bool:
    """Whether what is on disk may serve while the exchange lets us wait."""
    age = timedelta(milliseconds=to_ms(period.exchange_now()) - period.states.exchange_info_at_ms)
    return timedelta(0) <= age <= max(YOUNG, YOUNG_PERIODS * period.config.interval.delta)


def _just_fetched(period: Period) -> bool:
    """Whether what is on disk may serve: a short period, and nothing missing in the last one that a delisting would
    explain."""
    interval = period.config.interval.delta
    age_ms = to_ms(period.exchange_now()) - period.states.exchange_info_at_ms
    if interval >= AT_MOST_EVERY or not 0 <= age_ms < AT_MOST_EVERY // MILLISECOND:
        return False
    before = Ledger(period.folder).get(period.run_time - interval)
    return before is not None and before.complete


def _plausible(infos: tuple[SymbolInfo, ...], known: Sequence[object] | None) -> tuple[SymbolInfo, ...]:
    """The symbols, unless most of those known are gone: the exchange keeps even delisted ones in its list for years,
    and to believe a list cut short would call a market complete that is mostly missing.

    Raises:
        BadAnswerError: fewer than half of the symbols are there.
    """
    if known is not None and 2 * len(infos) < len(known):
        raise BadAnswerError(f"exchangeInfo has {len(infos)} symbols, where {len(known)} were known")
    return infos


def _take(period: Period, infos: Iterable[SymbolInfo], told_ms: int | None = None) -> None:
    """Go by these symbols; ``told_ms``: when the exchange told them, None where they were known before."""
    config = period.config
    selection = select(config.trade_type, infos, config.keep_symbols, config.exclude_symbols)
    if selection.unknown_keep:
        log.warning("config.unknown_symbols", market=period.folder.candles.name, symbols=selection.unknown_keep)
    period.symbols = selection.symbols
    period.trading = frozenset(info.symbol for info in selection.symbols if trades(info))
    changes = update_states(
        period.states,
        selection.symbols,
        now_ms=to_ms(period.exchange_now()),
        step_ms=config.interval.ms,
        new_market=not period.states.symbols,
        oldest_held=_oldest_held(period),
    )
    if told_ms is not None:
        period.states.exchange_info_at_ms = told_ms
    for event, symbol in changes:
        if event == "symbol.another_asset":
            add_boundary(period.folder, symbol, period.states.symbols[symbol].since_ms or 0)
    for ticker, moments in load_assets(period.folder).items():
        if ticker in period.states.symbols:
            period.states.symbols[ticker].since_ms = moments[-1]
    for event, symbol in changes:
        log.info(event, market=period.folder.candles.name, symbol=symbol)
    save_states(period.folder, period.states)


def _oldest_held(period: Period) -> dict[str, int]:
    """The oldest readable begin time (milliseconds) of each symbol whose listing date has moved to a later one."""
    later = [info.symbol for info in period.symbols if _listed_again(period.states.symbols.get(info.symbol), info)]
    if not later:
        return {}
    frame = read_candles(period.folder, columns=[], symbols=later, retired=True)
    oldest = frame.group_by(pl.col("symbol").cast(pl.String)).agg(pl.col("candle_begin_time").min().dt.epoch("ms"))
    return dict(oldest.rows())


def update_states(
    states: States,
    infos: Iterable[SymbolInfo],
    *,
    now_ms: int,
    step_ms: int,
    new_market: bool,
    oldest_held: Mapping[str, int] = MappingProxyType({}),
) -> list[tuple[str, str]]:
    """Bring the states up to what the exchange info says; (event, symbol) for each listing and delisting.

    A symbol that never traded while we looked is not taken in. In a new market the listing date of a symbol is where
    its candles should begin; of one that appears later also the moment at which it appeared. A symbol whose listing
    date moved to a later one is another asset under the old name if it had stopped, or if candles from before that
    date are held (``oldest_held``, milliseconds); else the exchange has only corrected a date.

    A symbol that trades again was halted from when it was first seen so until the last look before this one
    (``states.exchange_info_at_ms``). What closed in between was rightly excused and stays so until REST tells more.
    """
    events: list[tuple[str, str]] = []
    seen = set()
    for info in infos:
        seen.add(info.symbol)
        state = states.symbols.get(info.symbol)
        if state is not None:
            held_ms = oldest_held.get(info.symbol)
            events += [(event, info.symbol) for event in _update(states, info, now_ms, step_ms, held_ms)]
        elif trades(info):
            states.symbols[info.symbol] = _new_state(info, now_ms, step_ms, new_market=new_market)
            if not new_market:
                events.append(("symbol.listed", info.symbol))
    for symbol, state in states.symbols.items():
        if symbol not in seen and state.stopped_ms is None:
            # Gone from the exchange info altogether, or taken out of the market by the config.
            events.append(("symbol.stopped", symbol))
            state.status, state.stopped_ms = OUTSIDE, now_ms
    return events


def _update(states: States, info: SymbolInfo, now_ms: int, step_ms: int, held_ms: int | None) -> list[str]:
    """Bring one known symbol's state up to date; what happened to it."""
    state = states.symbols[info.symbol]
    if trades(info) and state.stopped_ms is not None:
        _remember_halt(state, states.exchange_info_at_ms, step_ms)
        # What REST refused while it did not trade may be there: only what an answer lacked twice is known not to be.
        state.gaps = [gap for gap in state.gaps if gap.reason == NO_CANDLE]
    state.status = info.status
    if not trades(info):
        if state.stopped_ms is not None:
            return []
        state.stopped_ms = now_ms
        return ["symbol.stopped"]
    events = ["symbol.resumed"] if state.stopped_ms is not None else []
    held = state.stopped_ms is not None or (held_ms is not None and held_ms < (info.onboard_ms or 0))
    if held and _listed_again(state, info):
        events.append("symbol.another_asset")
        _begin_anew(state, info, step_ms)
    state.onboard_ms = state.onboard_ms if info.onboard_ms is None else info.onboard_ms
    state.stopped_ms = None
    return events


def _remember_halt(state: SymbolState, seen_until_ms: int, step_ms: int) -> None:
    """The candles that began and closed while it was seen not trading; the one in which it stopped, and the one that
    was open at the last look, may have had trades."""
    if state.stopped_ms is None or state.status == OUTSIDE:
        return
    first_ms = (state.stopped_ms // step_ms + 1) * step_ms
    last_ms = (seen_until_ms // step_ms - 1) * step_ms
    if first_ms <= last_ms:
        reason = state.status.lower().replace("_", " ")
        state.halts = [*state.halts, Hole(first_ms, last_ms, reason)][-MOST_HALTS:]


def _new_state(info: SymbolInfo, now_ms: int, step_ms: int, *, new_market: bool) -> SymbolState:
    # A listing date in the past is history to be filled. One in the future is not believed: it trades already.
    seen = [] if new_market and info.onboard_ms is None else [now_ms]
    listed = [moment for moment in (info.onboard_ms, *seen) if moment is not None]
    listed_ms = min(listed) // step_ms * step_ms if listed else None
    return SymbolState(status=info.status, onboard_ms=info.onboard_ms, listed_ms=listed_ms)


def _listed_again(state: SymbolState | None, info: SymbolInfo) -> bool:
    """Whether the listing date is a later one than it was."""
    if state is None or state.onboard_ms is None or info.onboard_ms is None:
        return False
    return info.onboard_ms > state.onboard_ms


def _begin_anew(state: SymbolState, info: SymbolInfo, step_ms: int) -> None:
    """Another asset under the old name: its history begins with its listing."""
    state.first_ms = None
    state.since_ms = state.listed_ms = (info.onboard_ms or 0) // step_ms * step_ms
    state.unanswered = []
    state.gaps = []
    state.halts = []
