"""The WebSocket dialect over real sockets."""

import asyncio
import json
import time
from dataclasses import replace

import aiohttp
import pytest

from kit.embedded_exchange import EmbeddedExchange, Finals, Settings
from kit.words import Interval, Venue
from tests.embedded_exchange.builders import MINUTE
from tests.embedded_exchange.stage import PATIENCE_S

LIVELY = Settings(
    symbols=8, history_days=30, update_ms=20, spot_update_ms=20, finals=Finals("burst"), illiquid_share=0.0
)


@pytest.fixture
async def exchange():
    async with EmbeddedExchange(LIVELY) as running:
        # Far from a close, so that no test is surprised by one.
        running.clock.skew_ms += 20_000 - running.clock.now_ms() % MINUTE
        yield running


@pytest.fixture
async def connect():
    async with aiohttp.ClientSession() as session:

        async def open_socket(url, **options):
            return await session.ws_connect(url, **options)

        yield open_socket


class Seconds:
    """Stands in for ``time`` where connections count seconds, which pass when a test says so, however slow it is."""

    time_ns = staticmethod(time.time_ns)

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def seconds(monkeypatch):
    held = Seconds()
    monkeypatch.setattr("kit.embedded_exchange.connection.time", held)
    return held


async def say(socket, method, *streams, number=1):
    await socket.send_str(json.dumps({"method": method, "params": list(streams), "id": number}, ensure_ascii=False))


async def reply(socket):
    """The next message that is not an event."""
    while True:
        message = json.loads((await socket.receive(timeout=PATIENCE_S)).data)
        if "result" in message or "code" in message:
            return message


async def silent(socket, seconds=0.3):
    try:
        message = await socket.receive(timeout=seconds)
    except TimeoutError:
        return True
    raise AssertionError(message)


async def close_of(socket):
    """Close code and reason, whatever comes before."""
    while True:
        message = await socket.receive(timeout=PATIENCE_S)
        if message.type is aiohttp.WSMsgType.CLOSE:
            return message.data, message.extra
        assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.PONG), message


async def test_the_path_decides_the_envelope(exchange, connect):
    raw = await connect(exchange.futures.ws + "/market/ws/btcusdt@kline_1m")
    assert json.loads((await raw.receive(timeout=PATIENCE_S)).data)["s"] == "BTCUSDT"
    two = await connect(exchange.spot.ws + "/ws/btcusdt@kline_1m/ethusdt@kline_1m")
    assert {json.loads((await two.receive(timeout=PATIENCE_S)).data)["s"] for _ in range(8)} == {"BTCUSDT", "ETHUSDT"}
    combined = await connect(exchange.spot.ws + "/stream?streams=btcusdt@kline_1m")
    event = json.loads((await combined.receive(timeout=PATIENCE_S)).data)
    assert (event["stream"], event["data"]["s"]) == ("btcusdt@kline_1m", "BTCUSDT")


async def test_events_have_every_documented_field(exchange, connect):
    socket = await connect(exchange.futures.ws + "/market/ws/btcusdt@kline_1m")
    text = (await socket.receive(timeout=PATIENCE_S)).data
    assert ', "T":' in text  # the odd blank of the futures hosts
    event = json.loads(text)
    assert list(event) == ["e", "E", "s", "k"]
    assert list(event["k"]) == ["t", "T", "s", "i", "f", "L", "o", "c", "h", "l", "v", "n", "x", "q", "V", "Q", "B"]
    assert abs(event["E"] - exchange.clock.now_ms()) < PATIENCE_S * 1000
    spot = await connect(exchange.spot.ws + "/ws/btcusdt@kline_1m")
    assert ' "' not in (await spot.receive(timeout=PATIENCE_S)).data


