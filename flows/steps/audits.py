"""Step: look-backs. What was stored is compared with what the exchange says later; a difference becomes a revision."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import timedelta

import polars as pl
import structlog

from flows.steps.context import Period
from flows.steps.gaps import store
from kit.alarms.signs import STREAMER_NAME, StreamerBeat, read_signs
from kit.budget import Urgency
from kit.buffer.fills import Revision, differences, store_revisions, stored_candles
from kit.buffer.read import Span, current_view, read_candles, read_view
from kit.buffer.states import States, save_states
from kit.buffer.view import View
from kit.dialect.klines import plan_pages
from kit.errors import ExchangeError, FolderError, SymbolRefusedError
from kit.words import MILLISECOND, Candle, Source, from_ms, to_ms

log = structlog.get_logger(__name__)

MINUTE_MS = 60_000

SURE_AFTER_CLOSE = timedelta(seconds=10)
"""A REST row taken earlier after its close may not have been final yet, and is read once more when so much has passed.
The exchange publishes no bound; 10 s is five times what its slowest recorded finals took."""

SHORTEST_WORTH_WAITING = timedelta(minutes=1)
"""Markets of shorter intervals do not wait within their period for the second look: the next one takes it soon."""

WAIT_FOR_WEIGHT = timedelta(seconds=2)
"""Look-backs use weight that lies idle; when there is none they are postponed to the next period."""

AUDIT_TURN, AUDIT_TURN_PERIODS = timedelta(hours=1), 60
"""In so long (the shorter of the two) every symbol has its turn: a final that the stream told wrong does not stay. A
market of 600 symbols at 1m spends a weight of 10 a minute."""

AUDIT_CANDLES, AUDIT_CANDLES_SHORT = 99, 990
"""Candles an audit compares: more than there are in a turn, so that none is left out. 99 are of weight 1. Intervals
below a minute are spot's, where a request costs the same up to 1000: ten times as many in turns ten times as long are
a tenth of the requests."""

AUDIT_AT_ONCE, AUDIT_SHARE = 24, 12
"""Symbols audited in one period at most: 24, or a twelfth of the market if that is more. So an audit stays small beside
its period, and the turn of a market of long intervals is twelve periods."""


async def look_back(period: Period) -> str:
    """Compare what was stored with what the exchange said afterwards: late finals of the stream, REST's early rows once
    more, finals that the stream contradicted, a part of the market in turns."""
    await _wait_until_sure(period)
    before = period.revised
    postponed = ""
    compare_late_finals(period)
    try:
        await read_again(period)
        await look_into_contradictions(period)
        await audit(period)
    except ExchangeError as error:
        if not error.transient:  # it would be postponed for ever, and nobody would hear of it
            raise
        log.warning("audit.postponed", market=period.folder.candles.name, error=str(error))
        postponed = ", the rest postponed"
    finally:
        save_states(period.folder, period.states)
    return f"{period.revised - before} revised{postponed}"


async def _wait_until_sure(period: Period) -> None:
    """When REST had to give candles of this period right after their close, wait until they can be read for sure."""
    sure_at = period.run_time + SURE_AFTER_CLOSE
    pause = sure_at - period.exchange_now()
    if pause <= timedelta(0) or period.config.interval.delta < SHORTEST_WORTH_WAITING or not period.filled:
        return
    if period.deadline_ms is not None and to_ms(sure_at) > period.deadline_ms:
        return
    await asyncio.sleep(pause.total_seconds())


def compare_late_finals(period: Period) -> int:
    """Stream finals that came after REST had filled their slot: where they differ, the final is what is true."""
    view = current_view(period.folder)
    rests = [overlay.file for overlay in view.rests]
    if not view.streams or not rests:
        return 0
    # What is no block's yet, a whole market of slices, is looked through in each period: only what REST gave of it, and
    # the finals of just these, are taken apart.
    first_ms = max(min(file.first_ms for file in view.streams), min(file.first_ms for file in rests))
    last_ms = min(max(file.last_ms for file in view.streams), max(file.last_ms for file in rests))
    by_rest = stored_candles(period.folder, Span(first_ms, last_ms), source=Source.REST)
    if not by_rest:
        return 0
    closes = [begin_ms + period.config.interval.ms for _, begin_ms in by_rest]
    span = Span(min(closes), max(closes))
    slices = View(streams=view.narrowed(span.first_ms, span.last_ms).streams)
    finals = read_view(period.folder, slices, list(STREAM_COLUMNS), span=span)
    theirs = finals.filter(pl.col("symbol").is_in(sorted({symbol for symbol, _ in by_rest})))
    return _revise(period, differences(by_rest, _candles(theirs), "the stream's final came after REST"))


async def read_again(period: Period) -> int:
    """Rows that REST gave soon after their close, asked for once more now that they are older."""
    step = period.window.step_ms
    until_ms = (period.sure_ms - SURE_AFTER_CLOSE // MILLISECOND) // step * step
    since_ms = max(period.states.reread_until_ms + step, period.window.first_ms + step)
    if until_ms < since_ms:
        return 0
    # Older rows were taken late and need no second look, so no need to read far back at a first start.
    span = Span(max(since_ms, until_ms - 2 * AUDIT_CANDLES * step), until_ms)
    frame = read_candles(period.folder, columns=["source", "received_time"], span=span)
    # REST rows are stamped by the exchange's clock, as far as it was known then.
    after_close = pl.col("received_time") - pl.col("candle_begin_time") - period.config.interval.delta
    soon = after_close < SURE_AFTER_CLOSE
    early = frame.filter(pl.col("source") == Source.REST.value, soon)
    begins: dict[str, list[int]] = defaultdict(list)
    keys = early.select(pl.col("symbol").cast(pl.String), pl.col("candle_begin_time").dt.epoch("ms"))
    for symbol, begin in keys.rows():
        begins[symbol].append(begin)
    revised = await _compare(period, begins, "REST, read once more")
    period.states.reread_until_ms = until_ms
    return revised


async def look_into_contradictions(period: Period) -> int:
    """Candles of which the stream told two different finals: the streamer keeps the first and says so in its heartbeat,
    and REST says which is right."""
    looked_until_ms = period.states.contradicted_ms
    beat = read_signs(period.folder.base_dir, STREAMER_NAME, StreamerBeat)
    told = [] if beat is None else beat.contradicted
    new = [each for each in told if each.seen_ms > looked_until_ms and each.symbol in period.states.symbols]
    sure_until_ms = to_ms(period.exchange_now() - SURE_AFTER_CLOSE) - period.window.step_ms
    begins: dict[str, list[int]] = defaultdict(list)
    for each in new:
        if period.window.first_ms <= each.begin_ms <= sure_until_ms:
            begins[each.symbol].append(each.begin_ms)
    revised = await _compare(period, begins, "the stream told two finals") if begins else 0
    too_young = [each.seen_ms - 1 for each in new if each.begin_ms > sure_until_ms]
    period.states.contradicted_ms = min(too_young, default=max((each.seen_ms for each in new), default=looked_until_ms))
    return revised


async def audit(period: Period) -> int:
    """A part of the market each period, in turns: the last candles, whatever their source, against REST."""
    now_ms = to_ms(period.exchange_now())
    step = period.window.step_ms
    symbols = whose_turn(period.states, period.trading, now_ms, step, period.window.size)
    if not symbols:
        return 0
    until_ms = to_ms(period.exchange_now() - SURE_AFTER_CLOSE) // step * step
    first_ms = max(until_ms - audited_candles(step) * step, period.window.first_ms)
    if first_ms >= until_ms:
        return 0
    span = [first_ms, until_ms - step]
    revised = await _compare(period, dict.fromkeys(symbols, span), "audit against REST")
    for symbol in symbols:
        period.states.symbols[symbol].audited_ms = now_ms
    period.states.audited_at_ms = now_ms
    log.info("audit.done", market=period.folder.candles.name, symbols=len(symbols), revised=revised)
    return revised


def whose_turn(states: States, trading: Collection[str], now_ms: int, step_ms: int, kept: int) -> list[str]:
    """The symbols to audit now: as many as the time since the last audit is of a turn, those first whose last audit is
    longest ago. Of a market that keeps few candles (``kept``) a turn is half of that: none leaves without its audit."""
    periods = min(AUDIT_TURN_PERIODS * audited_candles(step_ms) // AUDIT_CANDLES, max(1, kept // 2))
    turn_ms = min(AUDIT_TURN // timedelta(milliseconds=1), periods * step_ms)
    due = len(trading) * (now_ms - states.audited_at_ms) // turn_ms
    most = max(AUDIT_AT_ONCE, -(-len(trading) // AUDIT_SHARE))
    by_age = sorted(trading, key=lambda symbol: (states.symbols[symbol].audited_ms, symbol))
    return by_age[: max(0, min(due, most))]


def audited_candles(step_ms: int) -> int:
    """How many candles an audit of a market of that interval compares."""
    return AUDIT_CANDLES_SHORT if step_ms < MINUTE_MS else AUDIT_CANDLES


async def _compare(period: Period, begins: dict[str, list[int]], reason: str) -> int:
    """Compare what is readable of each symbol, from its first to its last begin time, with what REST says now.

    What REST has and we have not (it was held not to exist, or the window's filling has not come so far) is stored.

    Raises:
        ExchangeError, FolderError: not all could be asked. What was told before is compared all the same.
    """
    told: list[Candle] = []
    problem: ExchangeError | FolderError | None = None
    deadline_ms = to_ms(period.exchange_now() + WAIT_FOR_WEIGHT)

    async def hear(symbol: str, first_ms: int, last_ms: int) -> None:
        nonlocal problem
        try:
            told.extend(await _told(period, symbol, first_ms, last_ms, deadline_ms))
        except SymbolRefusedError:
            log.info("audit.refused", market=period.folder.candles.name, symbol=symbol)  # it was delisted meanwhile
        except (ExchangeError, FolderError) as error:  # the latter: the weight budget cannot be kept
            problem = problem or error

    async with asyncio.TaskGroup() as group:
        for symbol, at in begins.items():
            group.create_task(hear(symbol, min(at), max(at)))
    revised = await _take_in(period, told, reason) if told else 0
    if problem is not None:
        raise problem
    return revised


async def _told(period: Period, symbol: str, first_ms: int, last_ms: int, deadline_ms: int) -> list[Candle]:
    """What REST says now of a symbol's candles that are final. Nothing of the asset that had its ticker before."""
    interval, venue = period.config.interval, period.config.trade_type.venue
    first_ms = max(first_ms, period.states.symbols[symbol].since_ms or 0)
    rows: list[Candle] = []
    for page in plan_pages(venue, interval, first_ms, last_ms) if first_ms <= last_ms else ():
        final_before = period.final_before_ms()
        answer = await period.client.klines(symbol, interval, page, Urgency.HISTORY, deadline_ms=deadline_ms)
        rows += [
            row
            for row in answer
            if page.start_ms <= row.begin_ms <= page.end_ms and row.begin_ms + interval.ms <= final_before
        ]
    return rows


async def _take_in(period: Period, told: list[Candle], reason: str) -> int:
    """Revise what differs and store what was not there; how many were revised."""
    step = period.window.step_ms
    span = Span(min(row.begin_ms for row in told) + step, max(row.begin_ms for row in told) + step)
    stored = stored_candles(period.folder, span, sorted({row.symbol for row in told}))
    window = period.window
    absent = [
        row
        for row in told
        if (row.symbol, row.begin_ms) not in stored and window.first_ms <= row.begin_ms <= window.last_ms
    ]
    if absent:
        log.info("audit.filled", market=period.folder.candles.name, candles=len(absent))
        await store(period, absent)
    return _revise(period, differences(stored, told, reason))


def _revise(period: Period, revisions: list[Revision]) -> int:
    store_revisions(period.folder, revisions)
    for revision in revisions:
        log.warning(
            "candle.revised",
            market=period.folder.candles.name,
            symbol=revision.symbol,
            begin=from_ms(revision.new.begin_ms).isoformat(),
            was=revision.old_source,
            reason=revision.reason,
        )
    period.revised += len(revisions)
    return len(revisions)


STREAM_COLUMNS = tuple(name if name != "begin_ms" else "candle_begin_time" for name in Candle._fields)


def _candles(frame: pl.DataFrame) -> Iterable[Candle]:
    plain = frame.with_columns(pl.col("symbol").cast(pl.String), pl.col("candle_begin_time").dt.epoch("ms"))
    return (Candle(*row) for row in plain.select(STREAM_COLUMNS).rows())
