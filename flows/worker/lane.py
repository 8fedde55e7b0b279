"""The periods of one market that Prefect has not shown yet: bounded, the newest first. Pure, but for its lock."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from flows.board import Work

BACKLOG = 3000
"""Periods a market: two days of a 1m market while the server is away. What is older is counted and let go."""


@dataclass
class Item:
    """A period to show. ``run_id``: the run that was claimed for it, once there is one; ``failures``: tries so far."""

    work: Work
    run_id: UUID | None = None
    failures: int = 0


class Lane:
    """A stack: what happens now is shown now, the backlog of an outage after it."""

    def __init__(self, longest: int = BACKLOG) -> None:
        self._lock = threading.Lock()
        self._items: deque[Item] = deque(maxlen=longest)
        self.dropped = 0

    def put(self, item: Item) -> None:
        """Add the newest; the oldest is dropped when the lane is full."""
        with self._lock:
            self.dropped += len(self._items) == self._items.maxlen
            self._items.append(item)

    def put_back(self, item: Item) -> None:
        """An item that could not be shown goes to the back, so that one that never can does not hold up the rest."""
        with self._lock:
            if len(self._items) == self._items.maxlen:
                self.dropped += 1
            else:
                self._items.appendleft(item)

    def take(self) -> Item | None:
        """The newest, or None."""
        with self._lock:
            return self._items.pop() if self._items else None

    def __len__(self) -> int:
        return len(self._items)
