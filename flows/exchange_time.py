"""The exchange's clock for whoever decides when something happens, and the client that asks for it.

What is known is kept by the weight budget of the host's pool, so all processes of a machine learn from each other.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import datetime

import structlog

from kit.budget import ClockView, Snapshot, WeightBudget
from kit.config import MarketConfig
from kit.dialect.rest import RestClient, budget_of
from kit.errors import ExchangeError, FolderError
from kit.exchange_clock import is_off, steady_ms
from kit.times import host_of_market
from kit.words import from_ms

log = structlog.get_logger(__name__)


@asynccontextmanager
async def connected(config: MarketConfig) -> AsyncIterator[RestClient]:
    """A client to the exchange of a market.

    Raises:
        FolderNotWritableError: there is no place for the weight budget.
    """
    host = host_of_market(config)
    with closing(budget_of(host)) as budget:
        async with RestClient(
            host, budget, proxy=config.proxy, timeout=config.http_timeout, fetchers=config.num_rest_fetchers
        ) as client:
            yield client


async def measure(client: RestClient, *, samples: int) -> bool:
    """Ask the exchange for its time; False when it did not tell: what was known before serves."""
    try:
        await client.clock_offset(samples=samples)
    except ExchangeError as error:
        log.warning("clock.unknown", pool=client.host.pool, error=str(error))
        return False
    view = client.budget.clock()
    log.debug("clock.measured", pool=client.host.pool, offset_ms=view.offset_ms, error_ms=view.error_ms)
    return True


class ExchangeTime:
    """The exchange's clock as this machine knows it. ``now`` may be asked from any thread, and asks nobody.

    Raises:
        FolderNotWritableError: there is no place for the weight budget.
    """

    def __init__(self, config: MarketConfig) -> None:
        self.config = config
        self._budget: WeightBudget = budget_of(host_of_market(config))
        self.pool = self._budget.pool
        self._ahead_ms = self._budget.now_ms() - steady_ms()  # of the steady clock; serves while the disk does not

    def now(self) -> datetime:
        """The exchange's time, UTC. By the local clock as it once was while nothing is known of the exchange's."""
        with contextlib.suppress(FolderError):
            self._ahead_ms = self._budget.now_ms() - steady_ms()
        return from_ms(int(steady_ms() + self._ahead_ms))

    def view(self) -> ClockView:
        """The same with its error, its age, and the offset of the local clock. FolderError when the disk refuses."""
        return self._budget.clock()

    def weight(self) -> Snapshot:
        """How the pool's weight budget stands. FolderError when the disk refuses."""
        return self._budget.snapshot()

    async def measure(self, samples: int = 3) -> bool:
        """Ask the exchange; whether it told."""
        try:
            async with connected(self.config) as client:
                return await measure(client, samples=samples)
        except FolderError as error:
            log.warning("clock.unknown", pool=self.pool, error=str(error))
            return False

    def close(self) -> None:
        """Give the budget's file back."""
        self._budget.close()


async def measured_now(config: MarketConfig) -> datetime:
    """The exchange's time, asked now where it answers, else as it is known.

    Raises:
        FolderNotWritableError: there is no place for the weight budget.
    """
    with closing(ExchangeTime(config)) as clock:
        await clock.measure(samples=1)
        view = clock.view()
        if view.age_ms is not None and is_off(view.offset_ms, was_off=False):
            log.warning("clock.off", pool=clock.pool, offset_ms=view.offset_ms, hint="check NTP")
        return clock.now()
