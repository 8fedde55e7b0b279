"""Made-up candles for factor tests: sound ones, as frames of the kinds that the code takes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from kit.buffer.layout import Folder
from kit.factors import engine
from kit.factors.factor import CANDLE_COLUMNS, Factor
from kit.factors.grid import Grid, to_grid
from kit.words import Candle, Interval, to_ms
from tests.builders import stream

STEP_MS = Interval.M5.ms
NEWEST_MS = to_ms(datetime(2026, 11, 22, 12, tzinfo=UTC))


def made_up(symbols: int = 3, periods: int = 400, seed: int = 1) -> pl.DataFrame:
    """Random walks that end at ``NEWEST_MS``: symbol, candle_begin_time and all inputs, prices from 1e-4 to 1e5."""
    rng = np.random.default_rng(seed)
    shape = (symbols, periods)
    close = 10.0 ** rng.uniform(-4, 5, (symbols, 1)) * np.exp(rng.normal(0, 3e-3, shape).cumsum(axis=1))
    opened = np.concatenate([close[:, :1], close[:, :-1]], axis=1)
    high = np.maximum(opened, close) * (1 + rng.uniform(0, 2e-3, shape))
    low = np.minimum(opened, close) * (1 - rng.uniform(0, 2e-3, shape))
    volume = rng.lognormal(8, 1, shape)
    taker = volume * rng.uniform(0.2, 0.8, shape)
    mean = (high + low) / 2
    values = [opened, high, low, close, volume, volume * mean, np.floor(volume / 3) + 1, taker, taker * mean]
    names = [f"S{number:03d}USDT" for number in range(symbols)]
    times_ms = NEWEST_MS - STEP_MS * np.arange(periods - 1, -1, -1)
    return pl.DataFrame(
        {
            "symbol": np.repeat(names, periods),
            "candle_begin_time": pl.Series(np.tile(times_ms, symbols) * 1000).cast(pl.Datetime("us", "UTC")),
            **{name: column.ravel() for name, column in zip(CANDLE_COLUMNS, values, strict=True)},
        }
    )


def grid_of(candles: pl.DataFrame, periods: int = 400, funding: pl.DataFrame | None = None) -> Grid:
    """The grid that ends at ``NEWEST_MS``, with every input."""
    inputs = [*CANDLE_COLUMNS, "funding_rate"]
    return to_grid(candles, inputs, newest_ms=NEWEST_MS, periods=periods, step_ms=STEP_MS, funding=funding)


def newest_of(factor: Factor, candles: pl.DataFrame, periods: int = 400) -> dict[str, float | None]:
    """The factor's newest value by symbol."""
    values = engine.newest(grid_of(candles, periods), [factor])
    assert not values.errors
    return dict(zip(values.symbols, values.columns[factor.column].to_list(), strict=True))


def write_market(path: Path, candles: pl.DataFrame, config: str) -> Folder:
    """A market's folder as a streamer leaves it, period by period, with that ``config.json``."""
    from kit.words import TradeType  # noqa: PLC0415 - only here

    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(config)
    folder = Folder(path, TradeType.USDT_PERP, Interval.M5)
    folder.open_for_writing()
    write_candles(folder, candles)
    return folder


def write_candles(folder: Folder, candles: pl.DataFrame) -> None:
    """Add candles to a folder as slices."""
    rows = candles.with_columns(pl.col("candle_begin_time").dt.epoch("ms"), pl.col("trade_num").cast(pl.Int64)).rows()
    stream(folder, [Candle._make(row) for row in rows])
