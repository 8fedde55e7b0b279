"""Whatever happens to connections, in any order, on a virtual clock, with the real route, slots and slice writer."""

from __future__ import annotations

import random
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import polars as pl
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kit.buffer.read import read_candles
from kit.buffer.slices import SliceWriter
from kit.dialect.klines import stream_name
from kit.words import Interval
from streamer.intake import Sink
from streamer.life import Pace
from streamer.route import Route, RouteKey
from streamer.stats import MarketStats
from streamer.timing import Timing
from tests.builders import folder_in
from tests.models.stream_exchange import StreamExchange
from tests.models.virtual_time import VirtualLoop

# Rotation after minutes and not hours, looks each second: a day of the real numbers would only take longer to play.
TIMING = Timing(tick_s=1.0, own_pause_s=4.0, rotate_after_s=400.0, rotate_jitter_s=100.0, list_every_s=120.0)
TIMED_MODULES = (
    "streamer.connection",
    "streamer.slot",
    "streamer.route",
    "streamer.intake",
    "kit.buffer.slices",
    "kit.exchange_clock",
)
SYMBOLS = ("AUSDT", "BUSDT", "CUSDT", "龙虾USDT", "EUSDT", "FUSDT")
MANNERS = ("sound", "sound", "mute", "unanswering", "forgets", "refusing", "403", "429", "503", "hang")
PATIENCE_S = TIMING.backoff_cap_s + TIMING.open_within_s + 2 * TIMING.tick_s + 2.0  # without a try to open
SILENCE_S = TIMING.silence_cap_s + 5.0
CALM_S = 3000.0  # the longest silence that is waited for, remedies for a stream, its moves, an unanswered list


