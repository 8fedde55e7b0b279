"""Keeps the exchange's clock known while the periods' own looks at it are far apart, and watches this machine's.

A thread of its own with an event loop: what asks the exchange must not wait in a market's loop. That this machine's
clock is off is told by ``kit.alarms``, from what is learned here.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import structlog

from kit.exchange_clock import jumped_ms, read_local

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from flows.exchange_time import ExchangeTime

log = structlog.stdlib.get_logger(__name__)

LOOK_EVERY_SEC = 1.0
OLD_MS = 120_000
"""Asked again when the last answer is so old: the clocks may have drifted 24 ms apart. A 1m market's periods ask more
often than that, so this costs a weight of 1 every two minutes where only longer intervals are served."""
ASK_AGAIN_MS = 30_000
"""So long after an answer that did not come; the exchange may be away for hours."""
FIRST_ANSWER_WITHIN_SEC = 3.0
"""The first period waits for the first answer so long at most: without one it goes by what was known before."""


class Watch:
    """One pool of the exchange: its clock, and when to ask for it."""

    def __init__(self, clock: ExchangeTime) -> None:
        self.clock = clock
        self._asked_at_ms = 0

    def due(self, steady_ms: int, *, jumped: bool) -> bool:
        """Whether the exchange should be asked now; counts as asked then.

        A jump is one of the wall clock, which harms nothing, or the end of a pause in which even the steady clock
        stood still (a virtual machine that was saved): only the exchange can tell.
        """
        age_ms = self.clock.view().age_ms
        old = age_ms is None or age_ms >= OLD_MS
        patient = self._asked_at_ms == 0 or steady_ms - self._asked_at_ms >= ASK_AGAIN_MS
        if not (jumped or (old and patient)):
            return False
        self._asked_at_ms = steady_ms
        return True


class Timekeeper:
    """Looks after the clocks of the given pools from ``start`` to ``stop``."""

    def __init__(self, watches: Iterable[Watch]) -> None:
        self._watches = list(watches)
        self._first = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="timekeeper", daemon=True)

    def start(self) -> None:
        """Begin, and wait a little for the first answers."""
        self._thread.start()
        self._first.wait(FIRST_ANSWER_WITHIN_SEC)

    def stop(self) -> None:
        """Look no more. The thread dies with the process."""
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _run(self) -> None:
        keeping = self._loop.create_task(self._keep())
        self._loop.run_forever()
        keeping.cancel()

    async def _keep(self) -> None:
        before = read_local()
        while True:
            now = read_local()
            jump = jumped_ms(before, now)
            before = now
            if jump:
                log.warning("clock.jumped", by_ms=jump)
            due = [watch for watch in self._watches if watch.due(now.steady_ms, jumped=bool(jump))]
            await asyncio.gather(*(watch.clock.measure() for watch in due))
            self._first.set()
            await asyncio.sleep(LOOK_EVERY_SEC)


def watches_of(clocks: dict[Path, ExchangeTime]) -> list[Watch]:
    """One watch a pool, for the markets with these clocks."""
    return [Watch(clock) for clock in {clock.pool: clock for clock in clocks.values()}.values()]
