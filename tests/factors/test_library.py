"""Every shipped factor against an independent oracle: TA-Lib where it has it, pandas or plain arithmetic elsewhere."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
import talib

from kit.errors import UnknownWordError
from kit.factors import engine
from kit.factors.factor import Factor
from kit.factors.library import LIBRARY, shipped
from tests.factors.builders import NEWEST_MS, STEP_MS, grid_of, made_up

CANDLES = made_up(symbols=3, periods=900)
FRAMES = {
    symbol: frame.to_pandas().set_index("candle_begin_time")
    for (symbol,), frame in CANDLES.group_by("symbol", maintain_order=True)
}


def returns(df):
    return df["close"].pct_change()


def root_mean_square(window):
    return np.sqrt(np.mean(np.square(window)))


def skewness(window):
    return np.mean((window - window.mean()) ** 3) / window.std() ** 3


def true_rsi_parts(df, n):
    change = df["close"].diff()
    return change.clip(lower=0).rolling(n).sum(), (-change).clip(lower=0).rolling(n).sum()


def kdj(df, n):
    low, high = df["low"].rolling(n).min(), df["high"].rolling(n).max()
    place = (df["close"] - low) / (high - low) * 100
    k = place.ewm(alpha=1 / 3, adjust=False).mean()
    return k, k.ewm(alpha=1 / 3, adjust=False).mean()


def slope(df, n):
    def fitted(window):
        return np.polyfit(np.arange(n), window, 1)[0]

    return df["close"].rolling(n).apply(fitted, raw=True) / df["close"]


def prices(df):
    return [df[name].to_numpy() for name in ("high", "low", "close")]


def series(df, values):
    return pd.Series(values, index=df.index)


def macd(df, n):
    assert n == 26
    return [series(df, part) / df["close"] for part in talib.MACD(df["close"].to_numpy(), 12, 26, 9)]


def bands(df, n):
    return talib.BBANDS(df["close"].to_numpy(), n, 2, 2)


ORACLES = {
    "PctChg": lambda df, n: series(df, talib.ROCP(df["close"].to_numpy(), n)),
    "LogReturn": lambda df, n: np.log(df["close"]).diff(n),
    "Bias": lambda df, n: df["close"] / series(df, talib.SMA(df["close"].to_numpy(), n)) - 1,
    "EmaBias": lambda df, n: df["close"] / series(df, talib.EMA(df["close"].to_numpy(), n)) - 1,
    "Drawdown": lambda df, n: df["close"] / series(df, talib.MAX(df["high"].to_numpy(), n)) - 1,
    "RangePosition": lambda df, n: 1 + series(df, talib.WILLR(*prices(df), n)) / 100,
    "EfficiencyRatio": lambda df, n: df["close"].diff(n).abs() / df["close"].diff().abs().rolling(n).sum(),
    "TrendSlope": slope,
    "Macd": lambda df, n: macd(df, n)[2],
    "MacdLine": lambda df, n: macd(df, n)[0],
    "Rsi": lambda df, n: series(df, talib.RSI(df["close"].to_numpy(), n)),
    "RsiSum": lambda df, n: 100 - 100 / (1 + true_rsi_parts(df, n)[0] / true_rsi_parts(df, n)[1]),
    "Cmo": lambda df, n: series(df, talib.CMO(df["close"].to_numpy(), n)),
    "Cci": lambda df, n: series(df, talib.CCI(*prices(df), n)),
    "WilliamsR": lambda df, n: series(df, talib.WILLR(*prices(df), n)),
    "KdjK": lambda df, n: kdj(df, n)[0],
    "KdjD": lambda df, n: kdj(df, n)[1],
    "KdjJ": lambda df, n: 3 * kdj(df, n)[0] - 2 * kdj(df, n)[1],
    "Mfi": lambda df, n: series(df, talib.MFI(*prices(df), df["volume"].to_numpy(), n)),
    "Volatility": lambda df, n: returns(df).rolling(n).std(),
    "DownsideVolatility": lambda df, n: returns(df).clip(upper=0).rolling(n).apply(root_mean_square, raw=True),
    "ParkinsonVolatility": lambda df, n: np.sqrt(
        np.log(df["high"] / df["low"]).pow(2).rolling(n).mean() / (4 * np.log(2))
    ),
    "Amplitude": lambda df, n: ((df["high"] - df["low"]) / df["open"]).rolling(n).mean(),
    "Atr": lambda df, n: series(df, talib.NATR(*prices(df), n)) / 100,
    "BollingerWidth": lambda df, n: series(df, (bands(df, n)[0] - bands(df, n)[2]) / bands(df, n)[1]),
    "BollingerPosition": lambda df, n: (df["close"] - bands(df, n)[2]) / (bands(df, n)[0] - bands(df, n)[2]),
    "Skewness": lambda df, n: returns(df).rolling(n).apply(skewness, raw=True),
    "VolumeMean": lambda df, n: df["volume"].rolling(n).mean(),
    "QuoteVolumeMean": lambda df, n: df["quote_volume"].rolling(n).mean(),
    "TradeNumMean": lambda df, n: df["trade_num"].rolling(n).mean(),
    "VolumeRatio": lambda df, n: df["quote_volume"] / df["quote_volume"].rolling(n).mean(),
    "TradeSize": lambda df, n: df["quote_volume"].rolling(n).sum() / df["trade_num"].rolling(n).sum(),
    "TakerBuyRatio": lambda df, n: (
        df["taker_buy_quote_asset_volume"].rolling(n).sum() / df["quote_volume"].rolling(n).sum()
    ),
    "Amihud": lambda df, n: (returns(df).abs() / df["quote_volume"]).rolling(n).mean(),
    "VwapBias": lambda df, n: df["close"] / (df["quote_volume"].rolling(n).sum() / df["volume"].rolling(n).sum()) - 1,
    "SignedVolume": lambda df, n: (
        series(df, talib.OBV(df["close"].to_numpy(), df["volume"].to_numpy())).diff(n) / df["volume"].rolling(n).sum()
    ),
    "ReturnVolumeCorr": lambda df, n: series(df, talib.CORREL(returns(df).to_numpy(), df["volume"].to_numpy(), n)),
}
"""All but those that need funding rates or the whole market, which have tests of their own."""

OWN_TESTS = {"FundingMean", "MomentumRank", "MomentumZScore", "MomentumNeutral"}
SMOOTHED = {"EmaBias", "Macd", "MacdLine", "Rsi", "Cmo", "KdjK", "KdjD", "KdjJ", "Atr"}
"""Their averages end where the textbook's go on for ever: equal to about a millionth of what is averaged."""


