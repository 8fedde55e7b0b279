"""Waiting for what another process writes, woken by the file system."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import watchfiles

R = TypeVar("R")

FIRST_LOOKS = (0.0, 0.02, 0.1)
"""Seconds: the watch takes a few milliseconds to begin, and what is written before it would wake nobody."""
FALLBACK = 1.0
"""Seconds between looks without a wake-up: some network file systems tell nothing."""


async def wait_until(folder: Path, look: Callable[[], R | None], timeout: float) -> R | None:
    """What ``look`` gives once it gives something; None when ``timeout`` seconds pass before.

    ``look`` is called again whenever something changes in ``folder`` (which must exist), in a thread.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    changed = asyncio.Event()
    stop = asyncio.Event()
    watcher = asyncio.create_task(_watch(folder, changed, stop))
    try:
        looks = iter(FIRST_LOOKS[1:])
        while True:
            changed.clear()
            found = await asyncio.to_thread(look)
            left = deadline - loop.time()
            if found is not None or left <= 0:
                return found
            try:
                async with asyncio.timeout(min(next(looks, FALLBACK), left)):
                    await changed.wait()
            except TimeoutError:
                continue
    finally:
        stop.set()
        await watcher


async def _watch(folder: Path, changed: asyncio.Event, stop: asyncio.Event) -> None:
    # step: how long watchfiles waits for more changes before it tells of one, in milliseconds.
    async for _ in watchfiles.awatch(folder, step=2, debounce=10, recursive=False, stop_event=stop, watch_filter=None):
        changed.set()
