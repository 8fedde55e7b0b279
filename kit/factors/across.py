"""Operators over all symbols of one run time, for a factor's ``across``. Symbols without a value take no part."""

from __future__ import annotations

import polars as pl


def rank(values: pl.Expr) -> pl.Expr:
    """The share of the market that is not above: above 0, at most 1; equal values share the mean of their ranks."""
    return values.rank("average") / values.count()


def zscore(values: pl.Expr) -> pl.Expr:
    """Distance from the market's mean in standard deviations (n - 1); no value when all are equal."""
    return (values - values.mean()) / values.std(ddof=1)


def clip(values: pl.Expr, limit: float) -> pl.Expr:
    """The z-score, held within ``limit`` on both sides."""
    return zscore(values).clip(-limit, limit)


def quantile_group(values: pl.Expr, groups: int) -> pl.Expr:
    """The number of the part, 0 to ``groups`` - 1, when the market is cut into ``groups`` equal parts by ``values``."""
    place = (values.rank("average") - 0.5) / values.count()
    return (place * groups).floor().cast(pl.Int64)


def neutralise(values: pl.Expr, group: pl.Expr) -> pl.Expr:
    """The distance from the mean of the symbol's own group. Symbols without a group make up one of their own."""
    return values - values.mean().over(group)


def neutralise_against(values: pl.Expr, exposure: pl.Expr) -> pl.Expr:
    """What a straight line through (exposure, value) over the market leaves unexplained."""
    known = pl.when(values.is_not_null()).then(exposure)
    paired = pl.when(exposure.is_not_null()).then(values)
    centred = known - known.mean()
    slope = (centred * (paired - paired.mean())).sum() / (centred * centred).sum()
    return paired - paired.mean() - slope * centred
