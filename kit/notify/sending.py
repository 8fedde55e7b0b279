"""Sending one message to all targets at once. A receiver that is dead, slow or refusing costs a log line, no more."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_after_attempt, wait_random_exponential

from kit.logs import redact
from kit.notify.dingtalk import Verdict
from kit.notify.targets import Target, targets_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from kit.config import MarketConfig

logger = structlog.stdlib.get_logger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How long one target is tried: a period's work must not wait for a chat service for minutes."""

    attempts: int = 3
    timeout: timedelta = timedelta(seconds=10)  # of one attempt; apprise itself has to be imported in the first
    longest_wait: timedelta = timedelta(seconds=8)  # between attempts, which grow from 1 s with full jitter


@dataclass(frozen=True)
class Outcome:
    """What became of a message to one target. ``error`` (without secrets) is empty when it arrived."""

    target: str
    ok: bool
    attempts: int
    error: str = ""


async def send(
    config: MarketConfig,
    title: str,
    body: str,
    *,
    robots: Collection[str] | None = None,
    only: Collection[str] | None = None,
    patience: Patience | None = None,
) -> list[Outcome]:
    """Tell everybody that ``config`` names; one outcome a target, in the config's order, never an error raised.

    ``robots``: of ``dingding`` only the robots of these names, such as BMAC's ``error`` (None: all of them). ``only``:
    of all targets those of these names (``Outcome.target``), to try again where it failed.
    """
    targets = [target for target in targets_of(config, robots) if only is None or target.name in only]
    return await asyncio.gather(*(_tell(target, title, body, patience or Patience()) for target in targets))


async def _tell(target: Target, title: str, body: str, patience: Patience) -> Outcome:
    retrying = AsyncRetrying(
        stop=stop_after_attempt(patience.attempts),
        wait=wait_random_exponential(multiplier=1, max=patience.longest_wait.total_seconds()),
        retry=retry_if_result(lambda verdict: verdict.transient),
        retry_error_callback=_last_verdict,
    )
    verdict: Verdict = await retrying(_attempt, target, title, body, patience.timeout.total_seconds())
    attempts = int(retrying.statistics["attempt_number"])
    outcome = Outcome(target.name, verdict.ok, attempts, redact(verdict.error))
    if outcome.ok:
        logger.info("notify.sent", target=outcome.target, attempts=attempts)
    else:
        logger.error("notify.failed", target=outcome.target, attempts=attempts, error=outcome.error)
    return outcome


def _last_verdict(state: RetryCallState) -> Verdict:
    last: Verdict = state.outcome.result() if state.outcome else Verdict(False, "never tried")
    return last


async def _attempt(target: Target, title: str, body: str, timeout_sec: float) -> Verdict:
    work = asyncio.wrap_future(in_daemon_thread(partial(_deliver, target, title, body, timeout_sec)))
    done, _ = await asyncio.wait({work}, timeout=timeout_sec)
    if not done:
        work.cancel()
        return Verdict(False, f"no answer within {timeout_sec:g} s", transient=True)
    error = work.exception()
    if error is not None:  # a service of apprise that breaks must not break the period's work
        return Verdict(False, f"{type(error).__name__}: {error}")
    return work.result()


def _deliver(target: Target, title: str, body: str, timeout_sec: float) -> Verdict:
    from kit.notify.attempt import deliver  # noqa: PLC0415 - apprise costs a quarter second: only who sends pays it

    return deliver(target, title, body, timeout_sec)


def in_daemon_thread(work: Callable[[], T]) -> Future[T]:
    """``work`` begun in a thread that the program's end does not wait for, unlike an executor's."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # from here a cancelled waiter leaves the future to the thread

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - nothing is swallowed: whoever waits for the future gets it
            future.set_exception(error)

    threading.Thread(target=run, name="notify", daemon=True).start()
    return future
