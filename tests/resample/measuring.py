"""What resampling costs, against pandas doing the same for each symbol and offset; for ``python -m tests.bench``."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd

from kit.buffer.files import VALUE_COLUMNS, candle_table, write_table
from kit.words import Candle, Interval, Source
from tests.bench.buffer_folder import random_walk
from tests.bench.figures import Figure
from tests.builders import NOON
from tests.resample.builders import Resampled

STEP = Interval.M5.ms
OFFSETS = 12
BLOCK = 256
ADDED = 15
ROUNDS = 3
_AGGREGATION = dict.fromkeys(VALUE_COLUMNS, "sum") | {"open": "first", "high": "max", "low": "min", "close": "last"}


def measure(scratch: Path, *, symbols: int = 600, candles: int = 1500, sample: int = 4) -> list[Figure]:
    """All hourly offsets from nothing, and one period more. pandas: a sample of symbols, scaled to the market."""
    market, rows = _market(scratch, symbols, candles)
    end_ms = NOON + candles * STEP
    at_once = float(np.median([_from_nothing(market, end_ms) for _ in range(ROUNDS)]))
    added = []
    for number in range(ADDED):
        _slice(market, rows[candles + number], number + candles)
        began = time.perf_counter()
        market.update(end_ms + (number + 1) * STEP)
        added.append(1000 * (time.perf_counter() - began))
    resampling, everything = (seconds * symbols / sample for seconds in _pandas(scratch, rows, candles, sample))
    note = f"pandas on {sample} symbols, scaled"
    return [
        Figure("12 hourly offsets from nothing, read and kept", "s", at_once, everything / 50, everything, note),
        Figure("the same against pandas' resample alone", "s", at_once, None, resampling, f"{note}; no files there"),
        Figure("one period more, resampled", "ms", float(np.median(added)), 30, None, f"worst {max(added):.0f} ms"),
    ]


def _market(base_dir: Path, symbols: int, candles: int) -> tuple[Resampled, list[list[Candle]]]:
    """A compacted market with its newest slices, and the candles of each period, with some to come."""
    market = Resampled(base_dir, "5m", "1h", num_candles=candles)
    values = random_walk(np.random.default_rng(7), candles + ADDED, symbols)
    rows = [
        [
            Candle._make((f"S{number:04d}USDT", NOON + period * STEP, *each[:6], int(each[6]), *each[7:]))
            for number, each in enumerate(of_period.tolist())
        ]
        for period, of_period in enumerate(values)
    ]
    compacted = candles - candles % BLOCK
    for first in range(0, compacted, BLOCK):
        block = [(row, 0) for of_period in rows[first : first + BLOCK] for row in of_period]
        span = (NOON + (first + 1) * STEP, NOON + (first + BLOCK) * STEP)
        path = market.folder.flow_path("block", *span, 1 + first // BLOCK)
        write_table(path, candle_table(block, Source.REST), "parquet")
    for period in range(compacted, candles, 8):
        span = (NOON + (period + 1) * STEP, NOON + min(period + 8, candles) * STEP)
        block = [(row, 0) for of_period in rows[period : min(period + 8, candles)] for row in of_period]
        path = market.folder.flow_path("block", *span, 100 + period)
        write_table(path, candle_table(block, Source.REST), "parquet")
    return market, rows


def _from_nothing(market: Resampled, end_ms: int) -> float:
    shutil.rmtree(market.folder.base_dir / "resample_1h", ignore_errors=True)
    began = time.perf_counter()
    market.update(end_ms)
    return time.perf_counter() - began


def _slice(market: Resampled, candles: list[Candle], period: int) -> None:
    path = market.folder.stream_path(NOON + (period + 1) * STEP, 1)
    write_table(path, candle_table([(candle, 0) for candle in candles], Source.STREAM), "parquet")


def _pandas(scratch: Path, rows: list[list[Candle]], candles: int, sample: int) -> tuple[float, float]:
    """Seconds for ``sample`` symbols: resampling alone, and with a file a symbol read and a file an offset written."""
    resampling, files = 0.0, 0.0
    for number in range(sample):
        frame = pd.DataFrame([of_period[number] for of_period in rows[:candles]])
        frame["candle_begin_time"] = pd.to_datetime(frame.pop("begin_ms"), unit="ms", utc=True)
        path = scratch / "pandas.parquet"
        frame.to_parquet(path)
        began = time.perf_counter()
        frame = pd.read_parquet(path).set_index("candle_begin_time")
        files += time.perf_counter() - began
        for offset in range(OFFSETS):
            began = time.perf_counter()
            groups = frame.resample("1h", offset=f"{5 * offset}min")
            made = groups.agg(_AGGREGATION)
            made["count"] = groups["close"].count()
            made = made[made["count"] == OFFSETS]
            resampling += time.perf_counter() - began
            began = time.perf_counter()
            made.to_parquet(path)
            files += time.perf_counter() - began
    return resampling, resampling + files
