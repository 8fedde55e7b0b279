"""What readers get: columns, funding, bad words, BMAC's reader."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import duckdb
import polars as pl
import pytest

from kit.buffer.funding import FundingRate, FundingStore
from kit.errors import ConfigError, NaiveTimeError, UnknownWordError
from kit.resample.reader import ResampleReader
from kit.resample.update import update_resample
from kit.words import from_ms
from tests.builders import MINUTE, NOON, candles
from tests.resample.builders import Resampled

SYMBOLS = ["AUSDT", "BUSDT"]
HOURS = 4


@pytest.fixture
def market(tmp_path):
    """Four hours of 5m candles, resampled to 1h."""
    made = Resampled(tmp_path, "5m", "1h", funding_rate=True)
    raw = {"trade_type": "usdt_perp", "interval": "5m", "num_candles": 1000, "funding_rate": True}
    (tmp_path / "config.json").write_text(json.dumps(raw | {"resample": {"interval": "1h", "base_offset": "5m"}}))
    made.store(candles(SYMBOLS, NOON, HOURS * 12, 5 * MINUTE))
    made.update(NOON + HOURS * 60 * MINUTE)
    return made


def test_columns_are_the_base_ones_with_the_count_and_the_funding(market):
    frame = market.read()
    assert frame.columns[:2] == ["symbol", "candle_begin_time"]
    assert frame.columns[-4:] == ["count", "funding_rate", "funding_time", "funding_price"]
    assert frame["count"].unique().to_list() == [12]
    assert frame.schema["symbol"] == pl.String
    assert frame.schema["candle_begin_time"] == frame.schema["funding_time"] == pl.Datetime("us", "UTC")
    assert market.read(columns=["close", "count"]).columns == ["symbol", "candle_begin_time", "close", "count"]
    assert market.read(columns=[]).columns == ["symbol", "candle_begin_time"]


@pytest.mark.parametrize("offset_min", range(0, 60, 5))
def test_a_database_aggregates_to_the_same(market, offset_min):
    base = pl.DataFrame(candles(SYMBOLS, NOON, HOURS * 12, 5 * MINUTE), orient="row")  # noqa: F841 - read by name below
    query = """
        SELECT symbol, (begin_ms - $1) // 3600000 * 3600000 + $1 AS begin, arg_min(open, begin_ms), max(high),
               min(low), arg_max(close, begin_ms), sum(trade_num)::BIGINT, fsum(volume)
        FROM base GROUP BY ALL HAVING count(*) = 12 ORDER BY ALL
    """
    rows = duckdb.execute(query, [offset_min * MINUTE]).fetchall()
    found = market.read(offset_min * MINUTE).with_columns(pl.col("candle_begin_time").dt.epoch("ms"))
    names = ["symbol", "candle_begin_time", "open", "high", "low", "close", "trade_num"]
    assert found.select(names).rows() == [row[:-1] for row in rows]
    assert found["volume"].to_list() == pytest.approx([row[-1] for row in rows], rel=1e-15)


def settled(symbol, minute, rate=0.0001, kind="Regular", price: float | None = 1.5):
    return FundingRate(symbol, from_ms(NOON + minute * MINUTE), rate, price, kind)


def test_the_first_settlement_inside_is_told_and_the_begin_is_inside_while_the_end_is_not(market):
    FundingStore(market.folder).add(
        [
            settled("AUSDT", 60, 0.1),
            settled("AUSDT", 90, 0.2, price=None),
            settled("AUSDT", 180, 0.5, "Special"),
            settled("AUSDT", 180, 0.4),
            settled("BUSDT", 60, 0.3),
        ]
    )
    at_zero = market.read(symbols=["AUSDT"])
    assert at_zero["funding_rate"].to_list() == [None, 0.1, None, 0.4]
    assert at_zero["funding_time"].to_list() == [None, from_ms(NOON + 60 * MINUTE), None, from_ms(NOON + 180 * MINUTE)]
    at_five = market.read(5 * MINUTE, symbols=["AUSDT"])
    assert at_five["funding_rate"].to_list() == [0.1, 0.2, 0.4]
    assert at_five["funding_price"].to_list() == [1.5, None, 1.5]
    assert market.read(symbols=["BUSDT"], columns=["funding_rate"])["funding_rate"].to_list() == [None, 0.3, None, None]


def test_the_newest_so_many_periods_of_an_offset_can_be_asked_for(market):
    frame = market.read(5 * MINUTE, last=2)
    newest = [from_ms(NOON + minute * MINUTE) for minute in (65, 125)]
    assert frame["candle_begin_time"].to_list() == newest * 2


@pytest.mark.parametrize(
    ("interval", "offset", "told"),
    [
        ("1h", "7m", "offset of 1h candles from 5m '7m' does not exist.*0m, 5m, 10m"),
        ("1h", "60m", "'60m' does not exist.*55m"),
        ("1h", "soon", "'soon' does not exist"),
        ("1h", timedelta(seconds=301), "0:05:01"),
        ("1h", timedelta(minutes=-5), "does not exist"),
        ("2h", "0m", "resample of usdt_perp 5m to '2h' does not exist.*allowed: 5m, 1h"),
        ("7m", "0m", "'7m' does not exist"),
    ],
)
def test_a_target_or_an_offset_that_is_not_kept_is_named_with_what_is(market, interval, offset, told):
    with pytest.raises(UnknownWordError, match=told):
        ResampleReader(market.folder.base_dir, interval, offset)


def test_a_column_that_does_not_exist_is_named(market):
    with pytest.raises(UnknownWordError, match="column 'clsoe' does not exist; did you mean 'close'"):
        market.read(columns=["clsoe"])


def test_without_funding_in_the_config_there_are_no_funding_columns(tmp_path):
    plain = Resampled(tmp_path, "5m", "1h")
    assert plain.read().columns[-1] == "count"
    with pytest.raises(UnknownWordError, match="funding_rate"):
        plain.read(columns=["funding_rate"])


@pytest.mark.parametrize(
    ("resample", "told"),
    [
        ({"interval": "1h", "base_offset": "7m"}, "base_offset"),
        ({"interval": "1m"}, "not a multiple"),
        ({"interval": "5m"}, "not a multiple"),
        ({"interval": "7h"}, "resample"),
    ],
)
def test_a_config_that_asks_for_what_cannot_be_is_refused(tmp_path, resample, told):
    with pytest.raises(ConfigError, match=told):
        Resampled(tmp_path, "5m", resample["interval"], resample.get("base_offset", "0m"))


def test_many_offsets_are_not_listed_one_by_one(tmp_path):
    with pytest.raises(UnknownWordError, match=r"allowed: 0m, 1m, 2m, \.\.\., 59m"):
        Resampled(tmp_path, "1m", "1h").config and Resampled(tmp_path, "1m", "1h").read(30_000)


def test_bmacs_reader_reads_an_offset_like_a_market(market):
    reader = ResampleReader(market.folder.base_dir, "1h", "5m")
    frame = reader.read_candle("BUSDT")
    assert frame.index.name == "candle_end_time"
    assert list(frame.columns)[:2] == ["candle_begin_time", "open"]
    assert (frame.index - frame["candle_begin_time"]).unique().tolist() == [timedelta(hours=1)]
    assert frame["close"].tolist() == market.read(5 * MINUTE, symbols=["BUSDT"])["close"].to_list()
    assert frame["count"].tolist() == [12, 12, 12]
    assert frame["funding_rate"].isna().all()
    assert str(frame["candle_begin_time"].dtype) == str(frame["funding_time"].dtype) == "datetime64[us, UTC]"
    assert reader.check_ready("BUSDT", from_ms(NOON + 65 * MINUTE))
    assert not reader.check_ready("BUSDT", from_ms(NOON + 60 * MINUTE))
    assert reader.get_all_symbols() == SYMBOLS
    assert reader.has_symbol("AUSDT")
    assert not reader.has_symbol("CUSDT")
    assert reader.read_candle("CUSDT").empty
    assert reader.folder.exchange_info == market.folder.exchange_info


def test_a_run_time_without_a_zone_is_refused(market):
    with pytest.raises(NaiveTimeError):
        update_resample(market.folder, market.config, datetime(2026, 11, 22, 12))  # noqa: DTZ001 - that is the point
    assert update_resample(market.folder, market.config, datetime(2026, 11, 22, 12, tzinfo=UTC)) == 0
