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

    @property
    def dead(self) -> dict[str, str]:
        """The columns that have no value for any symbol because of an error, with its sentence.

        Not those whose history is still too short: they come to life by themselves.
        """
        columns = [name for name in self.frame.columns if self.frame.height and self.frame[name].is_null().all()]
        told = {name: self._told_of(name) for name in columns}
        return {name: sentence for name, sentence in told.items() if sentence is not None}

    def _told_of(self, column: str) -> str | None:
        beginnings = (f"factor {column},", f"factor {column}:")
        return next((sentence for sentence in self.errors if sentence.startswith(beginnings)), None)
