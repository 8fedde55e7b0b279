"""What the streamer counts, for its status file: plain numbers, changed by one thread, the event loop's."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import NamedTuple

from kit.exchange_clock import steady_ms
from kit.metrics import Histogram
from kit.metrics.table import DELAY_BOUNDS_S

LATENESS_MS = (100, 200, 500, 1000, 2000, 5000, 10_000, 30_000)
"""Upper ends, in milliseconds after the close, of the buckets of the lateness histogram; the last one is open."""


MAX_KINDS = 32
"""Names of events that are counted apart: the exchange has some twenty, and a mad one must not fill our memory."""


@dataclass(frozen=True)
class Disconnected:
    """A hole in the data may have begun: these streams had no connection from ``since_ms`` (UTC) on."""

    connection: str
    generation: int
    streams: int
    since_ms: int
    kind: str
    reason: str


MAX_CONTRADICTED = 1000
"""Of the last contradictions so many are told: a market's correction whole, and the heartbeat stays under 0.1 MB."""


class Contradicted(NamedTuple):
    """The stream told a second, different final of a candle that was held, at ``seen_ms`` of the exchange's clock."""

    symbol: str
    begin_ms: int
    seen_ms: int


@dataclass
class MarketStats:
    """Counters of one market."""

    frames: int = 0
    finals: int = 0
    duplicates: int = 0  # also candles whose period is sealed: neither is stored
    dropped: int = 0  # candles given up because the disk refused for too long
    late: int = 0
    refused: Counter[str] = field(default_factory=Counter)  # by reason: frames that are not what they should be
    contradicted: deque[Contradicted] = field(default_factory=lambda: deque(maxlen=MAX_CONTRADICTED))
    rows_written: int = 0
    bytes_written: int = 0
    flushes: int = 0
    last_run_ms: int = 0
    last_event_ms: int = 0
    disk_error: str | None = None
    lateness: list[int] = field(default_factory=lambda: [0] * (len(LATENESS_MS) + 1))
    lateness_total_ms: int = 0
    readable_delay: Histogram = field(default_factory=lambda: Histogram(DELAY_BOUNDS_S))
    _unreadable: deque[float] = field(default_factory=deque)  # stamps of pending finals by the steady clock, in order

    def final(self, run_ms: int, event_ms: int, received_ms: int) -> None:
        """Count a stored candle. ``event_ms`` is its stamp, ``received_ms`` the exchange's clock at its arrival."""
        self.finals += 1
        self.lateness_total_ms += received_ms - run_ms
        self._unreadable.append(steady_ms() - (received_ms - event_ms))
        self.last_run_ms = max(self.last_run_ms, run_ms)
        self.last_event_ms = max(self.last_event_ms, event_ms)
        self.lateness[bisect_left(LATENESS_MS, received_ms - run_ms)] += 1

    def readable(self, at_ms: float, *, pending: int, given_up: int) -> None:
        """A flush ended at the steady clock's ``at_ms``: all finals but the last ``pending`` are readable since.

        The oldest ``given_up`` of them are not, and never will be by stream.
        """
        for _ in range(min(given_up, len(self._unreadable))):
            self._unreadable.popleft()
        while len(self._unreadable) > pending:
            self.readable_delay.observe((at_ms - self._unreadable.popleft()) / 1000)


@dataclass
class RouteStats:
    """Counters of one route."""

    frames: int = 0
    garbage: int = 0  # unreadable
    unwanted: int = 0  # closed candles that no market asked for
    unknown_events: Counter[str] = field(default_factory=Counter)  # at most MAX_KINDS names, and "more"
    opened: int = 0
    refused: int = 0
    lost: int = 0
    rotated: int = 0
    last_frame: float | None = None  # monotonic seconds
    clock_offset_ms: int | None = None  # ``StampClock.offset_ms`` when a stamp was heard last
    last_disconnects: deque[Disconnected] = field(default_factory=lambda: deque(maxlen=20))

    def unknown_event(self, name: str) -> None:
        """Count an event that is not read here, by a name that others chose."""
        known = name in self.unknown_events or len(self.unknown_events) < MAX_KINDS
        self.unknown_events[name if known else "more"] += 1


class Hushed:
    """Lets the first few events of a kind through each minute; the rest are only counted by their own counters."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._minute = -1
        self._seen: Counter[str] = Counter()

    def allows(self, kind: str, now: float) -> bool:
        """Whether to log this one; ``now`` in seconds of any steady clock."""
        minute = int(now // 60)
        if minute != self._minute:
            self._minute = minute
            self._seen.clear()
        self._seen[kind] += 1
        return self._seen[kind] <= self._per_minute
