"""Faults of connections, each alone, seen by a plain client."""

import asyncio
import contextlib
import json

import aiohttp
import pytest
import websockets

from kit.words import Venue
from tests.embedded_exchange.stage import BTC, PATIENCE_S, end_of, event, on_stage

ETH = "ethusdt@kline_1s"


@pytest.fixture
async def stage():
    async with on_stage() as running:
        yield running


async def drained(receive):
    """Reads what is under way until nothing comes any more."""
    with contextlib.suppress(TimeoutError):
        while True:
            await asyncio.wait_for(receive(), 0.3)


async def test_a_silent_connection_answers_pings_and_nothing_else(stage):
    async with websockets.connect(f"{stage.exchange.spot.ws}/stream?streams={BTC}") as socket:
        await socket.recv()
        number = await stage.fault("silence")
        await asyncio.wait_for(await socket.ping(), PATIENCE_S)  # so all that was under way has come, too
        await drained(socket.recv)
        await socket.send('{"method":"LIST_SUBSCRIPTIONS","id":1}')
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.recv(), 0.3)
        other = await stage.socket(BTC)
        assert await event(other)
        await stage.off(number)
        assert await asyncio.wait_for(socket.recv(), PATIENCE_S)


async def test_a_frozen_connection_does_not_even_answer_pings_until_it_thaws(stage):
    async with websockets.connect(f"{stage.exchange.spot.ws}/stream?streams={BTC}") as socket:
        await socket.recv()
        number = await stage.fault("freeze")
        await drained(socket.recv)
        pong = await socket.ping()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(pong), 0.3)
        await stage.off(number)
        await asyncio.wait_for(pong, PATIENCE_S)
        assert await asyncio.wait_for(socket.recv(), PATIENCE_S)


async def test_a_share_of_the_connections_is_silent_and_new_ones_where_asked(stage):
    sockets = [await stage.socket(BTC) for _ in range(4)]
    assert await stage.hits(await stage.fault("silence", share=0.4)) == 2
    await stage.control("DELETE", "/faults")
    number = await stage.fault("silence", new=True)
    late = await stage.socket(BTC)
    await drained(late.receive)
    assert await stage.hits(number) == 5
    assert len(sockets) == len([one for one in sockets if not one.closed])


@pytest.mark.parametrize(
    ("name", "keys", "end"),
    [
        ("abort", {}, ("cut", None)),
        ("close", {"code": 1012}, ("close", 1012)),
        ("close", {}, ("close", 1001)),
        ("forced_disconnect", {}, ("close", 1000)),
        ("server_shutdown", {"after_ms": 50}, ("close", 1001)),
    ],
)
async def test_a_connection_ends_once_and_the_next_one_lives(stage, name, keys, end):
    socket = await stage.socket(BTC)
    await event(socket)
    number = await stage.fault(name, **keys)
    ended, texts = await end_of(socket)
    assert ended == end
    shutdown = [json.loads(text) for text in texts if "serverShutdown" in text]
    assert [one["stream"] for one in shutdown] == (["!serverShutdown"] if name == "server_shutdown" else [])
    assert await stage.hits(number) == 1
    assert (await stage.control("GET", "/faults"))["active"] == []
    assert await event(await stage.socket(BTC))


async def test_connections_are_cut_again_and_again(stage):
    await stage.fault("abort", repeat_ms=100, times=3)
    for _ in range(3):
        assert (await end_of(await stage.socket(BTC)))[0] == ("cut", None)
    assert await event(await stage.socket(BTC))


async def test_a_connection_is_refused_with_503(stage):
    await stage.fault("refuse", times=1)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await stage.socket(BTC)
    assert refused.value.status == 503
    assert await event(await stage.socket(BTC))


async def test_a_connection_is_refused_by_a_reset(stage):
    await stage.fault("refuse", how="reset", venue="spot", times=2)  # aiohttp tries twice
    assert await event(await stage.socket("btcusdt@kline_1m", spot=False))
    with pytest.raises(aiohttp.ClientConnectionError):
        await stage.socket(BTC)
    assert await event(await stage.socket(BTC))


async def acknowledged(socket, *names, method="SUBSCRIBE"):
    await socket.send_str(json.dumps({"method": method, "params": list(names), "id": 7}))
    while True:
        message = json.loads((await socket.receive(timeout=PATIENCE_S)).data)
        if "id" in message or "code" in message:
            return message


async def test_streams_are_acknowledged_and_never_deliver(stage):
    number = await stage.fault("never_delivers", symbols=["BTCUSDT"])
    socket = await stage.socket(ETH)
    assert await acknowledged(socket, BTC) == {"result": None, "id": 7}
    assert {(await event(socket))["s"] for _ in range(20)} == {"ETHUSDT"}
    assert (await acknowledged(socket, method="LIST_SUBSCRIPTIONS"))["result"] == [ETH, BTC]
    await stage.off(number)
    while (await event(socket))["s"] != "BTCUSDT":
        pass


async def test_after_a_reconnect_only_a_share_of_the_streams_delivers_until_subscribed_anew(stage):
    names = [f"{one.symbol.lower()}@kline_1s" for one in stage.exchange.market.instruments(Venue.SPOT)
             if one.status == "TRADING"]  # fmt: skip
    before = await stage.socket(*names)
    number = await stage.fault("partial_resubscription", share=0.5)
    socket = await stage.socket(*names)
    seen = {(await event(socket))["s"] for _ in range(300)}
    assert 0.2 * len(names) < len(seen) < 0.8 * len(names)
    assert len({(await event(before))["s"] for _ in range(300)}) > len(seen)
    dead = next(name for name in names if name.split("@")[0].upper() not in seen)
    await stage.off(number)
    assert dead.split("@")[0].upper() not in {(await event(socket))["s"] for _ in range(100)}
    await acknowledged(socket, dead, method="UNSUBSCRIBE")
    await acknowledged(socket, dead)
    while (await event(socket))["s"] != dead.split("@")[0].upper():
        pass


async def test_an_acknowledgement_is_slow_and_nothing_comes_before_it(stage):
    await stage.fault("slow_acknowledgement", by_ms=400)
    socket = await stage.socket()
    asked = asyncio.get_running_loop().time()
    await socket.send_str(json.dumps({"method": "SUBSCRIBE", "params": [BTC], "id": 7}))
    assert json.loads((await socket.receive(timeout=PATIENCE_S)).data) == {"result": None, "id": 7}
    assert asyncio.get_running_loop().time() - asked >= 0.4
    assert await event(socket)


async def test_a_connection_may_end_before_its_slow_acknowledgement(stage):
    await stage.fault("slow_acknowledgement", by_ms=100)
    socket = await stage.socket()
    await socket.send_str(json.dumps({"method": "SUBSCRIBE", "params": [BTC], "id": 7}))
    await socket.close()
    await asyncio.sleep(0.2)
    assert stage.exchange.connections == []


async def test_a_subscription_is_answered_with_an_error_and_has_no_effect(stage):
    await stage.fault("subscription_error", code=4, msg="Too bad", times=1)
    socket = await stage.socket()
    assert await acknowledged(socket, BTC) == {"code": 4, "msg": "Too bad"}
    assert await acknowledged(socket, method="LIST_SUBSCRIPTIONS") == {"result": [], "id": 7}
    assert await acknowledged(socket, BTC) == {"result": None, "id": 7}
    assert await event(socket)