async def test_the_final_is_the_rest_row_to_the_character_on_every_route(exchange, connect):
    sockets = {
        (Venue.UM, "ETHUSDT"): await connect(exchange.futures.ws + "/market/stream?streams=ethusdt@kline_1m"),
        (Venue.CM, "BTCUSD_PERP"): await connect(exchange.futures.ws + "/stream?streams=btcusd_perp@kline_1m"),
        (Venue.SPOT, "币安人生USDT"): await connect(exchange.spot.ws + "/stream?streams=币安人生usdt@kline_1m"),
    }
    now_ms = exchange.clock.now_ms()
    begin_ms = now_ms - now_ms % MINUTE
    exchange.clock.skew_ms += begin_ms + MINUTE - now_ms - 50
    for (venue, symbol), socket in sockets.items():
        candle = {"x": False}
        while not candle["x"]:
            candle = json.loads((await socket.receive(timeout=PATIENCE_S)).data)["data"]["k"]
        row = tuple(candle[key] for key in ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B"))
        assert [row] == exchange.candles(venue, symbol, Interval.M1, begin_ms, begin_ms)


@pytest.mark.parametrize("route", ["", "/public", "/private"])
async def test_without_the_market_route_usd_margined_klines_are_acknowledged_and_never_come(exchange, connect, route):
    socket = await connect(exchange.futures.ws + route + "/ws")
    await say(socket, "SUBSCRIBE", "btcusdt@kline_1m")
    assert await reply(socket) == {"result": None, "id": 1}
    await say(socket, "LIST_SUBSCRIPTIONS", number=2)
    assert await reply(socket) == {"result": ["btcusdt@kline_1m"], "id": 2}
    assert await silent(socket)


async def test_coin_margined_klines_come_without_a_route(exchange, connect):
    socket = await connect(exchange.futures.ws + "/ws/btcusd_perp@kline_1m/btcusdt@kline_1m")
    assert {json.loads((await socket.receive(timeout=PATIENCE_S)).data)["s"] for _ in range(5)} == {"BTCUSD_PERP"}


async def test_streams_come_and_go_by_message(exchange, connect):
    socket = await connect(exchange.futures.ws + "/market/stream")
    await say(socket, "SUBSCRIBE", "btcusdt@kline_1m", "nosuchusdt@kline_1m", "币安人生usdt@kline_1m")
    assert await reply(socket) == {"result": None, "id": 1}
    seen = {json.loads((await socket.receive(timeout=PATIENCE_S)).data)["stream"] for _ in range(10)}
    assert seen == {"btcusdt@kline_1m", "币安人生usdt@kline_1m"}
    await say(socket, "LIST_SUBSCRIPTIONS", number=2)
    assert len((await reply(socket))["result"]) == 3
    await say(socket, "UNSUBSCRIBE", "btcusdt@kline_1m", "币安人生usdt@kline_1m", number=3)
    assert await reply(socket) == {"result": None, "id": 3}
    assert await silent(socket)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("no json", 3),
        ("[]", 2),
        ('{"method":"SUBSCRIBE","params":["a"],"id":"text"}', 2),
        ('{"method":"SUBSCRIBE","params":["a"],"id":-1}', 2),
        ('{"method":"SUBSCRIBE","params":["a"]}', 2),
        ('{"method":"DANCE","id":1}', 2),
        ('{"method":"SUBSCRIBE","params":"a","id":1}', 2),
    ],
)
async def test_a_message_that_makes_no_sense_gets_an_error_object(exchange, connect, text, code):
    socket = await connect(exchange.futures.ws + "/market/stream")
    await socket.send_str(text)
    answer = await reply(socket)
    assert (answer["code"], type(answer["msg"])) == (code, str)


async def test_spot_takes_any_kind_of_id(exchange, connect):
    socket = await connect(exchange.spot.ws + "/stream")
    for number in ("text", None, 7):
        await say(socket, "LIST_SUBSCRIPTIONS", number=number)
        assert await reply(socket) == {"result": [], "id": number}


async def test_a_binary_message_ends_the_connection(exchange, connect):
    socket = await connect(exchange.futures.ws + "/market/stream")
    await socket.send_bytes(b'{"method":"SUBSCRIBE","params":["btcusdt@kline_1m"],"id":1}')
    assert await close_of(socket) == (1008, "Invalid request")


async def test_a_message_over_four_kilobytes_is_ignored_in_silence(exchange, connect):
    socket = await connect(exchange.futures.ws + "/market/stream")
    frame = json.dumps({"method": "SUBSCRIBE", "params": ["btcusdt@kline_1m"], "id": 1})
    await socket.send_str(frame + " " * (4097 - len(frame)))
    assert await silent(socket)
    await socket.send_str(frame + " " * (4096 - len(frame)))
    assert await reply(socket) == {"result": None, "id": 1}


@pytest.mark.parametrize(("spot", "allowed"), [(True, 5), (False, 10)])
async def test_too_many_messages_in_a_second_end_the_connection(exchange, connect, seconds, spot, allowed):
    port = exchange.spot if spot else exchange.futures
    socket = await connect(port.ws + "/stream", autoping=False)
    for second in range(2):
        seconds.now = second * 1.0
        for number in range(allowed):
            await say(socket, "LIST_SUBSCRIPTIONS", number=number)
        for number in range(allowed):
            assert (await reply(socket))["id"] == number
    await socket.ping()  # counts as well
    assert await close_of(socket) == (1008, "Too many requests")


