"""What is resampled: the target, its offsets, how they are spelled, and where each is kept.

    BASE_DIR/resample_1h/
      state.json                          up to where the base candles are worked in (``kit.resample.changes``)
      offset_0m/  offset_5m/ ... offset_55m/
        revision_<first>_<last>_<seq>.parquet    candles of these run times, added or done again: the newest wins
        block_<first>_<last>_<seq>.parquet       compacted: every candle of its run times

A series is laid out as the buffer lays out a market whose only writer is the flow, and read by the same code
(``kit.buffer.layout`` has the rules of the names).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from kit.buffer.layout import Folder
from kit.config import MarketConfig
from kit.config.values import parse_duration
from kit.errors import UnknownWordError
from kit.words import MILLISECOND, Interval

SHOWN_OFFSETS = 24
"""An error names so many allowed offsets one by one; a 1s market can have thousands."""


@dataclass(frozen=True)
class SeriesFolder(Folder):
    """The candles of one offset. ``interval`` is the target's: run times are a whole target after the begin times."""

    offset_ms: int = 0
    base: Interval = Interval.M1

    @cached_property
    def exchange_info(self) -> Path:
        """The base market's: a resample has none of its own."""
        return self.base_dir / f"exginfo_{self.base}"

    @cached_property
    def funding(self) -> Path:
        """The base market's, too."""
        return self.base_dir / f"funding_{self.base}"

    @cached_property
    def candles(self) -> Path:
        """The folder of this offset."""
        return self.base_dir / f"resample_{self.interval}" / f"offset_{offset_word(self.offset_ms)}"


@dataclass(frozen=True)
class Series:
    """The resample of a market: ``target`` candles of ``base`` ones, beginning at every multiple of ``step_ms``.

    ``num_candles`` is the window of the base market.
    """

    base: Interval
    target: Interval
    step_ms: int
    num_candles: int

    @property
    def parts(self) -> int:
        """Base candles in a target candle."""
        return self.target.ms // self.base.ms

    @property
    def offsets_ms(self) -> range:
        """The offsets: how long after a multiple of the target candles begin, in milliseconds."""
        return range(0, self.target.ms, self.step_ms)

    def first_run_ms(self, newest_ms: int) -> int:
        """The oldest run time whose parts all lie in the base window that ends at the run time ``newest_ms``."""
        return newest_ms - self.num_candles * self.base.ms + self.target.ms

    def folder(self, market: Folder, offset_ms: int) -> SeriesFolder:
        """Where the candles of one offset are kept."""
        return SeriesFolder(market.base_dir, market.trade_type, self.target, market.save_type, offset_ms, self.base)

    def state_path(self, market: Folder) -> Path:
        """The file that says up to where the base candles are worked in."""
        return self.folder(market, 0).candles.parent / "state.json"

    def offset_of(self, offset: str | timedelta) -> int:
        """An offset as a user gives it, ``"5m"`` or a duration, in milliseconds.

        Raises:
            UnknownWordError: there is no such offset; names those that are.
        """
        try:
            given = parse_duration(offset) if isinstance(offset, str) else offset
        except ValueError:
            given = timedelta(-1)
        offset_ms, odd = divmod(given, MILLISECOND)
        if odd or offset_ms not in self.offsets_ms:
            word = offset if isinstance(offset, str) else str(offset)
            raise UnknownWordError(f"offset of {self.target} candles from {self.base}", word, self._offset_words())
        return offset_ms

    def _offset_words(self) -> list[str]:
        words = [offset_word(offset_ms) for offset_ms in self.offsets_ms]
        return words if len(words) <= SHOWN_OFFSETS else [*words[:3], "...", words[-1]]


def series_of(config: MarketConfig) -> Series | None:
    """The resample of a config; None where there is none. A ``base_offset`` of 0 keeps the offset 0 alone."""
    if config.resample is None:
        return None
    target = config.resample.interval
    return Series(config.interval, target, config.resample.offset // MILLISECOND or target.ms, config.num_candles)


def series_named(config: MarketConfig, interval: str) -> Series:
    """The resample of that target.

    Raises:
        UnknownWordError: the config keeps none; names what it keeps.
    """
    series = series_of(config)
    if series is None or interval != series.target:
        kept = [config.interval.value] if series is None else [config.interval.value, series.target.value]
        raise UnknownWordError(f"resample of {config.trade_type} {config.interval} to", str(interval), kept)
    return series


def offset_word(offset_ms: int) -> str:
    """An offset as files and people spell it: ``5m``, or ``90s`` where it has seconds."""
    return f"{offset_ms // 60_000}m" if offset_ms % 60_000 == 0 else f"{offset_ms // 1000}s"
