"""How much the price moves."""

# ruff: noqa: N802  # a factor's function bears the name of its column, and users know those from BMAC and their papers

from __future__ import annotations

import math

import polars as pl

from kit.factors.factor import Factor
from kit.factors.smoothing import smooth, smoothing_lookback, wilder_alpha

OPEN, HIGH, LOW, CLOSE = map(pl.col, ("open", "high", "low", "close"))
RETURN = CLOSE / CLOSE.shift(1) - 1


def _root_of_mean(squares: pl.Expr, n: int) -> pl.Expr:
    """The root of the mean of n squares; 0 where all are: what a running mean leaves then is rounding, even below 0."""
    return pl.when(squares.rolling_max(n) > 0).then(squares.rolling_mean(n).clip(lower_bound=0).sqrt()).otherwise(0.0)


def Volatility(n: int) -> Factor:
    """Standard deviation (n - 1) of the n last returns. n at least 2."""
    return Factor(name="Volatility", window=n, expr=RETURN.rolling_std(n), lookback=n + 1)


def DownsideVolatility(n: int) -> Factor:
    """Root mean square of the n last returns, gains counted as 0."""
    falls = RETURN.clip(upper_bound=0)
    return Factor(name="DownsideVolatility", window=n, expr=_root_of_mean(falls * falls, n), lookback=n + 1)


def ParkinsonVolatility(n: int) -> Factor:
    """Parkinson's estimate from highs and lows: sqrt(mean(ln(high / low)^2) / (4 ln 2))."""
    spread = (HIGH / LOW).log()
    scaled = _root_of_mean(spread * spread, n) / math.sqrt(4 * math.log(2))
    return Factor(name="ParkinsonVolatility", window=n, expr=scaled, lookback=n)


def Amplitude(n: int) -> Factor:
    """The mean of (high - low) / open over n periods."""
    return Factor(name="Amplitude", window=n, expr=((HIGH - LOW) / OPEN).rolling_mean(n), lookback=n)


def Atr(n: int) -> Factor:
    """Wilder's average true range as a share of the close (TA-Lib's NATR / 100)."""
    alpha = wilder_alpha(n)
    before = CLOSE.shift(1)
    true_range = pl.max_horizontal(HIGH - LOW, (HIGH - before).abs(), (LOW - before).abs())
    true_range = pl.when(before.is_not_null()).then(true_range)
    return Factor(name="Atr", window=n, expr=smooth(true_range, alpha) / CLOSE, lookback=smoothing_lookback(alpha) + 1)


def BollingerWidth(n: int) -> Factor:
    """The width of the Bollinger bands (2 deviations, n in the denominator) as a share of the middle."""
    width = 4 * CLOSE.rolling_std(n, ddof=0) / CLOSE.rolling_mean(n)
    return Factor(name="BollingerWidth", window=n, expr=width, lookback=n)


def BollingerPosition(n: int) -> Factor:
    """Where the close lies between the lower (0) and the upper (1) Bollinger band of 2 deviations."""
    place = (CLOSE - CLOSE.rolling_mean(n)) / (4 * CLOSE.rolling_std(n, ddof=0)) + 0.5
    return Factor(name="BollingerPosition", window=n, expr=place, lookback=n)


def Skewness(n: int) -> Factor:
    """The skewness of the n last returns, without correction for small n."""
    return Factor(name="Skewness", window=n, expr=RETURN.rolling_skew(n, bias=True), lookback=n + 1)


FACTORS = (
    Volatility,
    DownsideVolatility,
    ParkinsonVolatility,
    Amplitude,
    Atr,
    BollingerWidth,
    BollingerPosition,
    Skewness,
)
