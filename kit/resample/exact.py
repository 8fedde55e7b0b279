"""Sliding windows over columns: extremes, and sums that are as exact as the exchange's own.

The exchange adds decimals; their nearest floats, added as floats, drift from its result by some last bits. So the
decimals are recovered from the floats and added as whole numbers, and the sum is rounded once. That gives the
exchange's own float, bit for bit, wherever each part has at most 8 decimals and 15 significant digits (a float cannot
hold more). A window with any other part is added in twice the precision, and rounded once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

PLACES = 8
"""Decimals that the exchange gives at most (prices, volumes and turnovers of all venues)."""

ONE = 10**PLACES

SURE = 2**51
"""Whole numbers below it survive the way to a float and back, two roundings included: the error stays under a half."""

EXACT = 2**53
"""Whole numbers below it are floats themselves."""


def sliding(values: Array, width: int, combine: Callable[[Array, Array], Array]) -> Array:
    """``combine`` over each window of ``width`` along the last axis, older and newer part; one for each first row.

    Windows of 2, 4, 8 ... are made of each other, so the work grows with the logarithm of the width. How a window is
    put together depends on its width alone, so its result does not depend on what lies around it.
    """
    count = values.shape[-1]
    doubled, size = values, 1
    result, covered = values[..., :0], 0
    while True:
        if width & size:
            length = count - covered - size + 1
            addend = doubled[..., covered : covered + length]
            result = combine(result[..., :length], addend) if covered else addend
            covered += size
        if covered == width:
            return result
        doubled = combine(doubled[..., :-size], doubled[..., size:])
        size *= 2


def window_sums(values: Array, width: int) -> Array:
    """The sum of each window of a column: int64 exactly, float64 as the module says."""
    if values.dtype.kind == "i":
        return _whole_sums(values, width)
    whole, rest, known = as_decimals(values)
    sums = _joined(_whole_sums(whole, width), _whole_sums(rest, width))
    if known.all():
        return sums
    precise = sliding(np.stack([values, np.zeros_like(values)]), width, _add_doubled)[0]
    return np.where(_whole_sums((~known).astype(np.int64), width) == 0, sums, precise)


def as_decimals(values: Array) -> tuple[Array, Array, Array]:
    """Floats as decimals: whole part, rest in units of 1e-8 (both int64, 0 where unknown), and which are known."""
    scaled = np.rint(values * ONE)
    known = (np.abs(scaled) < SURE) & (scaled / ONE == values)
    units = np.where(known, scaled, 0.0).astype(np.int64)
    whole = units // ONE
    rest = units - whole * ONE
    large = np.flatnonzero(~known & (values * ONE >= SURE) & (values < SURE))
    if large.size:
        whole[large], rest[large], known[large] = _large_decimals(values[large])
    return whole, rest, known


def _large_decimals(values: Array) -> tuple[Array, Array, Array]:
    """``as_decimals`` for values that leave no room for 8 decimals in a float: with as many as there is room for."""
    places = np.floor(np.log10(SURE / values)).astype(np.int64)
    power = 10 ** np.clip(places, 0, PLACES)
    scaled = np.rint(values * power)
    known = scaled / power == values
    units = np.where(known, scaled, 0.0).astype(np.int64)
    whole = units // power
    return whole, (units - whole * power) * (ONE // power), known


def _whole_sums(values: Array, width: int) -> Array:
    # The running sum may wrap around; differences are right all the same as long as the window's own sum fits.
    running = np.cumsum(np.concatenate([np.zeros(1, dtype=np.int64), values]))
    sums: Array = running[width:] - running[:-width]
    return sums


def _joined(whole: Array, rest: Array) -> Array:
    """The floats nearest to ``whole + rest / 1e8``."""
    carry = rest // ONE
    whole = whole + carry
    units = whole * ONE + (rest - carry * ONE)  # wraps around where it is not used
    sums: Array = units / ONE  # one rounding, that of the division
    large = np.flatnonzero(whole >= EXACT // ONE)
    # Beyond what is a float itself, the rest's own rounding is too small to reach the last bit.
    sums[large] = whole[large] + (rest[large] - carry[large] * ONE) / ONE
    return sums


def _add_doubled(older: Array, newer: Array) -> Array:
    """The sum of numbers that are each held as a float and what that float leaves out (Knuth's two-sum)."""
    high = older[0] + newer[0]
    taken = high - older[0]
    left = (older[0] - (high - taken)) + (newer[0] - taken) + (older[1] + newer[1])
    total = high + left
    return np.stack([total, left - (total - high)])
