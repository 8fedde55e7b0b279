"""Waiting with an end: a disk or a host that does not answer must not hang the doctor."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import TypeVar

from kit.doctor.finding import Finding, wrong
from kit.errors import BmacError

R = TypeVar("R")


async def in_thread(work: Callable[[], R]) -> R:
    """``work`` in a thread that nobody waits for at the end of the program: a dead network disk holds it for ever.

    Raises what ``work`` raises of OSError and kit.errors.
    """
    outcome: Future[R] = Future()
    outcome.set_running_or_notify_cancel()  # from here on nobody can cancel it: the thread may set it at any time

    def run() -> None:
        try:
            result = work()
        except (OSError, BmacError) as error:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)

    threading.Thread(target=run, name="doctor", daemon=True).start()
    return await asyncio.wrap_future(outcome)


async def within(seconds: float, name: str, todo: str, check: Awaitable[list[Finding]]) -> list[Finding]:
    """What ``check`` finds, or that it did not answer."""
    try:
        async with asyncio.timeout(seconds):
            return await check
    except TimeoutError:
        return [wrong(name, f"no answer in {seconds:g} s", todo)]
