"""What time it is at the exchange, for whoever only reads: BMAC's two helpers for a strategy's own clock among them.

The processes that ask the exchange for its time leave what they learn where all of this machine find it
(``kit.budget``). Nothing here asks anybody.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from kit.budget import ClockView, known_clock
from kit.config import MarketConfig
from kit.dialect.hosts import Endpoints, Host, host_of
from kit.words import Venue, from_ms, newest_run_time_ms, parse_interval, to_ms, utc_now


def now_time() -> datetime:
    """The exchange's time, aware, in UTC; the local clock's as long as nobody here has asked the exchange since boot.

    Run times are the exchange's: by a local clock that is an hour off, a strategy would wait for the wrong ones.
    """
    pools = {host_of(venue).pool for venue in Venue}
    known = [view for view in map(known_clock, pools) if view is not None]
    return from_ms(min(known, key=lambda view: view.error_ms).exchange_ms) if known else utc_now()


def next_run_time(time_interval: str, ahead_seconds: float = 5) -> datetime:
    """The next run time (UTC) of an interval that is at least ``ahead_seconds`` away.

    Raises:
        UnknownWordError: the interval does not exist.
    """
    interval = parse_interval(time_interval)
    soonest_ms = to_ms(now_time() + timedelta(seconds=ahead_seconds))
    return from_ms(-(-soonest_ms // interval.ms) * interval.ms)


def host_of_market(config: MarketConfig) -> Host:
    """The doors of a market's exchange, with the pool that its clock and weight are known by."""
    endpoints = Endpoints(config.endpoints.rest, config.endpoints.ws)
    return host_of(config.trade_type.venue, endpoints, proxy=config.proxy)


def clock_of_market(config: MarketConfig) -> ClockView | None:
    """What this machine knows of the clock of a market's exchange; None while nobody has asked it since boot."""
    return known_clock(host_of_market(config).pool)


def due_run_ms(config: MarketConfig, exchange_ms: int) -> int:
    """The newest run time (milliseconds) whose deadline has passed: it should be complete by the exchange's clock."""
    patience = config.offset + config.candle_close_timeout
    return newest_run_time_ms(exchange_ms - patience // timedelta(milliseconds=1), config.interval)