async def test_a_connection_has_at_most_1024_streams(exchange, connect, seconds):
    socket = await connect(exchange.futures.ws + "/market/stream")
    for start in range(0, 1000, 125):
        await say(socket, "SUBSCRIBE", *(f"s{number}usdt@kline_1m" for number in range(start, start + 125)))
        assert "result" in await reply(socket)
    await say(socket, "SUBSCRIBE", *(f"t{number}usdt@kline_1m" for number in range(25)))
    assert (await reply(socket))["code"] == 2
    seconds.now += 1.0  # that of those messages is used up
    await say(socket, "LIST_SUBSCRIPTIONS")
    assert len((await reply(socket))["result"]) == 1000
    names = "/".join(f"s{number}@kline_1m" for number in range(100))
    fine = await connect(exchange.futures.ws + f"/market/stream?streams={names}")
    assert not fine.closed
    short = "/".join(f"{number:x}" for number in range(1025))
    assert await close_of(await connect(exchange.futures.ws + f"/market/stream?streams={short}")) == (
        1008,
        "Too many streams",
    )


async def test_the_server_pings_and_drops_who_does_not_answer(connect):
    quick = replace(LIVELY, spot_ping_s=0.1, spot_pong_timeout_s=0.6)
    async with EmbeddedExchange(quick) as exchange:
        socket = await connect(exchange.spot.ws + "/ws", autoping=False)
        ping = await socket.receive(timeout=PATIENCE_S)
        assert ping.type is aiohttp.WSMsgType.PING
        assert bytes(ping.data).isdigit()
        await socket.pong(b"something else")  # must echo the payload, so this does not help
        while (message := await socket.receive(timeout=PATIENCE_S)).type is aiohttp.WSMsgType.PING:
            pass
        assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        assert exchange.connections == []


async def test_whoever_answers_pings_stays_until_the_end_of_its_life(exchange, connect, seconds):
    socket = await connect(exchange.futures.ws + "/market/ws/btcusdt@kline_1m", autoping=False)
    for _ in range(5):  # longer than a ping may go unanswered
        seconds.now += 180
        while (message := await socket.receive(timeout=PATIENCE_S)).type is not aiohttp.WSMsgType.PING:
            pass
        await socket.pong(message.data)
        await say(socket, "LIST_SUBSCRIPTIONS")
        assert await reply(socket)  # so the pong before it has arrived, too
    seconds.now += 86_400
    assert (await close_of(socket))[0] == 1000


async def test_connections_can_be_seen_and_cut(exchange, connect):
    socket = await connect(exchange.futures.ws + "/market/stream?streams=btcusdt@kline_1m")
    await socket.receive(timeout=PATIENCE_S)
    (connection,) = exchange.connections
    assert (list(connection.streams), connection.route.category) == (["btcusdt@kline_1m"], "market")
    connection.abort()
    while (message := await socket.receive(timeout=PATIENCE_S)).type is aiohttp.WSMsgType.TEXT:
        pass
    assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)


async def test_a_symbol_can_be_listed_and_delisted_while_it_runs(exchange, connect):
    socket = await connect(exchange.futures.ws + "/market/stream?streams=newusdt@kline_1m")
    assert await silent(socket)
    exchange.list_symbol(Venue.UM, "NEWUSDT", base="NEW", price=5.0)
    assert json.loads((await socket.receive(timeout=PATIENCE_S)).data)["data"]["s"] == "NEWUSDT"
    exchange.delist_symbol(Venue.UM, "NEWUSDT")
    with pytest.raises(ValueError, match="listed"):
        exchange.list_symbol(Venue.UM, "NEWUSDT", base="NEW")


async def test_rest_is_logged_and_carries_weight_and_date(exchange):
    async with aiohttp.ClientSession() as session:
        url = (
            exchange.futures.rest
            + "/fapi/v1/klines?symbol=%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9FUSDT&interval=1m&limit=2"
        )
        async with session.get(url) as answer:
            assert answer.headers["X-MBX-USED-WEIGHT-1M"] == "1"
            assert "GMT" in answer.headers["Date"]
            assert len(await answer.json()) == 2
        async with session.get(exchange.futures.ws.replace("ws:", "http:") + "/market/stream") as answer:
            assert answer.status == 400
    params = {"symbol": "币安人生USDT", "interval": "1m", "limit": "2"}
    assert list(exchange.requests) == [("/fapi/v1/klines", params, 1, 200)]


async def test_a_client_that_does_not_read_is_dropped(monkeypatch, exchange, connect):
    monkeypatch.setattr("kit.embedded_exchange.connection._LARGEST_BACKLOG", 1000)
    socket = await connect(exchange.futures.ws + "/market/stream")
    await asyncio.sleep(0.05)
    exchange.connections[0].send([b"\x81\x04null" * 2_000_000])
    assert exchange.connections == [] or exchange.connections[0]._transport.is_closing()
    await socket.close()
