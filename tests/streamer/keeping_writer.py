"""A writer that keeps candles in memory, with the real one's rule: one row per symbol and begin time."""

from __future__ import annotations

from dataclasses import dataclass, field

from kit.words import Candle, Interval
from streamer.intake import Sink
from streamer.stats import MarketStats


@dataclass
class Result:
    """As the real writer's."""

    rows: int
    bytes: int = 0
    too_late: int = 0


@dataclass
class KeepingWriter:
    """``refuse``: the error that a flush raises for now."""

    candles: dict[tuple[str, int], Candle] = field(default_factory=dict)
    written: list[list[Candle]] = field(default_factory=list)
    refuse: OSError | None = None
    _unwritten: list[Candle] = field(default_factory=list)

    @property
    def pending(self) -> int:
        return len(self._unwritten)

    def add(self, candle: Candle, event_ms: int, received_ms: int) -> bool:
        key = (candle.symbol, candle.begin_ms)
        if key in self.candles:
            return False
        self.candles[key] = candle
        self._unwritten.append(candle)
        return True

    def contradicts(self, candle: Candle) -> bool:
        return self.candles.get((candle.symbol, candle.begin_ms), candle) != candle

    def flush(self) -> Result:
        refusal = self.refuse  # once: the test changes it from another thread
        if refusal is not None:
            raise refusal
        batch = self._unwritten[:]
        self.written.append(batch)
        del self._unwritten[: len(batch)]
        return Result(len(batch))


def sink_for(writer: KeepingWriter, interval: Interval = Interval.M1, name: str = "market") -> Sink:
    """A sink into that writer that wakes nobody."""
    return Sink(name, interval, writer, lambda: None, MarketStats())
