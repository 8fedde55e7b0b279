"""What the factors of a run time are handed around as."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl


@dataclass(frozen=True)
class FactorResult:
    """The factors of one run time.

    ``frame``: one row a symbol with a candle at that run time, sorted: ``symbol`` (String), ``close`` and one column
    ``{name}_{n}`` a factor (Float64), null where it has no value. ``missing``: symbols that should have a candle and
    have none. ``errors``: a sentence for each factor that could not be computed, or not for all symbols.
    """

    run_time: datetime
    frame: pl.DataFrame
    missing: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
