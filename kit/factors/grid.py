"""Candles on a time grid: for each symbol one row a period, null where there is no candle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from kit.factors.factor import FUNDING_COLUMN

SYMBOL = "symbol"
TIME = "candle_begin_time"
ROW = "symbol_number"
"""The grid's column that says to which of ``Grid.symbols`` a row belongs."""

Floats = np.ndarray[tuple[int], np.dtype[np.float64]]
Matrix = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class Grid:
    """``symbols`` x ``periods`` rows, symbol by symbol, oldest first; ``newest_ms`` is the begin time of the last row.

    ``frame``: ``symbol_number`` (UInt32, sorted) and the inputs (Float64). ``present``: where there is a candle, a row
    for each symbol and a column for each period.
    """

    symbols: tuple[str, ...]
    periods: int
    newest_ms: int
    step_ms: int
    frame: pl.DataFrame
    present: Matrix

    def tail(self, periods: int, inputs: Sequence[str]) -> pl.DataFrame:
        """The newest ``periods`` rows of every symbol, only those inputs."""
        frame = self.frame.select(ROW, *inputs)
        if periods >= self.periods:
            return frame
        starts = np.arange(len(self.symbols), dtype=np.uint32)[:, None] * np.uint32(self.periods)
        rows = starts + np.arange(self.periods - periods, self.periods, dtype=np.uint32)
        newest: pl.DataFrame = frame[rows.ravel()]
        return newest.with_columns(pl.col(ROW).set_sorted())

    def full_at_the_end(self, lookback: int) -> Matrix:
        """For each symbol whether the newest ``lookback`` periods all have a candle."""
        if lookback > self.periods:
            return np.zeros(len(self.symbols), dtype=np.bool_)
        enough: Matrix = self.present[:, -lookback:].sum(axis=1) == lookback
        return enough

    def full(self, lookback: int) -> Matrix:
        """Where the last ``lookback`` periods up to a place all have a candle, before the grid's beginning none."""
        if lookback > self.periods:
            return np.zeros_like(self.present)
        counts = np.cumsum(self.present, axis=1, dtype=np.int32)
        within = counts.copy()
        within[:, lookback:] -= counts[:, :-lookback]
        return np.equal(within, lookback)


def to_grid(
    candles: pl.DataFrame,
    inputs: Sequence[str],
    *,
    newest_ms: int,
    periods: int,
    step_ms: int,
    funding: pl.DataFrame | None = None,
) -> Grid:
    """The grid of ``candles``: symbol, candle_begin_time (Datetime, UTC) and the inputs, sorted by symbol and time.

    ``newest_ms``: begin time of the newest period (milliseconds). Candles outside the grid are left out, and so are
    symbols that have none inside. ``funding``: symbol, funding_time, funding_rate.
    """
    times_ms = candles[TIME].dt.epoch("ms").to_numpy()
    place = (times_ms - (newest_ms - (periods - 1) * step_ms)) // step_ms
    inside = (place >= 0) & (place < periods)
    kept = candles if inside.all() else candles.filter(pl.Series(inside))
    numbers = kept[SYMBOL].rle_id().to_numpy()
    symbols = tuple(kept[SYMBOL].unique(maintain_order=True).cast(pl.String).to_list())
    rows = numbers.astype(np.int64) * periods + place[inside]
    size = len(symbols) * periods
    columns = {name: _scattered(kept[name], rows, size) for name in inputs if name != FUNDING_COLUMN}
    present = np.zeros(size, dtype=np.bool_)
    present[rows] = True
    for values in columns.values():
        present &= np.isfinite(values)
    if FUNDING_COLUMN in inputs:
        columns[FUNDING_COLUMN] = _funding(funding, symbols, newest_ms, periods, step_ms)
    frame = pl.DataFrame(
        {ROW: np.repeat(np.arange(len(symbols), dtype=np.uint32), periods), **columns}, nan_to_null=True
    )
    return Grid(
        symbols, periods, newest_ms, step_ms, frame.with_columns(pl.col(ROW).set_sorted()), present.reshape(-1, periods)
    )


def _scattered(column: pl.Series, rows: np.ndarray[Any, Any], size: int) -> Floats:
    values = np.full(size, np.nan)
    values[rows] = column.to_numpy()
    values[~np.isfinite(values)] = np.nan
    return values


def _funding(
    funding: pl.DataFrame | None, symbols: Sequence[str], newest_ms: int, periods: int, step_ms: int
) -> Floats:
    rates = np.full(len(symbols) * periods, np.nan)
    if funding is None or funding.is_empty():
        return rates
    number_of = {symbol: number for number, symbol in enumerate(symbols)}
    first_ms = newest_ms - (periods - 1) * step_ms
    settled = zip(funding[SYMBOL], funding["funding_time"].dt.epoch("ms"), funding[FUNDING_COLUMN], strict=True)
    for symbol, moment_ms, rate in settled:
        place = (moment_ms - first_ms) // step_ms
        if symbol in number_of and 0 <= place < periods:
            row = number_of[symbol] * periods + place
            rates[row] = rate if np.isnan(rates[row]) else rates[row] + rate
    return rates
