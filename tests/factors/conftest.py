"""A user's factor package in a folder of the test's own, importable while the test runs."""

from __future__ import annotations

import itertools
import sys

import polars as pl
import pytest

from kit.calculators.tables import pandas_by_symbol
from tests.factors.builders import STEP_MS, made_up

_numbers = itertools.count()

PCT_CHG = """
def signal(*args):
    df = args[0]
    n = args[1]
    factor_name = args[2]
    df[factor_name] = df['close'].pct_change(n)
    return df
"""
MEAN = """
def signal(df, n, factor_name):
    df['kept'] = df['trade_num'] * 1.0
    df[factor_name] = df['kept'].rolling(n, min_periods=1).mean()
    del df['kept']
    df = df.drop(columns=['open', 'close'])
    return df
"""
BROKEN = """
def signal(df, n, factor_name):
    if df['close'].iloc[-1] < 0 or df.index[0].year > 0:
        raise ValueError('no such thing')
"""
AHEAD = """
def signal(df, n, factor_name):
    df[factor_name] = df['close'].shift(-n) / df['close'] - 1
    return df
"""
EMA = """
def signal(df, n, factor_name):
    df[factor_name] = df['close'].ewm(span=n, adjust=False).mean()
    return df
"""
NATIVE = """
import polars as pl
from kit.factors.factor import Factor

def factor(n):
    return Factor(name='Native', window=n, expr=pl.col('close').rolling_max(n), lookback=n)
"""
NATIVE_AHEAD = """
import polars as pl
from kit.factors.factor import Factor

def factor(n):
    return Factor(name='NativeAhead', window=n, expr=pl.col('close') / pl.col('close').max(), lookback=n)
"""
NATIVE_SHORT = """
import polars as pl
from kit.factors.factor import Factor

def factor(n):
    return Factor(name='NativeShort', window=n, expr=pl.col('close').rolling_mean(n), lookback=n // 2)
"""
MODULES = {
    "PctChg": PCT_CHG,
    "TrdNumMeanV1": MEAN,
    "Broken": BROKEN,
    "Ahead": AHEAD,
    "Ema": EMA,
    "Native": NATIVE,
    "NativeAhead": NATIVE_AHEAD,
    "NativeShort": NATIVE_SHORT,
    "NoSignal": "x = 1\n",
    "Returns": "def signal(df, n, factor_name):\n    return 3\n",
    "Nothing": "def signal(df, n, factor_name):\n    df[factor_name] = df['close']\n",
    "OtherName": "def signal(df, n, factor_name):\n    df['other'] = df['close']\n    return df\n",
    "Shorter": "def signal(df, n, factor_name):\n    df[factor_name] = df['close']\n    return df.iloc[n:]\n",
    "Words": "def signal(df, n, factor_name):\n    df[factor_name] = 'up'\n    return df\n",
    "Series": "def signal(df, n, factor_name):\n    return df['close'].diff(n)\n",
    "Slow": "import time\ndef signal(df, n, factor_name):\n    time.sleep(600)\n    return df\n",
    "NotImportable": "import json\nraise RuntimeError('at import')\n",
    "Torn": "def signal(df, n, factor_name:\n",
    "NotAFactor": "def factor(n):\n    return n\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The name of a package with the modules above."""
    name = f"users_factors_{next(_numbers)}"
    folder = tmp_path / "path" / name
    folder.mkdir(parents=True)
    for module, text in MODULES.items():
        (folder / f"{module}.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder.parent))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return name


@pytest.fixture
def candles_frame():
    """Five candles of one symbol, as ``CandleFileReader.read_candle`` gives them."""
    candles = made_up(symbols=1, periods=5).with_columns(pl.col("trade_num").cast(pl.Int64))
    return pandas_by_symbol(candles, STEP_MS)["S000USDT"]
