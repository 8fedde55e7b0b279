"""The reference of the same run: one parquet file a symbol, read, appended to and rewritten by pandas each candle.

That is how BMAC v2 keeps its market. Measured on a sample of symbols and scaled to the market: its work is a loop over
symbols, so time, CPU and bytes grow with their number.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tests.bench.buffer_folder import random_walk

if TYPE_CHECKING:
    from pathlib import Path

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


@dataclass(frozen=True)
class Reference:
    """Seconds, CPU seconds and bytes for a whole market of ``symbols``; ``read_one_s`` for one symbol."""

    symbols: int
    sample: int
    period_s: float
    period_cpu_s: float
    period_bytes: float
    read_market_s: float
    read_one_s: float


def measure(scratch: Path, *, symbols: int, candles: int, sample: int) -> Reference:
    """Measure ``sample`` symbols of ``candles`` rows and scale to ``symbols``."""
    scratch.mkdir()
    paths = [scratch / f"S{number:04d}USDT.pqt" for number in range(sample)]
    for number, path in enumerate(paths):
        _history(number, candles).to_parquet(path)
    append_candle(paths[0], candles)  # pandas loads what it needs at the first call
    scale = symbols / sample
    wall, cpu = time.perf_counter(), time.process_time()
    for path in paths:
        append_candle(path, candles)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    size = sum(path.stat().st_size for path in paths)
    reading = time.perf_counter()
    for path in paths:
        pd.read_parquet(path)
    reading = time.perf_counter() - reading
    return Reference(symbols, sample, wall * scale, cpu * scale, size * scale, reading * scale, reading / sample)


def append_candle(path: Path, candles: int) -> None:
    """One candle the reference's way: read, concat, drop duplicates, keep the newest, write."""
    frame = pd.read_parquet(path)
    newest = frame.iloc[[-1]].copy()
    newest.index = newest.index + pd.Timedelta(minutes=1)
    newest["candle_begin_time"] = newest["candle_begin_time"] + pd.Timedelta(minutes=1)
    joined = pd.concat([frame, newest])
    joined = joined[~joined.index.duplicated(keep="last")].sort_index().tail(candles)
    joined.to_parquet(path)


def _history(seed: int, candles: int) -> pd.DataFrame:
    begins = pd.date_range("2026-11-20", periods=candles, freq="1min", tz="UTC")
    values = random_walk(np.random.default_rng(seed), candles, 1)[:, 0, :]
    frame = pd.DataFrame(values, columns=list(COLUMNS))
    frame["trade_num"] = frame["trade_num"].astype("int64")
    frame.insert(0, "candle_begin_time", begins)
    frame.index = pd.DatetimeIndex(begins + pd.Timedelta(minutes=1), name="candle_end_time")
    return frame
