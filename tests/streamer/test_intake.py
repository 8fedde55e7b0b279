"""What comes from the wire is checked before it is stored."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from kit.dialect.klines import ClosedKline
from kit.words import Candle, Interval
from streamer.intake import Intake
from streamer.timing import Timing
from tests.streamer.keeping_writer import KeepingWriter, sink_for

MINUTE = 60_000
STREAM = "btcusdt@kline_1m"


def newest_begin_ms() -> int:
    now = int(time.time() * 1000)
    return now - now % MINUTE - MINUTE


def kline(symbol="BTCUSDT", begin_ms=None, interval="1m", event_ms=None) -> ClosedKline:
    begin_ms = newest_begin_ms() if begin_ms is None else begin_ms
    event_ms = int(time.time() * 1000) if event_ms is None else event_ms
    return ClosedKline(Candle(symbol, begin_ms, 1.0, 2.0, 0.5, 1.5, 10.0, 15.0, 2, 5.0, 7.5), interval, event_ms)


@pytest.fixture
def writer() -> KeepingWriter:
    return KeepingWriter()


@pytest.fixture
def sink(writer):
    return sink_for(writer)


@pytest.fixture
def intake(sink) -> Intake:
    way_in = Intake(Timing(max_pending=3))
    way_in.direct({("BTCUSDT", "1m"): (STREAM, [sink])})
    way_in.hear(int(time.time() * 1000))  # an open candle's frame came before
    return way_in


def test_a_sound_candle_is_stored_and_counted(intake, sink, writer):
    sound = kline()
    intake.closed(sound, STREAM, {STREAM})
    begin_ms = sound.candle.begin_ms
    assert list(writer.candles) == [("BTCUSDT", begin_ms)]
    assert (sink.stats.finals, sink.stats.last_run_ms, sum(sink.stats.lateness)) == (1, begin_ms + MINUTE, 1)


def test_the_same_candle_twice_is_stored_once(intake, sink, writer):
    again = kline()
    intake.closed(again, STREAM, {STREAM})
    intake.closed(again, STREAM, {STREAM})
    assert (len(writer.candles), sink.stats.finals, sink.stats.duplicates) == (1, 1, 1)


def test_a_second_different_final_is_not_stored_and_told_to_the_flow(intake, sink, writer):
    first = kline()
    intake.closed(first, STREAM, {STREAM})
    intake.closed(first, STREAM, {STREAM})
    assert not sink.stats.contradicted
    other = replace(first, candle=first.candle._replace(close=1.25))
    intake.closed(other, STREAM, {STREAM})
    ((symbol, begin_ms, seen_ms),) = sink.stats.contradicted
    assert (symbol, begin_ms) == ("BTCUSDT", first.candle.begin_ms)
    assert seen_ms >= first.candle.begin_ms + MINUTE
    assert list(writer.candles.values()) == [first.candle]


def test_one_stream_feeds_every_market_that_wants_it(intake, sink, writer):
    other = KeepingWriter()
    intake.direct({("BTCUSDT", "1m"): (STREAM, [sink, sink_for(other, name="other")])})
    intake.closed(kline(), STREAM, {STREAM})
    assert writer.candles == other.candles
    assert len(writer.candles) == 1


@pytest.mark.parametrize(
    ("change", "carried", "reason"),
    [
        ({}, {"ethusdt@kline_1m"}, "not_subscribed"),
        ({"begin_ms": newest_begin_ms() + 1}, {STREAM}, "misaligned"),
        ({"begin_ms": newest_begin_ms() + 1000 * MINUTE}, {STREAM}, "in_the_future"),
        ({"event_ms": 0}, {STREAM}, "in_the_future"),
        ({"event_ms": int(time.time() * 1000) + 86_400_000}, {STREAM}, "implausible_clock"),
    ],
)
def test_a_candle_that_cannot_be_right_is_counted_and_not_stored(intake, sink, change, carried, reason):
    intake.closed(kline(**change), STREAM, carried)
    assert sink.writer.candles == {}
    assert dict(sink.stats.refused) == {reason: 1}


def test_a_candle_under_another_streams_name_is_not_stored(intake, sink, writer):
    intake.closed(kline(), "ethusdt@kline_1m", {STREAM, "ethusdt@kline_1m"})
    assert writer.candles == {}
    assert dict(sink.stats.refused) == {"not_subscribed": 1}


@pytest.mark.parametrize("change", [{"symbol": "NOSUCHUSDT"}, {"interval": "5m"}, {"interval": "nonsense"}])
def test_a_candle_that_no_market_wants_is_not_stored(intake, writer, change):
    intake.closed(kline(**change), STREAM, {STREAM})
    assert writer.candles == {}


def test_while_the_disk_refuses_only_so_many_candles_are_kept(intake, sink, writer):
    newest_ms = newest_begin_ms()
    for period in range(5):
        intake.closed(kline(begin_ms=newest_ms - period * MINUTE), STREAM, {STREAM})
    assert (writer.pending, sink.stats.dropped) == (3, 2)


def test_a_late_candle_is_stored_and_counted_late(intake, sink, writer):
    intake.closed(kline(begin_ms=newest_begin_ms() - MINUTE), STREAM, {STREAM})
    assert (len(writer.candles), sink.stats.late) == (1, 1)


def test_a_second_candle_is_stored_by_a_one_second_market():
    writer = KeepingWriter()
    intake = Intake(Timing())
    intake.direct({("BTCUSDT", "1s"): ("btcusdt@kline_1s", [sink_for(writer, Interval.S1)])})
    begin_ms = int(time.time()) * 1000 - 1000
    intake.closed(kline(begin_ms=begin_ms, interval="1s"), "btcusdt@kline_1s", {"btcusdt@kline_1s"})
    assert list(writer.candles) == [("BTCUSDT", begin_ms)]


def test_a_first_final_that_the_local_clock_contradicts_waits_until_more_frames_say_which_is_right(sink, writer):
    intake = Intake(Timing())
    intake.direct({("BTCUSDT", "1m"): (STREAM, [sink])})
    hour = 60 * MINUTE  # the local clock is an hour behind
    begin_ms = newest_begin_ms() + hour
    assert intake.closed(kline(begin_ms=begin_ms, event_ms=begin_ms + MINUTE + 300), STREAM, {STREAM})
    assert writer.candles == {}
    for place in range(10):
        intake.hear(begin_ms + MINUTE + 310 + place)
    assert list(writer.candles) == [("BTCUSDT", begin_ms)]
    assert sink.stats.refused == {}


def test_a_first_final_from_the_future_is_refused_once_more_frames_have_come(intake, sink, writer):
    intake = Intake(Timing())
    intake.direct({("BTCUSDT", "1m"): (STREAM, [sink])})
    begin_ms = newest_begin_ms() + 1440 * MINUTE
    intake.closed(kline(begin_ms=begin_ms, event_ms=begin_ms + MINUTE + 300), STREAM, {STREAM})
    intake.hear(int(time.time() * 1000))
    assert writer.candles == {}
    assert dict(sink.stats.refused) == {"implausible_clock": 1}
