"""Values that compare a symbol with all others of the same run time."""

# ruff: noqa: N802  # a factor's function bears the name of its column, and users know those from BMAC and their papers

from __future__ import annotations

import polars as pl

from kit.factors.across import neutralise, quantile_group, rank, zscore
from kit.factors.factor import VALUE, Factor

CLOSE, QUOTE_VOLUME = map(pl.col, ("close", "quote_volume"))
MOMENTUM_GROUPS = 5  # fifths of the market by turnover: large enough to have a mean with 50 symbols


def _momentum(n: int) -> pl.Expr:
    return CLOSE / CLOSE.shift(n) - 1


def MomentumRank(n: int) -> Factor:
    """The share of the market whose momentum (``PctChg``) is not higher; 1 is the strongest."""
    return Factor(name="MomentumRank", window=n, expr=_momentum(n), lookback=n + 1, across=rank(pl.col(VALUE)))


def MomentumZScore(n: int) -> Factor:
    """Momentum in standard deviations from the market's mean."""
    return Factor(name="MomentumZScore", window=n, expr=_momentum(n), lookback=n + 1, across=zscore(pl.col(VALUE)))


def MomentumNeutral(n: int) -> Factor:
    """Momentum without what symbols of like turnover have in common: minus the mean of its fifth of the market."""
    return Factor(
        name="MomentumNeutral",
        window=n,
        expr=_momentum(n),
        lookback=n + 1,
        beside={"turnover": QUOTE_VOLUME.rolling_mean(n)},
        across=neutralise(pl.col(VALUE), quantile_group(pl.col("turnover"), MOMENTUM_GROUPS)),
    )


FACTORS = (MomentumRank, MomentumZScore, MomentumNeutral)
