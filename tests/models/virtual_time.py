"""An event loop whose clock jumps to the next timer: hours of waiting take no time, and every run is the same."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

START_MS = 1_795_348_800_000  # 2026-11-22T12:00:00Z


class _NeverWaits(selectors.SelectSelector):
    """Instead of waiting for a file it moves the loop's clock on."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        assert ready or timeout is not None, "everything waits for ever"
        if not ready and timeout is not None and timeout > 0:
            self.loop.seconds += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """``seconds`` is the time of the loop; nothing in it may wait for a thread or a socket."""

    def __init__(self) -> None:
        selector = _NeverWaits()
        selector.loop = self
        self.seconds = 1000.0
        super().__init__(selector)

    def time(self) -> float:
        return self.seconds

    def after(self, seconds: float) -> None:
        """Let so much time pass, and everything happen that is due in it."""
        self.run_until_complete(asyncio.sleep(seconds))

    def end(self) -> None:
        """Cancel whatever is left and close."""
        tasks = asyncio.all_tasks(self)
        for task in tasks:
            task.cancel()
        if tasks:
            self.run_until_complete(asyncio.wait(tasks))
        self.close()


class VirtualTime:
    """What a module sees as ``time`` when it is to live by a virtual loop's clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def monotonic(self) -> float:
        return self._loop.seconds

    def time_ns(self) -> int:
        return START_MS * 1_000_000 + round((self._loop.seconds - 1000.0) * 1e9)

    def time(self) -> float:
        return self.time_ns() / 1e9

    def clock_gettime_ns(self, _clock: int) -> int:
        return round(self.monotonic() * 1e9)
