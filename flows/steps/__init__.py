"""A period's work, step by step. Plain functions: whoever calls them (the command, the worker, a Prefect flow) only
decides when, and shows what came out.

Every step looks at what is on disk and does what is missing, so doing it again changes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

import structlog

from flows.steps.audits import look_back
from flows.steps.compaction import compact_buffer, compaction_overdue
from flows.steps.context import Period, open_period, put_aside_the_future, to_the_end
from flows.steps.exchange_info import await_late_answer, refresh_exchange_info
from flows.steps.factors import compute_factors
from flows.steps.funding import refresh_funding
from flows.steps.history import fill_history
from flows.steps.newest import complete_newest
from flows.steps.records import count_in_newest
from flows.steps.resample import resample
from kit.buffer.damage import put_aside
from kit.buffer.ledger import Ledger, LedgerRecord
from kit.buffer.locks import hold_when_free
from kit.buffer.states import load_states
from kit.errors import BmacError, DamagedFileError
from kit.words import utc_now

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 0.05
"""Seconds between looks whether another run in the same folder has ended."""


@dataclass(frozen=True)
class StepReport:
    """What a step did. ``error`` is None when it went well."""

    name: str
    started_at: datetime
    ended_at: datetime
    summary: str
    error: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What a period's work came to. ``already_done``: an earlier run had completed the period."""

    record: LedgerRecord
    steps: tuple[StepReport, ...]
    already_done: bool


Step = Callable[[Period], Awaitable[str]]
OnStep = Callable[[StepReport], None]


async def run_period(
    base_dir: Path, run_time: datetime, *, history_deadline: datetime | None = None, on_step: OnStep | None = None
) -> Outcome:
    """Do a market's period once: the newest candles first, then what the window lacks, then the look-backs.

    One run at a time in a base directory: another waits here and then finds the work done. ``history_deadline`` (the
    exchange's clock) ends the filling of history; the next period goes on with it.

    Raises:
        ConfigError, FolderError: the config or the folder cannot be used.
        ExchangeError: the exchange gave nothing, and nothing is known of its symbols yet.
    """
    async with (
        open_period(base_dir, run_time) as period,
        hold_when_free(period.folder, "flow", look_every_s=LOOK_EVERY_S),
    ):
        period.deadline = history_deadline
        period.states = load_states(period.folder)
        put_aside_the_future(period)
        before = Ledger(period.folder).get(run_time)
        steps = Steps(period, on_step)
        await steps.must("exchange_info", refresh_exchange_info)
        await steps.must("newest", complete_newest)
        if compaction_overdue(period):
            await steps.may("resample", resample)
            await steps.may("compact", compact_buffer)
        await steps.may("history", fill_history)
        await steps.may("funding", refresh_funding)
        await steps.may("factors", compute_factors)
        if period.asked_info is not None:  # what could be done without it comes first
            await steps.may("exchange_info", await_late_answer)
            await steps.may("history", fill_history)
        await steps.may("audits", look_back)
        await steps.may("resample", resample)  # before compaction: it sees by the files what has changed
        await steps.may("compact", compact_buffer)
        count_in_newest(period)
        record = Ledger(period.folder).get(run_time)
        if record is None:
            raise AssertionError("the newest step writes a record")
        return Outcome(record, tuple(steps.reports), already_done=before is not None and before.complete)


@dataclass
class Steps:
    """Runs steps and notes what came of each."""

    period: Period
    on_step: OnStep | None
    reports: list[StepReport] = field(default_factory=list)

    async def must(self, name: str, work: Step) -> None:
        """A step without which the others make no sense: its error is the run's."""
        problem = await self._run(name, work)
        if problem is not None:
            raise problem

    async def may(self, name: str, work: Step) -> None:
        """A step whose failure is reported and leaves the period what it is; the next period does it again."""
        await self._run(name, work)

    async def _run(self, name: str, work: Step) -> BmacError | OSError | None:
        started_at = utc_now()
        summary = ""
        problem: BmacError | OSError | None = None
        try:
            summary = await self._on_sound_files(work)
        except (BmacError, OSError) as error:
            problem = error
            log.error("step.failed", step=name, base_dir=str(self.period.folder.base_dir), error=str(error))  # noqa: TRY400 - foreseen
        report = StepReport(name, started_at, utc_now(), summary, None if problem is None else str(problem))
        self.reports.append(report)
        if self.on_step is not None:
            self.on_step(report)
        return problem

    async def _on_sound_files(self, work: Step) -> str:
        """Do the work, and again whenever a damaged file has been put out of its way: without it there are holes."""
        while True:
            try:
                return await work(self.period)
            except DamagedFileError as error:
                if not await to_the_end(partial(put_aside, Path(error.path))):
                    raise


__all__ = ["Outcome", "Period", "StepReport", "run_period"]
