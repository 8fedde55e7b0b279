"""A market's candles as pandas frames by symbol, cut from one big frame without copying."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from kit.buffer.files import VALUE_COLUMNS


def pandas_by_symbol(
    candles: pl.DataFrame, step_ms: int, *, only: Collection[str] | None = None, at_most: int | None = None
) -> dict[str, pd.DataFrame]:
    """Each symbol's frame, as ``CandleFileReader.read_candle`` gives it: at most its newest ``at_most`` rows.

    ``candles``: symbol, candle_begin_time and the value columns, sorted by symbol and time; ``only``: these symbols.
    The frames share their memory; pandas copies what is written (copy-on-write), so writing to one changes no other.
    """
    if candles.is_empty():
        return {}
    market = _market_frame(candles, step_ms)
    runs = candles["symbol"].rle().struct.unnest()
    ends = np.cumsum(runs["len"].to_numpy())
    names = runs["value"].cast(pl.String).to_list()
    frames = {}
    for name, end, length in zip(names, ends.tolist(), runs["len"].to_list(), strict=True):
        if only is None or name in only:
            start = end - min(length, at_most or length)
            frames[name] = market.iloc[start:end]
    return frames


def last_rows(candles: pl.DataFrame) -> pl.DataFrame:
    """The newest row of each symbol, of candles that are sorted by symbol and time."""
    rows: pl.DataFrame = candles[np.cumsum(candles["symbol"].rle().struct.field("len").to_numpy()) - 1]
    return rows


def _market_frame(candles: pl.DataFrame, step_ms: int) -> pd.DataFrame:
    begin = utc_index(candles["candle_begin_time"])
    ends = pd.DatetimeIndex(begin + pd.Timedelta(milliseconds=step_ms), name="candle_end_time")
    columns: dict[str, Any] = {"candle_begin_time": begin}
    columns |= {name: candles[name].to_numpy() for name in VALUE_COLUMNS}
    frame = pd.DataFrame(columns, index=ends)
    # As objects and not in arrow's text: adding a column, which every module does for every symbol, is a tenth faster.
    frame.columns = frame.columns.astype(object)
    return frame


def utc_index(column: pl.Series) -> pd.DatetimeIndex:
    """Times in polars as an index of pandas."""
    return pd.DatetimeIndex(column.to_physical().to_numpy().view("datetime64[us]")).tz_localize("UTC")
