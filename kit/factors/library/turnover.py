"""How much is traded, by whom, at what price, and what holding costs."""

# ruff: noqa: N802  # a factor's function bears the name of its column, and users know those from BMAC and their papers

from __future__ import annotations

import polars as pl

from kit.factors.factor import FUNDING_COLUMN, Factor

CLOSE, VOLUME, QUOTE_VOLUME, TRADES = map(pl.col, ("close", "volume", "quote_volume", "trade_num"))
TAKER_BUY = pl.col("taker_buy_quote_asset_volume")
FUNDING = pl.col(FUNDING_COLUMN)


def VolumeMean(n: int) -> Factor:
    """The mean volume of n periods, in the base asset (contracts on COIN-M)."""
    return Factor(name="VolumeMean", window=n, expr=VOLUME.rolling_mean(n), lookback=n)


def QuoteVolumeMean(n: int) -> Factor:
    """The mean turnover of n periods, in the quote asset (base asset on COIN-M)."""
    return Factor(name="QuoteVolumeMean", window=n, expr=QUOTE_VOLUME.rolling_mean(n), lookback=n)


def TradeNumMean(n: int) -> Factor:
    """The mean number of trades of n periods."""
    return Factor(name="TradeNumMean", window=n, expr=TRADES.rolling_mean(n), lookback=n)


def VolumeRatio(n: int) -> Factor:
    """The newest turnover / the mean of n periods."""
    return Factor(name="VolumeRatio", window=n, expr=QUOTE_VOLUME / QUOTE_VOLUME.rolling_mean(n), lookback=n)


def TradeSize(n: int) -> Factor:
    """Turnover of n periods / number of trades."""
    return Factor(name="TradeSize", window=n, expr=QUOTE_VOLUME.rolling_sum(n) / TRADES.rolling_sum(n), lookback=n)


def TakerBuyRatio(n: int) -> Factor:
    """The share of n periods' turnover that was bought by takers, 0 to 1."""
    ratio = TAKER_BUY.rolling_sum(n) / QUOTE_VOLUME.rolling_sum(n)
    return Factor(name="TakerBuyRatio", window=n, expr=ratio, lookback=n)


def Amihud(n: int) -> Factor:
    """Amihud's illiquidity: the mean of |return| / turnover over n periods. No value where nothing was traded."""
    moved = (CLOSE / CLOSE.shift(1) - 1).abs() / QUOTE_VOLUME
    return Factor(name="Amihud", window=n, expr=moved.rolling_mean(n), lookback=n + 1)


def VwapBias(n: int) -> Factor:
    """Distance from the volume-weighted mean price of n periods: close / (turnover / volume) - 1. Not for COIN-M,
    where turnover and volume are in other units."""
    vwap = QUOTE_VOLUME.rolling_sum(n) / VOLUME.rolling_sum(n)
    return Factor(name="VwapBias", window=n, expr=CLOSE / vwap - 1, lookback=n)


def SignedVolume(n: int) -> Factor:
    """On-balance volume of n periods as a share: volume of rising minus of falling periods / all volume, -1 to 1."""
    signed = CLOSE.diff().sign() * VOLUME
    return Factor(name="SignedVolume", window=n, expr=signed.rolling_sum(n) / VOLUME.rolling_sum(n), lookback=n + 1)


def ReturnVolumeCorr(n: int) -> Factor:
    """The correlation of returns and volume over n periods, -1 to 1. n at least 3. No value when nothing moved.

    Of returns, not prices: against its level a price hardly varies, and the running form would lose all its digits.
    """
    returns = CLOSE / CLOSE.shift(1) - 1
    moved = returns.rolling_max(n) > returns.rolling_min(n)
    corr = pl.when(moved).then(pl.rolling_corr(returns, VOLUME, window_size=n))
    return Factor(name="ReturnVolumeCorr", window=n, expr=corr, lookback=n + 1)


def FundingMean(n: int) -> Factor:
    """The mean of the funding rates settled within n periods; no value when none was, or without funding rates."""
    return Factor(name="FundingMean", window=n, expr=FUNDING.rolling_mean(n, min_samples=1), lookback=n)


FACTORS = (
    VolumeMean,
    QuoteVolumeMean,
    TradeNumMean,
    VolumeRatio,
    TradeSize,
    TakerBuyRatio,
    Amihud,
    VwapBias,
    SignedVolume,
    ReturnVolumeCorr,
    FundingMean,
)
