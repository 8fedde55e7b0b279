"""BMAC's reader of single symbols, on a resample: what takes a ``CandleFileReader`` takes this one, too."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pandas as pd
import polars as pl

from kit.buffer.layout import Folder
from kit.buffer.read import read_candles
from kit.candle_reader import CandleFileReader
from kit.config import load_config
from kit.resample.read import read_resample
from kit.resample.series import SeriesFolder, series_named


class ResampleReader(CandleFileReader):
    """A resample of the market in ``base_dir``, read symbol by symbol as ``CandleFileReader`` reads the market.

    ``check_ready`` and the rest are about run times of this offset: a begin time plus the target.

    Raises:
        ConfigError: there is no usable ``config.json``.
        UnknownWordError: an interval or offset that the config does not keep.
        FolderVersionError: the folder was written in another format.
    """

    def __init__(self, base_dir: str | Path, interval: str, offset: str | timedelta = "0m") -> None:
        self.config = load_config(Path(base_dir))
        self._market = Folder(Path(base_dir), self.config.trade_type, self.config.interval, self.config.save_type)
        self._market.check_version()
        self._series = series_named(self.config, interval)
        self._offset = offset
        self.folder: SeriesFolder = self._series.folder(self._market, self._series.offset_of(offset))

    def read_candle(self, symbol: str) -> pd.DataFrame:
        """The kept candles of a symbol, oldest first, as many as the base window has room for; empty without any.

        Index ``candle_end_time`` (UTC, the run time); columns as ``read_resample`` gives them, without the symbol.
        """
        frame = read_resample(self._market, self.config, self.folder.interval, self._offset, symbols=[symbol])
        frame = frame.drop("symbol").tail(self.config.num_candles // self._series.parts)
        ends = frame["candle_begin_time"].alias("candle_end_time") + self.folder.interval.delta
        return frame.with_columns(ends).to_pandas().set_index("candle_end_time")

    def get_all_symbols(self) -> list[str]:
        """Every symbol of which a candle is kept, sorted."""
        symbols = read_candles(self._market, columns=[], retired=True)["symbol"].unique().cast(pl.String).to_list()
        return sorted(set(self._read(symbols)["symbol"].to_list()))

    def has_symbol(self, symbol: str) -> bool:
        """Whether a candle of the symbol is kept."""
        return not self._read([symbol]).is_empty()

    def _read(self, symbols: list[str]) -> pl.DataFrame:
        return read_resample(self._market, self.config, self.folder.interval, self._offset, symbols=symbols, columns=[])
