"""Exponential averages with an end, so that a value does not depend on where somebody began to compute.

An average that is fed back into itself (EMA, Wilder's) never quite forgets its first value: computed live over the
last 500 candles and over a whole history it differs. Here the weights stop where what is left of them is below
``REMAINDER``; the difference to the textbook's endless average is of that order.
"""

from __future__ import annotations

import math

import polars as pl

REMAINDER = 1e-6
"""Weight that is cut off. Smaller costs history: with it, Wilder's average of 100 needs 1375 of 1500 candles."""


def smoothing_length(alpha: float) -> int:
    """Values that the average of smoothing factor ``alpha`` (0 to 1) is made of."""
    return 1 if alpha >= 1 else math.ceil(math.log(REMAINDER) / math.log1p(-alpha))


def smoothing_lookback(alpha: float) -> int:
    """Rows of its input that ``smooth`` needs: one more, to take the older ones away."""
    return smoothing_length(alpha) + 1


def smooth(values: pl.Expr, alpha: float) -> pl.Expr:
    """The weighted mean of the last ``smoothing_length`` values, weights falling by 1 - alpha.

    With y the endless recursion y = (1 - alpha) y' + alpha x, what lies ``length`` rows back stands in it with the
    factor (1 - alpha) ** length, whatever came before: taking it away leaves the newest ``length`` values alone.
    """
    length = smoothing_length(alpha)
    left = (1 - alpha) ** length
    endless = values.ewm_mean(alpha=alpha, adjust=False, min_samples=1, ignore_nulls=False)
    return (endless - left * endless.shift(length)) / (1 - left)


def ema_alpha(window: int) -> float:
    """The smoothing factor of an EMA of that window: 2 / (n + 1)."""
    return 2 / (window + 1)


def wilder_alpha(window: int) -> float:
    """The smoothing factor of Wilder's average of that window (RSI, ATR): 1 / n."""
    return 1 / window
