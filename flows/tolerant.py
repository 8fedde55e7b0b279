"""Calls of Prefect's client whose failure must not become the period's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Coroutine

CANCEL_PATIENCE_SEC = 1.0


async def error_of(call: Coroutine[None, None, object], timeout_sec: float | None = None) -> BaseException | None:
    """What a call ended with: None, its error whatever it is, or TimeoutError. Prefect's client and engine raise
    errors of a dozen libraries for one and the same server that is away, so none of them is named."""
    task = asyncio.ensure_future(call)
    try:
        await asyncio.wait({task}, timeout=timeout_sec)
    finally:
        late = not task.done()
        if late:
            task.cancel()
            await asyncio.wait({task}, timeout=CANCEL_PATIENCE_SEC)
    if late or task.cancelled():
        return TimeoutError("no end within the time")
    return task.exception()
