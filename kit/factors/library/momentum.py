"""Where the price has gone. All are shares of the price, so that symbols can be compared."""

# ruff: noqa: N802  # a factor's function bears the name of its column, and users know those from BMAC and their papers

from __future__ import annotations

import polars as pl

from kit.factors.factor import Factor
from kit.factors.library.oscillators import where_it_moved
from kit.factors.smoothing import ema_alpha, smooth, smoothing_lookback

HIGH, LOW, CLOSE = map(pl.col, ("high", "low", "close"))


def PctChg(n: int) -> Factor:
    """Momentum: close / close n periods ago - 1."""
    return Factor(name="PctChg", window=n, expr=CLOSE / CLOSE.shift(n) - 1, lookback=n + 1)


def LogReturn(n: int) -> Factor:
    """The logarithm of close / close n periods ago."""
    return Factor(name="LogReturn", window=n, expr=(CLOSE / CLOSE.shift(n)).log(), lookback=n + 1)


def Bias(n: int) -> Factor:
    """Distance from the mean: close / mean close of n periods - 1."""
    return Factor(name="Bias", window=n, expr=CLOSE / CLOSE.rolling_mean(n) - 1, lookback=n)


def EmaBias(n: int) -> Factor:
    """Distance from the exponential mean: close / EMA(n) - 1."""
    alpha = ema_alpha(n)
    return Factor(name="EmaBias", window=n, expr=CLOSE / smooth(CLOSE, alpha) - 1, lookback=smoothing_lookback(alpha))


def Drawdown(n: int) -> Factor:
    """How far below the highest high of n periods: close / max high - 1, at most 0."""
    return Factor(name="Drawdown", window=n, expr=CLOSE / HIGH.rolling_max(n) - 1, lookback=n)


def RangePosition(n: int) -> Factor:
    """Where the close lies between the lowest low (0) and the highest high (1) of n periods."""
    low, high = LOW.rolling_min(n), HIGH.rolling_max(n)
    return Factor(name="RangePosition", window=n, expr=(CLOSE - low) / (high - low), lookback=n)


def EfficiencyRatio(n: int) -> Factor:
    """Kaufman's: the way made in n periods / the way walked; 1 is a straight line."""
    walked = CLOSE.diff().abs().rolling_sum(n)
    ratio = where_it_moved((CLOSE - CLOSE.shift(n)).abs() / walked, n + 1)
    return Factor(name="EfficiencyRatio", window=n, expr=ratio, lookback=n + 1)


def TrendSlope(n: int) -> Factor:
    """The slope a period of the regression line through n closes, as a share of the close. n at least 2.

    Summed term by term: polars' weighted windows cannot do with nulls (2.1 panics), and holes are nulls.
    """
    middle = (n - 1) / 2
    spread = max(sum((i - middle) ** 2 for i in range(n)), 1.0)
    slope = pl.sum_horizontal(CLOSE.shift(i) * ((middle - i) / spread) for i in range(n))
    return Factor(name="TrendSlope", window=n, expr=slope / CLOSE, lookback=n)


def Macd(n: int) -> Factor:
    """MACD's histogram as a share of the close. n is the slow window: 26 gives the usual 12, 26, 9."""
    line, signal, lookback = _macd(n)
    return Factor(name="Macd", window=n, expr=(line - signal) / CLOSE, lookback=lookback)


def MacdLine(n: int) -> Factor:
    """MACD's line (fast EMA - slow EMA) as a share of the close. n is the slow window, as in ``Macd``."""
    line, _, _ = _macd(n)
    return Factor(name="MacdLine", window=n, expr=line / CLOSE, lookback=smoothing_lookback(ema_alpha(n)))


def _macd(n: int) -> tuple[pl.Expr, pl.Expr, int]:
    fast, slow, signal = (ema_alpha(max(1, round(n * share / 26))) for share in (12, 26, 9))
    line = smooth(CLOSE, fast) - smooth(CLOSE, slow)
    return line, smooth(line, signal), smoothing_lookback(slow) + smoothing_lookback(signal) - 1


FACTORS = (
    PctChg,
    LogReturn,
    Bias,
    EmaBias,
    Drawdown,
    RangePosition,
    EfficiencyRatio,
    TrendSlope,
    Macd,
    MacdLine,
)
