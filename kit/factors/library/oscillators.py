"""Overbought and oversold: values within fixed bounds, or nearly."""

# ruff: noqa: N802  # a factor's function bears the name of its column, and users know those from BMAC and their papers

from __future__ import annotations

import polars as pl

from kit.factors.factor import Factor
from kit.factors.smoothing import smooth, smoothing_lookback, wilder_alpha

HIGH, LOW, CLOSE, VOLUME = map(pl.col, ("high", "low", "close", "volume"))
TYPICAL = (HIGH + LOW + CLOSE) / 3
KDJ_ALPHA = 1 / 3  # K and D are smoothed by a third each, in every Chinese platform that KDJ comes from


def where_it_moved(value: pl.Expr, prices: int) -> pl.Expr:
    """``value`` where the last ``prices`` closes are not all the same. Where they are, what is left of running sums is
    rounding, and one such rest divided by another would be any number; highest and lowest are exact."""
    return pl.when(CLOSE.rolling_max(prices) > CLOSE.rolling_min(prices)).then(value)


def _moves() -> tuple[pl.Expr, pl.Expr]:
    """How far the close rose and how far it fell, one of them 0."""
    change = CLOSE.diff()
    return change.clip(lower_bound=0), (-change).clip(lower_bound=0)


def Rsi(n: int) -> Factor:
    """Wilder's RSI, 0 to 100 (TA-Lib's). No value when the price did not move, here and in what follows."""
    alpha = wilder_alpha(n)
    up, down = (smooth(move, alpha) for move in _moves())
    lookback = smoothing_lookback(alpha) + 1
    return Factor(name="Rsi", window=n, expr=where_it_moved(100 * up / (up + down), lookback), lookback=lookback)


def RsiSum(n: int) -> Factor:
    """Cutler's RSI, 0 to 100: plain sums over n moves, so it needs n + 1 candles only."""
    up, down = (move.rolling_sum(n) for move in _moves())
    return Factor(name="RsiSum", window=n, expr=where_it_moved(100 * up / (up + down), n + 1), lookback=n + 1)


def Cmo(n: int) -> Factor:
    """Chande's momentum, -100 to 100, smoothed as Wilder does (TA-Lib's)."""
    alpha = wilder_alpha(n)
    up, down = (smooth(move, alpha) for move in _moves())
    lookback = smoothing_lookback(alpha) + 1
    value = where_it_moved(100 * (up - down) / (up + down), lookback)
    return Factor(name="Cmo", window=n, expr=value, lookback=lookback)


def Cci(n: int) -> Factor:
    """Lambert's CCI: the typical price's distance from its mean / (0.015 x mean distance of n periods) (TA-Lib's).

    All n distances are from the newest mean, so there is no running form of it: they are summed period by period.
    """
    mean = TYPICAL.rolling_mean(n)
    distance = pl.sum_horizontal((TYPICAL.shift(i) - mean).abs() for i in range(n)) / n
    moved = TYPICAL.rolling_max(n) > TYPICAL.rolling_min(n)  # else the distances are rounding, and so is their ratio
    return Factor(name="Cci", window=n, expr=pl.when(moved).then((TYPICAL - mean) / (0.015 * distance)), lookback=n)


def WilliamsR(n: int) -> Factor:
    """Williams' %R, -100 (at the lowest low of n periods) to 0 (at the highest high)."""
    low, high = LOW.rolling_min(n), HIGH.rolling_max(n)
    return Factor(name="WilliamsR", window=n, expr=-100 * (high - CLOSE) / (high - low), lookback=n)


def KdjK(n: int) -> Factor:
    """KDJ's K, 0 to 100: the close's place in the range of n periods, smoothed by a third."""
    k, _, lookback = _kdj(n)
    return Factor(name="KdjK", window=n, expr=k, lookback=lookback)


def KdjD(n: int) -> Factor:
    """KDJ's D: K smoothed by a third."""
    _, d, lookback = _kdj(n)
    return Factor(name="KdjD", window=n, expr=d, lookback=lookback + smoothing_lookback(KDJ_ALPHA) - 1)


def KdjJ(n: int) -> Factor:
    """KDJ's J: 3 K - 2 D, which runs out of 0 to 100 on both sides."""
    k, d, lookback = _kdj(n)
    return Factor(name="KdjJ", window=n, expr=3 * k - 2 * d, lookback=lookback + smoothing_lookback(KDJ_ALPHA) - 1)


def _kdj(n: int) -> tuple[pl.Expr, pl.Expr, int]:
    low, high = LOW.rolling_min(n), HIGH.rolling_max(n)
    place = pl.when(high > low).then(100 * (CLOSE - low) / (high - low)).otherwise(50.0)  # no range: the middle
    k = smooth(place, KDJ_ALPHA)
    return k, smooth(k, KDJ_ALPHA), n + smoothing_lookback(KDJ_ALPHA) - 1


def Mfi(n: int) -> Factor:
    """Money flow index, 0 to 100: the RSI of turnover at the typical price (TA-Lib's)."""
    flow, change = TYPICAL * VOLUME, TYPICAL.diff()
    up = pl.when(change > 0).then(flow).when(change.is_not_null()).then(0.0).rolling_sum(n)
    down = pl.when(change < 0).then(flow).when(change.is_not_null()).then(0.0).rolling_sum(n)
    moved = TYPICAL.rolling_max(n + 1) > TYPICAL.rolling_min(n + 1)
    return Factor(name="Mfi", window=n, expr=pl.when(moved).then(100 * up / (up + down)), lookback=n + 1)


FACTORS = (Rsi, RsiSum, Cmo, Cci, WilliamsR, KdjK, KdjD, KdjJ, Mfi)