def windows(name):
    return (26,) if name.startswith("Macd") else (3, 14, 25)


def test_every_shipped_factor_has_an_oracle_or_a_test_of_its_own():
    assert set(ORACLES) | OWN_TESTS == set(LIBRARY)
    assert len(LIBRARY) >= 30


@pytest.mark.parametrize(("name", "n"), [(name, n) for name in ORACLES for n in windows(name)])
def test_a_factor_equals_its_oracle(name, n):
    factor = shipped(name, n)
    assert (factor.name, factor.window) == (name, n)
    found = engine.history(grid_of(CANDLES, 900), [factor], range(299, -1, -1))
    for symbol, df in FRAMES.items():
        values = [dict(zip(period.symbols, period.columns[factor.column], strict=True))[symbol] for period in found]
        expected = ORACLES[name](df, n).to_numpy()[-300:]
        scale = np.abs(expected).max()
        tolerance = 2e-5 if name in SMOOTHED else 1e-9
        np.testing.assert_allclose(np.array(values, dtype=float), expected, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("name", sorted(set(LIBRARY) - {"FundingMean"}))
def test_the_declared_lookback_is_enough_and_one_candle_less_gives_no_value(name):
    factor = shipped(name, 14)
    whole = engine.history(grid_of(CANDLES, 900), [factor])[0].columns[factor.column]
    exact = engine.newest(grid_of(CANDLES, factor.lookback), [factor]).columns[factor.column]
    assert exact.null_count() == 0
    np.testing.assert_allclose(exact.to_numpy(), whole.to_numpy(), rtol=1e-11)
    if factor.lookback > 1:
        short = engine.newest(grid_of(CANDLES, factor.lookback - 1), [factor]).columns[factor.column]
        assert short.null_count() == len(short)


@pytest.mark.parametrize("name", sorted(set(LIBRARY) - {"FundingMean"}))
def test_a_factor_needs_what_it_declares_and_not_much_less(name):
    """A lookback declared too long would be a longer null after every hole."""
    factor = shipped(name, 14)
    free = Factor(name=name, window=14, expr=factor.expr, lookback=1, partial=True)
    whole = engine.history(grid_of(CANDLES, 900), [free])[0].columns[factor.column].to_numpy()
    fewer = engine.history(grid_of(CANDLES, max(1, int(factor.lookback * 0.85))), [free])[0].columns[factor.column]
    equal = np.isclose(fewer.cast(pl.Float64).fill_null(np.nan).to_numpy(), whole, rtol=1e-11, atol=0)
    assert not equal.all() or factor.lookback == 1


def test_funding_mean_is_the_mean_of_the_settlements_inside_the_window():
    times_ms = [NEWEST_MS - 2 * STEP_MS, NEWEST_MS - STEP_MS, NEWEST_MS + STEP_MS, NEWEST_MS - 40 * STEP_MS]
    funding = pl.DataFrame(
        {
            "symbol": ["S000USDT", "S000USDT", "S000USDT", "S001USDT"],
            "funding_time": pl.Series([ms * 1000 for ms in times_ms]).cast(pl.Datetime("us", "UTC")),
            "funding_rate": [0.0001, 0.0003, 0.5, 0.0007],
        }
    )
    values = engine.newest(grid_of(CANDLES, funding=funding), [shipped("FundingMean", 20)])
    assert values.columns["FundingMean_20"].to_list() == [pytest.approx(0.0002), None, None]


def test_momentum_across_the_market_equals_pandas():
    candles = made_up(symbols=30, periods=60)
    frames = {symbol: frame for (symbol,), frame in candles.group_by("symbol", maintain_order=True)}
    momentum = pd.Series({symbol: frame["close"][-1] / frame["close"][-21] - 1 for symbol, frame in frames.items()})
    turnover = pd.Series({symbol: frame["quote_volume"].tail(20).mean() for symbol, frame in frames.items()})
    factors = [shipped(name, 20) for name in ("MomentumRank", "MomentumZScore", "MomentumNeutral")]
    values = engine.newest(grid_of(candles, 60), factors).columns
    fifths = pd.qcut(turnover, 5, labels=False)
    expected = [
        momentum.rank(pct=True),
        (momentum - momentum.mean()) / momentum.std(),
        momentum - momentum.groupby(fifths).transform("mean"),
    ]
    for factor, oracle in zip(factors, expected, strict=True):
        np.testing.assert_allclose(values[factor.column].to_numpy(), oracle.to_numpy(), rtol=1e-9, atol=1e-15)


def test_hand_cases():
    close = [10.0, 11.0, 12.0, 11.0, 13.0]
    times = [NEWEST_MS - back * STEP_MS for back in (4, 3, 2, 1, 0)]
    candles = pl.DataFrame(
        {
            "symbol": ["AUSDT"] * 5,
            "candle_begin_time": pl.Series([ms * 1000 for ms in times]).cast(pl.Datetime("us", "UTC")),
            "open": close,
            "high": [value + 1 for value in close],
            "low": [value - 1 for value in close],
            "close": close,
            "volume": [1.0, 2.0, 3.0, 4.0, 5.0],
            "quote_volume": [10.0, 22.0, 36.0, 44.0, 65.0],
            "trade_num": [1.0, 1.0, 2.0, 2.0, 4.0],
            "taker_buy_base_asset_volume": [0.5] * 5,
            "taker_buy_quote_asset_volume": [5.0, 11.0, 18.0, 22.0, 13.0],
        }
    )
    expected = {
        ("PctChg", 2): 13 / 12 - 1,
        ("Bias", 3): 13 / 12 - 1,
        ("RangePosition", 3): (13 - 10) / (14 - 10),
        ("RsiSum", 3): 100 * 3 / 4,
        ("EfficiencyRatio", 3): 2 / 4,
        ("TakerBuyRatio", 2): 35 / 109,
        ("TradeNumMean", 3): 8 / 3,
        ("VwapBias", 2): 13 / (109 / 9) - 1,
        ("SignedVolume", 3): (3 - 4 + 5) / 12,
        ("Amplitude", 1): 2 / 13,
    }
    factors = [shipped(name, n) for name, n in expected]
    values = engine.newest(grid_of(candles, 5), factors)
    for (name, n), value in expected.items():
        assert values.columns[f"{name}_{n}"].to_list() == [pytest.approx(value)]


def test_a_price_that_stands_still_has_no_rsi_and_its_kdj_is_in_the_middle():
    candles = made_up(symbols=1).with_columns(pl.lit(5.0).alias(name) for name in ("open", "high", "low", "close"))
    values = engine.newest(grid_of(candles), [shipped("Rsi", 14), shipped("RsiSum", 14), shipped("KdjK", 9)])
    assert values.columns["Rsi_14"].to_list() == [None]
    assert values.columns["RsiSum_14"].to_list() == [None]
    assert values.columns["KdjK_9"].to_list() == [pytest.approx(50)]


NOTHING_WHEN_FLAT = {"RangePosition", "EfficiencyRatio", "Rsi", "RsiSum", "Cmo", "Cci", "WilliamsR", "Mfi"}
NOTHING_WHEN_FLAT |= {"BollingerPosition", "Skewness", "ReturnVolumeCorr", "MomentumZScore", "FundingMean"}


def test_a_price_that_moved_and_then_stands_still_leaves_no_rounding_behind():
    """Running sums keep a rest of what left them; a rest divided by a rest would be an RSI of any height."""
    place = pl.int_range(pl.len()).over("symbol")
    still = pl.col("close").get(300).over("symbol")
    candles = made_up(symbols=20, periods=900).with_columns(
        pl.when(place >= 300).then(still).otherwise(pl.col(name)).alias(name)
        for name in ("open", "high", "low", "close")
    )
    factors = [build(14) for build in LIBRARY.values()]
    live = engine.newest(grid_of(candles, 900), factors).columns
    past = engine.history(grid_of(candles, 900), factors)[0].columns
    for factor in factors:
        for values in (live[factor.column], past[factor.column]):
            assert values.null_count() == (20 if factor.name in NOTHING_WHEN_FLAT else 0), factor.column
            if factor.name in {"Volatility", "DownsideVolatility", "ParkinsonVolatility", "BollingerWidth", "PctChg"}:
                assert (values == 0).all(), factor.column


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(UnknownWordError, match="did you mean 'PctChg'"):
        shipped("PctChgg", 3)
