"""The factors of a run time from a config, their store, and the check that live equals history."""

from __future__ import annotations

import json
from datetime import timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from rich.console import Console

from kit.buffer.exchange_info import ExchangeInfoStore
from kit.buffer.funding import FundingRate, FundingStore
from kit.calculators import store as store_module
from kit.calculators.check import check_factors, check_table
from kit.calculators.period import compute
from kit.calculators.source import BufferSource
from kit.calculators.store import FactorStore
from kit.errors import FolderError, NaiveTimeError
from kit.factors.library import LIBRARY
from kit.market import Market
from kit.words import from_ms
from tests.factors.builders import NEWEST_MS, STEP_MS, made_up, write_market
from tests.factors.test_calculators import info

RUN_TIME = from_ms(NEWEST_MS + STEP_MS)
NAMES = ["S000USDT", "S001USDT", "S002USDT"]


def config(factors, package=None, num_candles=150):
    return json.dumps(
        {
            "trade_type": "usdt_perp",
            "interval": "5m",
            "num_candles": num_candles,
            "factors": factors,
            "factor_package": package,
        }
    )


def market_with(tmp_path, factors, package=None, candles=None, num_candles=150):
    candles = made_up(periods=160) if candles is None else candles
    write_market(tmp_path / "base", candles, config(factors, package, num_candles))
    return Market(tmp_path / "base")


def closes(candles, back):
    at = candles.filter(pl.col("candle_begin_time").dt.epoch("ms") == NEWEST_MS - back * STEP_MS)
    return at.sort("symbol")["close"]


def test_native_factors_and_modules_stand_side_by_side_in_the_order_of_the_config(tmp_path, package):
    candles = made_up(periods=160)
    market = market_with(tmp_path, [["Native", 5], ["PctChg", 3], ["Bias", 10]], package, candles)
    result = compute(market, RUN_TIME)
    assert result.frame.columns == ["symbol", "close", "Native_5", "PctChg_3", "Bias_10"]
    assert result.frame["symbol"].to_list() == NAMES
    assert result.frame["close"].to_list() == closes(candles, 0).to_list()
    assert result.frame["PctChg_3"].to_list() == pytest.approx((closes(candles, 0) / closes(candles, 3) - 1).to_list())
    assert result.errors == ()


def test_without_modules_only_what_is_needed_is_read(tmp_path, monkeypatch):
    market = market_with(tmp_path, [["PctChg", 20]])
    asked = []
    original = BufferSource.read

    def noting(self, first_ms, last_ms, columns=None, symbols=None):
        asked.append((first_ms, last_ms, list(columns)))
        return original(self, first_ms, last_ms, columns, symbols)

    monkeypatch.setattr(BufferSource, "read", noting)
    compute(market, RUN_TIME)
    run_ms = NEWEST_MS + STEP_MS
    assert asked == [(run_ms - 20 * STEP_MS, run_ms, ["close"])]


def test_what_cannot_be_computed_is_told_and_everything_else_still_is(tmp_path, package):
    factors = [["Broken", 3], ["Absent", 3], ["Returns", 2], ["Rsi", 100], ["Native", 5], ["Series", 2]]
    result = compute(market_with(tmp_path, factors, package), RUN_TIME)
    assert result.frame["Native_5"].null_count() == 0
    assert result.frame["Series_2"].null_count() == 0
    for column in ("Broken_3", "Absent_3", "Returns_2", "Rsi_100"):
        assert result.frame[column].null_count() == 3
        assert any(column in sentence for sentence in result.errors)
    (too_long,) = [sentence for sentence in result.errors if "Rsi_100" in sentence]
    assert too_long == "factor Rsi_100: it needs 1377 candles, and num_candles keeps 150"


def test_symbols_that_should_have_a_candle_are_named_as_missing(tmp_path):
    market = market_with(tmp_path, [["PctChg", 3]])
    ExchangeInfoStore(market.folder).save([info(name) for name in [*NAMES, "LATEUSDT"]], RUN_TIME)
    assert compute(market, RUN_TIME).missing == ("LATEUSDT",)


def test_funding_rates_are_read_when_a_factor_wants_them(tmp_path):
    market = market_with(tmp_path, [["FundingMean", 100]])
    settled = from_ms(NEWEST_MS - 10 * STEP_MS)
    FundingStore(market.folder).add([FundingRate("S001USDT", settled, 0.0002, None, "Regular")])
    assert compute(market, RUN_TIME).frame["FundingMean_100"].to_list() == [None, 0.0002, None]


def test_a_market_without_candles_has_no_rows_but_its_columns(tmp_path):
    result = compute(market_with(tmp_path, [["PctChg", 3]], candles=made_up().clear()), RUN_TIME)
    assert result.frame.columns == ["symbol", "close", "PctChg_3"]
    assert result.frame.height == 0


