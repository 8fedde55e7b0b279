"""Sound values for tests to start from; a test changes only what it is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from zlib import crc32

from kit.buffer.layout import Folder
from kit.buffer.slices import SliceWriter
from kit.words import Candle, Interval, TradeType, to_ms, utc_now

MINUTE = 60_000
HOUR = 60 * MINUTE
NOON = to_ms(datetime(2026, 11, 22, 12, tzinfo=UTC))
USUAL_PATIENCE = {"offset_sec": 3, "candle_close_timeout_sec": 15}
LONG_PATIENCE = {"offset_sec": 3600, "candle_close_timeout_sec": 3600}


def folder_in(path: Path, *, save_type: str = "parquet", interval: Interval = Interval.M1) -> Folder:
    """A base directory that is ready to be written."""
    folder = Folder(path, TradeType.USDT_PERP, interval, save_type)
    folder.open_for_writing()
    return folder


def unhurried(interval: Interval) -> dict[str, int]:
    """Keys of a config of some hours' interval, of which no run time becomes due within the next hour."""
    since_close_ms = to_ms(utc_now()) % interval.ms
    soon_or_just_now = since_close_ms < sum(USUAL_PATIENCE.values()) * 1000 or since_close_ms > interval.ms - HOUR
    return LONG_PATIENCE if soon_or_just_now else USUAL_PATIENCE


def candle(symbol: str = "BTCUSDT", begin_ms: int = NOON, variant: int = 0) -> Candle:
    """A candle whose values follow from its name, so that any mix-up shows; another ``variant``, other values."""
    base = 1 + crc32(f"{symbol} {begin_ms} {variant}".encode()) % 100_000 / 7
    prices = (base, base * 1.25, base * 0.75, base * 1.125)
    return Candle(symbol, begin_ms, *prices, base * 3, base * 5, variant + 1, 1.5, base)


def candles(symbols: Iterable[str], first_begin_ms: int, count: int, step_ms: int = MINUTE) -> list[Candle]:
    """``count`` candles of each symbol."""
    return [candle(symbol, first_begin_ms + index * step_ms) for symbol in symbols for index in range(count)]


def stream(folder: Folder, rows: Sequence[Candle]) -> SliceWriter:
    """Write candles as a streamer would that gets them half a second after their close."""
    writer = SliceWriter(folder)
    ordered = sorted(rows, key=lambda row: row.begin_ms)
    for run_ms, period in groupby(ordered, lambda row: row.begin_ms + folder.interval.ms):
        assert all(writer.add(row, run_ms + 500, run_ms + 510) for row in period)
        writer.flush()
    return writer
