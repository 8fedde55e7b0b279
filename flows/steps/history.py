"""Step: the gaps of the whole window, inner holes too, newest first, within the weight budget.

The first start is just the largest gap.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from flows.steps.context import Period, cancel_all
from flows.steps.gaps import ask, look, store
from flows.steps.progress import report_progress
from flows.steps.records import write_window
from kit.budget import Urgency
from kit.buffer.states import SymbolState, save_states
from kit.completeness import ABSENT, Findings, to_ask
from kit.dialect.klines import Page, kline_weight, plan_pages
from kit.errors import ExchangeError, StopError
from kit.words import Candle, to_ms

log = structlog.get_logger(__name__)

STORE_AT_ROWS = 40_000
"""Fetched candles are stored in files of about so many rows: some 80 pages, two seconds of work a kill can lose."""

STORE_EVERY = timedelta(seconds=2)

FAILURES_IN_A_ROW = 10
"""So many requests failing one after the other mean that the exchange is away; the next period tries again."""


@dataclass
class Filling:
    """The pages still to be asked, newest first, and what has come in."""

    pages: deque[tuple[str, Page]]
    total: int
    fetched: list[Candle] = field(default_factory=list)
    presumed_listed: set[str] = field(default_factory=set)
    failures: int = 0
    stopped: bool = False


async def fill_history(period: Period) -> str:
    """Fill what the window lacks until the period's deadline, and write the ledger where it changed."""
    findings = look(period, period.window)
    pages = plan(period, findings)
    if pages:
        filling = Filling(deque(pages), len(pages))
        await _run(period, filling, findings)
        findings = look(period, period.window)
    written = write_window(period, findings)
    forget_before(period)
    save_states(period.folder, period.states)
    left = period.history_left = int(findings.missing.sum())
    if pages or written:
        log.info(
            "history.filled",
            market=period.folder.candles.name,
            pages=len(pages),
            candles=period.filled,
            still_missing=left,
            ledger_records=written,
        )
    return f"{period.filled} filled, {left} missing"


def plan(period: Period, findings: Findings) -> list[tuple[str, Page]]:
    """The pages that cover everything to be asked, newest first over all symbols."""
    venue, interval = period.config.trade_type.venue, period.config.interval
    pages = [
        (symbol, page)
        for symbol, ranges in to_ask(findings).items()
        for first_ms, last_ms in ranges
        for page in plan_pages(venue, interval, first_ms, last_ms)
    ]
    return sorted(pages, key=lambda item: (-item[1].end_ms, item[0]))


async def _run(period: Period, filling: Filling, findings: Findings) -> None:
    oldest = _oldest_readable(findings)
    workers = [asyncio.create_task(_work(period, filling, oldest)) for _ in range(period.config.num_rest_fetchers)]
    loop = asyncio.get_running_loop()
    stored_at = loop.time()
    pending: set[asyncio.Task[None]] = set(workers)
    try:
        while pending:
            _, pending = await asyncio.wait(pending, timeout=0.2)
            due = loop.time() - stored_at >= STORE_EVERY.total_seconds()
            if filling.fetched and (due or not pending or len(filling.fetched) >= STORE_AT_ROWS):
                batch, filling.fetched = filling.fetched, []
                await store(period, batch)
                stored_at = loop.time()
                report_progress(period, filling.total - len(filling.pages), filling.total)
        for worker in workers:
            worker.result()
    except asyncio.CancelledError:
        # The next period is due. What has come in is kept: of short periods each one would fetch it again.
        await cancel_all(workers)
        with suppress(OSError):
            await store(period, filling.fetched)
        raise
    finally:
        await cancel_all(workers)
    report_progress(period, filling.total - len(filling.pages), filling.total)


async def _work(period: Period, filling: Filling, oldest: dict[str, int]) -> None:
    deadline_ms = period.deadline_ms
    while filling.pages and not filling.stopped:
        if deadline_ms is not None and to_ms(period.exchange_now()) >= deadline_ms:
            return
        symbol, page = filling.pages.popleft()
        if symbol in filling.presumed_listed:
            continue
        try:
            candles = await ask(period, symbol, page, Urgency.HISTORY, deadline_ms=deadline_ms)
            filling.fetched += candles
            filling.failures = 0
            await _learn_listing(period, filling, oldest, symbol, page, candles=candles)
        except StopError as error:
            filling.pages.appendleft((symbol, page))
            filling.stopped = True
            log.warning("history.stopped", market=period.folder.candles.name, error=str(error))
        except ExchangeError as error:
            filling.failures += 1
            filling.stopped = not error.transient or filling.failures >= FAILURES_IN_A_ROW
            log.warning("history.page_failed", market=period.folder.candles.name, symbol=symbol, error=str(error))


async def _learn_listing(
    period: Period, filling: Filling, oldest: dict[str, int], symbol: str, page: Page, *, candles: list[Candle]
) -> None:
    """Note the symbol's oldest candle; when the page began before it, make sure that nothing older exists.

    As with any hole one answer is not enough: REST that lacks the past for a moment would take it out of the market.
    Until a later period has confirmed it, what is older is left alone.
    """
    state = period.states.symbols[symbol]
    begins = [candle.begin_ms for candle in candles]
    known = min([*begins, *([oldest[symbol]] if symbol in oldest else [])], default=None)
    if known is None:
        return
    oldest[symbol] = known
    if state.first_ms is not None or page.start_ms >= known or page.end_ms < page.start_ms:
        return
    filling.presumed_listed.add(symbol)
    before_ms = known - period.config.interval.ms
    if not any(gap.first_ms <= before_ms <= gap.last_ms for gap in state.gaps):
        return
    if await _nothing_before(period, symbol, known):
        set_first(state, known)
    else:
        filling.presumed_listed.discard(symbol)


def set_first(state: SymbolState, first_ms: int) -> None:
    """The symbol's history begins here: nothing before is asked for again."""
    state.first_ms = first_ms
    state.unanswered = [hole for hole in state.unanswered if hole.last_ms >= first_ms]
    state.gaps = [gap for gap in state.gaps if gap.last_ms >= first_ms]


def forget_before(period: Period) -> None:
    """Drop what is remembered of holes that the window has left behind."""
    oldest_ms = period.kept_from_ms
    for state in period.states.symbols.values():
        state.unanswered = [hole for hole in state.unanswered if hole.last_ms >= oldest_ms]
        state.gaps = [gap for gap in state.gaps if gap.last_ms >= oldest_ms]


async def _nothing_before(period: Period, symbol: str, first_ms: int) -> bool:
    """Whether the exchange has no candle of the window before ``first_ms``: one row of weight 1 tells."""
    interval, venue = period.config.interval, period.config.trade_type.venue
    span_ms = 200 * 86_400_000  # COIN-M answers at most so much in one request
    end_ms = first_ms - 1
    oldest_ms = max(period.window.first_ms, period.states.symbols[symbol].since_ms or 0)
    while end_ms >= oldest_ms:
        start_ms = max(oldest_ms, end_ms + 1 - span_ms)
        page = Page(start_ms, end_ms, 1, kline_weight(venue, 1))
        if await period.client.klines(symbol, interval, page, Urgency.HISTORY):
            return False
        end_ms = start_ms - 1
    return True


def _oldest_readable(findings: Findings) -> dict[str, int]:
    oldest: dict[str, int] = defaultdict(int)
    present = findings.sources != ABSENT
    for row, symbol in enumerate(findings.symbols):
        if present[row].any():
            oldest[symbol] = findings.window.begin_ms(int(present[row].argmax()))
    return dict(oldest)
