"""A factor: a name, a window, and a polars expression over one symbol's candles.

The expression is evaluated per symbol on a *time grid*: one row a period from the oldest candle needed to the newest,
with nulls where there is no candle. ``shift(1)`` therefore always means one period earlier, never "the candle before
the hole". What the engine (``kit.factors.engine``) guarantees for every factor, so that no author need think of it:

- **Holes and short history**: the value is null when any of the last ``lookback`` periods has no candle, which is
  also so for a symbol listed too recently. A factor with ``partial=True`` says otherwise: it gets what is there (its
  expression then says how little is enough, by ``min_samples``), as long as the newest candle is.
- **NaN**: an input candle with a NaN or an infinity counts as a hole. A result that is NaN or infinite (0 / 0) is
  null: no value.
- **Only the past**: the newest row is the candle that closed at the run time; there is nothing after it. An
  expression that looks ahead gets nulls live, and ``kit.calculators.check`` finds it.
- **Warm-up**: ``lookback`` counts all candles the newest value depends on. Averages without an end (EMA, Wilder) are
  cut where their weight is below a millionth (``kit.factors.smoothing``): the value depends on no candle before.

Across the market: ``across`` is evaluated over all symbols of one run time, on ``value`` (what ``expr`` gave), the
columns of ``beside`` (further expressions per symbol) and ``symbol``. ``kit.factors.across`` has rank, z-score ...
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import polars as pl

from kit.errors import UnknownWordError
from kit.factors.errors import FactorError

CANDLE_COLUMNS = (
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
FUNDING_COLUMN = "funding_rate"
"""The settlement inside a candle (begin time <= settlement < end), null where there is none; the sum of two."""

INPUTS = (*CANDLE_COLUMNS, FUNDING_COLUMN)
"""What an expression may read. All are Float64 on the grid, ``trade_num`` too."""

VALUE = "value"
"""What ``expr`` gave, for ``across``."""

_NAME = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True, eq=False, kw_only=True)
class Factor:
    """One factor column. See the module for what holds.

    ``window``: the n of its column's name. ``lookback``: candles that a value depends on, its own included.

    Raises:
        FactorError: the name is no name, or a window is below 1.
        UnknownWordError: an input does not exist.
    """

    name: str
    window: int
    expr: pl.Expr
    lookback: int
    partial: bool = False
    across: pl.Expr | None = None
    beside: Mapping[str, pl.Expr] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise FactorError(self.column, "its name is not made of letters, digits and _")
        if self.window < 1 or self.lookback < 1:
            raise FactorError(self.column, f"window {self.window} and lookback {self.lookback} must be at least 1")
        for name in self.inputs:
            if name not in INPUTS:
                raise UnknownWordError(f"factor {self.column}: input", name, INPUTS)
        object.__setattr__(self, "beside", MappingProxyType(dict(self.beside)))

    @property
    def column(self) -> str:
        """The name of its column: ``{name}_{window}``, as in BMAC."""
        return f"{self.name}_{self.window}"

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns its expressions read, sorted."""
        return tuple(sorted({name for expr in (self.expr, *self.beside.values()) for name in expr.meta.root_names()}))
