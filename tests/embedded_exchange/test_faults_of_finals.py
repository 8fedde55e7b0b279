"""Faults of final events, each alone, seen by a plain client."""

import asyncio
import json

import pytest

from kit.embedded_exchange import Fault
from tests.embedded_exchange.stage import BTC, PATIENCE_S, SECOND, HeldClock, as_row, event, next_final, on_stage

ETH = "ethusdt@kline_1s"


@pytest.fixture
async def stage():
    async with on_stage(clock=HeldClock()) as running:
        yield running


@pytest.fixture
async def running_stage():
    async with on_stage() as running:
        yield running


async def subscribed(stage, *streams):
    """A socket that has had an event of each stream, so that its finals will come."""
    socket = await stage.socket(*streams)
    for _ in streams:
        await event(socket)
    return socket


async def test_without_faults_the_socket_tells_the_truth(stage):
    socket = await subscribed(stage, BTC)
    begin_ms = stage.begin_ms
    stage.advance(SECOND)
    told = await next_final(socket)
    assert [as_row(told)] == await stage.truth(begin_ms, begin_ms)
    assert told["E"] >= begin_ms + SECOND


async def test_a_dropped_final_never_comes_and_rest_has_it(stage):
    dropped = await stage.fault("finals_dropped", symbols=["BTCUSDT"], times=1)
    socket = await subscribed(stage, BTC, ETH)
    begin_ms = stage.begin_ms
    stage.advance(2 * SECOND)
    finals = [await next_final(socket) for _ in range(3)]
    assert sorted((one["s"], one["k"]["t"]) for one in finals) == [
        ("BTCUSDT", begin_ms + SECOND),
        ("ETHUSDT", begin_ms),
        ("ETHUSDT", begin_ms + SECOND),
    ]
    assert await stage.hits(dropped) == 1
    (row,) = await stage.klines(startTime=begin_ms, limit=1)
    assert [[*row[:6], *row[7:11]]] == await stage.truth(begin_ms, begin_ms)


def test_a_share_of_the_candles_is_the_same_share_for_the_same_seed():
    fault = Fault("finals_dropped", share=0.5)
    begins = range(0, 1000 * SECOND, SECOND)
    picked = [begin for begin in begins if fault.picks(1, "BTCUSDT", begin)]
    assert 400 < len(picked) < 600
    assert picked == [begin for begin in begins if fault.picks(1, "BTCUSDT", begin)]
    assert picked != [begin for begin in begins if fault.picks(2, "BTCUSDT", begin)]


async def test_a_duplicated_final_comes_as_often_as_asked(stage):
    await stage.fault("finals_duplicated", copies=2, times=1)
    socket = await subscribed(stage, BTC)
    stage.advance(2 * SECOND)
    finals = [await next_final(socket) for _ in range(4)]
    assert finals[0]["k"] == finals[1]["k"] == finals[2]["k"] != finals[3]["k"]


