"""What the engine promises for every factor: holes, NaN, short history, errors, and the market's operators."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.errors import UnknownWordError
from kit.factors import across, engine
from kit.factors.errors import FactorError
from kit.factors.factor import Factor
from kit.factors.library import LIBRARY, shipped
from tests.factors.builders import NEWEST_MS, STEP_MS, grid_of, made_up, newest_of

FIRST = "S000USDT"


def without(candles: pl.DataFrame, symbol: str, periods_back: int) -> pl.DataFrame:
    """The candles without one."""
    gone_ms = NEWEST_MS - periods_back * STEP_MS
    is_it = (pl.col("symbol") == symbol) & (pl.col("candle_begin_time").dt.epoch("ms") == gone_ms)
    return candles.filter(~is_it)


@pytest.mark.parametrize(("periods_back", "has_value"), [(3, False), (9, False), (10, True)])
def test_a_window_with_a_hole_has_no_value_and_one_beside_it_has(periods_back, has_value):
    candles = without(made_up(), FIRST, periods_back)
    values = newest_of(shipped("Bias", 10), candles)
    assert (values[FIRST] is not None) == has_value
    assert values["S001USDT"] is not None


def test_a_shift_goes_by_time_and_not_by_rows():
    candles = without(made_up(), FIRST, 5)
    whole = newest_of(shipped("PctChg", 3), made_up())
    assert newest_of(shipped("PctChg", 3), candles) == whole
    hole_between = Factor(name="Mom", window=9, expr=pl.col("close") / pl.col("close").shift(9) - 1, lookback=1)
    assert newest_of(hole_between, candles)[FIRST] == newest_of(shipped("PctChg", 9), made_up())[FIRST]


def test_a_partial_factor_is_computed_over_a_hole_and_from_a_short_history():
    mean = pl.col("close").rolling_mean(10, min_samples=1)
    factor = Factor(name="Mean", window=10, expr=mean, lookback=10, partial=True)
    candles = without(made_up(), FIRST, 3).filter(
        (pl.col("symbol") != "S001USDT") | (pl.col("candle_begin_time").dt.epoch("ms") >= NEWEST_MS - STEP_MS)
    )
    values = newest_of(factor, candles)
    for symbol in (FIRST, "S001USDT"):
        last = candles.filter(
            (pl.col("symbol") == symbol) & (pl.col("candle_begin_time").dt.epoch("ms") > NEWEST_MS - 10 * STEP_MS)
        )
        assert values[symbol] == pytest.approx(last["close"].mean(), rel=1e-12)


def test_a_symbol_without_a_candle_at_the_run_time_has_no_row():
    values = newest_of(shipped("PctChg", 3), without(made_up(), FIRST, 0))
    assert list(values) == ["S001USDT", "S002USDT"]


def test_too_short_a_history_gives_no_value():
    candles = made_up().filter(
        (pl.col("symbol") != FIRST) | (pl.col("candle_begin_time").dt.epoch("ms") > NEWEST_MS - 10 * STEP_MS)
    )
    assert newest_of(shipped("PctChg", 10), candles)[FIRST] is None
    assert newest_of(shipped("PctChg", 9), candles)[FIRST] is not None


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_candle_with_a_nan_or_an_infinity_counts_as_a_hole(bad):
    at = (pl.col("symbol") == FIRST) & (pl.col("candle_begin_time").dt.epoch("ms") == NEWEST_MS - 2 * STEP_MS)
    candles = made_up().with_columns(volume=pl.when(at).then(bad).otherwise(pl.col("volume")))
    assert newest_of(shipped("VolumeMean", 3), candles)[FIRST] is None
    assert newest_of(shipped("VolumeMean", 2), candles)[FIRST] is not None


def test_a_result_that_is_no_number_is_no_value():
    zero = pl.col("close") - pl.col("close")
    for name, expr in (("Nan", zero / zero), ("Infinite", pl.col("close") / zero)):
        assert newest_of(Factor(name=name, window=1, expr=expr, lookback=1), made_up())[FIRST] is None


def test_no_symbol_sees_anything_of_another():
    candles = made_up(symbols=6)
    factors = [build(14) for build in LIBRARY.values() if build(14).across is None]
    together = engine.newest(grid_of(candles), factors)
    for number, symbol in enumerate(together.symbols):
        alone = engine.newest(grid_of(candles.filter(pl.col("symbol") == symbol)), factors)
        for column, values in together.columns.items():
            one, other = values[number], alone.columns[column][0]
            assert (one is None and other is None) or one == pytest.approx(other, rel=1e-11, abs=1e-15), column


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), holes=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 60)), max_size=6))
def test_live_equals_history_for_every_shipped_factor_whatever_is_missing(seed, holes):
    candles = made_up(periods=330, seed=seed)
    for symbol, back in holes:
        candles = without(candles, f"S{symbol:03d}USDT", back)
    factors = [build(9) for build in LIBRARY.values()]
    live = engine.newest(grid_of(candles, 330), factors)
    past = engine.history(grid_of(candles, 330), factors)[0]
    assert live.symbols == past.symbols
    for column, values in live.columns.items():
        other = past.columns[column]
        assert values.is_null().to_list() == other.is_null().to_list(), column
        np.testing.assert_allclose(values.fill_null(0).to_numpy(), other.fill_null(0).to_numpy(), rtol=1e-9, atol=1e-18)


def test_a_factor_that_cannot_be_computed_takes_no_other_down():
    wrong = Factor(name="Wrong", window=1, expr=pl.col("close").str.to_uppercase(), lookback=1)
    values = engine.newest(grid_of(made_up()), [shipped("PctChg", 3), wrong, shipped("Bias", 3)])
    assert list(values.columns) == ["PctChg_3", "Bias_3"]
    assert list(values.errors) == ["Wrong_1"]
    past = engine.history(grid_of(made_up()), [wrong, shipped("Bias", 3)])[0]
    assert list(past.columns) == ["Bias_3"]
    assert list(past.errors) == ["Wrong_1"]


def test_the_engine_tells_which_columns_and_how_much_history_it_needs():
    factors = [shipped("PctChg", 100), shipped("VwapBias", 20)]
    assert engine.needed_inputs(factors) == ("close", "quote_volume", "volume")
    assert engine.needed_history(factors) == 101


def test_an_empty_market_gives_empty_columns():
    values = engine.newest(grid_of(made_up().clear()), [shipped("PctChg", 3), shipped("MomentumRank", 3)])
    assert values.frame().height == 0
    assert values.frame().columns == ["symbol", "PctChg_3", "MomentumRank_3"]


def test_a_factor_with_an_unknown_input_or_a_bad_window_is_refused():
    with pytest.raises(UnknownWordError, match="did you mean 'close'"):
        Factor(name="Wrong", window=1, expr=pl.col("clsoe"), lookback=1)
    with pytest.raises(FactorError, match="must be at least 1"):
        Factor(name="Wrong", window=0, expr=pl.col("close"), lookback=1)


def test_operators_across_the_market_leave_those_without_a_value_out():
    market = pl.DataFrame({"value": [3.0, None, 1.0, 2.0], "group": ["a", "a", "b", "b"]})
    value = pl.col("value")

    def found(expr):
        return market.select(expr.alias("x"))["x"].to_list()

    assert found(across.rank(value)) == [1.0, None, pytest.approx(1 / 3), pytest.approx(2 / 3)]
    assert found(across.zscore(value)) == [1.0, None, -1.0, 0.0]
    assert found(across.neutralise(value, pl.col("group"))) == [0.0, None, -0.5, 0.5]
    assert found(across.quantile_group(value, 3)) == [2, None, 0, 1]
    assert found(across.clip(value, 0.5)) == [0.5, None, -0.5, 0.0]


def test_neutralising_against_an_exposure_leaves_nothing_that_a_line_explains():
    rng = np.random.default_rng(3)
    exposure, noise = rng.normal(size=50), rng.normal(size=50)
    market = pl.DataFrame({"value": 2 * exposure + noise, "exposure": exposure})
    left = market.select(across.neutralise_against(pl.col("value"), pl.col("exposure")))["value"].to_numpy()
    slope, shift = np.polyfit(exposure, market["value"].to_numpy(), 1)
    np.testing.assert_allclose(left, market["value"].to_numpy() - slope * exposure - shift, atol=1e-12)
