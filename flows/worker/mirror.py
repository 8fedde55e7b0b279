"""Prefect's view of what the clock does, kept in a thread of its own: nothing here can hold up a period.

Each period of a market is shown as a run of its deployment, by executing the real flow, which joins the work; then the
run gets its artifacts. While the server is away periods queue up here; when it answers again the newest is shown first,
then the others, with their true times. Shortly before a target the mirror begins nothing, so that the interpreter is
free for the clock.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from flows.tolerant import error_of
from flows.worker.lane import Item, Lane
from kit.logs import redact
from kit.words import utc_now

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from flows.board import Board, Work
    from flows.markets import ServedMarket
    from flows.worker.showing import Showing
    from flows.worker.tracking import Tracking

log = structlog.stdlib.get_logger(__name__)

Call = Callable[[], Coroutine[None, None, None]]
Job = Callable[[], Coroutine[None, None, None]]

MAX_FAILURES = 10
"""Tries for one period while the server answers others: what fails so often is this run's own trouble."""


@dataclass(frozen=True)
class Rhythm:
    """The mirror's times. The defaults suit 1m markets and longer."""

    settle: timedelta = timedelta(seconds=0.3)  # after a start: markets due together have all begun by then
    quiet_before: timedelta = timedelta(seconds=1)  # before a target nothing is begun; showing one takes half of it
    heartbeat: timedelta = timedelta(seconds=30)  # Prefect calls a worker offline after three missed ones
    sweep: timedelta = timedelta(seconds=20)
    health: timedelta = timedelta(seconds=2)
    call: timedelta = timedelta(seconds=20)  # one call of the API; the client's own limit is 10 s, with one retry


def quiet_for(now: datetime, markets: Sequence[ServedMarket], quiet_before: timedelta) -> float:
    """Seconds to wait because a market's target is near; 0 when nothing is. A short interval has a short quiet."""
    waits = []
    for market in markets:
        pace = market.pace
        target = pace.target(pace.newest_due(now) + pace.interval)
        if target - now <= min(quiet_before, pace.interval / 5):
            waits.append((target - now).total_seconds() + 0.05)
    return max(waits, default=0.0)


def prepare_environment() -> None:
    """Prefect's settings that this process needs, unless the user has set them. To be called before it is imported."""
    for name, value in {
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",  # never start a second server in here
        "PREFECT_API_REQUEST_TIMEOUT": "10",  # 60 would keep a stalled server's runs for a minute each
        "PREFECT_CLIENT_MAX_RETRIES": "1",
        "PREFECT_EVENTS_WORKER_MAX_QUEUE_SIZE": "5000",  # unbounded by default
        "PREFECT_LOGGING_LEVEL": "WARNING",  # the steps' own log tells more, and each line costs the server a row
        "PREFECT_CLIENT_METRICS_ENABLED": "false",
    }.items():
        os.environ.setdefault(name, value)


