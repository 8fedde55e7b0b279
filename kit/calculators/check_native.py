"""The check of native factors: from all candles up to a run time, from the declared history, from everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from kit.calculators.comparing import Differences, FactorCheck, Snapshot, compare, fewest
from kit.factors import engine
from kit.factors.errors import FactorError
from kit.factors.factor import Factor
from kit.factors.grid import Grid, to_grid


@dataclass(frozen=True)
class NativeCheck:
    """What native factors are checked on. ``run_times``: in milliseconds, ascending, the last one the newest of
    ``candles``. ``periods``: the history that is looked at."""

    candles: pl.DataFrame
    funding: pl.DataFrame | None
    run_times: Sequence[int]
    step_ms: int
    periods: int

    def check(self, factor: Factor, stored: Sequence[Snapshot | None]) -> FactorCheck:
        """Compare the factor's values; ``stored``: what is stored of each run time.

        Raises:
            FactorError: it cannot be computed.
        """
        back = [self._later(run_ms) for run_ms in self.run_times]
        everything = engine.history(self._grid(factor, self.run_times[-1], self.periods), [factor], back)
        whole = [self._snapshot(values, factor) for values in everything]
        past = [self._at(factor, run_ms) for run_ms in self.run_times]
        live = [
            self._snapshot(engine.newest(self._grid(factor, run_ms, factor.lookback), [factor]), factor)
            for run_ms in self.run_times
        ]
        ahead, short = compare(past, whole), compare(live, past)
        # Across the market a sample of symbols gives other values than all of them, which were stored.
        kept = [] if factor.across is not None else stored
        return FactorCheck(
            column=factor.column,
            kind="native",
            compared=ahead.compared,
            ahead=ahead.count,
            live=short.count,
            stored=against_stored(kept, whole).count,
            largest=max(ahead.largest, short.largest),
            declared=factor.lookback,
            needed=None if ahead.count else self._warm_up(factor),
        )

    def _at(self, factor: Factor, run_ms: int) -> Snapshot:
        """From all candles up to a run time. The grid begins where the whole one does."""
        values = engine.history(self._grid(factor, run_ms, self.periods - self._later(run_ms)), [factor])[0]
        return self._snapshot(values, factor)

    def _warm_up(self, factor: Factor) -> int | None:
        """With ``partial``: the engine would else give nothing below what is declared, and the truth stay unknown."""
        free = replace(factor, partial=True)
        newest_ms = self.run_times[-1]

        def computed(size: int) -> Snapshot:
            return self._snapshot(engine.history(self._grid(free, newest_ms, size), [free])[0], free)

        return fewest(computed, computed(self.periods), self.periods)

    def _later(self, run_ms: int) -> int:
        """How many periods there are after a run time."""
        return (self.run_times[-1] - run_ms) // self.step_ms

    def _grid(self, factor: Factor, run_ms: int, rows: int) -> Grid:
        return to_grid(
            self.candles,
            factor.inputs,
            newest_ms=run_ms - self.step_ms,
            periods=rows,
            step_ms=self.step_ms,
            funding=self.funding,
        )

    @staticmethod
    def _snapshot(values: engine.Values, factor: Factor) -> Snapshot:
        if factor.column in values.errors:
            raise FactorError(factor.column, values.errors[factor.column])
        return dict(zip(values.symbols, values.columns[factor.column].to_list(), strict=True))


def against_stored(stored: Sequence[Snapshot | None], whole: Sequence[Snapshot]) -> Differences:
    """Compare the run times of which something is stored."""
    kept = [(then, now) for then, now in zip(stored, whole, strict=False) if then is not None]
    return compare([then for then, _ in kept], [now for _, now in kept])
