"""A market on disk with a resample, and what an independent hand makes of the same candles."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl

from kit.buffer.fills import store_rest
from kit.buffer.layout import Folder
from kit.config import MarketConfig, parse_config
from kit.embedded_exchange import Row
from kit.resample.read import read_resample
from kit.resample.update import update_resample
from kit.words import Candle, Interval, TradeType, from_ms

NEVER_RACING = 1 << 60


class Resampled:
    """A base directory whose config asks for a resample."""

    def __init__(self, base_dir: Path, base: str, target: str, step: str | None = None, **more: object) -> None:
        resample = {"interval": target, "base_offset": base if step is None else step}
        raw = {"trade_type": "usdt_perp", "interval": base, "num_candles": 1000, "resample": resample} | more
        self.config: MarketConfig = parse_config(base_dir, raw)
        self.folder = Folder(base_dir, TradeType(self.config.trade_type), self.config.interval, self.config.save_type)
        self.folder.open_for_writing()
        self.target = Interval(target)

    def store(self, candles: Iterable[Candle]) -> None:
        store_rest(self.folder, list(candles), received_ms=0, racing_from_ms=NEVER_RACING)

    def update(self, run_ms: int) -> int:
        return update_resample(self.folder, self.config, from_ms(run_ms))

    def read(self, offset_ms: int = 0, **options: object) -> pl.DataFrame:
        return read_resample(self.folder, self.config, self.target, timedelta(milliseconds=offset_ms), **options)

    def candles(self, offset_ms: int = 0, **options: object) -> list[Candle]:
        frame = self.read(offset_ms, **options).with_columns(pl.col("candle_begin_time").dt.epoch("ms"))
        return [Candle(*row) for row in frame.select("symbol", "candle_begin_time", *Candle._fields[2:]).rows()]

    def keys(self, offset_ms: int = 0, **options: object) -> set[tuple[str, int]]:
        return {(candle.symbol, candle.begin_ms) for candle in self.candles(offset_ms, **options)}

    @property
    def offsets_ms(self) -> range:
        step_ms = self.config.resample.offset // timedelta(milliseconds=1) or self.target.ms
        return range(0, self.target.ms, step_ms)


def as_candle(symbol: str, row: Row) -> Candle:
    return Candle(symbol, row[0], *map(float, row[1:6]), float(row[7]), row[8], float(row[9]), float(row[10]))


def by_hand(symbol: str, rows: Iterable[Row], base: Interval, target: Interval, offset_ms: int) -> list[Candle]:
    """The candles of one offset from the exchange's decimals, one by one."""
    part = {row[0]: row for row in rows}
    made = []
    for begin_ms in sorted(part):
        begins = range(begin_ms, begin_ms + target.ms, base.ms)
        if (begin_ms - offset_ms) % target.ms or any(each not in part for each in begins):
            continue
        parts = [part[each] for each in begins]
        high, low = max(Decimal(row[2]) for row in parts), min(Decimal(row[3]) for row in parts)
        volume, quote, taker, taker_quote = (float(sum(Decimal(row[at]) for row in parts)) for at in (5, 7, 9, 10))
        trades = sum(row[8] for row in parts)
        prices = (float(parts[0][1]), float(high), float(low), float(parts[-1][4]))
        made.append(Candle(symbol, begin_ms, *prices, volume, quote, trades, taker, taker_quote))
    return made
