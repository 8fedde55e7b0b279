"""One stream of candles (:class:`Feed`) and all of them (:class:`Hub`): when is which event due, and who gets it.

State changes in the hub's methods, which return the frames to send; sockets are elsewhere.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING, Generic, TypeVar

from kit.embedded_exchange.bars import Bar, flat_bar
from kit.embedded_exchange.clock import Clock
from kit.embedded_exchange.faults.active import Faults
from kit.embedded_exchange.faults.events import Framing, silenced
from kit.embedded_exchange.faults.events import framing as spoiled_framing
from kit.embedded_exchange.faults.finals import early, planned
from kit.embedded_exchange.faults.lines import stays_dead
from kit.embedded_exchange.frames import event_writer, framed, wrapped
from kit.errors import UnknownWordError
from kit.words import Interval, Venue, parse_interval

if TYPE_CHECKING:
    from kit.embedded_exchange.instrument import Instrument
    from kit.embedded_exchange.market import Market
    from kit.embedded_exchange.settings import Settings
    from kit.embedded_exchange.tape import Tape

Client = TypeVar("Client", bound=Hashable)
Outbox = dict[Client, list[bytes]]


class Feed(Generic[Client]):
    """One kline stream with listeners. ``raw`` get the bare event, ``combined`` the one in an envelope."""

    def __init__(self, name: str, instrument: Instrument, tape: Tape, interval: Interval) -> None:
        self.name = name
        self.instrument = instrument
        self.tape = tape
        self.interval = interval
        self.begin_ms = 0  # of the candle whose events are being sent
        self.lied_ms = -1  # begin of the candle whose close was announced too early
        self.sent_trades = 0
        self.raw: dict[Client, None] = {}
        self.combined: dict[Client, None] = {}
        self._write = event_writer(instrument, interval.value, interval.ms)

    @property
    def close_ms(self) -> int:
        """The moment at which the current candle closes."""
        return self.begin_ms + self.interval.ms

    def open_event(self, now_ms: int) -> bytes | None:
        """The event of the candle so far; None where nobody traded since the last one, or the candle waits for its
        final.
        """
        if not self.begin_ms <= now_ms < self.close_ms:
            return None
        bar = self.tape.so_far(self.interval.ms, self.begin_ms, now_ms)
        if bar is None or bar.trades == self.sent_trades:
            return None
        self.sent_trades = bar.trades
        return self._write(bar, now_ms, False)

    def final_bar(self) -> Bar | None:
        """The current candle at its close; None where it has no trades, which the exchange passes over in silence."""
        bar = self.tape.so_far(self.interval.ms, self.begin_ms, self.close_ms)
        if bar is None:
            return self._after_the_end()
        return bar if bar.trades or self.tape.announces_flat(self.begin_ms) else None

    def early_event(self, now_ms: int) -> bytes | None:
        """The open candle said to be closed: a lie, which only a fault tells."""
        bar = self.tape.so_far(self.interval.ms, self.begin_ms, now_ms)
        return None if bar is None else self.closed_event(bar, now_ms)

    def closed_event(self, bar: Bar, now_ms: int) -> bytes:
        """The final event of a candle."""
        return self._write(bar, now_ms, True)

    def follow(self, instrument: Instrument, tape: Tape) -> None:
        """From now on the candles of another tape: the symbol means something else, or its past was changed."""
        self.instrument, self.tape = instrument, tape
        self._write = event_writer(instrument, self.interval.value, self.interval.ms)

    def _after_the_end(self) -> Bar | None:
        """A delisted contract goes on closing flat candles on a stream that is still subscribed (python-
        binance#1539).
        """
        end_ms = self.tape.end_ms
        if self.instrument.venue is Venue.SPOT or end_ms is None or self.begin_ms < end_ms:
            return None
        last_ms = (end_ms - 1) // self.interval.ms * self.interval.ms
        last = self.tape.so_far(self.interval.ms, last_ms, end_ms)
        return None if last is None else flat_bar(self.begin_ms, last.close)

    def envelope(self, event: bytes, framing: Framing = framed) -> tuple[bytes, bytes]:
        """The frames for raw and for combined listeners; empty where there are none."""
        raw = framing(event) if self.raw else b""
        return raw, framing(wrapped(self.name, event)) if self.combined else b""


class Wheel(Generic[Client]):
    """Feeds spread evenly over the push period, so that updates trickle and do not come in one lump."""

    def __init__(self, period_ms: int, step_ms: int) -> None:
        self._slots: list[dict[Feed[Client], None]] = [{} for _ in range(max(1, period_ms // step_ms))]
        self._place = 0

    def add(self, feed: Feed[Client]) -> None:
        """Into the emptiest slot."""
        min(self._slots, key=len)[feed] = None

    def remove(self, feed: Feed[Client]) -> None:
        """Out of whichever slot it is in."""
        for slot in self._slots:
            slot.pop(feed, None)

    def turn(self, steps: int) -> Iterable[Feed[Client]]:
        """The feeds whose turn came in this many steps; each at most once."""
        for _ in range(min(steps, len(self._slots))):
            self._place = (self._place + 1) % len(self._slots)
            yield from self._slots[self._place]


class Hub(Generic[Client]):
    """All feeds of one port. A stream name without a feed (unknown, or not listed yet) waits in ``_dormant``."""

    STEP_MS = 10
    PORTION = 50

    def __init__(
        self,
        market: Market,
        settings: Settings,
        delivers: Callable[[Client, Venue], bool],
        *,
        spot: bool,
        faults: Faults | None = None,
    ) -> None:
        self._faults = Faults(Clock(), settings.seed) if faults is None else faults
        self._delivers = delivers
        self._market = market
        self._settings = settings
        self._spot = spot
        self._feeds: dict[str, Feed[Client]] = {}
        self._dormant: defaultdict[str, dict[Client, bool]] = defaultdict(dict)
        self._wheels: dict[int, Wheel[Client]] = {}
        self._finals: list[tuple[int, int, Feed[Client], int]] = []
        self._held_back: list[tuple[int, int, str, Bar]] = []  # finals that a fault delays
        self._count = 0

    def subscribe(self, client: Client, name: str, now_ms: int, *, combined: bool) -> None:
        """From now on that client gets that stream, as soon as it exists, if its route has it."""
        found = self._resolve(name)
        if found is None:
            self._dormant[name][client] = combined
        elif self._delivers(client, found[0].venue) and not self._stays_dead(found[0], name):
            feed = self._feeds.get(name) or self._new_feed(name, *found, now_ms)
            (feed.combined if combined else feed.raw)[client] = None

    def _stays_dead(self, instrument: Instrument, name: str) -> bool:
        return bool(self._faults) and stays_dead(self._faults, instrument.venue, instrument.symbol, name)

    def unsubscribe(self, client: Client, name: str) -> None:
        """That client no longer gets that stream."""
        if name in self._dormant:
            self._dormant[name].pop(client, None)
            if not self._dormant[name]:
                del self._dormant[name]
        feed = self._feeds.get(name)
        if feed is None:
            return
        feed.raw.pop(client, None)
        feed.combined.pop(client, None)
        if not feed.raw and not feed.combined:
            del self._feeds[name]
            self._wheel(feed).remove(feed)

    def wake(self, now_ms: int) -> None:
        """After a listing: streams that were waiting for their symbol begin."""
        for name in list(self._dormant):
            if self._resolve(name) is not None:
                for client, combined in self._dormant.pop(name).items():
                    self.subscribe(client, name, now_ms, combined=combined)

    def renew(self, now_ms: int) -> None:
        """After a change of the market or of the clock: feeds follow their symbol's tape, and begin with the candle
        that is open now if theirs lies in the future.
        """
        for feed in self._feeds.values():
            found = self._resolve(feed.name)
            if found is not None:
                feed.follow(found[0], self._market.tape(found[0]))
            if feed.begin_ms > now_ms:
                self._enter(feed, now_ms - now_ms % feed.interval.ms)

    def finals_due(self, now_ms: int) -> bool:
        """Some candle's final event should be on its way."""
        return any(queue and queue[0][0] <= now_ms for queue in (self._finals, self._held_back))

    def finals(self, now_ms: int) -> Outbox[Client]:
        """A portion of the final events that are due. In portions, so that ``E`` is their true time even in a burst."""
        outbox: Outbox[Client] = {}
        for _ in range(self.PORTION):
            if not (self._finals and self._finals[0][0] <= now_ms):
                break
            _, _, feed, begin_ms = heapq.heappop(self._finals)
            if self._feeds.get(feed.name) is feed and feed.begin_ms == begin_ms:
                self._post_final(outbox, feed, now_ms)
                self._enter(feed, feed.close_ms)
        while self._held_back and self._held_back[0][0] <= now_ms:
            _, _, name, bar = heapq.heappop(self._held_back)
            if name in self._feeds:
                self._post(outbox, self._feeds[name], self._feeds[name].closed_event(bar, now_ms))
        return outbox

    def _post_final(self, outbox: Outbox[Client], feed: Feed[Client], now_ms: int) -> None:
        bar = feed.final_bar()
        if bar is None:
            return
        if not self._faults:
            self._post(outbox, feed, feed.closed_event(bar, now_ms))
            return
        for sending in planned(self._faults, feed.instrument, bar):
            if sending.delay_ms:
                self._count += 1
                entry = (now_ms + sending.delay_ms, self._count, feed.name, sending.bar)
                heapq.heappush(self._held_back, entry)
            else:
                self._post(outbox, feed, feed.closed_event(sending.bar, now_ms))

    def updates(self, steps: int, now_ms: int) -> Outbox[Client]:
        """The open candles' events whose turn came in ``steps`` times :attr:`STEP_MS` of real time."""
        outbox: Outbox[Client] = {}
        for wheel in self._wheels.values():
            for feed in wheel.turn(steps):
                self._post(outbox, feed, feed.open_event(now_ms))
        if self._faults:
            self._post_lies(outbox, now_ms)
        return outbox

    def _post_lies(self, outbox: Outbox[Client], now_ms: int) -> None:
        if not self._faults.named("finals_early"):
            return
        for feed in self._feeds.values():
            left_ms = feed.close_ms - now_ms
            if feed.lied_ms == feed.begin_ms or not 0 < left_ms <= feed.interval.ms:
                continue
            if early(self._faults, feed.instrument, feed.begin_ms, left_ms):
                feed.lied_ms = feed.begin_ms
                self._post(outbox, feed, feed.early_event(now_ms))

    def _post(self, outbox: Outbox[Client], feed: Feed[Client], event: bytes | None) -> None:
        if event is None:
            return
        framing: Framing = framed
        if self._faults:
            if silenced(self._faults, feed.instrument, feed.name):
                return
            framing = spoiled_framing(self._faults, feed.instrument)
        raw, combined = feed.envelope(event, framing)
        for client in feed.raw:
            outbox.setdefault(client, []).append(raw)
        for client in feed.combined:
            outbox.setdefault(client, []).append(combined)

    def _new_feed(self, name: str, instrument: Instrument, interval: Interval, now_ms: int) -> Feed[Client]:
        feed: Feed[Client] = Feed(name, instrument, self._market.tape(instrument), interval)
        self._feeds[name] = feed
        self._wheel(feed).add(feed)
        begin_ms = now_ms - now_ms % interval.ms
        # Whoever subscribes just after a close still gets the final that is under way.
        early_ms = begin_ms - interval.ms
        self._enter(feed, early_ms if begin_ms + self._delay_ms(feed, early_ms) > now_ms else begin_ms)
        return feed

    def _resolve(self, name: str) -> tuple[Instrument, Interval] | None:
        symbol, separator, interval_text = name.partition("@kline_")
        instrument = self._market.by_stream_name(symbol, spot=self._spot)
        if not separator or instrument is None or not instrument.has_klines:
            return None
        try:
            interval = parse_interval(interval_text)
        except UnknownWordError:
            return None
        short = interval.ms < self._market.tape(instrument).base_ms or (interval is Interval.S1 and not self._spot)
        return None if short else (instrument, interval)

    def _enter(self, feed: Feed[Client], begin_ms: int) -> None:
        feed.begin_ms, feed.sent_trades = begin_ms, 0
        self._count += 1
        due_ms = feed.close_ms + self._delay_ms(feed, begin_ms)
        heapq.heappush(self._finals, (due_ms, self._count, feed, begin_ms))

    def _delay_ms(self, feed: Feed[Client], begin_ms: int) -> int:
        illiquid = feed.instrument.illiquid
        return self._settings.finals.delay_ms(self._settings.seed, feed.instrument.symbol, begin_ms, illiquid=illiquid)

    def _wheel(self, feed: Feed[Client]) -> Wheel[Client]:
        period_ms = self._settings.update_ms_of(feed.instrument.venue)
        if feed.interval is Interval.S1:
            period_ms = min(period_ms, 4 * self._settings.update_ms)  # 1000 ms for 1s candles, 2000 for others
        if period_ms not in self._wheels:
            self._wheels[period_ms] = Wheel(period_ms, self.STEP_MS)
        return self._wheels[period_ms]