async def test_a_late_final_comes_late_and_says_so(stage):
    await stage.fault("finals_late", by_ms=1300, times=1)
    socket = await subscribed(stage, BTC)
    begin_ms = stage.begin_ms
    for _ in range(5):
        stage.advance(SECOND // 2)
        await asyncio.sleep(0.05)
    first, second = await next_final(socket), await next_final(socket)
    assert (first["k"]["t"], second["k"]["t"]) == (begin_ms + SECOND, begin_ms)
    assert second["E"] >= begin_ms + SECOND + 1300
    assert [as_row(second)] == await stage.truth(begin_ms, begin_ms)


async def test_a_late_final_reaches_the_connection_that_is_open_then(stage):
    number = await stage.fault("finals_late", by_ms=SECOND * 60, times=1)
    first = await subscribed(stage, BTC)
    begin_ms = stage.begin_ms
    stage.advance(SECOND)
    while not await stage.hits(number):  # noqa: ASYNC110  # asked over HTTP, as others do
        await asyncio.sleep(0.01)
    await first.close()
    second = await subscribed(stage, BTC)
    stage.advance(60 * SECOND)
    while (await next_final(second))["k"]["t"] != begin_ms:
        pass


async def test_finals_come_out_of_order(stage):
    await stage.fault("finals_out_of_order", within_ms=3000)
    socket = await subscribed(stage, BTC, ETH)
    for _ in range(16):
        stage.advance(SECOND // 2)
        await asyncio.sleep(0.02)
    finals = [await next_final(socket) for _ in range(10)]  # of the five seconds that are at most 3 s late by now
    begins = [told["k"]["t"] for told in finals]
    assert begins != sorted(begins)
    assert len(set(begins)) >= 5
    assert {told["s"] for told in finals} == {"BTCUSDT", "ETHUSDT"}
    lateness = [told["E"] - told["k"]["T"] - 1 for told in finals]
    assert 0 <= min(lateness) < max(lateness) <= 3000 + SECOND  # this clock goes by half seconds


@pytest.mark.parametrize("field", ["close", "open", "high", "low", "volume", "quote_volume", "trade_num"])
@pytest.mark.parametrize("factor", [1.01, 0.99])
async def test_a_corrected_final_is_a_possible_candle_that_is_not_the_truth(stage, field, factor):
    await stage.fault("finals_corrected", field=field, factor=factor, times=1)
    socket = await subscribed(stage, BTC)
    begin_ms = stage.begin_ms
    stage.advance(SECOND)
    told = await next_final(socket)
    assert told["k"]["t"] == begin_ms
    ((*truth,),) = await stage.truth(begin_ms, begin_ms)
    place = {"open": 1, "high": 2, "low": 3, "close": 4, "volume": 5, "quote_volume": 6, "trade_num": 7}[field]
    wrong = as_row(told)
    assert wrong[place] != truth[place]
    opened, high, low, closed = map(float, wrong[1:5])
    assert low <= min(opened, closed) <= max(opened, closed) <= high
    (row,) = await stage.klines(startTime=begin_ms, limit=1)
    assert [*row[:6], *row[7:11]] == truth


async def test_a_final_corrected_twice_ends_with_the_truth(stage):
    await stage.fault("finals_corrected_twice", after_ms=100, times=1)
    socket = await subscribed(stage, BTC)
    begin_ms = stage.begin_ms
    stage.advance(SECOND)
    wrong = await next_final(socket)
    stage.advance(100)
    right = await next_final(socket)
    truth = await stage.truth(begin_ms, begin_ms)
    assert wrong["k"]["t"] == right["k"]["t"] == begin_ms
    assert [as_row(wrong)] != truth == [as_row(right)]
    assert right["E"] >= wrong["E"] + 100


async def test_an_early_final_is_a_lie_told_once_and_the_real_one_follows(stage):
    await stage.fault("finals_early", by_ms=400)
    socket = await subscribed(stage, BTC)
    begin_ms = stage.begin_ms
    stage.advance(200)
    lie = await next_final(socket)
    stage.advance(SECOND)
    real = await next_final(socket)
    assert lie["k"]["t"] == real["k"]["t"] == begin_ms
    assert lie["E"] < begin_ms + SECOND <= real["E"]
    assert lie["k"]["n"] < real["k"]["n"]
    assert [as_row(real)] == await stage.truth(begin_ms, begin_ms)


async def test_faults_of_other_symbols_and_venues_leave_a_stream_alone(stage):
    await stage.fault("finals_dropped", symbols=["ETHUSDT"])
    await stage.fault("finals_dropped", venue="um")
    socket = await subscribed(stage, BTC)
    begin_ms = stage.begin_ms
    stage.advance(SECOND)
    assert (await next_final(socket))["k"]["t"] == begin_ms


async def test_a_fault_ends_after_its_seconds(stage):
    number = await stage.fault("finals_dropped", seconds=0.2)
    listed = await stage.control("GET", "/faults")
    (told,) = listed["active"] + listed["ended"]  # it may be over before it is looked at
    assert (told["id"], told["seconds"], told["ends_at"][:2]) == (number, 0.2, "20")
    while (await stage.control("GET", "/faults"))["active"]:  # noqa: ASYNC110  # asked over HTTP, as others do
        await asyncio.sleep(0.05)
    socket = await subscribed(stage, BTC)
    stage.advance(SECOND)
    assert await next_final(socket)


FRAMES = {
    "frames_garbage": lambda text: not _is_json(text),
    "frames_truncated": lambda text: text.startswith('{"stream"') and not _is_json(text),
    "frames_oversized": lambda text: len(text) == 100_000 and _is_json(text),
}


def _is_json(text):
    try:
        json.loads(text)
    except json.JSONDecodeError:
        return False
    return True


@pytest.mark.parametrize("name", FRAMES)
async def test_every_nth_event_is_spoiled(running_stage, name):
    keys = {"bytes": 100_000} if name == "frames_oversized" else {}
    await running_stage.fault(name, every_n=3, **keys)
    socket = await running_stage.socket(BTC)
    texts = [(await socket.receive(timeout=PATIENCE_S)).data for _ in range(9)]
    spoiled = [FRAMES[name](text) for text in texts]
    assert spoiled == [False, False, True] * 3
    assert all(_is_json(text) for text, bad in zip(texts, spoiled, strict=True) if not bad)


async def test_an_event_comes_in_a_binary_frame(running_stage):
    await running_stage.fault("frames_binary", every_n=2)
    socket = await running_stage.socket(BTC)
    kinds = [type((await socket.receive(timeout=PATIENCE_S)).data) for _ in range(4)]
    assert kinds == [str, bytes, str, bytes]


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("null", ("k", "c"), None),
        ("text_time", ("k", "t"), "yesterday"),
        ("list", ("k", "v"), ["1", "2"]),
        ("nan", ("k", "c"), "NaN"),
        ("infinity", ("k", "h"), "1e999"),
        ("number", ("s",), 17),
        ("truthy", ("k", "x"), "true"),
        ("no_candle", ("k",), None),
        ("array", ("k",), [1, 2, 3]),
    ],
)
async def test_values_have_wrong_types(running_stage, kind, path, value):
    await running_stage.fault("frames_wrong_types", every_n=1, kind=kind)
    socket = await running_stage.socket(BTC)
    told = await event(socket)
    for key in path:
        told = told[key]
    assert told == value
