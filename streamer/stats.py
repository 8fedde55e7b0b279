"""What the streamer counts, for its status file: plain numbers, changed by one thread, the event loop's."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from dataclasses import dataclass, field

LATENESS_MS = (100, 200, 500, 1000, 2000, 5000, 10_000, 30_000)
"""Upper ends, in milliseconds after the close, of the buckets of the lateness histogram; the last one is open."""


@dataclass(frozen=True)
class Disconnected:
    """A hole in the data may have begun: these streams had no connection from ``since_ms`` (UTC) on."""

    connection: str
    generation: int
    streams: int
    since_ms: int
    kind: str
    reason: str


@dataclass
class MarketStats:
    """Counters of one market."""

    finals: int = 0
    duplicates: int = 0  # also candles whose period is sealed: neither is stored
    dropped: int = 0  # candles given up because the disk refused for too long
    late: int = 0
    refused: Counter[str] = field(default_factory=Counter)  # by reason: frames that are not what they should be
    rows_written: int = 0
    bytes_written: int = 0
    flushes: int = 0
    last_run_ms: int = 0
    last_event_ms: int = 0
    disk_error: str | None = None
    lateness: list[int] = field(default_factory=lambda: [0] * (len(LATENESS_MS) + 1))

    def final(self, run_ms: int, event_ms: int, received_ms: int) -> None:
        """Count a stored candle. Lateness is by the local clock, as a reader of the buffer feels it."""
        self.finals += 1
        self.last_run_ms = max(self.last_run_ms, run_ms)
        self.last_event_ms = max(self.last_event_ms, event_ms)
        self.lateness[bisect_left(LATENESS_MS, received_ms - run_ms)] += 1


@dataclass
class RouteStats:
    """Counters of one route."""

    frames: int = 0
    garbage: int = 0  # unreadable
    unwanted: int = 0  # closed candles that no market asked for
    unknown_events: Counter[str] = field(default_factory=Counter)
    opened: int = 0
    refused: int = 0
    lost: int = 0
    rotated: int = 0
    last_disconnects: deque[Disconnected] = field(default_factory=lambda: deque(maxlen=20))


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
