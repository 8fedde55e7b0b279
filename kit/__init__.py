"""Reading a market, and what strategies need beside it. Names are loaded when first used, so that importing a part
of ``kit`` (the streamer does) costs only that part."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kit.calculators.all_market import BmacAllMarketCalculator
    from kit.calculators.single import BmacSingleSymbolCalculator
    from kit.candle_reader import CandleFileReader
    from kit.market import Market
    from kit.resample.reader import ResampleReader
    from kit.times import next_run_time, now_time

_HOME = {
    "BmacAllMarketCalculator": "kit.calculators.all_market",
    "BmacSingleSymbolCalculator": "kit.calculators.single",
    "CandleFileReader": "kit.candle_reader",
    "Market": "kit.market",
    "ResampleReader": "kit.resample.reader",
    "next_run_time": "kit.times",
    "now_time": "kit.times",
}

__all__ = [
    "BmacAllMarketCalculator",
    "BmacSingleSymbolCalculator",
    "CandleFileReader",
    "Market",
    "ResampleReader",
    "next_run_time",
    "now_time",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'kit' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
