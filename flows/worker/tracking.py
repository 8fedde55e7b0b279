"""What the worker asks of Prefect's API: which deployments show its markets, claiming and closing their runs.

Imports Prefect. Every call may raise whatever a server that is dead, stopped, restarting or of another version makes
Prefect's client raise; the mirror looks at that in one place.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import OrchestrationResult, SetStateStatus
from prefect.client.schemas.sorting import FlowRunSort
from prefect.flow_engine import run_flow_async
from prefect.states import Completed, Crashed, Failed, Pending, Scheduled

from flows import traces
from flows.markets import LIVE_POOL, resolve_base_dir
from flows.period import period, plain_time
from flows.verdict import Named, Verdict
from flows.worker.sweeping import Origin, Overdue
from kit.words import utc_now

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from uuid import UUID

    from prefect.client.orchestration import PrefectClient

    from flows.board import Ending, Work
    from flows.markets import ServedMarket

KEY_PREFIX = "bmac "
IN_PROGRESS = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
LOST_AFTER = timedelta(minutes=10)
"""A run in progress for so long, and for three intervals, belongs to no process: work ends before the next target."""
HEALTH_WITHIN_SEC = 5.0
PAGE = 200  # runs read at once; the API's own limit


@dataclass(frozen=True)
class Deployed:
    """The deployment that shows a market. ``pool``: its work pool, if any."""

    id: UUID
    name: str
    pool: str | None


class Tracking:
    """The worker's side of one Prefect server, for the markets it serves."""

    def __init__(self, client: PrefectClient, worker_name: str) -> None:
        self._client = client
        self._worker_name = worker_name

    async def deployed(self, folders: Iterable[Path]) -> dict[Path, Deployed]:
        """The deployments of the flow ``period`` by the folder they are about; the live pool's wins over another."""
        wanted = set(folders)
        found: dict[Path, Deployed] = {}
        flow_filter = FlowFilter(name=FlowFilterName(any_=[period.name]))
        for deployment in await self._client.read_deployments(flow_filter=flow_filter, limit=PAGE):
            folder = resolve_base_dir(str((deployment.parameters or {}).get("base_dir", "")))
            pool = deployment.work_pool_name
            if folder in wanted and (folder not in found or pool == LIVE_POOL):
                found[folder] = Deployed(deployment.id, deployment.name, pool)
        return found

    async def healthy(self) -> bool:
        """Whether the server answers within a few seconds."""
        try:
            async with asyncio.timeout(HEALTH_WITHIN_SEC):
                return await self._client.api_healthcheck() is None
        except TimeoutError:
            return False

    async def heartbeat(self, every_sec: float) -> None:
        """Show the worker as online; the poll marks the pool's queue, and so its deployments, as ready."""
        await self._client.send_worker_heartbeat(LIVE_POOL, self._worker_name, every_sec)
        await self._client.get_scheduled_flow_runs_for_work_pool(LIVE_POOL, scheduled_before=utc_now())

    async def claim(self, deployed: Deployed, work: Work) -> FlowRun | None:
        """A run to show ``work`` in, now Pending and ours; None when another worker shows that period.

        It is the one that Prefect scheduled for the run time, else (the server was away when it should have) a new one.
        """
        run = await self._run_of(deployed, work)
        if run is None:
            run = await self._client.create_flow_run_from_deployment(
                deployed.id,
                parameters=_parameters(work),
                state=Scheduled(scheduled_time=work.market.pace.target(work.run_time)),
                idempotency_key=f"{KEY_PREFIX}{deployed.id} {work.run_time.isoformat()}",  # two workers make one run
            )
        return run if await self.take(run) else None

    async def take(self, run: FlowRun) -> bool:
        """Make a scheduled run ours by proposing Pending, which the server grants once."""
        if run.state_type is not StateType.SCHEDULED:
            return False
        result: OrchestrationResult[object] = await self._client.set_flow_run_state(
            run.id, Pending(message=f"claimed by {self._worker_name}")
        )
        return result.status is SetStateStatus.ACCEPT

    async def execute(self, run: FlowRun, work: Work) -> bool:
        """Execute the flow for a claimed run in this process; it joins the work. Whether the run came to its end."""
        state = await run_flow_async(period, flow_run=run, parameters=_parameters(work), return_type="state")
        return isinstance(state, State) and state.is_final()

    async def attach(self, run_id: UUID, work: Work, ending: Ending) -> None:
        """Add a period's artifacts to its run."""
        await traces.attach(self._client, run_id, work, ending)

    async def execute_by_hand(self, run: FlowRun) -> None:
        """Execute a run that a person started, with the parameters they gave."""
        parameters = period.validate_parameters(run.parameters)
        await run_flow_async(period, flow_run=run, parameters=parameters, return_type="state")

    async def close(self, run_id: UUID, verdict: Verdict) -> None:
        """End a run with a verdict without executing anything."""
        if verdict.name is Named.WORKER_LOST:
            state: State[object] = Crashed(name=verdict.name.value, message=verdict.message)
        else:
            state = (Completed if verdict.good else Failed)(name=verdict.name.value, message=verdict.message)
        await self._client.set_flow_run_state(run_id, state, force=True)

    async def overdue(self, deployed: Deployed, before: datetime) -> list[FlowRun]:
        """Scheduled runs that should have begun before that moment, oldest first, at most one page."""
        return await self._runs(deployed, [StateType.SCHEDULED], before=before)

    async def lost(self, deployed: Deployed, market: ServedMarket, now: datetime) -> list[FlowRun]:
        """Runs that a process left in progress when it was killed."""
        patience = max(LOST_AFTER, 3 * market.pace.interval)
        runs = await self._runs(deployed, IN_PROGRESS, before=now - patience)
        return [run for run in runs if run.state is not None and now - plain_time(run.state.timestamp) > patience]

    async def says_its_end(self, run_id: UUID) -> bool:
        """Whether a run ended in a state of the flow's own, not crashed by a connection that broke in the middle."""
        run = await self._client.read_flow_run(run_id)
        return run.state_type in (StateType.COMPLETED, StateType.FAILED)

    async def _run_of(self, deployed: Deployed, work: Work) -> FlowRun | None:
        """Any run of that period; one that is still scheduled first."""
        first, after = work.run_time, work.run_time + work.market.pace.interval
        runs = await self._runs(deployed, None, after=first, before=after - timedelta(microseconds=1))
        ours = [run for run in runs if _is_about(run, work.run_time)]
        scheduled = [run for run in ours if run.state_type is StateType.SCHEDULED]
        return next(iter(scheduled + ours), None)

    async def _runs(
        self,
        deployed: Deployed,
        types: list[StateType] | None,
        *,
        before: datetime,
        after: datetime | None = None,
    ) -> list[FlowRun]:
        return await self._client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployed.id])),
            flow_run_filter=FlowRunFilter(
                deployment_id=FlowRunFilterDeploymentId(any_=[deployed.id]),
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=types)) if types else None,
                expected_start_time=FlowRunFilterExpectedStartTime.model_validate({"before_": before, "after_": after}),
            ),
            sort=FlowRunSort.EXPECTED_START_TIME_ASC,
            limit=PAGE,
        )


def as_overdue(run: FlowRun) -> Overdue:
    """What the sweep needs to know of a scheduled run."""
    made_here = (run.idempotency_key or "").startswith(KEY_PREFIX)
    origin = Origin.SCHEDULE if run.auto_scheduled else Origin.MIRROR if made_here else Origin.PERSON
    return Overdue(origin, plain_time(run.expected_start_time or utc_now()))


def _is_about(run: FlowRun, run_time: datetime) -> bool:
    """Whether a run within the period's time is the schedule's or ours, and not a person's of the same minute."""
    return run.auto_scheduled or run.parameters.get("run_time") == _word(run_time)


def _parameters(work: Work) -> dict[str, str | datetime]:
    return {"base_dir": str(work.market.base_dir), "run_time": work.run_time}


def _word(run_time: datetime) -> str:
    return run_time.isoformat().replace("+00:00", "Z")
