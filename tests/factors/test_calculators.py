"""BMAC's two calculators on a market's folder: users' modules unchanged, columns as plain pandas to the last bit."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pandas as pd
import polars as pl
import pytest
from structlog.testing import capture_logs

from kit.buffer.exchange_info import ExchangeInfoStore
from kit.buffer.layout import Folder
from kit.calculators import single
from kit.calculators.all_market import BmacAllMarketCalculator
from kit.calculators.runner import SignalRunner
from kit.calculators.single import BmacSingleSymbolCalculator
from kit.candle_reader import CandleFileReader
from kit.dialect.symbols import SymbolInfo
from kit.errors import FolderError, NaiveTimeError
from kit.factors.users import find_factors
from kit.market import Market
from kit.words import Interval, from_ms
from tests.factors.builders import NEWEST_MS, STEP_MS, made_up, write_candles, write_market
from tests.streamer.exchange_double import eventually

RUN_TIME = from_ms(NEWEST_MS + STEP_MS)
CONFIG = json.dumps({"trade_type": "usdt_perp", "interval": "5m", "num_candles": 150})
SECONDS_LEFT = single.seconds_left  # what the fixture below puts aside
NAMES = ["S000USDT", "S001USDT", "S002USDT"]
FACTORS = [("PctChg", 100), ["TrdNumMeanV1", 80]]


@pytest.fixture
def market(tmp_path):
    folder = write_market(tmp_path / "base", made_up(periods=160), CONFIG)
    return CandleFileReader(folder.candles)


@pytest.fixture(autouse=True)
def run_time_is_now(monkeypatch):
    """The made-up candles end at a fixed moment; what is left of the waiting is counted from a clock set to it."""
    monkeypatch.setattr(single, "seconds_left", lambda _run_time, expire_sec: expire_sec)
    monkeypatch.setattr("kit.calculators.all_market.seconds_left", lambda _run_time, expire_sec: expire_sec)


def plain_pandas(reader, symbol):
    """What a user computes with pandas alone."""
    df = reader.read_candle(symbol)
    return pd.DataFrame(
        {
            "candle_begin_time": df["candle_begin_time"],
            "close": df["close"],
            "PctChg_100": df["close"].pct_change(100),
            "TrdNumMeanV1_80": (df["trade_num"] * 1.0).rolling(80, min_periods=1).mean(),
        }
    )


async def test_one_symbol_has_all_its_candles_and_columns_equal_to_plain_pandas_to_the_last_bit(market, package):
    found = await BmacSingleSymbolCalculator("S001USDT", market, FACTORS, package).calc_factors(RUN_TIME)
    expected = plain_pandas(market, "S001USDT")
    pd.testing.assert_frame_equal(found, expected, check_exact=True, check_freq=False)
    assert len(found) == 150
    assert found.index[-1] == RUN_TIME
    assert found.attrs == {"missing": [], "errors": []}


async def test_another_symbol_can_be_asked_of_the_same_calculator(market, package):
    calculator = BmacSingleSymbolCalculator("S001USDT", market, FACTORS, package)
    found = await calculator.calc_factors(RUN_TIME, "S002USDT")
    pd.testing.assert_frame_equal(found, plain_pandas(market, "S002USDT"), check_exact=True, check_freq=False)


async def test_an_older_run_time_sees_nothing_after_it(market, package):
    then = RUN_TIME - timedelta(minutes=5)
    found = await BmacSingleSymbolCalculator("S001USDT", market, FACTORS, package).calc_factors(then)
    assert found.index[-1] == then


async def test_the_whole_market_is_one_row_a_symbol_equal_to_plain_pandas_to_the_last_bit(market, package):
    found = await BmacAllMarketCalculator(NAMES, market, FACTORS, package).calc_all_factors(RUN_TIME)
    assert list(found["symbol"]) == NAMES
    assert set(found.index) == {RUN_TIME}
    assert list(found.columns) == ["symbol", "candle_begin_time", "close", "PctChg_100", "TrdNumMeanV1_80"]
    for symbol in NAMES:
        expected = plain_pandas(market, symbol).iloc[-1]
        row = found[found["symbol"] == symbol].iloc[0]
        assert [row[name] for name in expected.index] == expected.to_list()
    assert found.attrs == {"missing": [], "errors": []}


async def test_symbols_are_computed_as_they_come_and_the_last_one_ends_the_waiting(tmp_path, package):
    candles = made_up(symbols=5, periods=160)
    early = candles.filter(pl.col("candle_begin_time").dt.epoch("ms") < NEWEST_MS)
    late = candles.filter(pl.col("candle_begin_time").dt.epoch("ms") == NEWEST_MS)
    folder = write_market(tmp_path / "base", early, CONFIG)
    reader = CandleFileReader(folder.candles)
    names = candles["symbol"].unique().to_list()
    calculator = BmacAllMarketCalculator(names, reader, FACTORS, package, bmac_expire_sec=60)
    task = asyncio.create_task(calculator.calc_all_factors(RUN_TIME))
    await asyncio.sleep(0.2)
    for number in range(1, 6):
        assert not task.done()
        await asyncio.to_thread(write_candles, folder, late.head(number))
    found = await asyncio.wait_for(task, 120)
    assert list(found["symbol"]) == sorted(names)
    for symbol in names:
        row = found[found["symbol"] == symbol].iloc[0]
        assert row["PctChg_100"] == plain_pandas(reader, symbol)["PctChg_100"].iloc[-1]


async def test_a_candle_before_that_comes_late_too_is_in_the_history(tmp_path, package):
    candles = made_up(symbols=2, periods=160)
    last_two = pl.col("candle_begin_time").dt.epoch("ms") >= NEWEST_MS - STEP_MS
    folder = write_market(tmp_path / "base", candles.filter(~last_two | (pl.col("symbol") == "S000USDT")), CONFIG)
    reader = CandleFileReader(folder.candles)
    calculator = BmacAllMarketCalculator(["S000USDT", "S001USDT"], reader, [("PctChg", 1)], package)
    task = asyncio.create_task(calculator.calc_all_factors(RUN_TIME))
    await asyncio.sleep(0.2)
    await asyncio.to_thread(write_candles, folder, candles.filter(last_two & (pl.col("symbol") == "S001USDT")))
    found = (await asyncio.wait_for(task, 120)).set_index("symbol")
    close = candles.filter(pl.col("symbol") == "S001USDT")["close"]
    assert found.loc["S001USDT", "PctChg_1"] == pytest.approx(close[-1] / close[-2] - 1, rel=1e-12)


async def test_what_is_not_there_in_time_is_left_out_and_named_in_the_result_and_the_log(market, package):
    calculator = BmacAllMarketCalculator([*NAMES, "LATEUSDT"], market, FACTORS, package, bmac_expire_sec=0.1)
    with capture_logs() as logs:
        found = await calculator.calc_all_factors(RUN_TIME)
    assert list(found["symbol"]) == NAMES
    assert found.attrs["missing"] == ["LATEUSDT"]
    assert [log["symbols"] for log in logs if log["event"] == "factors.missing"] == [["LATEUSDT"]]
    one = await calculator.calc_factors(RUN_TIME, "LATEUSDT")
    assert one.empty
    assert one.attrs["missing"] == ["LATEUSDT"]
    assert list(one.columns) == ["candle_begin_time", "close", "PctChg_100", "TrdNumMeanV1_80"]


async def test_a_module_that_raises_is_told_with_symbol_and_run_time_and_the_others_are_computed(market, package):
    factors = [("Broken", 3), ("PctChg", 100), ("Absent", 5), ("NoSignal", 5)]
    with capture_logs() as logs:
        found = await BmacAllMarketCalculator(NAMES, market, factors, package).calc_all_factors(RUN_TIME)
    assert found["PctChg_100"].notna().all()
    assert found[["Broken_3", "Absent_5", "NoSignal_5"]].isna().all(axis=None)
    told = found.attrs["errors"]
    (broken,) = [sentence for sentence in told if "Broken_3" in sentence]
    symbols = "symbol S000USDT and 2 other symbols (S001USDT, S002USDT ...)"
    assert broken.startswith(f"factor Broken_3, {symbols}, run time {RUN_TIME}")
    assert "ValueError: no such thing (Broken.py line 4)" in broken
    assert len(told) == 3
    assert [log["problem"] for log in logs if log["event"] == "factor.failed"] == told


class HeldClock:
    """Stands in for ``time`` where shares of the period are counted: the machine's own pauses are nobody's share."""

    now = 0.0

    def monotonic(self):
        return self.now


async def test_a_module_that_takes_longer_than_its_share_of_the_period_is_left_out(package, candles_frame, monkeypatch):
    clock = HeldClock()
    monkeypatch.setattr("kit.calculators.runner.time", clock)
    signals = find_factors([("Slow", 1), ("PctChg", 2)], package).signals
    runner = SignalRunner(signals, budget_s=4.0)
    runner.submit(dict.fromkeys(NAMES, candles_frame), newest_only=True)
    await eventually(lambda: runner._call is not None and runner._call.task.signal.name == "Slow")
    clock.now += 2.1
    values = await asyncio.to_thread(runner.join)
    assert [(symbol, *columns) for symbol, columns in values.items()] == [(name, "PctChg_2") for name in NAMES]
    (sentence,) = runner.problems.sentences("now")
    assert "factor Slow_1, run time now: takes too long: its share of the period is 2 s" in sentence


def info(symbol: str, status: str = "TRADING", contract: str = "PERPETUAL", quote: str = "USDT") -> dict[str, object]:
    """A perpetual as the exchange info on disk has it."""
    given = {"symbol": symbol, "status": status, "quote_asset": quote, "contract_type": contract}
    return SymbolInfo.from_dict({"venue": "um", "base_asset": symbol.removesuffix(quote), **given}).to_dict()


@pytest.mark.parametrize("kind", ["market", "reader", "path", "frame", "names", "get_all_symbols"])
async def test_who_trades_can_be_told_in_many_forms(market, package, kind):
    folder = market.folder
    rows = [*map(info, NAMES), info("GONEUSDT", "SETTLING"), info("AUSDC", quote="USDC")]
    ExchangeInfoStore(folder).save(rows, datetime(2026, 11, 22, tzinfo=UTC))
    teller = {
        "market": Market(folder.base_dir),
        "reader": market,
        "path": str(folder.exchange_info),
        "frame": pd.DataFrame({"symbol": [*NAMES, "GONEUSDT"], "status": ["TRADING"] * 3 + ["SETTLING"]}),
        "names": NAMES,
        "get_all_symbols": type("Reader", (), {"get_all_symbols": staticmethod(lambda: NAMES)})(),
    }[kind]
    calculator = BmacAllMarketCalculator(teller, market, [("PctChg", 1)], package, bmac_expire_sec=3600)
    found = await calculator.calc_all_factors(RUN_TIME)
    assert list(found["symbol"]) == NAMES
    assert found.attrs["missing"] == []  # for who does not trade nobody waits


async def test_without_any_exchange_info_the_symbols_of_the_period_before_are_waited_for(market, package):
    calculator = BmacAllMarketCalculator(str(market.folder.exchange_info), market, [("PctChg", 1)], package)
    found = await calculator.calc_all_factors(RUN_TIME)
    assert list(found["symbol"]) == NAMES


async def test_a_market_without_candles_gives_an_empty_frame(tmp_path, package):
    folder = write_market(tmp_path / "base", made_up().clear(), CONFIG)
    calculator = BmacAllMarketCalculator(NAMES, CandleFileReader(folder.candles), FACTORS, package, bmac_expire_sec=0.1)
    found = await calculator.calc_all_factors(RUN_TIME)
    assert found.empty
    assert list(found.columns) == ["symbol", "candle_begin_time", "close", "PctChg_100", "TrdNumMeanV1_80"]
    assert found.attrs["missing"] == NAMES


async def test_a_run_time_without_a_zone_is_an_error(market, package):
    naive = RUN_TIME.replace(tzinfo=None)
    with pytest.raises(NaiveTimeError):
        await BmacAllMarketCalculator(NAMES, market, FACTORS, package).calc_all_factors(naive)
    with pytest.raises(NaiveTimeError):
        await BmacSingleSymbolCalculator("S000USDT", market, FACTORS, package).calc_factors(naive)


def test_what_is_no_reader_is_refused(market, package):
    with pytest.raises(FolderError, match="is no candle reader"):
        BmacSingleSymbolCalculator("S000USDT", 3, FACTORS, package)


def test_seconds_left_are_counted_from_the_run_time_and_are_never_negative():
    now = datetime.now(UTC)
    assert 30 < SECONDS_LEFT(now, 40) <= 40
    assert SECONDS_LEFT(now - timedelta(days=1), 40) == 0


async def test_a_resample_is_a_market_like_any_other(tmp_path, package):
    """Its candles lie elsewhere and are longer; who trades is still told by the exchange info of the market."""
    hours = made_up(symbols=2, periods=20)
    base = write_market(tmp_path / "base", made_up().clear(), CONFIG)
    ExchangeInfoStore(base).save([info(name) for name in NAMES[:2]], RUN_TIME)
    resampled = Folder(base.base_dir, base.trade_type, Interval.H1)
    resampled.open_for_writing()
    newest = NEWEST_MS - NEWEST_MS % Interval.H1.ms
    spread = pl.int_range(pl.len()).over("symbol") - 19
    begins = (pl.lit(newest) + spread * Interval.H1.ms) * 1000
    write_candles(resampled, hours.with_columns(candle_begin_time=begins.cast(pl.Datetime("us", "UTC"))))
    reader = type("Reader", (), {"folder": resampled})()
    run_time = from_ms(newest + Interval.H1.ms)
    found = await BmacAllMarketCalculator(reader, reader, [("PctChg", 3)], package).calc_all_factors(run_time)
    assert list(found["symbol"]) == NAMES[:2]
    assert found.attrs["missing"] == []
    one = await BmacSingleSymbolCalculator(NAMES[0], reader, [("PctChg", 3)], package).calc_factors(run_time)
    assert len(one) == 150 * 5 // 60
