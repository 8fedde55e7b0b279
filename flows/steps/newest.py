"""Step: the period that just closed. Whatever the stream has not delivered is fetched by REST, until nothing is missing
or the market's patience (``candle_close_timeout_sec``) ends."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import structlog

from flows.steps.context import Period, cancel_all
from flows.steps.exchange_info import take_late_answer
from flows.steps.gaps import ask, look, store
from flows.steps.records import write_newest
from kit.budget import Urgency
from kit.completeness import Findings, Window, to_ask
from kit.dialect.klines import Page, plan_pages
from kit.errors import ExchangeError, StopError
from kit.words import Candle, to_ms

log = structlog.get_logger(__name__)

PAUSES = (0.5, 0.5, 1.0, 2.0, 3.0)
"""Seconds between rounds for what neither stream nor REST had; the last one again and again. A symbol that trades and
yet has no candle must not cost a request each half second."""

FAILURES_IN_A_ROW = 16
"""Twice the usual number of fetchers: so many in a row are no accident."""

STORE_EVERY = 0.1
"""Seconds: fetched candles become readable in batches, since each batch is a file."""

LARGE_BATCH, STORE_LARGE_EVERY = 5_000, 1.0
"""Batches with so many rows bring history along (a first start): they come less often, so that they are fewer files."""


async def complete_newest(period: Period) -> str:
    """Fill the newest period and write its ledger record, complete or not."""
    deadline = period.run_time + period.config.candle_close_timeout
    pauses = iter(PAUSES)
    findings = _look_at_newest(period)
    while True:
        if findings.missing_at(0):
            # Only now the whole window, which says how far back a symbol is missing.
            await _fetch(period, newest_pages(period, look(period, period.window)))
            findings = _look_at_newest(period)
        record = write_newest(period, findings)
        if not record.missing or period.exchange_now() >= deadline:
            break
        await asyncio.sleep(next(pauses, PAUSES[-1]))
        take_late_answer(period)  # it may tell why one is missing
        findings = _look_at_newest(period)
    event = log.info if record.complete else log.warning
    event(
        "period.complete" if record.complete else "period.incomplete",
        market=period.folder.candles.name,
        run_time=period.run_time.isoformat(),
        expected=record.expected,
        by_stream=record.by_stream,
        by_rest=record.by_rest,
        missing=record.missing[:20],
        seconds=record.seconds_to_complete,
    )
    return f"{record.expected - len(record.missing)}/{record.expected}"


def newest_pages(period: Period, findings: Findings) -> dict[str, Page]:
    """For each symbol whose newest candle is missing the cheapest page that ends with it.

    Where older candles are missing just before it (a first start, an outage) the page takes as many of them along as
    cost no more than fetching them later.
    """
    last_ms = findings.window.last_ms
    missing = set(findings.missing_at(findings.window.size - 1))
    ranges = {symbol: spans[0] for symbol, spans in to_ask(findings).items() if symbol in missing}
    venue = period.config.trade_type.venue
    return {
        symbol: plan_pages(venue, period.config.interval, first_ms, last_ms)[0]
        for symbol, (first_ms, end_ms) in ranges.items()
        if end_ms == last_ms
    }


@dataclass
class Round:
    """What one round still has to ask for, and what came of it so far."""

    waiting: dict[str, Page]
    fetched: list[Candle] = field(default_factory=list)
    problems: list[ExchangeError] = field(default_factory=list)
    failures: int = 0

    @property
    def over(self) -> bool:
        """Nothing more to ask, or the exchange is away: the record is written in time, not after all time-outs."""
        stopped = any(isinstance(problem, StopError) for problem in self.problems)
        return not self.waiting or stopped or self.failures >= FAILURES_IN_A_ROW


async def _fetch(period: Period, pages: dict[str, Page]) -> None:
    """Fetch and store the pages; a stop of the exchange, or no connection at all, ends the round."""
    asking = Round(dict(pages))
    workers = [asyncio.create_task(_work(period, asking)) for _ in range(period.config.num_rest_fetchers)]
    pause = STORE_EVERY
    try:
        pending: set[asyncio.Task[None]] = set(workers)
        while pending:
            _, pending = await asyncio.wait(pending, timeout=pause)
            if asking.fetched:
                batch, asking.fetched = asking.fetched, []
                await store(period, batch)
                pause = STORE_EVERY if len(batch) < LARGE_BATCH else STORE_LARGE_EVERY
                _leave_out_delivered(period, asking)
        for worker in workers:
            worker.result()
    finally:
        await cancel_all(workers)
    if asking.problems:
        log.warning(
            "rest.failed",
            market=period.folder.candles.name,
            failed=len(asking.problems),
            asked=len(pages),
            first=str(asking.problems[0]),
        )


async def _work(period: Period, asking: Round) -> None:
    while not asking.over:
        symbol, page = asking.waiting.popitem()
        try:
            candles = await ask(period, symbol, page, Urgency.NEWEST, deadline_ms=to_ms(period.patient_until))
            asking.fetched += candles  # after the await: the list may have been taken away meanwhile
            asking.failures = 0
        except ExchangeError as error:
            asking.problems.append(error)
            asking.failures += 1


def _leave_out_delivered(period: Period, asking: Round) -> None:
    """What the stream has delivered meanwhile need not be asked for."""
    missing = set(_look_at_newest(period).missing_at(0))
    asking.waiting = {symbol: page for symbol, page in asking.waiting.items() if symbol in missing or page.limit > 1}


def _look_at_newest(period: Period) -> Findings:
    return look(period, Window(period.begin_ms, period.begin_ms, period.window.step_ms))
