"""Connections over real sockets against an exchange that misbehaves."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import replace

import pytest

from streamer.life import Pace
from streamer.route import Route, RouteKey
from streamer.timing import Timing
from tests.streamer.exchange_double import MINUTE, ExchangeDouble, eventually
from tests.streamer.keeping_writer import KeepingWriter, sink_for

# Quick to act, slow to judge: a busy machine is no silence. Tests of silence shorten what they are about.
QUICK = Timing(
    tick_s=0.02,
    open_within_s=60.0,
    close_within_s=0.3,
    first_frame_within_s=60.0,
    silent_after_s=60.0,
    silence_cap_s=60.0,
    answer_within_s=60.0,
    backoff_first_s=0.02,
    backoff_cap_s=0.1,
    refused_floor_s=0.05,
    healthy_life_s=0.2,
    opens_per_second=200.0,
    overlap_s=0.2,
    overlap_cap_s=60.0,
    messages_per_second=50,
    look_every_s=0.05,
)
SYMBOLS = ("AUSDT", "BUSDT", "CUSDT", "龙虾USDT")
OPEN_MS = int(time.time()) // 60 * MINUTE  # the same for a whole run: no test may see a minute pass


def begin_of(period: int) -> int:
    """The begin time of a candle so many periods ago."""
    return OPEN_MS - (period + 1) * MINUTE


@pytest.fixture
async def exchange():
    async with ExchangeDouble() as double:
        yield double


class Reader:
    """A route that reads from the double, and where its candles go."""

    def __init__(self, exchange: ExchangeDouble, timing: Timing, listeners: int) -> None:
        self.writer = KeepingWriter()
        self.sink = sink_for(self.writer)
        pace = Pace(timing.opens_per_second, timing.opens_in_five_minutes)
        self.route = Route(RouteKey(exchange.url, None, 1024), "double", timing, pace, random.Random(1))
        self.listeners = listeners

    def want(self, *symbols: str) -> None:
        self.route.want(self.sink, symbols, listeners=self.listeners)

    @property
    def stored(self) -> list[str]:
        return sorted(symbol for symbol, _ in self.writer.candles)


@contextlib.asynccontextmanager
async def reading(exchange: ExchangeDouble, *symbols: str, timing: Timing = QUICK, listeners: int = 2):
    reader = Reader(exchange, timing, listeners)
    reader.want(*symbols)
    task = asyncio.create_task(reader.route.run())
    try:
        yield reader
    finally:
        task.cancel()
        await asyncio.wait({task})


def names(*symbols: str) -> list[str]:
    return sorted(
        f"{symbol.replace('USDT', 'usdt').translate({65: 'a', 66: 'b', 67: 'c'})}@kline_1m" for symbol in symbols
    )


@contextlib.asynccontextmanager
async def chatter(exchange: ExchangeDouble, *symbols: str, every_s: float = 0.05):
    """The exchange sends open candles of the symbols all the time."""

    async def send() -> None:
        while True:
            for symbol in symbols:
                await exchange.publish(symbol, begin_of(-1), closed=False)
            await asyncio.sleep(every_s)

    task = asyncio.create_task(send())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_every_symbol_is_subscribed_once_and_its_final_stored(exchange):
    async with reading(exchange, *SYMBOLS) as reader:
        await eventually(lambda: exchange.subscribed == names(*SYMBOLS))
        assert len(exchange.open) == 2
        for symbol in SYMBOLS:
            assert await exchange.publish(symbol, begin_of(0)) == 1
            await exchange.publish(symbol, begin_of(-1), closed=False)
        await eventually(lambda: reader.stored == sorted(SYMBOLS))


async def test_a_listing_and_a_delisting_leave_the_other_streams_alone(exchange):
    async with reading(exchange, "AUSDT", "BUSDT", listeners=1) as reader, chatter(exchange, "AUSDT"):
        await eventually(lambda: exchange.subscribed == names("AUSDT", "BUSDT"))
        reader.want("AUSDT", "CUSDT")
        await eventually(lambda: exchange.subscribed == names("AUSDT", "CUSDT"))
        assert len(exchange.sessions) == 1
        assert all(names("AUSDT")[0] not in message.get("params", ()) for message in exchange.sessions[0].messages[1:])


async def test_two_markets_of_one_address_share_connections(exchange):
    async with reading(exchange, "AUSDT", listeners=1) as reader:
        other = KeepingWriter()
        reader.route.want(sink_for(other, name="other"), ["AUSDT", "BUSDT"], listeners=1)
        await eventually(lambda: exchange.subscribed == names("AUSDT", "BUSDT"))
        assert len(exchange.open) == 1
        await exchange.publish("AUSDT", begin_of(0))
        await exchange.publish("BUSDT", begin_of(0))
        await eventually(lambda: len(other.candles) == 2 and len(reader.writer.candles) == 1)


async def test_a_cut_connection_is_back_at_once_with_all_its_streams_and_the_cut_is_noted(exchange):
    async with reading(exchange, *SYMBOLS) as reader, chatter(exchange, *SYMBOLS):
        await eventually(lambda: exchange.subscribed == names(*SYMBOLS))
        await asyncio.sleep(QUICK.healthy_life_s + 0.1)
        exchange.open[0].socket.transport.abort()
        await eventually(lambda: len(exchange.sessions) == 3 and exchange.subscribed == names(*SYMBOLS))
        await eventually(lambda: len(reader.route.stats.last_disconnects) == 1)
        gap = reader.route.stats.last_disconnects[0]
        assert (gap.streams, gap.kind, reader.route.stats.lost) == (2, "lost", 1)


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1008, 1011, 1012])
async def test_whatever_the_close_code_it_comes_back(exchange, code):
    async with reading(exchange, "AUSDT", listeners=1):
        await eventually(lambda: exchange.subscribed == names("AUSDT"))
        session = exchange.open[0]
        if code == 1006:
            session.socket.transport.abort()
        else:
            await session.socket.close(code, "go")
        await eventually(lambda: len(exchange.sessions) == 2 and exchange.subscribed == names("AUSDT"))


async def test_a_connection_that_acknowledges_and_never_delivers_is_left_and_tried_ever_more_patiently(exchange):
    timing = replace(QUICK, first_frame_within_s=0.2)
    began = time.monotonic()
    async with reading(exchange, "AUSDT", listeners=1, timing=timing) as reader:
        await eventually(lambda: len(exchange.sessions) >= 4)
        assert time.monotonic() - began > 0.2 + 0.4 + 0.8
        assert {gap.kind for gap in reader.route.stats.last_disconnects} == {"silent"}


async def test_a_server_that_refuses_is_tried_until_it_accepts(exchange):
    exchange.refuse_status = 503
    async with reading(exchange, "AUSDT", listeners=1) as reader:
        await eventually(lambda: exchange.attempts >= 3)
        exchange.refuse_status = None
        await eventually(lambda: exchange.subscribed == names("AUSDT"))
        assert reader.route.stats.refused >= 3


async def test_streams_that_a_resubscription_lost_are_found_by_the_list_and_asked_for_again(exchange):
    exchange.forget = set(names("BUSDT"))
    async with reading(exchange, "AUSDT", "BUSDT", listeners=1), chatter(exchange, "AUSDT", "BUSDT"):
        await eventually(lambda: exchange.subscribed == names("AUSDT"))
        exchange.forget = set()
        await eventually(lambda: exchange.subscribed == names("AUSDT", "BUSDT"))
        assert len(exchange.sessions) == 1


async def test_an_exchange_that_answers_no_control_message_is_still_read(exchange):
    exchange.acknowledge = exchange.list_answers = False
    timing = replace(QUICK, answer_within_s=0.6)
    double = exchange, "AUSDT", "BUSDT"
    async with reading(*double, listeners=1, timing=timing) as reader, chatter(*double):
        await eventually(lambda: exchange.subscribed == names("AUSDT", "BUSDT"))
        await asyncio.sleep(1.5 * timing.answer_within_s)
        await exchange.publish("BUSDT", begin_of(0))
        await eventually(lambda: reader.stored == ["BUSDT"])
        assert len(exchange.sessions) == 1


async def test_a_stream_that_stays_silent_is_tried_on_another_connection(exchange):
    timing = replace(QUICK, stream_first_frame_within_s=0.1)
    exchange.forget = set(names("AUSDT"))
    async with reading(exchange, "AUSDT", "BUSDT", timing=timing), chatter(exchange, "BUSDT"):
        asked = lambda: {  # noqa: E731 - a name for a condition
            id(session)
            for session in exchange.sessions
            for message in session.messages
            if message["method"] == "SUBSCRIBE" and names("AUSDT")[0] in message["params"]
        }
        await eventually(lambda: len(asked()) == 2)


async def test_garbage_is_counted_and_the_connection_kept(exchange):
    garbage = ["{", "[]", "null", '"x"', '{"stream":"ausdt@kline_1m","data":{"e":"kline"}}', '{"data":7}', "é" * 100]
    async with reading(exchange, "AUSDT", listeners=1) as reader, chatter(exchange, "AUSDT"):
        await eventually(lambda: exchange.subscribed == names("AUSDT"))
        for text in garbage:
            await exchange.send(exchange.open[0], text)
        await exchange.send(exchange.open[0], '{"stream":"new@kind","data":{"e":"newKind","E":1}}')
        await exchange.publish("AUSDT", begin_of(0))
        await eventually(lambda: reader.stored == ["AUSDT"])
        assert reader.route.stats.garbage == len(garbage)
        assert dict(reader.route.stats.unknown_events) == {"newKind": 1}
        assert len(exchange.sessions) == 1


async def test_an_announced_shutdown_opens_the_replacement_at_once_and_loses_and_doubles_nothing(exchange):
    async with reading(exchange, *SYMBOLS, listeners=1) as reader, chatter(exchange, *SYMBOLS):
        await eventually(lambda: exchange.subscribed == names(*SYMBOLS))
        old = exchange.open[0]
        await exchange.send(old, '{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}')
        sent = await finals_until(exchange, lambda: reader.route.stats.rotated == 1 and len(exchange.open) == 1)
        await eventually(lambda: set(reader.writer.candles) == sent)
        assert old not in exchange.open
        assert len(exchange.sessions) == 2
        assert reader.route.stats.lost == 0
        assert reader.sink.stats.finals == len(sent)


async def test_a_rotation_overlaps_until_the_new_connection_delivers(exchange):
    timing = replace(QUICK, rotate_after_s=1.0, rotate_jitter_s=0.0)
    async with reading(exchange, *SYMBOLS, listeners=1, timing=timing) as reader:
        await eventually(lambda: exchange.subscribed == names(*SYMBOLS))
        old = exchange.open[0]
        period = 0

        async def only_old_delivers() -> None:
            nonlocal period
            for symbol in SYMBOLS:
                await exchange.publish(symbol, begin_of(period), only=old)
            period += 1
            await asyncio.sleep(0.1)

        while len(exchange.sessions) < 2:
            await only_old_delivers()
        for _ in range(6):
            await only_old_delivers()
        assert old in exchange.open  # the replacement is subscribed, silent, and not trusted
        async with chatter(exchange, *SYMBOLS):
            await eventually(lambda: old not in exchange.open)
        assert len(reader.writer.candles) == period * len(SYMBOLS)
        assert reader.route.stats.lost == 0


async def test_connections_are_opened_one_after_another_at_the_pace(exchange):
    timing = replace(QUICK, opens_per_second=5.0)
    began = time.monotonic()
    async with reading(exchange, *SYMBOLS, listeners=4, timing=timing):
        await eventually(lambda: exchange.attempts == 4)
        assert time.monotonic() - began > 0.5


async def test_a_pause_of_our_own_is_not_taken_for_silence(exchange):
    # The second look comes late enough for a frame to be read before it, and is a pause itself if it is any later.
    timing = replace(QUICK, tick_s=0.45, own_pause_s=0.5, silent_after_s=1.0)
    async with reading(exchange, "AUSDT", listeners=1, timing=timing) as reader, chatter(exchange, "AUSDT"):
        await eventually(lambda: reader.route.delivering("market") == (1, 1))
        time.sleep(1.5)  # noqa: ASYNC251 - the whole process stands still, as when it is stopped
        await asyncio.sleep(1.0)
        assert len(exchange.sessions) == 1


async def test_the_market_may_vanish_and_come_back(exchange):
    async with reading(exchange, "AUSDT") as reader:
        await eventually(lambda: exchange.subscribed == names("AUSDT"))
        reader.want()
        await eventually(lambda: exchange.open == [])
        reader.want("AUSDT", "BUSDT")
        await eventually(lambda: exchange.subscribed == names("AUSDT", "BUSDT"))


async def finals_until(exchange: ExchangeDouble, condition) -> set[tuple[str, int]]:
    """Publish the finals of earlier and earlier periods until ``condition()``; returns what was sent to anyone."""
    sent: set[tuple[str, int]] = set()
    for period in range(300):
        for symbol in SYMBOLS:
            if await exchange.publish(symbol, begin_of(period)):
                sent.add((symbol, begin_of(period)))
        if condition():
            return sent
        await asyncio.sleep(0.02)
    raise AssertionError("it never happened")


async def test_a_symbol_that_leaves_may_be_silent_and_its_last_final_is_stored(exchange):
    # A stream is stale a second after its last frame; a pause of this process is no silence, and the look after it
    # comes late enough for what waited to be read.
    timing = replace(QUICK, stream_slack_s=-59.0, silent_after_s=0.8, tick_s=0.25, own_pause_s=0.3)

    def asked() -> int:
        return sum(each["method"] == "SUBSCRIBE" for session in exchange.sessions for each in session.messages)

    async with chatter(exchange, "AUSDT"), reading(exchange, "AUSDT", "BUSDT", timing=timing) as reader:
        await eventually(lambda: exchange.subscribed == names("AUSDT", "BUSDT") and len(exchange.open) == 2)
        await exchange.publish("BUSDT", begin_of(-1), closed=False)
        reader.route.want(reader.sink, ["AUSDT"], listeners=2, leaving=["BUSDT"])
        before = exchange.attempts, asked()
        await asyncio.sleep(2 * timing.silent_after_s)
        assert (exchange.attempts, asked()) == before
        await eventually(lambda: reader.route.delivering(reader.sink.name) == (1, 1))
        await exchange.publish("BUSDT", begin_of(0))
        await eventually(lambda: reader.stored == ["BUSDT"])
        reader.want("AUSDT")
        await eventually(lambda: exchange.subscribed == names("AUSDT"))
