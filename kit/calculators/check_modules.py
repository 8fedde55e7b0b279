"""The check of users' modules: from the candles up to a run time, and from everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from kit.calculators.check_native import against_stored
from kit.calculators.comparing import FactorCheck, Snapshot, compare, fewest
from kit.factors.signals import Signal


@dataclass(frozen=True)
class ModuleCheck:
    """What modules are checked on: ``frames`` by symbol, ``moments`` (run times), at most ``num_candles`` rows each."""

    frames: Mapping[str, pd.DataFrame]
    moments: Sequence[pd.Timestamp]
    num_candles: int

    def check(self, signal: Signal, stored: Sequence[Snapshot | None]) -> FactorCheck:
        """Compare the module's values; ``stored``: what is stored of each run time.

        Raises:
            FactorError: it cannot be computed.
        """
        whole = self._whole(signal)
        past = [self._at(signal, moment) for moment in self.moments]
        ahead = compare(past, whole)
        newest = past[-1]

        def computed(size: int) -> Snapshot:
            return self._at(signal, self.moments[-1], size)

        return FactorCheck(
            column=signal.column,
            kind="module",
            compared=ahead.compared,
            ahead=ahead.count,
            live=0,
            stored=against_stored(stored, whole).count,
            largest=ahead.largest,
            declared=None,
            needed=None if ahead.count else fewest(computed, newest, self.num_candles),
        )

    def _whole(self, signal: Signal) -> list[Snapshot]:
        """At each moment, computed once over everything."""
        columns = {symbol: signal.compute(frame) for symbol, frame in self.frames.items()}
        return [
            {symbol: _number(column[moment]) for symbol, column in columns.items() if moment in column.index}
            for moment in self.moments
        ]

    def _at(self, signal: Signal, moment: pd.Timestamp, size: int | None = None) -> Snapshot:
        """From the candles up to a moment, the newest ``size`` of them."""
        values = {}
        for symbol, frame in self.frames.items():
            past = frame.iloc[: frame.index.searchsorted(moment, side="right")]
            if len(past) and past.index[-1] == moment:
                values[symbol] = _number(signal.compute(past if size is None else past.iloc[-size:]).iloc[-1])
        return values


def _number(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)
