"""The work of one period with its retries: again with backoff while that can help, and over before the next begins."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_result, wait_exponential_jitter

from flows.board import Ending
from kit.errors import BmacError, FolderBusyError, StopError
from kit.words import from_ms, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flows.board import Work
    from flows.steps import Outcome, StepReport

log = structlog.stdlib.get_logger(__name__)

HISTORY_ENDS_BEFORE = timedelta(seconds=0.5)
"""How long before the next target the history step yields, so that a long first download never delays a period."""
CUT_BEFORE = timedelta(seconds=0.2)
"""How long before the next target whatever still works is cancelled; its gaps are the next period's."""
CANCEL_PATIENCE = timedelta(seconds=2)
"""How long a cancelled attempt may take to close its files and connections before it is left to itself."""
CUT_SHARE, HISTORY_SHARE = 20, 4
"""The margins above are at most this part of the interval (a twentieth, a quarter): they suit 1m and more as they
stand. History yields well before the cut, for it then stores what it fetched and writes the ledger."""


class RunPeriod(Protocol):
    """``flows.steps.run_period``: all steps of a period once, idempotent."""

    async def __call__(
        self,
        base_dir: Path,
        run_time: datetime,
        *,
        history_deadline: datetime | None = None,
        on_step: Callable[[StepReport], None] | None = None,
    ) -> Outcome: ...


@dataclass(frozen=True)
class Patience:
    """How a period is tried again. An incomplete market is asked again too: late candles come seconds later."""

    attempts: int = 6
    first_wait: timedelta = timedelta(seconds=2)
    longest_wait: timedelta = timedelta(seconds=30)


@dataclass(frozen=True)
class Attempt:
    """One try: its outcome, or why there is none."""

    outcome: Outcome | None
    error: BaseException | None


def worth_another(attempt: Attempt, cut_at: datetime) -> bool:
    """Whether trying again before ``cut_at`` may help.

    Our own errors know it. An error that nobody foresaw may be a file that was just being replaced, so it is tried
    again within the same bounds, and told at the end.
    """
    match attempt.error:
        case None:
            return attempt.outcome is not None and not attempt.outcome.record.complete
        case StopError(until_ms=until_ms):
            return from_ms(until_ms) < cut_at
        case FolderBusyError():
            return True
        case BmacError() as error:
            return error.transient
        case error:
            return isinstance(error, Exception)


def cut_at(next_target: datetime, interval: timedelta) -> datetime:
    """When the work must be over."""
    return next_target - min(CUT_BEFORE, interval / CUT_SHARE)


def history_deadline(next_target: datetime, interval: timedelta) -> datetime:
    """When the history step must yield."""
    return next_target - min(HISTORY_ENDS_BEFORE, interval / HISTORY_SHARE)


async def do_period(
    run_period: RunPeriod,
    work: Work,
    next_target: datetime,
    patience: Patience,
    *,
    now: Callable[[], datetime] = utc_now,
) -> Ending:
    """Work until it is complete, cannot get better, or must make room for the next; posts every step on ``work``.

    ``now`` tells the time that ``next_target`` is of; the ending's times are the local clock's.

    Raises nothing but the cancellation of its caller; even then the ending is posted.
    """
    pace = work.market.pace
    started_at, last_at = utc_now(), cut_at(next_target, pace.interval)
    last_mono = time.monotonic() + (last_at - now()).total_seconds()  # a clock set back must not stretch it
    best = Attempt(None, asyncio.CancelledError("the worker is stopping"))
    tries = 0

    async def once() -> Attempt:
        nonlocal best, tries
        if tries and time.monotonic() >= last_mono:
            return best  # the wait took longer than asked: the machine stood still
        tries += 1
        attempt = await _attempt(run_period, work, history_deadline(next_target, pace.interval), last_mono)
        _log(work, attempt, tries)
        best = attempt if attempt.outcome or not best.outcome else best
        return attempt

    def over(state: RetryCallState) -> bool:
        return tries >= patience.attempts or time.monotonic() + state.upcoming_sleep >= last_mono

    retrying = AsyncRetrying(
        retry=retry_if_result(lambda attempt: worth_another(attempt, last_at)),
        stop=over,
        wait=wait_exponential_jitter(
            multiplier=patience.first_wait.total_seconds(),
            max=patience.longest_wait.total_seconds(),
            jitter=patience.first_wait.total_seconds() / 2,
        ),
        retry_error_callback=lambda _state: None,
    )
    try:
        await retrying(once)
    finally:
        ending = Ending(best.outcome, None if best.outcome else best.error, tries, started_at, utc_now())
        work.end(ending)
    return ending


async def _attempt(run_period: RunPeriod, work: Work, history_until: datetime, last_mono: float) -> Attempt:
    """One try, cancelled at ``last_mono`` (monotonic seconds). Its error is looked at, not raised."""
    task = asyncio.ensure_future(
        run_period(work.market.base_dir, work.run_time, history_deadline=history_until, on_step=work.report)
    )
    try:
        await asyncio.wait({task}, timeout=max(0.0, last_mono - time.monotonic()))
    finally:
        cut = not task.done()
        if cut:
            task.cancel()
            await asyncio.wait({task}, timeout=CANCEL_PATIENCE.total_seconds())
    if cut:
        return Attempt(None, TimeoutError("not done when the next period was due; that one fills what is missing"))
    if task.cancelled():
        return Attempt(None, TimeoutError("cancelled"))
    error = task.exception()
    return Attempt(None, error) if error else Attempt(task.result(), None)


def _log(work: Work, attempt: Attempt, tries: int) -> None:
    facts = {"market": work.market.label, "run_time": work.run_time.isoformat(), "attempt": tries}
    if attempt.outcome is not None:
        record = attempt.outcome.record
        log.info("period.done", complete=record.complete, missing=len(record.missing), **facts)
    elif isinstance(attempt.error, BmacError | TimeoutError):
        log.warning("period.attempt_failed", error=str(attempt.error), **facts)
    else:
        log.error("period.attempt_broke", exc_info=attempt.error, **facts)
