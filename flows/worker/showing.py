"""What is shown of the served markets in Prefect: each work as a run of its deployment, and runs nobody will execute
closed with the reason. Runs in the mirror's thread; every call may raise what
Prefect's client raises."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import structlog
from prefect.context import AsyncClientContext

from flows import traces
from flows.markets import LIVE_POOL
from flows.tolerant import error_of
from flows.verdict import Named, Verdict, told_late, verdict_of
from flows.worker.sweeping import verdict_on
from flows.worker.tracking import Tracking, as_overdue
from kit.logs import redact
from kit.words import utc_now

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from prefect.client.schemas.objects import FlowRun

    from flows.board import Board
    from flows.markets import ServedMarket
    from flows.worker.lane import Item, Lane
    from flows.worker.tracking import Deployed

log = structlog.stdlib.get_logger(__name__)

LOST = Verdict(Named.WORKER_LOST, "its process is gone; what was missing was filled by the next period")


@asynccontextmanager
async def connected(worker_name: str) -> AsyncIterator[Tracking | None]:
    """One client for everything: the engine finds it in the context instead of opening one for each run.

    None when there is no server: Prefect asks it for its version as soon as a client is opened.
    """
    async with AsyncExitStack() as stack:
        try:
            context = await stack.enter_async_context(AsyncClientContext.get_or_create())
        except (httpx.HTTPError, OSError, RuntimeError) as error:  # RuntimeError: a server of another major version
            log.warning("prefect.down", reason=redact(f"{type(error).__name__}: {error}"))
            tracking = None
        else:
            tracking = Tracking(context.client, worker_name)
        yield tracking


class Showing:
    """The served markets, their deployments, and what each run ends as."""

    def __init__(
        self, tracking: Tracking, markets: Mapping[Path, ServedMarket], lanes: Mapping[Path, Lane], board: Board
    ) -> None:
        self._tracking = tracking
        self._markets = markets
        self._lanes = lanes
        self._board = board
        self._deployed: dict[Path, Deployed] = {}
        self._in_hand: dict[Path, Item] = {}
        self._by_hand: dict[Path, asyncio.Task[None]] = {}
        self._missed: set[Path] = set()

    def has_deployment(self, folder: Path) -> bool:
        """Whether Prefect has a deployment that shows this folder."""
        return folder in self._deployed

    async def learn_deployments(self) -> None:
        """Read which deployments show the served folders; they may be deployed at any time."""
        self._deployed = await self._tracking.deployed(self._markets)
        for folder in set(self._markets) - set(self._deployed) - self._missed:
            self._missed.add(folder)
            log.warning("mirror.no_deployment", base_dir=str(folder), hint="run: prefect deploy --all")

    async def heartbeat(self, every_sec: float) -> None:
        """Keep the worker online in the UI, if one of its markets belongs to the live pool."""
        if any(deployed.pool == LIVE_POOL for deployed in self._deployed.values()):
            await self._tracking.heartbeat(every_sec)

    async def show(self, item: Item) -> None:
        """Show one work as a run, to its end."""
        folder = item.work.market.base_dir
        self._in_hand[folder] = item
        try:
            if item.run_id is None:
                await self._show_first(item, self._deployed[folder])
            else:
                await self._finish(item)
        finally:
            del self._in_hand[folder]

    async def _show_first(self, item: Item, deployed: Deployed) -> None:
        run = await self._tracking.claim(deployed, item.work)
        if run is None:
            log.info("mirror.shown_elsewhere", market=item.work.market.label, run_time=item.work.run_time.isoformat())
            return
        item.run_id = run.id
        if await self._tracking.execute(run, item.work):
            await self._tell(item)
        else:
            await self._finish(item)

    async def _finish(self, item: Item) -> None:
        """End a run whose execution broke off when the server went away: the work itself did not."""
        ending = await item.work.ended()
        if item.run_id is not None and not await self._tracking.says_its_end(item.run_id):
            await self._tracking.close(item.run_id, told_late(verdict_of(ending), ending, utc_now()))
        await self._tell(item)

    async def _tell(self, item: Item) -> None:
        ending = await item.work.ended()
        traces.tell(item.work, ending)

    async def attach(self, item: Item) -> None:
        """Add to a shown run what people look at: the ledger record, the last day, the way to the factors."""
        if item.run_id is not None:
            await self._tracking.attach(item.run_id, item.work, await item.work.ended())

    async def sweep(self) -> None:
        """Close what nobody will execute, and execute what a person asked for."""
        await self.learn_deployments()
        for folder, deployed in self._deployed.items():
            if deployed.pool == LIVE_POOL:
                await self._sweep_market(self._markets[folder], deployed)

    async def _sweep_market(self, market: ServedMarket, deployed: Deployed) -> None:
        now = utc_now()
        for run in await self._tracking.overdue(deployed, now):
            await self._sweep_run(run, market)
        for run in await self._tracking.lost(deployed, market, now):
            if run.id not in self._own_runs(market.base_dir):
                await self._tracking.close(run.id, LOST)

    async def _sweep_run(self, run: FlowRun, market: ServedMarket) -> None:
        overdue = as_overdue(run)
        if overdue.by_person:
            self._begin_by_hand(run, market.base_dir)
            return
        work = self._board.find(market.base_dir, market.pace.newest_closed(overdue.expected))
        queued = work is not None and self._is_queued(market.base_dir)
        verdict = verdict_on(overdue, market.pace, utc_now(), work, queued=queued)
        if verdict is not None:
            await self._tracking.close(run.id, verdict)

    def _is_queued(self, folder: Path) -> bool:
        return bool(self._lanes[folder]) or folder in self._in_hand

    def _own_runs(self, folder: Path) -> set[object]:
        item = self._in_hand.get(folder)
        return {item.run_id} if item is not None else set()

    def _begin_by_hand(self, run: FlowRun, folder: Path) -> None:
        """One run of a person at a time for a market; the others wait for the next sweep."""
        before = self._by_hand.get(folder)
        if before is None or before.done():
            self._by_hand[folder] = asyncio.get_running_loop().create_task(self._by_hand_run(run))

    async def _by_hand_run(self, run: FlowRun) -> None:
        if await self._tracking.take(run):
            error = await error_of(self._tracking.execute_by_hand(run))
            if error is not None:
                log.warning("mirror.by_hand_failed", run=run.name, error=f"{type(error).__name__}: {error}")
