"""The faults that are on. Empty by default, and false then: the honest exchange asks ``if faults`` and goes on."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kit.embedded_exchange.clock import Clock
from kit.embedded_exchange.faults.fault import Fault
from kit.embedded_exchange.faults.parameters import FaultError
from kit.words import Venue

_REMEMBERED_ENDED = 1000


@dataclass(eq=False)
class Active:
    """A fault that is on, or was. ``since_ms`` and ``until_ms`` by the exchange's clock, the others by real time."""

    number: int
    fault: Fault
    since_ms: int
    since: float  # time.monotonic()
    ends: float | None  # time.monotonic()
    ends_at: datetime | None
    hits: int = 0
    seen: int = 0  # what could have been hit
    until_ms: int | None = None
    fired: float | None = field(default=None)  # time.monotonic() of the last time, for those that are done at once

    def as_json(self) -> dict[str, Any]:
        """For people and programs; ``ends_at`` in ISO 8601, UTC."""
        ends_at = None if self.ends_at is None else self.ends_at.isoformat(timespec="milliseconds")
        return {"id": self.number, **self.fault.as_json(), "hits": self.hits, "ends_at": ends_at}


class Faults:
    """Which faults are on. ``seed`` is the exchange's: the same shares are hit in each run."""

    def __init__(self, clock: Clock, seed: int) -> None:
        self.seed = seed
        self.ended: deque[Active] = deque(maxlen=_REMEMBERED_ENDED)
        self._clock = clock
        self._numbers = itertools.count(1)
        self._on: dict[int, Active] = {}
        self._listeners: list[Callable[[Active, bool], None]] = []

    def __bool__(self) -> bool:
        return bool(self._on)

    def watch(self, listener: Callable[[Active, bool], None]) -> None:
        """``listener(active, on)`` is called whenever one was switched on, and when one ended."""
        self._listeners.append(listener)

    def switch_on(self, fault: Fault) -> int:
        """Switches it on. Returns: the number by which it is switched off."""
        number = next(self._numbers)
        ends = None if fault.seconds is None else time.monotonic() + fault.seconds
        ends_at = None if fault.seconds is None else datetime.fromtimestamp(time.time() + fault.seconds, UTC)
        active = Active(number, fault, self._clock.now_ms(), time.monotonic(), ends, ends_at)
        self._on[number] = active
        self._tell(active, on=True)
        return number

    def switch_off(self, number: int) -> None:
        """Switches it off; one that has ended by itself may be switched off, too.

        Raises:
            FaultError: there never was one of that number.
        """
        active = self._on.pop(number, None)
        if active is not None:
            self._end(active)
        elif all(one.number != number for one in self.ended):
            raise FaultError(f"fault {number} is not on (allowed: {', '.join(map(str, self._on)) or 'none is on'})")

    def clear(self) -> None:
        """Switches all off."""
        for number in list(self._on):
            self.switch_off(number)

    def active(self) -> list[Active]:
        """Those that are on now."""
        now = time.monotonic()
        for one in list(self._on.values()):
            if one.ends is not None and now >= one.ends:
                self.switch_off(one.number)
        return list(self._on.values())

    def named(self, *names: str) -> Iterable[Active]:
        """Those of these names that are on, the first switched on first."""
        return [one for one in self.active() if one.fault.name in names]

    def find(self, name: str, venue: Venue | None, symbol: str, *place: object) -> Active | None:
        """One of that name that picks this symbol and place; it does not count as a hit yet."""
        return next(
            (
                one
                for one in self.named(name)
                if one.fault.concerns(venue, (symbol,)) and one.fault.picks(self.seed, symbol, *place)
            ),
            None,
        )

    def strike(self, name: str, venue: Venue | None, symbol: str, *place: object) -> Fault | None:
        """As :meth:`find`, counted as a hit."""
        found = self.find(name, venue, symbol, *place)
        return None if found is None else self.hit(found)

    def hit(self, active: Active) -> Fault:
        """Counts a hit; after ``times`` of them the fault is over."""
        active.hits += 1
        if active.fault.times is not None and active.hits >= active.fault.times and active.number in self._on:
            self.switch_off(active.number)
        return active.fault

    def _end(self, active: Active) -> None:
        active.until_ms = self._clock.now_ms()
        self.ended.append(active)
        self._tell(active, on=False)

    def _tell(self, active: Active, *, on: bool) -> None:
        for listener in self._listeners:
            listener(active, on)