class Mirror:
    """Shows works in Prefect. ``show`` and ``stop`` may be called from any thread and return at once."""

    def __init__(
        self, markets: Sequence[ServedMarket], board: Board, worker_name: str, rhythm: Rhythm | None = None
    ) -> None:
        self._markets = {market.base_dir: market for market in markets}
        self._board = board
        self._worker_name = worker_name
        self._rhythm = rhythm or Rhythm()
        self._lanes = {folder: Lane() for folder in self._markets}
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = threading.Event()
        # Events of asyncio bind to the loop that first waits for them: the mirror's own.
        self._stop = asyncio.Event()
        self._up = asyncio.Event()
        self._news = {folder: asyncio.Event() for folder in self._markets}

    def start(self) -> None:
        """Begin to show."""
        self._thread.start()

    def show(self, work: Work) -> None:
        """Show a work that has begun."""
        folder = work.market.base_dir
        self._lanes[folder].put(Item(work))
        self._call_soon(self._news[folder].set)

    def stop(self) -> None:
        """End as soon as possible; what is not shown yet stays unshown."""
        self._stopping.set()
        self._call_soon(self._stop.set)

    def join(self, timeout_sec: float) -> bool:
        """Wait for the end; False when it did not come."""
        self._thread.join(timeout_sec)
        return not self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Periods that are not shown yet."""
        return sum(len(lane) for lane in self._lanes.values())

    def _call_soon(self, call: Callable[[], object]) -> None:
        loop = self._loop
        if loop is not None and self._thread.is_alive():
            loop.call_soon_threadsafe(call)

    def _run(self) -> None:
        asyncio.run(self._live())

    async def _live(self) -> None:
        from flows.worker.showing import Showing, connected  # noqa: PLC0415 - Prefect, which the clock does not need

        self._loop = asyncio.get_running_loop()
        if self._stopping.is_set():
            return
        while not self._stop.is_set():
            async with connected(self._worker_name) as tracking:
                if tracking is not None:
                    showing = Showing(tracking, self._markets, self._lanes, self._board)
                    await self._supervise(self._jobs(tracking, showing))
                    return
            await asyncio.wait({asyncio.ensure_future(self._stop.wait())}, timeout=self._rhythm.health.total_seconds())

    def _jobs(self, tracking: Tracking, showing: Showing) -> dict[str, Job]:
        beat = self._rhythm.heartbeat
        jobs: dict[str, Job] = {
            "health": lambda: self._watch_health(tracking.healthy, showing),
            "heartbeat": lambda: self._regularly(partial(showing.heartbeat, beat.total_seconds()), beat),
            "sweep": lambda: self._regularly(showing.sweep, self._rhythm.sweep),
        }
        for folder in self._markets:
            jobs[f"lane {folder.name}"] = partial(self._serve, folder, showing)
        return jobs

    async def _supervise(self, jobs: dict[str, Job]) -> None:
        """Keep every job running until the stop: one that breaks is told and begun again, the others go on."""
        stop: asyncio.Future[Any] = asyncio.ensure_future(self._stop.wait())
        running: dict[asyncio.Future[Any], str] = {asyncio.ensure_future(job()): name for name, job in jobs.items()}
        while not stop.done():
            done, _ = await asyncio.wait({stop, *running}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stop}:
                name = running.pop(task)
                log.error("mirror.job_broke", job=name, exc_info=task.exception())
                running[asyncio.ensure_future(self._again(jobs[name]))] = name
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=1.0)

    async def _again(self, job: Job) -> None:
        await asyncio.sleep(self._rhythm.health.total_seconds())
        await job()

    async def _watch_health(self, healthy: Callable[[], Coroutine[None, None, bool]], showing: Showing) -> None:
        """Know whether the server answers. What is shown waits meanwhile."""
        while True:
            answers = await healthy()
            if answers and not self._up.is_set():
                await self._trying(showing.learn_deployments)
                self._up.set()
                log.info("prefect.up", waiting=self.waiting)
                for news in self._news.values():
                    news.set()
            elif not answers and self._up.is_set():
                self._down("no answer to a health check")
            await asyncio.sleep((self._rhythm.health if not answers else self._rhythm.health * 5).total_seconds())

    def _down(self, reason: str) -> None:
        if self._up.is_set():
            self._up.clear()
            log.warning("prefect.down", reason=redact(reason))

    async def _regularly(self, call: Call, every: timedelta) -> None:
        while True:
            await self._ready()
            await self._trying(call)
            await asyncio.sleep(every.total_seconds())

    async def _trying(self, call: Call) -> bool:
        """Call the API; whether it went well. Trouble with the server is noted and waited out."""
        error = await self._error_of(call(), self._rhythm.call)
        if error is not None:
            self._down(f"{type(error).__name__}: {error}")
        return error is None

    async def _error_of(self, call: Coroutine[None, None, None], within: timedelta) -> BaseException | None:
        return await error_of(call, within.total_seconds())

    async def _ready(self) -> None:
        """Wait until the server answers and no target is near."""
        await self._up.wait()
        while wait := quiet_for(  # noqa: ASYNC110 - a moment is waited for, not an event
            utc_now(), list(self._markets.values()), self._rhythm.quiet_before
        ):
            await asyncio.sleep(wait)

    async def _serve(self, folder: Path, showing: Showing) -> None:
        """Show the works of one market, the newest first."""
        lane, news = self._lanes[folder], self._news[folder]
        while True:
            news.clear()
            if not lane or not showing.has_deployment(folder):
                await self._news_or(self._rhythm.sweep if lane else None, news)
                continue
            await asyncio.sleep(self._rhythm.settle.total_seconds())
            await self._ready()
            item = lane.take()
            if item is not None:
                await self._show(item, lane, showing)

    async def _news_or(self, at_most: timedelta | None, news: asyncio.Event) -> None:
        """Wait for a new work; with ``at_most`` look again after that long (a deployment may have come)."""
        try:
            async with asyncio.timeout(at_most.total_seconds() if at_most else None):
                await news.wait()
        except TimeoutError:
            return

    async def _show(self, item: Item, lane: Lane, showing: Showing) -> None:
        """Show one; what fails goes back, and waits until the server answers again."""
        error = await self._error_of(showing.show(item), item.work.market.pace.interval + 3 * self._rhythm.call)
        if error is None:
            # Not again when it fails: half of a run's artifacts twice is worse than a run without some.
            await self._ready()
            await self._trying(partial(showing.attach, item))
            return
        item.failures += 1
        if item.failures < MAX_FAILURES:
            lane.put_back(item)
        else:
            log.error("mirror.gave_up", market=item.work.market.label, run_time=item.work.run_time.isoformat())
        self._down(f"{type(error).__name__}: {error}")