def test_a_run_time_without_a_zone_is_an_error(tmp_path):
    with pytest.raises(NaiveTimeError):
        compute(market_with(tmp_path, []), RUN_TIME.replace(tzinfo=None))


def test_what_is_stored_is_read_back_whole(tmp_path, package):
    market = market_with(tmp_path, [["PctChg", 3], ["Broken", 1]], package)
    result = compute(market, RUN_TIME)
    store = FactorStore(market.folder)
    path = store.put(result)
    assert path == tmp_path / "base" / "factors_5m" / "20261122T120500Z.parquet"
    read = store.get(RUN_TIME)
    assert read is not None
    assert_frame_equal(read.frame, result.frame)
    assert (read.run_time, read.missing, read.errors) == (result.run_time, result.missing, result.errors)
    assert store.get(RUN_TIME + timedelta(minutes=5)) is None


def test_only_the_newest_run_times_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "KEPT", 2)
    market = market_with(tmp_path, [["PctChg", 3]])
    store = FactorStore(market.folder)
    for back in (2, 1, 0):
        store.put(compute(market, RUN_TIME - timedelta(minutes=5 * back)))
    assert store.run_times_ms() == [NEWEST_MS, NEWEST_MS + STEP_MS]


def test_a_damaged_file_is_named(tmp_path):
    market = market_with(tmp_path, [["PctChg", 3]])
    store = FactorStore(market.folder)
    path = store.put(compute(market, RUN_TIME))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(FolderError, match="20261122T120500Z"):
        store.get(RUN_TIME)


def test_every_shipped_factor_is_live_what_it_is_in_history(tmp_path):
    factors = [[name, 9] for name in LIBRARY]
    market = market_with(tmp_path, factors, candles=made_up(symbols=4, periods=320), num_candles=300)
    report = check_factors(market, n=2)
    assert report.problems == ()
    assert {check.column: check.verdict for check in report.checks if not check.sound} == {}
    assert report.sound
    for check in report.checks:
        assert check.needed is not None
        assert check.declared is not None
        assert check.needed <= check.declared


def test_a_look_ahead_is_found_in_modules_and_in_native_factors(tmp_path, package):
    factors = [["Ahead", 1], ["Ahead", 40], ["NativeAhead", 5], ["PctChg", 3], ["NativeShort", 20], ["Ema", 20]]
    report = check_factors(market_with(tmp_path, factors, package), n=4)
    found = {check.column: check for check in report.checks}
    assert found["Ahead_1"].verdict == "looks ahead"
    assert found["Ahead_1"].ahead == found["Ahead_1"].compared - 3  # at the last run time there is nothing ahead
    assert found["Ahead_40"].verdict == "looks ahead"
    assert "looks ahead" in found["NativeAhead_5"].verdict
    assert found["PctChg_3"].verdict == "live equals history"
    assert found["PctChg_3"].needed == 4
    assert found["NativeShort_20"].verdict == "needs more than the 10 candles it declares"
    assert found["NativeShort_20"].needed == 20
    assert found["Ema_20"].verdict == "never forgets: give it a fixed warm-up" or found["Ema_20"].needed > 100
    assert not report.sound


def test_what_was_stored_and_differs_now_is_found(tmp_path):
    market = market_with(tmp_path, [["PctChg", 3]])
    result = compute(market, RUN_TIME)
    store = FactorStore(market.folder)
    store.put(result)
    assert check_factors(market, n=3).checks[0].stored == 0
    shift = pl.when(pl.col("symbol") == "S001USDT").then(1e-3).otherwise(0.0)
    changed = result.frame.with_columns(PctChg_3=pl.col("PctChg_3") + shift)
    store.put(type(result)(result.run_time, changed))
    check = check_factors(market, n=3).checks[0]
    assert check.stored == 1
    assert check.verdict == "differs from what was stored"
    assert check.sound


def test_the_check_tells_what_it_could_not_check_and_is_plain_json(tmp_path, package):
    market = market_with(tmp_path, [["Broken", 1], ["Absent", 1], ["Ahead", 2], ["PctChg", 2]], package)
    report = check_factors(market, n=2)
    assert len(report.problems) == 2
    plain = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert plain["sound"] is False
    assert [factor["column"] for factor in plain["factors"]] == ["Ahead_2", "PctChg_2"]
    console = Console(width=100)
    with console.capture() as shown:
        console.print(check_table(report))
    assert "looks ahead" in shown.get()
    assert "Broken_1" in shown.get()


def test_a_market_without_candles_cannot_be_checked(tmp_path):
    report = check_factors(market_with(tmp_path, [["PctChg", 3]], candles=made_up().clear()))
    assert report.problems == ("there are no candles yet",)
    assert not report.sound
