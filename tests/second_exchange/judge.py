"""Compares what the product stored with the truth, bit by bit."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from kit import CandleFileReader, Market
from tests.second_exchange.universe import INTERVAL_MS, Instrument, Truth

COLUMNS = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "quote_volume",
    "trade_num",
    "taker_buy_base_asset_volume",
    "taker_buy_quote_asset_volume",
)


def moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def true_values(truth: Truth, one: Instrument, interval: str, begin_ms: int) -> tuple[float, ...]:
    return tuple(float(text) for text in truth.final(one, interval, begin_ms))


def stored(base: Path, symbols: list[str] | None = None, last: int | None = None) -> pl.DataFrame:
    """All candles of a market (of these symbols, or the ``last`` of each), their begin in ms, where they came from."""
    frame = Market(str(base)).candles(symbols, last=last, source=True)
    return frame.with_columns(begin_ms=pl.col("candle_begin_time").dt.epoch("ms"))


def wrong_values(frame: pl.DataFrame, truth: Truth, listed: dict[str, Instrument], interval: str) -> list[str]:
    """A sentence for every stored candle that is not, to the last bit, a candle of the exchange."""
    found = []
    for row in frame.iter_rows(named=True):
        one, begin = listed.get(row["symbol"]), row["begin_ms"]
        if one is None or not one.has_candle(begin, INTERVAL_MS[interval]):
            found.append(f"{row['symbol']} {moment(begin)}: the exchange has no such candle ({row['source']})")
            continue
        have = tuple(float(row[name]) for name in COLUMNS)
        want = true_values(truth, one, interval, begin)
        if have != want:
            found.append(f"{row['symbol']} {moment(begin)} ({row['source']}): stored {have}, true {want}")
    return found


def doubled(frame: pl.DataFrame) -> list[str]:
    counts = frame.group_by("symbol", "begin_ms").len().filter(pl.col("len") > 1)
    return [f"{symbol} {moment(begin)} is there {n} times" for symbol, begin, n in counts.iter_rows()]


def not_stored(
    frame: pl.DataFrame, listed: Iterable[Instrument], interval: str, newest_close_ms: int, num_candles: int
) -> list[str]:
    """A sentence for every candle of the window that the exchange has and the store lacks."""
    length = INTERVAL_MS[interval]
    have = set(frame.select("symbol", "begin_ms").iter_rows())
    window = range(newest_close_ms - num_candles * length, newest_close_ms, length)
    return [
        f"{one.symbol} {moment(begin)} is not there"
        for one in listed
        for begin in window
        if one.has_candle(begin, length) and (one.symbol, begin) not in have
    ]


def wrong_in_pandas(
    folder: Path, save_type: str, truth: Truth, listed: dict[str, Instrument], interval: str
) -> list[str]:
    """The same judgement through BMAC's own reader: index candle_end_time, values bit by bit."""
    reader, found = CandleFileReader(str(folder), save_type), []
    for symbol in reader.get_all_symbols():
        frame = reader.read_candle(symbol)
        if frame.index.name != "candle_end_time" or "UTC" not in str(frame.index.dtype):
            found.append(f"{symbol}: index {frame.index.name}, {frame.index.dtype}")
        for end, row in zip(frame.index, frame.to_dict("records"), strict=True):
            begin = row["candle_begin_time"]
            begin_ms = round(begin.timestamp() * 1000)
            have = tuple(float(row[name]) for name in COLUMNS)
            if have != true_values(truth, listed[symbol], interval, begin_ms):
                found.append(f"{symbol} {begin}: {have}")
            if round(end.timestamp() * 1000) != begin_ms + INTERVAL_MS[interval]:
                found.append(f"{symbol} {begin}: ends {end}")
    return found
