"""Waiting for what another process writes, woken by the file system."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar
from weakref import WeakKeyDictionary

import structlog
import watchfiles
from watchfiles._rust_notify import WatchfilesRustInternalError

R = TypeVar("R")

log = structlog.get_logger(__name__)

FIRST_LOOKS = (0.0, 0.02, 0.1)
"""Seconds: the watch takes a few milliseconds to begin, and what is written before it would wake nobody."""
FALLBACK = 1.0
"""Seconds between looks without a wake-up: some network file systems tell nothing."""

UNWATCHABLE = (OSError, WatchfilesRustInternalError)
"""What watchfiles raises where a folder cannot be watched: it is gone, or this user has as many watchers as the kernel
allows one (fs.inotify.max_user_instances, usually 128) or open files as a process may have."""


async def wait_until(folder: Path, look: Callable[[], R | None], timeout: float) -> R | None:
    """What ``look`` gives once it gives something; None when ``timeout`` seconds pass before.

    ``look`` is called again whenever something changes in ``folder`` (which must exist), in a thread; where it cannot
    be watched, now and then.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    async with _told_of_changes(folder) as changed:
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


class _Watch:
    """One watcher of a folder for all who wait there in one event loop: a strategy waits for hundreds of symbols at the
    same time, and the kernel has some hundred watchers for all programs of a user."""

    def __init__(self, folder: Path) -> None:
        self.waiting: set[asyncio.Event] = set()
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(self._run(folder))

    async def _run(self, folder: Path) -> None:
        # step: how long watchfiles waits for more changes before it tells of one, in milliseconds.
        changes = watchfiles.awatch(
            folder, step=2, debounce=10, recursive=False, stop_event=self.stop, watch_filter=None
        )
        try:
            async for _ in changes:
                for changed in self.waiting:
                    changed.set()
        except UNWATCHABLE as error:
            log.warning("folder.cannot_watch", folder=str(folder), error=str(error), look_again_sec=FALLBACK)


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Path, _Watch]] = WeakKeyDictionary()


@asynccontextmanager
async def _told_of_changes(folder: Path) -> AsyncIterator[asyncio.Event]:
    """An event that is set whenever something changes in the folder."""
    watches = _watches.setdefault(asyncio.get_running_loop(), {})
    watch = watches.get(folder)
    if watch is None or watch.task.done():
        watch = watches[folder] = _Watch(folder)
    changed = asyncio.Event()
    watch.waiting.add(changed)
    try:
        yield changed
    finally:
        watch.waiting.discard(changed)
        if not watch.waiting:
            if watches.get(folder) is watch:
                del watches[folder]
            watch.stop.set()
            await watch.task
