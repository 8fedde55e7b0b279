"""The whole process against the embedded exchange: one second candles, so that periods come each second."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from kit.embedded_exchange import EmbeddedExchange, Finals, Settings
from kit.words import Interval, Venue
from streamer.timing import Timing
from tests.streamer.exchange_double import eventually

if TYPE_CHECKING:
    from pathlib import Path

SECOND = 1000
LEAVES_WITHIN_S = 25  # five times what is promised
STARTS_WITHIN_S = 60


def configure(base_dir: Path, exchange: EmbeddedExchange | None = None, **changes) -> Path:
    base_dir.mkdir(parents=True, exist_ok=True)
    # Patient with an exchange that shares its processor with all of this: each question is asked once.
    config = {"interval": "1s", "trade_type": "usdt_spot", "num_socket_listeners": 3, "http_timeout_sec": 60}
    if exchange is not None:
        config["endpoints"] = {"rest": exchange.spot.rest, "ws": exchange.spot.ws}
    (base_dir / "config.json").write_text(json.dumps(config | changes))
    return base_dir


async def start(*base_dirs: Path) -> Process:
    environment = {**os.environ, "BMAC_STATE_DIR": str(base_dirs[0] / "state")}
    command = [sys.executable, "-m", "streamer", *map(str, base_dirs), "--log-format", "json"]
    return await asyncio.create_subprocess_exec(*command, stderr=PIPE, env=environment)


@contextlib.asynccontextmanager
async def streaming(*base_dirs: Path):
    """A running streamer; afterwards it must leave after SIGTERM with exit code 0.

    Within 5 s is what it promises, to whom it gets a processor: here it may share one with a dozen others.
    """
    process = await start(*base_dirs)
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        _, errors = await asyncio.wait_for(process.communicate(), LEAVES_WITHIN_S)
        assert (process.returncode, b"Traceback" in errors) == (0, False), errors.decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def stored(base_dir: Path) -> dict[tuple[str, int], tuple[float, ...]]:
    """Every candle in the slices: (symbol, begin ms) -> (open, high, low, close, volume, trades)."""
    candles: dict[tuple[str, int], tuple[float, ...]] = {}
    for path in sorted((base_dir / "usdt_spot_1s").glob("stream_*.parquet")):
        for row in pq.ParquetFile(path).read().to_pylist():
            begin_ms = int(row["candle_begin_time"].timestamp() * 1000)
            key = (row["symbol"], begin_ms)
            value = tuple(row[name] for name in ("open", "high", "low", "close", "volume", "trade_num"))
            assert candles.setdefault(key, value) == value
    return candles


def truth(exchange: EmbeddedExchange, symbol: str, begin_ms: int) -> tuple[float, ...]:
    (row,) = exchange.candles(Venue.SPOT, symbol, Interval.S1, begin_ms, begin_ms)
    return (*map(float, row[1:6]), row[8])


def periods(base_dir: Path) -> int:
    return len({begin_ms for _, begin_ms in stored(base_dir)})


def whole_periods(base_dir: Path, exchange: EmbeddedExchange) -> int:
    """In how many periods there is a candle of every symbol that its three connections have subscribed."""
    if len(exchange.connections) < 3 or not all(connection.streams for connection in exchange.connections):
        return 0
    streams = {name for connection in exchange.connections for name in connection.streams}
    begins = [begin_ms for _, begin_ms in stored(base_dir)]
    return sum(begins.count(begin_ms) == len(streams) for begin_ms in set(begins))


def test_what_leaving_may_wait_for_fits_into_the_five_seconds_that_are_promised():
    timing = Timing()
    assert timing.close_within_s + timing.leave_within_s <= 4.0


@pytest.fixture
async def exchange():
    settings = Settings(symbols=12, spot_update_ms=250, finals=Finals("spread", 0.3), illiquid_share=0.0)
    async with EmbeddedExchange(settings) as server:
        yield server


async def test_candles_on_disk_are_the_exchanges_and_a_restart_goes_on_without_asking_again(exchange, tmp_path):
    base_dir = configure(tmp_path / "market", exchange)
    async with streaming(base_dir):
        await eventually(lambda: periods(base_dir) >= 3)
    first = stored(base_dir)
    enough = len({begin for _, begin in first}) + 2
    async with streaming(base_dir):
        await eventually(lambda: periods(base_dir) >= enough and whole_periods(base_dir, exchange) >= 1)
    candles = stored(base_dir)
    assert {key: candles[key] for key in first} == first
    assert all(value == truth(exchange, symbol, begin_ms) for (symbol, begin_ms), value in candles.items())
    assert sum(request.path.endswith("exchangeInfo") for request in exchange.requests) == 1
    status = json.loads((base_dir / "streamer.json").read_text())
    assert status["running"] is False
    assert status["wanted_streams"] == len({symbol for symbol, _ in candles})
    assert status["rss_bytes"] < 150_000_000


async def test_every_symbol_is_there_in_the_periods_that_were_streamed_whole(exchange, tmp_path):
    base_dir = configure(tmp_path / "market", exchange)
    async with streaming(base_dir):
        await eventually(lambda: whole_periods(base_dir, exchange) >= 4)
    by_period: dict[int, set[str]] = {}
    for symbol, begin_ms in stored(base_dir):
        by_period.setdefault(begin_ms, set()).add(symbol)
    everything = set().union(*by_period.values())
    first = min(begin_ms for begin_ms in by_period if by_period[begin_ms] == everything)
    whole = [begin_ms for begin_ms in sorted(by_period) if begin_ms >= first][:-1]
    assert len(whole) >= 3
    assert whole == list(range(whole[0], whole[-1] + SECOND, SECOND))
    assert all(by_period[begin_ms] == everything for begin_ms in whole)


async def test_cut_connections_come_back_and_the_cuts_are_in_the_status(exchange, tmp_path):
    base_dir = configure(tmp_path / "market", exchange)
    async with streaming(base_dir):
        await eventually(lambda: whole_periods(base_dir, exchange) >= 1)
        for connection in exchange.connections:
            connection.abort()
        before = max(begin_ms for _, begin_ms in stored(base_dir))
        await eventually(lambda: max(begin for _, begin in stored(base_dir)) >= before + 2 * SECOND)
    route = json.loads((base_dir / "streamer.json").read_text())["route"]
    assert (route["lost"], len(route["last_disconnects"])) == (3, 3)
    assert route["last_disconnects"][0]["since"].endswith("+00:00")


async def test_two_markets_run_in_one_process(exchange, tmp_path):
    one = configure(tmp_path / "one", exchange)
    two = configure(tmp_path / "two", exchange, keep_symbols=["BTCUSDT"])
    async with streaming(one, two):
        await eventually(lambda: periods(one) >= 2 and periods(two) >= 2)
    assert {symbol for symbol, _ in stored(two)} == {"BTCUSDT"}
    assert len(exchange.requests) == 1


async def test_a_second_streamer_on_the_folder_is_refused_with_the_firsts_pid(exchange, tmp_path):
    base_dir = configure(tmp_path / "market", exchange)
    async with streaming(base_dir) as first:
        lock = base_dir / "streamer.lock"
        await eventually(lambda: lock.exists() and str(first.pid) in lock.read_text())
        second = await start(base_dir)
        _, errors = await asyncio.wait_for(second.communicate(), STARTS_WITHIN_S)
        assert second.returncode == 2
        assert str(first.pid) in errors.decode()


async def test_without_an_exchange_it_says_so_goes_on_trying_and_leaves_when_told(tmp_path):
    nowhere = {"rest": "http://127.0.0.1:9", "ws": "ws://127.0.0.1:9"}
    base_dir = configure(tmp_path / "market", endpoints=nowhere)
    process = await start(base_dir)
    assert process.stderr is not None
    try:
        tried = 0
        while tried < 2:
            line = json.loads(await asyncio.wait_for(process.stderr.readline(), STARTS_WITHIN_S))
            tried += line["event"] == "exchange_info.unavailable"
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), LEAVES_WITHIN_S) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"interval": "7m"}, "interval"),
        ({"trade_type": "usdt_prep"}, "usdt_perp"),
        ({"num_socket_listener": 3}, "num_socket_listeners"),
        ({"trade_type": "usdt_perp"}, "1s"),
    ],
)
async def test_a_bad_config_ends_with_code_2_and_names_the_key(tmp_path, changes, told):
    process = await start(configure(tmp_path / "market", **changes))
    _, errors = await asyncio.wait_for(process.communicate(), STARTS_WITHIN_S)
    assert process.returncode == 2
    assert told in errors.decode()
    assert "Traceback" not in errors.decode()


async def test_a_folder_that_cannot_be_written_ends_with_code_2(tmp_path):
    base_dir = configure(tmp_path / "market")
    (base_dir / "usdt_spot_1s").write_text("a file where the folder should be")
    process = await start(base_dir)
    _, errors = await asyncio.wait_for(process.communicate(), STARTS_WITHIN_S)
    assert process.returncode == 2
    assert "usdt_spot_1s" in errors.decode()


async def test_it_stays_light_and_imports_nothing_heavy():
    script = "import sys, streamer.__main__; print(*sorted(sys.modules))"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=PIPE)
    output, _ = await process.communicate()
    loaded = set(output.decode().split())
    assert process.returncode == 0
    assert not {"pandas", "polars", "prefect", "apprise", "aiohttp"} & loaded