class ConnectionMachine(RuleBasedStateMachine):
    """``sent`` are the finals that left the exchange on any open socket: exactly these must be readable, once each."""

    @initialize(listeners=st.integers(1, 4), seed=st.integers(0, 9), symbols=st.sets(st.sampled_from(SYMBOLS)))
    def begin(self, listeners: int, seed: int, symbols: set[str]) -> None:
        self.loop = VirtualLoop()
        self.exchange = StreamExchange(self.loop)
        self.path = Path(tempfile.mkdtemp(prefix="life-"))
        self.stack = ExitStack()
        for module in TIMED_MODULES:
            self.stack.enter_context(mock.patch(f"{module}.time", self.exchange.time))
        self.stack.enter_context(mock.patch("streamer.connection.open_socket", self.exchange.open))
        self.stack.enter_context(mock.patch("os.fsync"))
        self.folder = folder_in(self.path)
        self.writer = SliceWriter(self.folder)
        self.sink = Sink("model", Interval.M1, self.writer, lambda: None, MarketStats())
        pace = Pace(TIMING.opens_per_second, TIMING.opens_in_five_minutes)
        self.route = Route(RouteKey("ws://model", None, 1024), "model", TIMING, pace, random.Random(seed))
        self.listeners = listeners
        self.sent: set[tuple[str, int]] = set()
        self.due: set[tuple[str, int]] = set()
        self.tried_at = self.hung_until = self.loop.seconds
        self.market_changes(symbols)
        self.running = self.loop.create_task(self.route.run())
        self.passes(1)

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            self.exchange_behaves_until_all_is_well()
        finally:
            self.loop.end()
            self.stack.close()
            shutil.rmtree(self.path)

    # What happens.

    @rule(symbols=st.sets(st.sampled_from(SYMBOLS)))
    def market_changes(self, symbols: set[str]) -> None:
        # Sockets that lose all their streams are closed: that is no hole.
        self.exchange.abandoned.clear()
        self.wanted = {stream_name(symbol, Interval.M1) for symbol in symbols}
        self.route.want(self.sink, symbols, listeners=self.listeners)
        self.loop.after(1.5)
        self.exchange.abandoned.clear()

    @rule(seconds=st.sampled_from([1, 3, 7, 25, 60, 200]), chatter=st.sampled_from([True, True, True, False]))
    def passes(self, seconds: int, chatter: bool = True) -> None:
        for _ in range(seconds):
            if chatter:
                self.exchange.chatter()
            minute = self.exchange.time.time_ns() // 60_000_000_000
            self.loop.after(1.0)
            if self.exchange.time.time_ns() // 60_000_000_000 != minute:
                self.period_closes()
            self.look()

    def period_closes(self) -> None:
        for _ in range(2):  # the exchange may send a final twice
            sent = self.exchange.finals()
            self.sent |= sent
            self.due |= {final for final in sent if final[0] in self.wanted}
            self.loop.after(0.1)
        self.writer.flush()

    @rule(manner=st.sampled_from(MANNERS))
    def sessions_to_come_are(self, manner: str) -> None:
        self.exchange.manner = manner

    @rule(data=st.data())
    def one_is_cut(self, data: st.DataObject) -> None:
        if self.exchange.live:
            data.draw(st.sampled_from(self.exchange.live)).cut()

    @rule()
    def all_are_cut(self) -> None:
        for session in self.exchange.live:
            session.cut()

    @rule(data=st.data(), manner=st.sampled_from(("mute", "unanswering", "forgets", "refusing")), on=st.booleans())
    def one_changes_its_manner(self, data: st.DataObject, manner: str, on: bool) -> None:
        if self.exchange.live:
            setattr(data.draw(st.sampled_from(self.exchange.live)), manner, on)

    @rule(data=st.data())
    def one_announces_its_end(self, data: st.DataObject) -> None:
        if self.exchange.live:
            session = data.draw(st.sampled_from(self.exchange.live))
            session.push('{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}')

    @rule(symbols=st.sets(st.sampled_from(SYMBOLS), max_size=2))
    def nobody_trades(self, symbols: set[str]) -> None:
        self.exchange.silent_streams = {stream_name(symbol, Interval.M1) for symbol in symbols}

    @rule(data=st.data())
    def one_forgets_streams_it_had(self, data: st.DataObject) -> None:
        if self.exchange.live:
            session = data.draw(st.sampled_from(self.exchange.live))
            session.subscribed -= set(sorted(session.subscribed)[::2])

    @rule()
    def a_machine_hangs_for_a_while(self) -> None:
        """This process stands still, as when it is stopped; frames wait in its sockets."""
        self.exchange.chatter()
        self.loop.seconds += 30.0
        self.exchange.chatter()
        self.tried_at = self.hung_until = self.loop.seconds

    # What must hold.

    def look(self) -> None:
        assert not self.running.done(), self.running.exception()
        now = self.loop.seconds
        self.tried_at = max([self.tried_at, *self.exchange.attempts])
        if self.exchange.live or self.exchange.opening or not self.wanted:
            self.tried_at = now
        assert now - self.tried_at <= PATIENCE_S, "nothing is open and nobody tries"
        for session in self.exchange.live:
            # A process that stood still gives no verdict on what came, or did not come, meanwhile.
            frame_at = max([session.opened_at, self.hung_until, *session.last_frame.values()])
            assert now - frame_at <= SILENCE_S, "a silent connection is kept"
        slots = [slot for slot, _ in self.route._slots.values()]
        assert {stream for slot in slots for stream in slot._streams} == self.wanted
        assert all(slot._current is not None or slot._next_try - now <= TIMING.backoff_cap_s for slot in slots)

    @invariant()
    def no_connection_was_left_before_another_delivered(self) -> None:
        assert not getattr(self, "exchange", mock.Mock(abandoned=[])).abandoned

    def exchange_behaves_until_all_is_well(self) -> None:
        """Connections that are ill stay so: they have to be left, or their streams moved."""
        self.exchange.manner, self.exchange.silent_streams = "sound", set()
        self.passes(150)  # what delivered until just now still counts as delivering
        until = self.loop.seconds + CALM_S
        while self.loop.seconds < until and not self.all_is_well():
            self.passes(5)
        assert self.all_is_well(), (self.wanted, [session.subscribed for session in self.exchange.live])
        self.writer.flush()
        frame = read_candles(self.folder, text=True)
        begin_ms = frame["candle_begin_time"].dt.epoch("ms")
        symbols = frame["symbol"].cast(pl.String)
        stored = [(stream_name(symbol, Interval.M1), begin) for symbol, begin in zip(symbols, begin_ms, strict=True)]
        assert len(stored) == len(set(stored)), "two deliveries made two rows"
        assert set(stored) <= self.sent, "a candle that nobody sent"
        lost = sorted(self.due - set(stored), key=lambda final: final[1])
        assert not lost, f"candles that were sent and wanted are not stored: {lost}; {self.sink.stats}"

    def all_is_well(self) -> bool:
        subscribed = [stream for session in self.exchange.live for stream in session.subscribed]
        return sorted(subscribed) == sorted(self.wanted) and self.route.delivering("model") == (len(self.wanted),) * 2
