"""A market with factors and a resample, worked on by the period's steps and read as a strategy reads it."""

from __future__ import annotations

import json
import sys

import pandas as pd
import pytest

from flows.steps import run_period
from kit import BmacAllMarketCalculator, BmacSingleSymbolCalculator, CandleFileReader, Market, ResampleReader
from kit.calculators.check import check_factors
from kit.embedded_exchange import EmbeddedExchange, Settings
from kit.words import Interval, Venue, from_ms, newest_run_time_ms

MODULE = "def signal(df, n, factor_name):\n    df[factor_name] = df['close'].pct_change(n)\n    return df\n"
LOOKING_AHEAD = "def signal(df, n, factor_name):\n    df[factor_name] = df['close'].shift(-n)\n    return df\n"


@pytest.fixture
def modules(tmp_path, monkeypatch):
    package = tmp_path / "users_factors"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "Change.py").write_text(MODULE)
    (package / "Ahead.py").write_text(LOOKING_AHEAD)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "users_factors"
    for name in [name for name in sys.modules if name.startswith("users_factors")]:
        del sys.modules[name]


@pytest.fixture
async def market(tmp_path, modules):
    async with EmbeddedExchange(Settings(symbols=5, history_days=6)) as exchange:
        base_dir = tmp_path / "usdt_perp_5m"
        base_dir.mkdir()
        config = {
            "interval": "5m",
            "trade_type": "usdt_perp",
            "num_candles": 300,
            "http_timeout_sec": 60,  # exchange and period share this process, which may stand still
            "endpoints": {"rest": exchange.futures.rest, "ws": exchange.futures.ws},
            "factors": [["PctChg", 20], ["Rsi", 14], ["Change", 20], ["NoSuchFactor", 3], ["PctChg", 299]],
            "factor_package": modules,
            "resample": {"interval": "1h", "base_offset": "5m"},
        }
        (base_dir / "config.json").write_text(json.dumps(config))
        run_time = from_ms(newest_run_time_ms(exchange.clock.now_ms() - 3000, Interval.M5))
        outcome = await run_period(base_dir, run_time)
        assert outcome.record.complete
        yield Market(base_dir), run_time, exchange


async def test_the_period_computes_the_factors_of_its_config(market):
    market, run_time, _ = market
    factors = await market.wait_factors(run_time, timeout=60)
    assert factors["symbol"].to_list() == sorted(market.ready(run_time))
    closes = market.candles(columns=["close"]).to_pandas()
    last = closes.groupby("symbol")["close"].agg(lambda prices: prices.pct_change(20).iloc[-1])
    assert dict(factors.select("symbol", "Change_20").rows()) == last.to_dict()
    native = dict(factors.select("symbol", "PctChg_20").rows())
    assert native == pytest.approx(last.to_dict(), rel=1e-12)
    assert factors["NoSuchFactor_3"].null_count() == factors.height
    assert any("NoSuchFactor" in problem for problem in market.factor_result(run_time).errors)


async def test_both_calculators_work_on_the_base_and_on_a_resample(market, modules):
    market, _, exchange = market
    base_dir = market.config.base_dir
    symbols = CandleFileReader(base_dir / "exginfo_5m")
    assert len(symbols.read_candle("exginfo")) > 5
    for reader in (CandleFileReader(base_dir / "usdt_perp_5m"), ResampleReader(base_dir, "1h", "5m")):
        plain = reader.read_candle("BTCUSDT")
        run_time = plain.index[-1]
        whole = BmacAllMarketCalculator(symbols, reader, [("Change", 3)], package=modules, bmac_expire_sec=60)
        rows = await whole.calc_all_factors(run_time)
        assert rows.attrs["missing"] == []
        assert len(rows) == 5
        single = BmacSingleSymbolCalculator("BTCUSDT", reader, [["Change", 3]], package=modules, bmac_expire_sec=60)
        frame = await single.calc_factors(run_time)
        pd.testing.assert_series_equal(
            frame["Change_3"], plain["close"].pct_change(3), check_names=False, rtol=0, atol=0
        )
    hours = market.candles(["BTCUSDT"], interval="1h", offset="0m")
    begins = hours["candle_begin_time"].dt.epoch("ms")
    truth = exchange.candles(Venue.UM, "BTCUSDT", Interval.H1, begins[0], begins[-1])
    assert hours["volume"].to_list() == [float(row[5]) for row in truth]


async def test_a_factor_that_looks_ahead_is_found(market, modules):
    market, _, _ = market
    path = market.config.base_dir / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "factors": [["PctChg", 20], ["Change", 20], ["Ahead", 2]]}))
    report = check_factors(Market(market.config.base_dir), n=5)
    assert {check.column: check.sound for check in report.checks} == {
        "PctChg_20": True,
        "Change_20": True,
        "Ahead_2": False,
    }
