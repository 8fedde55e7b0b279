"""Pairs of a config become factors, or a sentence that says what is wrong with them."""

from __future__ import annotations

import pytest

from kit.factors.errors import FactorError
from kit.factors.signals import Signal
from kit.factors.users import find_factors


def test_a_users_module_comes_before_a_shipped_factor_of_the_same_name(package):
    found = find_factors([("PctChg", 100), ["Bias", 20], ("Native", 3)], package)
    assert [signal.column for signal in found.signals] == ["PctChg_100"]
    assert [factor.column for factor in found.factors] == ["Bias_20", "Native_3"]
    assert found.columns == ("PctChg_100", "Bias_20", "Native_3")
    assert not found.errors


def test_without_a_package_only_shipped_factors_are_found():
    found = find_factors([("PctChg", 100), ("Mine", 1)], None)
    assert [factor.column for factor in found.factors] == ["PctChg_100"]
    assert "no shipped factor has that name" in str(found.errors[0])


def test_a_pair_that_stands_twice_is_one_column(package):
    assert find_factors([("Bias", 3), ("Bias", 3)], package).columns == ("Bias_3",)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Absent", "there is no module"),
        ("NoSignal", "neither signal(df, n, factor_name) nor factor(n)"),
        ("NotImportable", "cannot be imported: RuntimeError: at import (NotImportable.py line 2)"),
        ("Torn", "cannot be imported: SyntaxError"),
        ("NotAFactor", "returned int, not a Factor"),
    ],
)
def test_what_cannot_be_used_is_named_and_the_rest_is_found(package, name, words):
    found = find_factors([(name, 7), ("PctChg", 3)], package, with_shipped=False)
    assert [signal.name for signal in found.signals] == ["PctChg"]
    assert [error.column for error in found.errors] == [f"{name}_7"]
    assert words in str(found.errors[0])


def test_a_package_that_does_not_exist_is_said_to_be_missing():
    found = find_factors([("PctChg", 3)], "no.such.package", with_shipped=False)
    assert str(found.errors[0]) == "factor PctChg_3: there is no module no.such.package.PctChg"


@pytest.mark.parametrize("pair", [("PctChg",), "PctChg", ("PctChg", "3"), ("PctChg", 0), ("PctChg", True), (3, 3)])
def test_what_is_no_pair_is_refused(pair):
    with pytest.raises(FactorError):
        find_factors([pair], None)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Broken", "ValueError: no such thing (Broken.py line 4)"),
        ("Returns", "returned int"),
        ("Nothing", "returned NoneType; it must return the frame"),
        ("OtherName", "without the column 'OtherName_2'"),
        ("Shorter", "returned 3 rows for 5 candles"),
        ("Words", "which are no numbers"),
    ],
)
def test_what_a_module_does_wrong_is_said(package, candles_frame, name, words):
    (signal,) = find_factors([(name, 2)], package).signals
    with pytest.raises(FactorError) as raised:
        signal.compute(candles_frame)
    assert words in str(raised.value)


def test_a_module_may_return_a_series_and_change_its_frame_without_others_seeing_it(package, candles_frame):
    before = candles_frame.copy(deep=True)
    for name in ("Series", "TrdNumMeanV1", "PctChg"):
        (signal,) = find_factors([(name, 2)], package).signals
        assert isinstance(signal, Signal)
        column = signal.compute(candles_frame)
        assert column.name == f"{name}_2"
        assert column.index.equals(candles_frame.index)
    assert candles_frame.equals(before)
