"""What the doctor says of the exchange, healthy and with each thing broken."""

from __future__ import annotations

import asyncio
import json
import re
import time

import aiohttp
import pytest

from kit.dialect.hosts import host_of
from kit.doctor import Level, examine, stream
from kit.embedded_exchange.faults import Fault
from kit.words import Venue


@pytest.fixture
def impatient(monkeypatch):
    """For candles that never come."""
    monkeypatch.setattr(stream, "FRAME_WITHIN_S", 2.5)


async def found(base_dir):
    """The findings by name."""
    examination = await asyncio.wait_for(examine(base_dir, None), 240)
    return {finding.name: finding for finding in examination.findings}


async def test_a_healthy_exchange_is_well_in_every_line(exchange, configure):
    lines = await found(configure(exchange))
    for name in ("config", "REST", "clock", "weight", "symbols", "WebSocket", "disk", "folder"):
        assert lines[name].level is Level.OK, lines[name]
        assert not lines[name].todo
    assert not [line for line in lines.values() if line.level is Level.WRONG]
    assert "of 2400 used in this minute (as the exchange told)" in lines["weight"].seen
    assert lines["symbols"].seen == "8 of usdt_perp trade"
    assert "/market/stream: the first candle came after" in lines["WebSocket"].seen
    assert not exchange.connections


@pytest.mark.parametrize(
    ("fault", "name", "words"),
    [
        (Fault("rest_418", path="/fapi/v1/time"), "REST", "has told us to stop until 20"),
        (Fault("rest_418", path="/fapi/v1/exchangeInfo"), "REST", "has told us to stop until 20"),
        (Fault("rest_403_html"), "REST", "has told us to stop until 20"),
        (Fault("rest_5xx", status=502), "REST", "502"),
        (Fault("rest_maintenance"), "REST", "maintenance"),
        (Fault("rest_timeout"), "REST", "no answer in time"),
        (Fault("rest_truncated_json"), "REST", ""),
        (Fault("refuse"), "WebSocket", "cannot be opened: HTTP 503 at the handshake"),
        (Fault("refuse", how="reset"), "WebSocket", "cannot be opened"),
        (Fault("subscription_error"), "WebSocket", "SUBSCRIBE is refused: 2 Invalid request"),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else None,
)
async def test_each_thing_that_is_broken_is_named_with_what_to_do(exchange, configure, fault, name, words):
    exchange.faults.switch_on(fault)
    lines = await found(configure(exchange, http_timeout_sec=2 if fault.name == "rest_timeout" else 60))
    assert lines[name].level is Level.WRONG, lines
    assert words in lines[name].seen
    assert lines[name].todo


async def test_a_market_of_which_no_candle_comes_is_wrong(exchange, configure, impatient):
    exchange.faults.switch_on(Fault("never_delivers"))
    finding = (await found(configure(exchange)))["WebSocket"]
    assert finding.level is Level.WRONG
    assert "acknowledged, but no candle of 8 streams came" in finding.seen
    assert finding.todo


async def test_a_wrong_route_is_acknowledged_and_called_wrong(exchange, configure):
    """The wrong one that users meet is the base address with a path of the exchange behind it."""
    ws = exchange.futures.ws
    lines = await found(configure(exchange, endpoints={"rest": exchange.futures.rest, "ws": f"{ws}/public"}))
    assert lines["WebSocket"].level is Level.WRONG
    assert "ws://" in lines["WebSocket"].seen
    assert "/public/market/stream cannot be opened: HTTP 404" in lines["WebSocket"].seen


def test_an_exchange_that_says_nothing_at_all_is_wrong():
    finding = stream.judge_stream(host_of(Venue.UM), stream.Heard(opened_s=0.1), 30)
    assert finding.level is Level.WRONG
    assert "SUBSCRIBE is not answered" in finding.seen


async def test_few_coins_that_are_quiet_are_only_a_warning(exchange, configure, impatient):
    exchange.faults.switch_on(Fault("never_delivers"))
    lines = await found(configure(exchange, keep_symbols=["BTCUSDT"]))
    assert lines["WebSocket"].level is Level.WARNING


async def test_a_clock_that_is_off_is_told_with_its_offset(exchange, configure):
    exchange.clock.skew_ms = -3_600_000
    lines = await found(configure(exchange))
    assert lines["clock"].level is Level.WARNING
    assert re.search(r"(3599|3600)\.\d s ahead of the exchange's", lines["clock"].seen)


async def test_symbols_that_do_not_exist_are_named(exchange, configure, impatient):
    lines = await found(configure(exchange, keep_symbols=["BTCUSDT", "NOSUCHUSDT"]))
    assert lines["symbols"].level is Level.WARNING
    assert "NOSUCHUSDT" in lines["symbols"].seen
    lines = await found(configure(exchange, keep_symbols=["NOSUCHUSDT"]))
    assert lines["symbols"].level is Level.WRONG


async def test_weight_that_others_use_up_is_told(exchange, configure):
    exchange.clock.skew_ms = 60_000 - exchange.clock.now_ms() % 60_000  # a minute begins, which has weight of its own
    async with aiohttp.ClientSession() as others:
        for _ in range(200):
            await others.get(f"{exchange.futures.rest}/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=1500")
    lines = await found(configure(exchange))
    assert lines["weight"].level is Level.WARNING
    assert lines["weight"].seen.startswith("20")


async def test_the_first_second_of_a_minute_is_waited_out(exchange, configure, monkeypatch):
    """Nobody asks then while the exchange's clock is not known; that is no trouble with the exchange."""
    now_ns = time.time_ns
    shift_ns = -(now_ns() % 60_000_000_000)
    monkeypatch.setattr(time, "time_ns", lambda: now_ns() + shift_ns)
    assert (await found(configure(exchange)))["REST"].level is Level.OK


async def test_nobody_there_is_told_and_takes_no_minute(configure, unused_tcp_port):
    gone = f"127.0.0.1:{unused_tcp_port}"
    lines = await found(configure(endpoints={"rest": f"http://{gone}", "ws": f"ws://{gone}"}))
    assert lines["REST"].level is Level.WRONG
    assert "proxy" in lines["REST"].todo
    assert "not tried" in lines["WebSocket"].seen
    lines = await found(configure(endpoints={"rest": f"http://{gone}", "ws": f"ws://{gone}"}, keep_symbols=["BTCUSDT"]))
    assert lines["WebSocket"].level is Level.WRONG


async def test_no_secret_is_ever_shown(exchange, configure, unused_tcp_port):
    proxy = f"http://somebody:hunter2@127.0.0.1:{unused_tcp_port}"
    base_dir = configure(exchange, proxy=proxy, notify=["json://user:s3cret@127.0.0.1:9/path"])
    examination = await examine(base_dir, None)
    text = json.dumps(examination.as_dict())
    assert "hunter2" not in text
    assert "s3cret" not in text
    assert examination.level is Level.WRONG
