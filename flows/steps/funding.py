"""Step: settled funding rates, where the config asks for them."""

from __future__ import annotations

from datetime import timedelta

import structlog

from flows.steps.context import Period
from kit.budget import Urgency
from kit.buffer.funding import FundingRate as StoredRate
from kit.buffer.funding import FundingStore
from kit.dialect.funding import FundingRate
from kit.errors import ExchangeError
from kit.words import Venue, from_ms, to_ms

log = structlog.get_logger(__name__)

SETTLES_EVERY = timedelta(hours=1)
"""The shortest funding interval there is; nothing new can come more often."""

WRITTEN_WITHIN = timedelta(minutes=5)
"""So long after a settlement is looked for those of other symbols, which the exchange writes down one by one."""

PAGE = 1000
MAX_PAGES = 40
"""Requests a period spends on history; 500 in 5 minutes are allowed. What is left follows in the next period."""


async def refresh_funding(period: Period) -> str:
    """Fetch the settlements that are not on disk yet."""
    if not period.config.funding_rate:
        return "not configured"
    store = FundingStore(period.folder)
    newest = {symbol: to_ms(moment) for symbol, moment in store.newest().items()}
    try:
        if period.config.trade_type.venue is Venue.UM:
            added = await _of_all(period, store, newest)
        else:
            added = await _of_each(period, store, newest)
    except ExchangeError as error:
        log.warning("funding.postponed", market=period.folder.candles.name, error=str(error))
        return "postponed"
    return f"{added} settlements"


async def _of_all(period: Period, store: FundingStore, newest: dict[str, int]) -> int:
    """USD-M answers for all symbols at once, oldest first from a start time."""
    window_ms = period.window.first_ms
    known_ms = max(newest.values(), default=window_ms)
    # A symbol listed later has nothing before; so one moment serves for all. An hour is looked at twice, for
    # settlements of other symbols that the exchange had not written down yet.
    start_ms = max(window_ms, known_ms - int(SETTLES_EVERY.total_seconds() * 1000))
    age = timedelta(milliseconds=to_ms(period.exchange_now()) - known_ms)
    if newest and WRITTEN_WITHIN <= age < SETTLES_EVERY:
        return 0
    added = 0
    for _ in range(MAX_PAGES):
        rates = await period.client.funding_rates(
            start_ms=start_ms, end_ms=to_ms(period.exchange_now()), limit=PAGE, urgency=Urgency.HISTORY
        )
        added += _keep(period, store, rates)
        if not rates:
            break
        # A short page need not be the last one: only an empty answer says that there is nothing more.
        last_ms = max(rate.settled_ms for rate in rates)
        start_ms = last_ms if len(rates) == PAGE and last_ms > start_ms else last_ms + 1
    return added


async def _of_each(period: Period, store: FundingStore, newest: dict[str, int]) -> int:
    """COIN-M answers for one symbol at a time, at a weight of 1."""
    now_ms = to_ms(period.exchange_now())
    added = 0
    for symbol in sorted(period.trading):
        known_ms = newest.get(symbol)
        if known_ms is not None and now_ms - known_ms < SETTLES_EVERY.total_seconds() * 1000:
            continue
        start_ms = period.window.first_ms if known_ms is None else known_ms + 1
        rates = await period.client.funding_rates(symbol, start_ms=start_ms, limit=PAGE, urgency=Urgency.HISTORY)
        added += _keep(period, store, rates)
    return added


def _keep(period: Period, store: FundingStore, rates: tuple[FundingRate, ...]) -> int:
    market = {info.symbol for info in period.symbols}
    return store.add(
        StoredRate(rate.symbol, from_ms(rate.funding_ms), rate.rate, rate.mark_price, rate.rate_type)
        for rate in rates
        if rate.symbol in market and rate.rate is not None
    )
