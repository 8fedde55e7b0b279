"""From a closed kline off the wire to the market's buffer: checked, counted, handed over. Never waits.

What comes from the wire is not believed: the symbol and interval must be what that connection carries, the open time
must be one of the interval's, and the candle must have closed by the exchange's clock, which itself must be sane.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import structlog

from kit.exchange_clock import Local, read_local
from streamer.stamps import StampClock
from streamer.stats import Contradicted, Hushed, MarketStats

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from kit.dialect.klines import ClosedKline
    from kit.words import Candle, Interval
    from streamer.timing import Timing

MAX_HELD = 10_000
"""Finals that wait for a verdict: the first ones of a streamer whose wall clock contradicts them, until a few more
frames have said which of the two is right."""

REFUSALS = ("not_subscribed", "misaligned", "implausible_clock", "in_the_future")
"""Why a closed kline cannot be right."""

logger = structlog.stdlib.get_logger(__name__)


class Writer(Protocol):
    """What is needed of ``kit.buffer.slices.SliceWriter`` here."""

    @property
    def pending(self) -> int: ...

    def add(self, candle: Candle, event_ms: int, received_ms: int) -> bool: ...

    def contradicts(self, candle: Candle) -> bool: ...


@dataclass(frozen=True)
class Sink:
    """Where the candles of one market go. ``wake`` tells its flusher that something is pending."""

    name: str
    interval: Interval
    writer: Writer
    wake: Callable[[], None]
    stats: MarketStats


@dataclass(frozen=True)
class _Target:
    stream: str
    sinks: tuple[Sink, ...]


class Intake:
    """The way in of one route: knows which market a symbol's candles of an interval go to."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._targets: dict[tuple[str, str], _Target] = {}
        self._markets: dict[str, tuple[MarketStats, ...]] = {}
        self.clock = StampClock()
        self._held: deque[tuple[ClosedKline, str | None, Collection[str]]] = deque(maxlen=MAX_HELD)
        self._hushed = Hushed(per_minute=5)

    def direct(self, targets: dict[tuple[str, str], tuple[str, list[Sink]]]) -> None:
        """Set where candles go: (symbol, interval) -> (stream, sinks)."""
        self._targets = {key: _Target(stream, tuple(sinks)) for key, (stream, sinks) in targets.items()}
        self._markets = {stream: tuple(sink.stats for sink in sinks) for stream, sinks in targets.values()}

    def frame(self, stream: str) -> None:
        """Count a frame, open or closed, for the markets that its stream is for."""
        for stats in self._markets.get(stream, ()):
            stats.frames += 1

    def closed(self, kline: ClosedKline, stream: str | None, carried: Collection[str]) -> bool:
        """Take a closed kline that came under the name ``stream`` on a connection that carries ``carried``.

        False: no market wants it.
        """
        local = read_local()
        plausible = self._heard(kline.event_ms, local)
        if not plausible and not self.clock.known:
            self._held.append((kline, stream, carried))
            return True
        target = self._targets.get((kline.candle.symbol, kline.interval))
        if target is None:
            self._log("frame.unknown", symbol=kline.candle.symbol, interval=kline.interval, stream=stream)
            return False
        problem = self._problem(kline, target, stream, carried, plausible=plausible)
        for sink in target.sinks:
            if problem is None:
                self._store(sink, kline, self.clock.received_ms(local))
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

    def hear(self, stamp_ms: int) -> int | None:
        """Learn the exchange's clock from the stamp of any frame; its offset (``StampClock.offset_ms``)."""
        local = read_local()
        self._heard(stamp_ms, local)
        return self.clock.offset_ms(local)

    def _heard(self, stamp_ms: int, local: Local) -> bool:
        plausible = self.clock.hear(stamp_ms, local)
        if self.clock.turned(local):
            tell = logger.warning if self.clock.off else logger.info
            tell("clock.off" if self.clock.off else "clock.right_again", offset_ms=self.clock.offset_ms(local))
        if self._held and self.clock.known:
            held, self._held = self._held, deque(maxlen=MAX_HELD)
            for each in held:
                self.closed(*each)
        return plausible

    def _problem(
        self, kline: ClosedKline, target: _Target, stream: str | None, carried: Collection[str], *, plausible: bool
    ) -> str | None:
        interval_ms = target.sinks[0].interval.ms
        if target.stream not in carried or stream not in (None, target.stream):
            return "not_subscribed"
        if kline.candle.begin_ms % interval_ms:
            return "misaligned"
        if not plausible:
            return "implausible_clock"
        if kline.candle.begin_ms + interval_ms > kline.event_ms:
            return "in_the_future"  # by the frame's own stamp: recorded finals come 0.2 s after their close, or later
        return None

    def _store(self, sink: Sink, kline: ClosedKline, received_ms: int) -> None:
        stats = sink.stats
        if sink.writer.pending >= self._timing.max_pending:
            stats.dropped += 1
            self._log("candle.dropped", market=sink.name, symbol=kline.candle.symbol, pending=self._timing.max_pending)
            return
        if not sink.writer.add(kline.candle, kline.event_ms, received_ms):
            stats.duplicates += 1
            if sink.writer.contradicts(kline.candle):
                # Which of the two is right, REST must say: the flow reads this in the heartbeat, and asks.
                stats.contradicted.append(Contradicted(kline.candle.symbol, kline.candle.begin_ms, received_ms))
                self._log("candle.contradicted", symbol=kline.candle.symbol, begin_ms=kline.candle.begin_ms)
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
