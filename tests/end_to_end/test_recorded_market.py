"""Recorded payloads of the real exchange, sent through the whole system: dialect, REST, buffer, reader."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import polars as pl
import pytest

from flows.steps import run_period
from flows.steps.context import open_period
from flows.steps.exchange_info import refresh_exchange_info
from kit import CandleFileReader, Market
from kit.embedded_exchange import EmbeddedExchange, Settings
from kit.words import Interval, Venue, from_ms, newest_run_time_ms

REAL = Path(__file__).parents[2].parent / "shared" / "real"
DAYS = [REAL / "archive" / f"BTCUSDT-1m-2020-01-0{day}.zip" for day in (1, 2)]
COLUMNS = ["open", "high", "low", "close", "volume", "quote_volume", "trade_num", "taker_buy_base_asset_volume"]
ARCHIVE_COLUMNS = [1, 2, 3, 4, 5, 7, 8, 9]

recorded = pytest.mark.skipif(not DAYS[0].exists(), reason="the recorded payloads are not on this machine")


def rows_of_archive():
    for day in DAYS:
        with zipfile.ZipFile(day) as archive:
            for line in archive.read(archive.namelist()[0]).decode().split():
                yield line.split(",")


def write_config(base_dir, **keys):
    base_dir.mkdir(parents=True)
    (base_dir / "config.json").write_text(json.dumps({"http_timeout_sec": 60} | keys))
    return base_dir


def newest_run_time(exchange):
    return from_ms(newest_run_time_ms(exchange.clock.now_ms() - 3000, Interval.M1))


@recorded
async def test_recorded_days_come_back_exactly(tmp_path):
    rows = list(rows_of_archive())
    assert len(rows) == 2880
    async with EmbeddedExchange(Settings(symbols=3, replay=tuple(DAYS))) as exchange:
        endpoints = {"rest": exchange.spot.rest, "ws": exchange.spot.ws}
        base_dir = write_config(
            tmp_path / "m",
            interval="1m",
            trade_type="usdt_spot",
            keep_symbols=["BTCUSDT"],
            num_candles=2880,
            endpoints=endpoints,
        )
        run_time = newest_run_time(exchange)
        outcome = await run_period(base_dir, run_time)
        truth = exchange.candles(Venue.SPOT, "BTCUSDT", Interval.M1, 0, 2**52)
    assert outcome.record.complete
    frame = Market(base_dir).candles(["BTCUSDT"])
    # The days were moved so that they ended when the exchange started; a minute may have closed since.
    moved_ms = truth[0][0] - int(rows[0][0])
    assert moved_ms % 60_000 == 0
    begins = frame["candle_begin_time"].dt.epoch("ms").to_list()
    kept = [row for row in rows if int(row[0]) + moved_ms in set(begins)]
    assert len(kept) >= 2878
    stored = frame.filter(pl.col("candle_begin_time").dt.epoch("ms") <= int(kept[-1][0]) + moved_ms)
    assert stored["candle_begin_time"].dt.epoch("ms").to_list() == [int(row[0]) + moved_ms for row in kept]
    for name, place in zip(COLUMNS, ARCHIVE_COLUMNS, strict=True):
        assert stored[name].to_list() == [float(row[place]) for row in kept], name
    again = CandleFileReader(base_dir / "usdt_spot_1m").read_candle("BTCUSDT")
    assert again["close"].to_list() == frame["close"].to_list()


def perpetual(quote):
    return lambda one: one["contractType"] == "PERPETUAL" and one["quoteAsset"] == quote


EXPECTED = {
    ("um", "um/exchangeInfo_um_demo_2026-03-31_nulls_stripped.json"): {
        "usdt_perp": perpetual("USDT"),
        "usdc_perp": perpetual("USDC"),
        "usdt_tradfi": lambda one: one["contractType"] == "TRADIFI_PERPETUAL" and one["quoteAsset"] == "USDT",
        "usdt_deli": lambda one: "QUARTER" in one["contractType"] and one["quoteAsset"] == "USDT",
    },
    ("um", "um/exchangeInfo_um_2021.json"): {"usdt_swap": perpetual("USDT")},
    ("cm", "cm/exchangeInfo_cm_2021.json"): {
        "coin_perp": lambda one: one["contractType"] == "PERPETUAL",
        "coin_deli": lambda one: "QUARTER" in one["contractType"],
    },
}


@pytest.mark.parametrize(
    ("venue", "file", "trade_type"),
    [(venue, file, trade_type) for (venue, file), kinds in EXPECTED.items() for trade_type in kinds],
)
@recorded
async def test_recorded_exchange_info_decides_the_market(tmp_path, venue, file, trade_type):
    entries = json.loads((REAL / file).read_text())["symbols"]
    belongs = EXPECTED[venue, file][trade_type]
    expected = {
        one["symbol"] for one in entries if belongs(one) and one.get("status", one.get("contractStatus")) == "TRADING"
    }
    settings = Settings(exchange_info={Venue(venue): REAL / file})
    async with EmbeddedExchange(settings) as exchange:
        endpoints = {"rest": exchange.futures.rest, "ws": exchange.futures.ws}
        base_dir = write_config(tmp_path / "m", interval="1m", trade_type=trade_type, endpoints=endpoints)
        async with open_period(base_dir, newest_run_time(exchange)) as period:
            await refresh_exchange_info(period)
    assert period.trading == expected
    assert Market(base_dir).exchange_info().height == len(entries)


@recorded
async def test_spot_market_has_the_pairs_that_trade_and_no_stablecoin_or_fiat(tmp_path):
    file = REAL / "spot" / "exchangeInfo_spot_2021.json"
    entries = json.loads(file.read_text())["symbols"]
    trading = {one["symbol"] for one in entries if one["quoteAsset"] == "USDT" and one["status"] == "TRADING"}
    async with EmbeddedExchange(Settings(exchange_info={Venue.SPOT: file})) as exchange:
        endpoints = {"rest": exchange.spot.rest, "ws": exchange.spot.ws}
        base_dir = write_config(tmp_path / "m", interval="1m", trade_type="usdt_spot", endpoints=endpoints)
        async with open_period(base_dir, newest_run_time(exchange)) as period:
            await refresh_exchange_info(period)
    left_out = trading - period.trading
    assert period.trading < trading
    assert {"BUSDUSDT", "USDCUSDT", "TUSDUSDT", "EURUSDT", "GBPUSDT", "BTCUPUSDT", "BTCDOWNUSDT"} <= left_out
    assert {"BTCUSDT", "ETHUSDT", "JUPUSDT", "SUPERUSDT"} & trading <= period.trading
