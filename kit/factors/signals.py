"""Users' own factor modules in BMAC's form: ``signal(df, n, factor_name)``, one symbol's pandas frame at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from kit.factors.errors import FactorError
from kit.factors.guard import Guard


@dataclass(frozen=True)
class Signal:
    """A module's ``signal`` with its window. ``function`` is called with (frame, window, column), by position."""

    name: str
    window: int
    function: Callable[..., Any]

    @property
    def column(self) -> str:
        """The name of its column: ``{name}_{window}``."""
        return f"{self.name}_{self.window}"

    def compute(self, candles: pd.DataFrame) -> pd.Series[Any]:
        """The factor over one symbol's candles (columns and index as ``CandleFileReader.read_candle``), a value a row.

        The module gets a copy of its own (lazy, pandas copies what is written), so it may add and drop columns as it
        likes without any other factor seeing it.

        Raises:
            FactorError: it raised something, or what it returned is no frame with the column, nor a Series.
        """
        return pd.Series(self._numbers(candles), index=candles.index, name=self.column)

    def newest(self, candles: pd.DataFrame) -> float:
        """The last value of ``compute``, without the column around it."""
        return float(self._numbers(candles)[-1])

    def _numbers(self, candles: pd.DataFrame) -> np.ndarray[Any, Any]:
        guard = Guard()
        with guard:
            returned = self.function(candles.copy(deep=False), self.window, self.column)
        if guard.error is not None:
            raise FactorError(self.column, guard.problem) from guard.error
        column = self._column_of(returned)
        if len(column) != len(candles):
            raise FactorError(self.column, f"signal returned {len(column)} rows for {len(candles)} candles")
        if isinstance(column.dtype, np.dtype) and column.dtype.kind in "fiub":
            return column.to_numpy()
        if pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):  # pandas' nullables
            return column.to_numpy(dtype="float64", na_value=float("nan"))
        raise FactorError(self.column, f"signal returned values of type {column.dtype}, which are no numbers")

    def _column_of(self, returned: object) -> pd.Series[Any]:
        if isinstance(returned, pd.DataFrame):
            if self.column not in returned.columns:
                raise FactorError(self.column, f"signal returned a frame without the column {self.column!r}")
            returned = returned[self.column]
        if not isinstance(returned, pd.Series):
            raise FactorError(
                self.column, f"signal returned {type(returned).__name__}; it must return the frame with the new column"
            )
        return returned
