"""From a closed kline off the wire to the market's buffer: checked, counted, handed over. Never waits.

What comes from the wire is not believed: the symbol and interval must be what that connection carries, the open time
must be one of the interval's, and the candle must have closed by the exchange's clock, which itself must be sane.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import structlog

from streamer.stats import Hushed, MarketStats

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from kit.dialect.klines import ClosedKline
    from kit.words import Candle, Interval
    from streamer.timing import Timing

EARLY_MS = 2000  # a final cannot be sent before its close; the exchange's own machines may differ by this much
CLOCK_SLACK_MS = 10_000  # an event stamp this far ahead of the exchange's clock is garbage: it would seal good periods
CLOCK_SAMPLES = 101  # finals of the last seconds; their median survives a few wrong ones
CLOCK_SAMPLES_NEEDED = 5

logger = structlog.stdlib.get_logger(__name__)


class Writer(Protocol):
    """What is needed of ``kit.buffer.slices.SliceWriter`` here."""

    @property
    def pending(self) -> int: ...

    def add(self, candle: Candle, event_ms: int, received_ms: int) -> bool: ...


@dataclass(frozen=True)
class Sink:
    """Where the candles of one market go. ``wake`` tells its flusher that something is pending."""

    name: str
    interval: Interval
    writer: Writer
    wake: Callable[[], None]
    stats: MarketStats


class ExchangeClock:
    """Whether an event's stamp can be the exchange's time. Ours may be slow, so the finals' own stamps are asked."""

    def __init__(self) -> None:
        self._ahead_ms: deque[int] = deque(maxlen=CLOCK_SAMPLES)

    def plausible(self, event_ms: int, received_ms: int) -> bool:
        """False for a stamp far ahead of our clock, unless most of the last finals say that our clock is slow."""
        ahead_ms = event_ms - received_ms
        self._ahead_ms.append(ahead_ms)
        if ahead_ms <= CLOCK_SLACK_MS:
            return True
        enough = len(self._ahead_ms) >= CLOCK_SAMPLES_NEEDED
        return enough and ahead_ms <= statistics.median(self._ahead_ms) + CLOCK_SLACK_MS


@dataclass(frozen=True)
class _Target:
    stream: str
    sinks: tuple[Sink, ...]


class Intake:
    """The way in of one route: knows which market a symbol's candles of an interval go to."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._targets: dict[tuple[str, str], _Target] = {}
        self._clock = ExchangeClock()
        self._hushed = Hushed(per_minute=5)

    def direct(self, targets: dict[tuple[str, str], tuple[str, list[Sink]]]) -> None:
        """Set where candles go: (symbol, interval) -> (stream, sinks)."""
        self._targets = {key: _Target(stream, tuple(sinks)) for key, (stream, sinks) in targets.items()}

    def closed(self, kline: ClosedKline, stream: str | None, carried: Collection[str]) -> bool:
        """Take a closed kline that came under the name ``stream`` on a connection that carries ``carried``.

        False: no market wants it.
        """
        received_ms = time.time_ns() // 1_000_000
        target = self._targets.get((kline.candle.symbol, kline.interval))
        if target is None:
            self._log("frame.unknown", symbol=kline.candle.symbol, interval=kline.interval, stream=stream)
            return False
        problem = self._problem(kline, target, stream, carried, received_ms)
        for sink in target.sinks:
            if problem is None:
                self._store(sink, kline, received_ms)
            else:
                sink.stats.refused[problem] += 1
        if problem is not None:
            candle = kline.candle
            self._log(
                "candle.refused",
                reason=problem,
                symbol=candle.symbol,
                begin_ms=candle.begin_ms,
                event_ms=kline.event_ms,
            )
        return True

    def _problem(
        self, kline: ClosedKline, target: _Target, stream: str | None, carried: Collection[str], received_ms: int
    ) -> str | None:
        interval_ms = target.sinks[0].interval.ms
        if target.stream not in carried or stream not in (None, target.stream):
            return "not_subscribed"
        if kline.candle.begin_ms % interval_ms:
            return "misaligned"
        if not self._clock.plausible(kline.event_ms, received_ms):
            return "implausible_clock"
        if kline.candle.begin_ms + interval_ms > kline.event_ms + EARLY_MS:
            return "in_the_future"
        return None

    def _store(self, sink: Sink, kline: ClosedKline, received_ms: int) -> None:
        stats = sink.stats
        if sink.writer.pending >= self._timing.max_pending:
            stats.dropped += 1
            self._log("candle.dropped", market=sink.name, symbol=kline.candle.symbol, pending=self._timing.max_pending)
            return
        if not sink.writer.add(kline.candle, kline.event_ms, received_ms):
            stats.duplicates += 1
            return
        run_ms = kline.candle.begin_ms + sink.interval.ms
        stats.final(run_ms, kline.event_ms, received_ms)
        sink.wake()
        if received_ms - run_ms > self._timing.late_after_s * 1000:
            stats.late += 1
            self._log("candle.late", market=sink.name, symbol=kline.candle.symbol, late_ms=received_ms - run_ms)

    def _log(self, event: str, **fields: object) -> None:
        if self._hushed.allows(event, time.monotonic()):
            logger.warning(event, **fields)
