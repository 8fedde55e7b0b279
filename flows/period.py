"""A market's period as a Prefect flow: it shows, names and guards the work; ``flows.steps`` does it.

The same flow serves two kinds of process. In the long-lived worker the clock has begun the work at its target, and
the flow joins it. In a process worker's own process nobody has, and the flow begins it here.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog
from prefect import Task, flow, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.states import Completed, Failed

from flows import traces
from flows.artifacts.progress import progress_shown
from flows.attempts import Patience, do_period
from flows.board import Work, board
from flows.exchange_time import ExchangeTime
from flows.markets import ServedMarket, served_market
from flows.outcomes import ended_as, noted
from flows.prefect_logs import take_over
from flows.tolerant import error_of
from flows.verdict import Verdict, clock_word, stale_verdict, steps_line, told_late, verdict_of
from kit.alarms.attend import attend_once
from kit.config import load_config
from kit.errors import BmacError
from kit.logs import shown
from kit.words import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flows.attempts import RunPeriod
    from flows.board import Ending
    from flows.steps import StepReport

log = structlog.stdlib.get_logger(__name__)

CANDLES = ("exchange_info", "newest")
HISTORY = ("history", "audits")
TRACES_WITHIN_SEC = 20.0
LONGEST_SLEEP_SEC = 1.0  # a clock that is set meanwhile is noticed this soon


def run_name() -> str:
    """The run's name for people: ``usdt_perp 5m 2026-11-22 07:05Z``."""
    context = FlowRunContext.get()  # prefect.runtime has no parameters yet when Prefect asks for the name
    parameters = context.flow_run.parameters if context is not None and context.flow_run is not None else {}
    base_dir, asked = str(parameters.get("base_dir", "")), parameters.get("run_time")
    try:
        market = served_market(base_dir)
        due = run_time_of(market, datetime.fromisoformat(str(asked)) if asked else None)
    except (BmacError, ValueError):
        return f"{base_dir} {asked or ''} (unusable)"
    return f"{market.label} {clock_word(due)}"


def run_time_of(market: ServedMarket, run_time: datetime | None) -> datetime:
    """The run time that a run is about: the one asked for, else that of its schedule, else the newest due."""
    if run_time is not None:
        return run_time
    scheduled = runtime.flow_run.scheduled_start_time
    if scheduled is None:
        return market.pace.newest_due(utc_now())
    return market.pace.newest_closed(plain_time(scheduled))


def plain_time(moment: datetime) -> datetime:
    """Prefect's times are of a subclass whose arithmetic does not mix with the standard library's (pendulum 3)."""
    return datetime.fromtimestamp(moment.timestamp(), UTC)


@flow(name="period", flow_run_name=run_name, persist_result=False)
async def period(base_dir: str, run_time: datetime | None = None) -> State[Any]:
    """One market's period. ``run_time`` (aware; default: the schedule's) is the close that it is about."""
    market = served_market(base_dir)
    due = run_time_of(market, run_time)
    work, begun = board.find(market.base_dir, due), None
    if work is None:
        clock = await exchange_time(market)
        await sleep_until(market.pace.target(due), clock.now)
        newest = market.pace.newest_due(clock.now())
        if run_time is None and newest > due:
            return as_state(stale_verdict(due, newest))
        work = Work(market, due)
        begun = begin_here(work, clock.now)
    for part in (candles, history, upkeep):
        await show(part, work)
    ending = await work.ended()
    if begun is not None:
        await begun  # people are told before this process ends
        await leave_traces(work, ending)
    return as_state(told_late(verdict_of(ending), ending, utc_now()))


async def show(part: Task[[Work], Any], work: Work) -> None:
    """Run a task to its end, also to a failed one: what that means for the period is the verdict's business."""
    await part(work, return_state=True)  # type: ignore[misc]  # Prefect's overload forgets that the task is async


@task(cache_policy=NO_CACHE, persist_result=False)
async def candles(work: Work) -> State[Any]:
    """The period's own candles: which symbols there are, and what the stream left out."""
    return step_state([await work.step(name) for name in CANDLES])


@task(cache_policy=NO_CACHE, persist_result=False)
async def history(work: Work) -> State[Any]:
    """The window behind it: inner gaps, and what was checked again."""
    async with progress_shown(work):
        return step_state([await work.step(name) for name in HISTORY])


@task(cache_policy=NO_CACHE, persist_result=False)
async def upkeep(work: Work) -> State[Any]:
    """Everything after that, to the end: funding rates, compaction and what else the market is configured for."""
    await work.ended()
    return step_state([report for report in work.reports if report.name not in CANDLES + HISTORY])


async def leave_traces(work: Work, ending: Ending) -> None:
    """The run's artifacts and events; where there is a mirror it makes them. A server that is away costs only these."""
    error = await error_of(_attach(work, ending), TRACES_WITHIN_SEC)
    if error is not None:
        log.warning("artifacts.not_shown", error=f"{type(error).__name__}: {shown(str(error))}")
    traces.tell(work, ending)


async def _attach(work: Work, ending: Ending) -> None:
    async with get_client() as client:
        await traces.attach(client, UUID(str(runtime.flow_run.id)), work, ending)


def step_state(reports: Sequence[StepReport | None]) -> State[Any]:
    """A task's end in words. Steps that were not reached are left out."""
    reached = [report for report in reports if report is not None]
    line = steps_line(reached)
    return Failed(message=line) if any(report.error for report in reached) else Completed(message=line)


def as_state(verdict: Verdict) -> State[Any]:
    """A verdict as Prefect's final state."""
    kind = Completed if verdict.good else Failed
    return kind(name=verdict.name.value, message=verdict.message)


async def exchange_time(market: ServedMarket) -> ExchangeTime:
    """The exchange's clock, asked once: this process is new and the one that planned the run has another."""
    clock = ExchangeTime(load_config(market.base_dir))
    await clock.measure(samples=1)
    return clock


async def sleep_until(target: datetime, now: Callable[[], datetime]) -> None:
    """Runs can start early (the server rounds to whole seconds, workers prefetch): wait for the true moment."""
    while (wait := (target - now()).total_seconds()) > 0:  # noqa: ASYNC110 - a moment is waited for
        await asyncio.sleep(min(wait, LONGEST_SLEEP_SEC))


_here: set[asyncio.Task[None]] = set()
"""Work begun in this process by a flow: the event loop alone would not keep it alive."""


def begin_here(work: Work, now: Callable[[], datetime]) -> asyncio.Task[None]:
    """Do the work in this process, as a task beside the flow, which only watches it."""
    if not structlog.is_configured():  # a process worker's own process
        take_over()
    begun = asyncio.get_running_loop().create_task(_do_and_tell(work, now))
    _here.add(begun)
    begun.add_done_callback(_here.discard)
    return begun


async def _do_and_tell(work: Work, now: Callable[[], datetime]) -> None:
    pace = work.market.pace
    next_target = pace.target(pace.newest_due(now()) + pace.interval)
    base_dir = work.market.base_dir
    with noted(base_dir, work.run_time) as ends:
        ending = await do_period(steps_run_period(), work, next_target, Patience(), now=now)
        ends.append(ended_as(work.run_time, ending))
    await asyncio.to_thread(attend_once, [base_dir])


def steps_run_period() -> RunPeriod:
    """The work itself, loaded when it is first needed: it brings polars and the exchange's client with it."""
    from flows.steps import run_period  # noqa: PLC0415 - see above

    return run_period
