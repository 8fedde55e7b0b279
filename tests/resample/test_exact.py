"""Window sums against decimals and against ``math.fsum``."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.resample.exact import as_decimals, sliding, window_sums

places = st.integers(0, 8)


@st.composite
def decimals(draw):
    """What the exchange writes: at most 8 places and 15 digits."""
    digits = draw(st.integers(0, 10 ** draw(st.integers(1, 15)) - 1))
    return Decimal(digits).scaleb(-draw(places))


@settings(max_examples=300, deadline=None)
@given(st.lists(decimals(), min_size=1, max_size=30))
def test_the_sum_is_the_float_nearest_to_the_sum_of_the_decimals(parts):
    values = np.array([float(part) for part in parts])
    assert window_sums(values, len(parts)).tolist() == [float(sum(map(Fraction, parts)))]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(0, 1e12, allow_subnormal=False), min_size=1, max_size=40), st.integers(1, 40))
def test_other_floats_are_added_as_precisely_as_they_are(values, width):
    width = min(width, len(values))
    sums = window_sums(np.array(values), width).tolist()
    for first, found in enumerate(sums):
        assert found == pytest.approx(math.fsum(values[first : first + width]), rel=4e-16, abs=1e-300)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1e9) | st.integers(0, 10**9).map(lambda n: n / 1e4), min_size=12, max_size=40))
def test_a_windows_sum_does_not_depend_on_what_lies_around_it(values):
    column = np.array(values)
    alone = [window_sums(column[first : first + 12], 12)[0] for first in range(len(values) - 11)]
    assert window_sums(column, 12).tolist() == alone


def test_plain_float_sums_would_miss_the_exchanges_last_bit():
    parts = np.array([0.1] * 10)
    assert np.add.accumulate(parts)[-1] != 1.0
    assert window_sums(parts, 10).tolist() == [1.0]


def test_whole_numbers_are_added_whole():
    assert window_sums(np.array([2**53, 1, 1], dtype=np.int64), 3).tolist() == [2**53 + 2]


@pytest.mark.parametrize("value", [0.0, 1e-8, 12345678.12345678, 987654321012.345, 1234567890123456.0])
def test_decimals_are_recovered_from_their_floats(value):
    whole, rest, known = as_decimals(np.array([value]))
    assert known.all()
    assert float(Fraction(int(whole[0])) + Fraction(int(rest[0]), 10**8)) == value


@pytest.mark.parametrize("value", [1 / 3, 1e-9, math.pi * 1e6, math.inf, math.nan, 1e300])
def test_what_is_no_decimal_of_the_exchange_is_not_taken_for_one(value):
    assert not as_decimals(np.array([value]))[2].any()


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=70), st.integers(1, 70))
def test_sliding_extremes_are_those_of_each_window(values, width):
    width = min(width, len(values))
    found = sliding(np.array(values), width, np.maximum).tolist()
    assert found == [max(values[first : first + width]) for first in range(len(values) - width + 1)]
