"""A market's symbols, each handed on as soon as it is readable, read many at once and only once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import pandas as pd
import polars as pl

from kit.buffer.files import VALUE_COLUMNS
from kit.buffer.read import UTC_TIME, in_order
from kit.calculators.source import CandleSource
from kit.calculators.tables import last_rows, pandas_by_symbol


@dataclass
class Pipeline:
    """The candles of one run time as they come. ``arrived`` gives each symbol once, with its history.

    The history is read once, at the beginning; after that only the run time's own rows are. What is filled into an
    older hole meanwhile is seen at the next run time, but for the candle just before: it may come as late as this one.
    """

    source: CandleSource
    run_ms: int
    window: int
    _history: pl.DataFrame | None = None
    _newest_ms: dict[str, int] = field(default_factory=dict)
    _given: set[str] = field(default_factory=set)
    _newest_rows: list[pl.DataFrame] = field(default_factory=list)

    @property
    def given(self) -> set[str]:
        """The symbols that were handed on."""
        return self._given

    def newest(self) -> pl.DataFrame:
        """symbol (String), candle_begin_time and close of the run time for what was handed on, sorted by symbol."""
        schema = {"symbol": pl.String(), "candle_begin_time": UTC_TIME, "close": pl.Float64()}
        return pl.concat([pl.DataFrame(schema=schema), *self._newest_rows]).sort("symbol")

    def arrived(self) -> dict[str, pd.DataFrame]:
        """The frames of the symbols that became readable since the last call; their last row is the run time's.

        The whole history in one read: in lots, of which one is computed while the next is read, it takes longer, since
        both want the interpreter's lock.
        """
        if self._history is None:
            self._history = self.source.read(0, self.run_ms)
            return self._give(self._history, self._ready_in(self._history))
        fresh = self.source.read(self.run_ms, self.run_ms)
        new = set(fresh["symbol"].cast(pl.String).to_list()) - self._given
        return self._give(self._with_history(fresh, new), new) if new else {}

    def _ready_in(self, history: pl.DataFrame) -> set[str]:
        """Its symbols that have the run time's candle; notes the newest of each."""
        rows = last_rows(history)
        times_ms = rows["candle_begin_time"].dt.epoch("ms").to_list()
        self._newest_ms = dict(zip(rows["symbol"].cast(pl.String).to_list(), times_ms, strict=True))
        begin_ms = self.run_ms - self.source.step_ms
        return {symbol for symbol, newest_ms in self._newest_ms.items() if newest_ms == begin_ms}

    @property
    def lately(self) -> set[str]:
        """The symbols that had a candle one period before, or have one: who is waited for when nobody else tells."""
        begin_ms = self.run_ms - self.source.step_ms
        return {symbol for symbol, newest_ms in self._newest_ms.items() if newest_ms >= begin_ms - self.source.step_ms}

    def _with_history(self, fresh: pl.DataFrame, new: Collection[str]) -> pl.DataFrame:
        """The rows of ``new`` with what was before them; read again are those whose newest was not the one before."""
        before_ms = self.run_ms - 2 * self.source.step_ms
        known = [symbol for symbol in new if self._newest_ms.get(symbol) == before_ms]
        others = [symbol for symbol in new if symbol not in set(known)]
        parts = [part.filter(pl.col("symbol").is_in(known)) for part in (self._past(), fresh)]
        if others:
            parts.append(self.source.read(0, self.run_ms, symbols=others))
        columns = ["symbol", "candle_begin_time", *VALUE_COLUMNS]
        return in_order(pl.concat([part.select(columns) for part in parts]))

    def _past(self) -> pl.DataFrame:
        if self._history is None:
            raise AssertionError("arrived has read it")
        return self._history

    def _give(self, candles: pl.DataFrame, symbols: set[str]) -> dict[str, pd.DataFrame]:
        self._given |= symbols
        rows = last_rows(candles).select(pl.col("symbol").cast(pl.String), "candle_begin_time", "close")
        self._newest_rows.append(rows.filter(pl.col("symbol").is_in(list(symbols))))
        return pandas_by_symbol(candles, self.source.step_ms, only=symbols, at_most=self.window)
