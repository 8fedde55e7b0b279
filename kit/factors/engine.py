"""Computes many factors for a whole market in one pass. Pure: frames in, frames out.

``newest`` gives the values of one run time, and evaluates each factor on no more history than it needs; ``history``
gives those of many run times from the whole history at once. That both agree is what ``kit.calculators.check`` checks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from kit.factors.factor import VALUE, Factor
from kit.factors.grid import ROW, SYMBOL, Grid, Matrix

SMALLEST_SLICE = 32
"""Factors are grouped by how much history they need, in powers of two from here: finer cuts cost what they save."""


@dataclass(frozen=True)
class Values:
    """``columns``: for each factor's column its values, null where it has none; ``errors``: for those that could not
    be computed what polars said of them. ``symbols``: the symbol of each value, sorted."""

    symbols: tuple[str, ...]
    columns: Mapping[str, pl.Series]
    errors: Mapping[str, str]

    def frame(self) -> pl.DataFrame:
        """symbol and one column per computed factor."""
        return pl.DataFrame({SYMBOL: pl.Series(self.symbols, dtype=pl.String), **self.columns})


def needed_inputs(factors: Iterable[Factor]) -> tuple[str, ...]:
    """The columns that must be read for these factors, sorted."""
    return tuple(sorted({name for factor in factors for name in factor.inputs}))


def needed_history(factors: Iterable[Factor]) -> int:
    """The periods that must be read for these factors, the newest included."""
    return max((factor.lookback for factor in factors), default=1)


def newest(grid: Grid, factors: Sequence[Factor]) -> Values:
    """The factors of the grid's newest period, for the symbols that have a candle there."""
    there = grid.present[:, -1] if grid.symbols else np.zeros(0, dtype=np.bool_)
    symbols = _chosen(grid.symbols, there)
    columns: dict[str, pl.Series] = {}
    errors: dict[str, str] = {}
    for size, group in _by_history(factors, grid.periods).items():
        frame = grid.tail(size, needed_inputs(group))
        raw, failed = _last_rows(frame, group)
        errors |= failed
        for factor in group:
            if factor.column in failed:
                continue
            enough = there if factor.partial else grid.full_at_the_end(factor.lookback)
            parts = {
                name: pl.Series(np.where(enough, values.to_numpy(), np.nan)[there], nan_to_null=True)
                for name, values in raw[factor.column].items()
            }
            _settle(factor, parts, symbols, columns, errors)
    return Values(symbols, _ordered(columns, factors), errors)


def history(grid: Grid, factors: Sequence[Factor], back: Iterable[int] = (0,)) -> list[Values]:
    """The factors at periods of the grid, each computed from the whole grid; ``back``: how many before the newest."""
    raw: dict[str, dict[str, Matrix]] = {}
    errors: dict[str, str] = {}
    for factor in factors:
        try:
            frame = _whole(grid, factor)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            errors[factor.column] = _first_line(error)
            continue
        enough = grid.present if factor.partial else grid.full(factor.lookback)
        raw[factor.column] = {
            column.name: np.where(enough, column.cast(pl.Float64).to_numpy().reshape(-1, grid.periods), np.nan)
            for column in frame
        }
    return [_at(grid, factors, raw, errors, grid.periods - 1 - before) for before in back]


def _whole(grid: Grid, factor: Factor) -> pl.DataFrame:
    """The factor's parts over all rows. Lazily, as everywhere here: only then polars computes what an expression has
    twice (every ``smooth`` has) once."""
    per_symbol = grid.frame.lazy().group_by(ROW, maintain_order=True)
    parts = per_symbol.agg(expr.cast(pl.Float64).alias(name) for name, expr in _parts(factor).items())
    return parts.select(pl.exclude(ROW).explode()).collect()


def _at(
    grid: Grid,
    factors: Sequence[Factor],
    raw: Mapping[str, Mapping[str, Matrix]],
    errors: Mapping[str, str],
    place: int,
) -> Values:
    there = grid.present[:, place]
    symbols = _chosen(grid.symbols, there)
    columns: dict[str, pl.Series] = {}
    failed = dict(errors)
    for factor in factors:
        if factor.column in raw:
            parts = {
                name: pl.Series(name, matrix[there, place], nan_to_null=True)
                for name, matrix in raw[factor.column].items()
            }
            _settle(factor, parts, symbols, columns, failed)
    return Values(symbols, columns, failed)


def _by_history(factors: Iterable[Factor], periods: int) -> dict[int, list[Factor]]:
    groups: dict[int, list[Factor]] = {}
    for factor in factors:
        size = max(SMALLEST_SLICE, 1 << (factor.lookback - 1).bit_length())
        groups.setdefault(min(size, periods), []).append(factor)
    return groups


def _parts(factor: Factor) -> dict[str, pl.Expr]:
    return {VALUE: factor.expr, **factor.beside}


def _last_rows(
    frame: pl.DataFrame, factors: Sequence[Factor]
) -> tuple[dict[str, dict[str, pl.Series]], dict[str, str]]:
    """For each factor its parts' values of the newest row, and what polars said of those that fail."""
    if len(factors) > 1:
        try:
            return _evaluated(frame, factors), {}
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
            pass  # one of them is wrong: find out which
    values: dict[str, dict[str, pl.Series]] = {}
    failed: dict[str, str] = {}
    for factor in factors:
        try:
            values |= _evaluated(frame, [factor])
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            failed[factor.column] = _first_line(error)
    return values, failed


def _evaluated(frame: pl.DataFrame, factors: Sequence[Factor]) -> dict[str, dict[str, pl.Series]]:
    exprs = [
        expr.last().cast(pl.Float64).alias(f"{number}|{name}")
        for number, factor in enumerate(factors)
        for name, expr in _parts(factor).items()
    ]
    found = frame.lazy().group_by(ROW, maintain_order=True).agg(exprs).collect()
    return {
        factor.column: {name: found[f"{number}|{name}"] for name in _parts(factor)}
        for number, factor in enumerate(factors)
    }


def _chosen(symbols: Sequence[str], there: Matrix) -> tuple[str, ...]:
    return tuple(symbol for symbol, chosen in zip(symbols, there.tolist(), strict=True) if chosen)


def _settle(
    factor: Factor,
    parts: Mapping[str, pl.Series],
    symbols: Sequence[str],
    columns: dict[str, pl.Series],
    errors: dict[str, str],
) -> None:
    """The factor's own column from its parts: across the market where it says so, and finite or null."""
    values = parts[VALUE]
    if factor.across is not None:
        finite = {name: _finite(part) for name, part in parts.items()}
        market = pl.DataFrame({SYMBOL: pl.Series(symbols, dtype=pl.String), **finite})
        try:
            values = market.select(factor.across.cast(pl.Float64).alias(VALUE))[VALUE]
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            errors[factor.column] = _first_line(error)
            return
        if len(values) != len(symbols):
            errors[factor.column] = f"its across gave {len(values)} values for {len(symbols)} symbols"
            return
    columns[factor.column] = _finite(values).alias(factor.column)


def _finite(values: pl.Series) -> pl.Series:
    numbers = values.cast(pl.Float64).to_numpy()
    return pl.Series(np.where(np.isfinite(numbers), numbers, np.nan), nan_to_null=True, dtype=pl.Float64)


def _ordered(columns: Mapping[str, pl.Series], factors: Sequence[Factor]) -> dict[str, pl.Series]:
    return {factor.column: columns[factor.column] for factor in factors if factor.column in columns}


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
