"""What is being worked on in this process, for whoever wants to watch or join: one entry a market and run time.

The clock's threads write, Prefect's side reads; neither waits for the other.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from flows.markets import ServedMarket
    from flows.steps import Outcome, StepReport

T = TypeVar("T")

REMEMBERED = 4000
"""Entries kept: more than two days of one 1m and one 5m market; each takes 5 kB."""


@dataclass(frozen=True)
class Ending:
    """How the work of a period ended: with an ``outcome``, with an ``error``, or (cut off) with an earlier outcome.

    ``attempts`` counts the tries; times are UTC.
    """

    outcome: Outcome | None
    error: BaseException | None
    attempts: int
    started_at: datetime
    ended_at: datetime

    @property
    def complete(self) -> bool:
        """Whether the ledger record says that nothing is missing."""
        return self.outcome is not None and self.outcome.record.complete


class Work:
    """The work of one period, in progress or done. Safe to use from any thread.

    ``late_s``: how long after its target it began; None where that says nothing (caught up at a start, begun by hand).
    ``skipped``: periods before it whose target passed unseen.
    """

    def __init__(
        self, market: ServedMarket, run_time: datetime, *, late_s: float | None = None, skipped: int = 0
    ) -> None:
        self.market = market
        self.run_time = run_time
        self.late_s = late_s
        self.skipped = skipped
        self._lock = threading.Lock()
        self._reports: dict[str, StepReport] = {}
        self._waiting: dict[str, Future[StepReport | None]] = {}
        self._end: Future[Ending] = _owned(Future())

    @property
    def key(self) -> tuple[Path, datetime]:
        """What the board knows it by."""
        return self.market.base_dir, self.run_time

    @property
    def ending(self) -> Ending | None:
        """How it ended; None while it is in progress."""
        return self._end.result() if self._end.done() else None

    @property
    def reports(self) -> list[StepReport]:
        """The newest report of every step that ended so far, in their order."""
        with self._lock:
            return list(self._reports.values())

    def report(self, step: StepReport) -> None:
        """A step has ended. One that failed may be tried again, so only a sound one settles who waits for it."""
        with self._lock:
            self._reports[step.name] = step
            waiting = self._waiting.get(step.name)
        if waiting is not None and step.error is None and not waiting.done():
            waiting.set_result(step)

    def end(self, ending: Ending) -> None:
        """All is over; whoever waits is told."""
        with self._lock:
            self._end.set_result(ending)
            waiting = [(name, future) for name, future in self._waiting.items() if not future.done()]
        for name, future in waiting:
            future.set_result(self._reports.get(name))

    async def step(self, name: str) -> StepReport | None:
        """Wait for a step; None when the work ended without it."""
        with self._lock:
            known = self._reports.get(name)
            if self._end.done() or (known is not None and known.error is None):
                return known
            future = self._waiting.setdefault(name, _owned(Future()))
        return await asyncio.wrap_future(future)

    async def ended(self) -> Ending:
        """Wait for the end."""
        return await asyncio.wrap_future(self._end)


def _owned(future: Future[T]) -> Future[T]:
    """A future that a waiter's cancellation leaves alone: it belongs to the thread that works."""
    future.set_running_or_notify_cancel()
    return future


class Board:
    """The newest entries of this process, by base directory and run time."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._lock = threading.Lock()
        self._entries: OrderedDict[tuple[Path, datetime], Work] = OrderedDict()
        self._remembered = remembered

    def put(self, work: Work) -> None:
        """Show a work; the oldest is forgotten when there are too many."""
        with self._lock:
            self._entries[work.key] = work
            while len(self._entries) > self._remembered:
                self._entries.popitem(last=False)

    def find(self, base_dir: Path, run_time: datetime) -> Work | None:
        """The work of that period, if this process does or did it."""
        with self._lock:
            return self._entries.get((base_dir, run_time))


board = Board()
"""The process's one board: a flow that Prefect's engine calls by its parameters finds its work here."""
