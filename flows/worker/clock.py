"""Our own clock: the work of a market's period starts at its target, whatever Prefect, its server or other markets do.

One thread with an event loop of its own for each market, so that no market's work delays another's. The targets are
moments of the exchange's clock, as far as it is known, so a local clock that is wrong or set harms nothing; sleeps are
short enough that a machine that slept, or news of the exchange's clock, is noticed within a second.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from flows.attempts import Patience, RunPeriod, do_period
from flows.board import Work
from kit.words import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from flows.board import Ending
    from flows.markets import Pace, ServedMarket

log = structlog.stdlib.get_logger(__name__)

LONGEST_SLEEP_SEC = 1.0
FARTHEST = 2
"""Intervals to the next target at most. A clock set back by less than one just waits: its periods have been done."""


@dataclass(frozen=True)
class Due:
    """The next period to start. ``skipped``: run times between the last one and this whose target passed unseen;
    their gaps are filled by this one's work."""

    run_time: datetime
    target: datetime
    skipped: int = 0


def next_due(last: datetime | None, now: datetime, pace: Pace) -> Due:
    """What to start next after ``last`` (None: this process has done nothing yet, so the newest is due at once)."""
    newest = pace.newest_due(now)
    if last is None:
        return Due(newest, pace.target(newest))
    following = last + pace.interval
    if newest > following:
        return Due(newest, pace.target(newest), skipped=(newest - following) // pace.interval)
    if pace.target(following) - now > FARTHEST * pace.interval:  # the clock was set back: go on by the new time
        following = newest + pace.interval
    return Due(following, pace.target(following))


class MarketClock:
    """Starts the work of one market's periods in a thread of its own.

    ``now`` is the exchange's clock. ``on_begin`` and ``on_end`` are called in that thread and must return at once;
    ``on_end`` is not called for work that a stop cut.
    """

    def __init__(
        self,
        market: ServedMarket,
        run_period: RunPeriod,
        *,
        on_begin: Callable[[Work], None],
        on_end: Callable[[Work, Ending], None],
        patience: Patience | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._market = market
        self._run_period = run_period
        self._on_begin = on_begin
        self._on_end = on_end
        self._patience = patience or Patience()
        self._now = now
        self._thread = threading.Thread(target=self._run, name=f"clock {market.label}", daemon=True)
        self._stopping = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._in_work: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to count."""
        self._thread.start()

    def stop(self) -> None:
        """Start nothing more and cancel what is in work. Returns at once."""
        self._stopping.set()
        if self._loop is not None and self._wake is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._wake.set)

    def join(self, timeout_sec: float) -> bool:
        """Wait for the end; False when it did not come."""
        self._thread.join(timeout_sec)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        asyncio.run(self._count())

    async def _count(self) -> None:
        self._loop, self._wake = asyncio.get_running_loop(), asyncio.Event()
        last: datetime | None = None
        while not self._stopping.is_set():
            due = next_due(last, self._now(), self._market.pace)
            if not await self._sleep_to(due):
                continue  # stopping, or the clock was set: look again
            await self._begin(due, caught_up=last is None)
            last = due.run_time
        await self._leave()

    async def _sleep_to(self, due: Due) -> bool:
        """Sleep until the target; False when it must be looked at again."""
        while (wait := (due.target - self._now()).total_seconds()) > 0:
            if wait > FARTHEST * self._market.pace.interval.total_seconds() + LONGEST_SLEEP_SEC:
                return False
            if await self._woken(min(wait, LONGEST_SLEEP_SEC)):
                return False
        return self._now() < due.target + self._market.pace.interval

    async def _woken(self, seconds: float) -> bool:
        """Sleep; True at once when the clock is stopped."""
        if self._wake is None or self._stopping.is_set():
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    async def _begin(self, due: Due, *, caught_up: bool) -> None:
        late_s = (self._now() - due.target).total_seconds()
        work = Work(self._market, due.run_time, late_s=None if caught_up else late_s, skipped=due.skipped)
        task = asyncio.get_running_loop().create_task(self._work(work, due.target + self._market.pace.interval))
        self._in_work.add(task)
        task.add_done_callback(self._in_work.discard)
        await asyncio.sleep(0)  # the work's first step goes before what is told about it
        log.info(
            "period.begin",
            market=self._market.label,
            run_time=due.run_time.isoformat(),
            late_ms=round(late_s * 1000, 3),
            caught_up=caught_up,
            skipped=due.skipped,
        )
        self._on_begin(work)

    async def _work(self, work: Work, next_target: datetime) -> None:
        ending = await do_period(self._run_period, work, next_target, self._patience, now=self._now)
        self._on_end(work, ending)

    async def _leave(self) -> None:
        for task in self._in_work:
            task.cancel()
        if self._in_work:
            await asyncio.wait(self._in_work, timeout=LONGEST_SLEEP_SEC)
