"""One look at each market for all who watch: woken by the file system, at rest while nobody does."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import structlog
import watchfiles

from kit.waiting import UNWATCHABLE
from kit.words import to_ms, utc_now

log = structlog.get_logger(__name__)

Look = Callable[[Path], dict[str, Any]]

WATCHER = "watch the markets"
"""The name of the one task."""

LOOK_AGAIN_SEC = 3.0
"""Without a wake-up: a run time becomes due, and a heartbeat stale, without any file that changes. A look takes some
milliseconds: it reads the ledger and lists the folder, but no candles."""

SETTLE_MS = 200
"""In the burst after a close a slice is rewritten many times a second; changes within this count as one."""


@dataclass(frozen=True)
class News:
    """The newest look at a market. ``version`` grows when something changed that is worth telling, and is never used
    again; ``looked_ms`` is when it was last found to be so, by this machine's clock."""

    version: int
    looked_ms: int
    overview: dict[str, Any]


@dataclass
class Hub:
    """Keeps the newest overview of each market while there are listeners."""

    base_dirs: Sequence[Path]
    look: Look
    news: dict[int, News] = field(default_factory=dict)
    _versions: Iterator[int] = field(default_factory=count)
    _listeners: set[asyncio.Event] = field(default_factory=set)
    _watcher: asyncio.Task[None] | None = None

    @property
    def watching(self) -> bool:
        """Whether anything is read at all."""
        return self._watcher is not None

    @property
    def listeners(self) -> int:
        """How many are told of changes."""
        return len(self._listeners)

    def version(self, index: int) -> int | None:
        """Of the newest look at that market; None while nobody listens, and before the first look."""
        news = self.news.get(index)
        return None if news is None else news.version

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[asyncio.Event]:
        """An event that is set whenever there are news. The first listener starts the watcher, the last one ends it.

        It is also set when the watcher has ended against its will: see ``check``.
        """
        event = asyncio.Event()
        self._listeners.add(event)
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._watch(), name=WATCHER)
            self._watcher.add_done_callback(lambda _: self.wake())
        try:
            yield event
        finally:
            self._listeners.discard(event)
            if not self._listeners:
                await self.close()

    def check(self) -> None:
        """Raise what ended the watcher: a page must not be told that all is as it was by one that looks no more."""
        if self._watcher is not None and self._watcher.done() and not self._watcher.cancelled():
            self._watcher.result()

    async def close(self) -> None:
        """End the watcher and forget what it saw: it would be old when the next listener comes."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.cancel()
            self.news.clear()  # before anybody else can run: the next listener's watcher may have news by then
            await asyncio.wait([watcher])

    def wake(self) -> None:
        """Let every listener look what is new."""
        for event in self._listeners:
            event.set()

    async def _watch(self) -> None:
        await self._refresh(range(len(self.base_dirs)))
        while True:
            try:
                await self._follow(_folders(self.base_dirs))
            except UNWATCHABLE as error:  # a folder went away just now, or the kernel's limit of watches is reached
                log.warning("page.cannot_watch", error=str(error), look_again_sec=LOOK_AGAIN_SEC)
            await asyncio.sleep(1.0)
            await self._refresh_old()

    async def _follow(self, folders: list[tuple[Path, int]]) -> None:
        """Look whenever something changes in these folders, and now and then; until one of them has come, gone or been
        replaced, since the watch would not see what happens in it."""
        if not folders:
            return
        changes = watchfiles.awatch(
            *(path for path, _ in folders),
            recursive=False,
            watch_filter=None,
            debounce=SETTLE_MS,
            rust_timeout=1000,
            yield_on_timeout=True,
        )
        async with aclosing(changes):
            async for batch in changes:
                touched = [Path(path) for _, path in batch]
                await self._refresh(
                    [
                        index
                        for index, base_dir in enumerate(self.base_dirs)
                        if any(path.is_relative_to(base_dir) for path in touched)
                    ]
                )
                await self._refresh_old()
                if _folders(self.base_dirs) != folders:
                    return

    async def _refresh_old(self) -> None:
        oldest_ms = _now_ms() - int(LOOK_AGAIN_SEC * 1000)
        await self._refresh([index for index, news in self.news.items() if news.looked_ms <= oldest_ms])

    async def _refresh(self, indexes: Iterable[int]) -> None:
        changed = False
        for index in indexes:
            overview = await asyncio.to_thread(self.look, self.base_dirs[index])
            before = self.news.get(index)
            same = before is not None and _without_ages(before.overview) == _without_ages(overview)
            version = before.version if before is not None and same else next(self._versions)
            self.news[index] = News(version, _now_ms(), overview)
            changed |= not same
        if changed:
            self.wake()


def _without_ages(overview: dict[str, Any]) -> dict[str, Any]:
    """What is worth telling: an age that grows is counted by whoever shows it."""
    beat = overview.get("streamer")
    return overview | {"streamer": beat and {name: beat[name] for name in beat if name != "age_seconds"}}


def _folders(base_dirs: Sequence[Path]) -> list[tuple[Path, int]]:
    """The folders to watch that exist now, each with what tells it from another one of the same name."""
    wanted = [path for base_dir in base_dirs for path in (base_dir, *base_dir.glob("*_*"), *base_dir.glob("*/ledger"))]
    return [(path, number) for path in wanted if (number := _folder_number(path)) is not None]


def _folder_number(path: Path) -> int | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino if stat.S_ISDIR(found.st_mode) else None


def _now_ms() -> int:
    return to_ms(utc_now())
