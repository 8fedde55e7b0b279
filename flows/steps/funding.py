"""Step: settled funding rates, where the config asks for them."""

from __future__ import annotations

from datetime import timedelta

import structlog

from flows.steps.context import Period
from kit.budget import Urgency
from kit.buffer.funding import FundingRate as StoredRate
from kit.buffer.funding import FundingStore, Month
from kit.dialect.funding import FundingRate
from kit.errors import ExchangeError
from kit.words import Venue, from_ms, to_ms

log = structlog.get_logger(__name__)

SETTLES_EVERY = timedelta(hours=1)
"""The shortest funding interval there is; nothing new can come more often."""

SETTLES_AT_LEAST = timedelta(hours=8)
"""The longest funding interval there is."""

MINUTE = timedelta(minutes=1)
WRITTEN_WITHIN = timedelta(minutes=5)
"""So long after a settlement is looked for those of other symbols, which the exchange writes down one by one."""

PAGE = 1000
MAX_PAGES = 40
"""Requests a period spends on history; 500 in 5 minutes are allowed. What is left follows in the next period."""


async def refresh_funding(period: Period) -> str:
    """Fetch the settlements that are not on disk yet: the newest, then those that a damaged file held."""
    if not period.config.funding_rate:
        return "not configured"
    store = FundingStore(period.folder)
    newest = {symbol: to_ms(moment) for symbol, moment in store.newest().items()}
    of_all = period.config.trade_type.venue is Venue.UM
    try:
        added = await (_of_all if of_all else _of_each)(period, store, newest)
        for month in store.damaged_months():
            # What follows upon the newest that are kept has just been asked for.
            if period.window.first_ms < to_ms(month.end) <= max(newest.values(), default=0):
                added += await (_lost_of_all if of_all else _lost_of_each)(period, store, month)
    except ExchangeError as error:
        if not error.transient:  # it would be postponed for ever, and nobody would hear of it
            raise
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
    return await _pages(period, store, start_ms)


async def _pages(period: Period, store: FundingStore, start_ms: int, end_ms: int | None = None) -> int:
    """All symbols' settlements from one moment to another (now, where it is None), both included."""
    added = 0
    for _ in range(MAX_PAGES):
        rates = await period.client.funding_rates(
            start_ms=start_ms,
            end_ms=to_ms(period.exchange_now()) if end_ms is None else end_ms,
            limit=PAGE,
            urgency=Urgency.HISTORY,
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


async def _lost_of_all(period: Period, store: FundingStore, month: Month) -> int:
    """What a damaged file held, oldest first: so it is all there once the month's end is. Where pages were cut short
    in its last hours, the first minutes of each hour look once more."""
    known = max(store.newest(month).values(), default=month.begin)
    if month.end - known <= SETTLES_AT_LEAST and period.exchange_now().minute >= WRITTEN_WITHIN // MINUTE:
        return 0
    return await _pages(period, store, max(period.window.first_ms, to_ms(known)), to_ms(month.end) - 1)


async def _lost_of_each(period: Period, store: FundingStore, month: Month) -> int:
    """The same by symbol; a month is less than a page. One that was listed later is asked for in vain."""
    newest, added = store.newest(month), 0
    for symbol in sorted(period.trading):
        if month.end - newest.get(symbol, month.begin) <= SETTLES_AT_LEAST:
            continue
        rates = await period.client.funding_rates(
            symbol,
            start_ms=max(period.window.first_ms, to_ms(month.begin)),
            end_ms=to_ms(month.end) - 1,
            limit=PAGE,
            urgency=Urgency.HISTORY,
        )
        added += _keep(period, store, rates)
    return added


def _keep(period: Period, store: FundingStore, rates: tuple[FundingRate, ...]) -> int:
    market = {info.symbol for info in period.symbols}
    return store.add(
        StoredRate(rate.symbol, from_ms(rate.funding_ms), rate.rate, rate.mark_price, rate.rate_type)
        for rate in rates
        if rate.symbol in market and rate.rate is not None
    )
