"""BMAC's reader of single symbols, on our buffer: code that was written for BMAC v2 keeps working."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import pandas as pd
import polars as pl

from kit.buffer.exchange_info import ExchangeInfoStore
from kit.buffer.files import VALUE_COLUMNS
from kit.buffer.layout import Folder
from kit.buffer.read import KEY, Span, read_candles
from kit.config import CONFIG_NAME, load_config
from kit.config.load import MAX_BYTES
from kit.errors import FolderError
from kit.outside import UNREADABLE, read_bounded
from kit.words import parse_interval, parse_trade_type, to_ms

EXCHANGE_INFO = "exginfo"


class _Window(msgspec.Struct):
    """What is read of a config here."""

    num_candles: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1500


class CandleFileReader:
    """Reads the candles under ``{BASE_DIR}/{trade_type}_{interval}``; ``save_type`` is parquet or feather.

    As in BMAC v2 it also takes ``{BASE_DIR}/exginfo_{interval}``, for calculators that want to know the symbols:
    ``read_candle`` then gives the exchange info, whatever it is asked for.

    Raises:
        ConfigError: the exchange info's market is not known, for want of a config.
        UnknownWordError: the folder's name is no trade type and interval.
        FolderError: ``save_type`` is neither.
        FolderVersionError: the folder was written in another format.
    """

    def __init__(self, candle_dir: str | Path, save_type: str = "parquet") -> None:
        path = Path(candle_dir)
        trade_type, _, interval = path.name.rpartition("_")
        if save_type not in ("parquet", "feather"):
            raise FolderError(str(path), f"save_type {save_type!r} does not exist (allowed: parquet, feather)")
        self._of_exchange_info = trade_type == EXCHANGE_INFO
        market = load_config(path.parent).trade_type if self._of_exchange_info else parse_trade_type(trade_type)
        self.folder = Folder(path.parent, market, parse_interval(interval), save_type)
        self.folder.check_version()

    def read_candle(self, symbol: str) -> pd.DataFrame:
        """All kept candles of a symbol, oldest first, at most ``num_candles`` of the config; empty when there are none.

        Index ``candle_end_time`` (UTC, the run time); columns ``candle_begin_time`` (UTC), open, high, low, close,
        volume, quote_volume (float64), trade_num (int64), taker_buy_base_asset_volume, taker_buy_quote_asset_volume.
        """
        if self._of_exchange_info:
            return pd.DataFrame(ExchangeInfoStore(self.folder).latest() or [])
        frame = read_candles(self.folder, columns=VALUE_COLUMNS, symbols=[symbol], retired=True)
        limit = self._num_candles()
        if limit is not None:
            frame = frame.tail(limit)
        frame = frame.with_columns(candle_end_time=pl.col("candle_begin_time") + self.folder.interval.delta)
        # Column by column: polars' own to_pandas goes by way of pyarrow and takes longer for few rows.
        columns = ["candle_begin_time", *VALUE_COLUMNS]
        data = {name: _pandas(frame[name]) for name in columns}
        return pd.DataFrame(data, index=pd.DatetimeIndex(_pandas(frame["candle_end_time"]), name="candle_end_time"))

    def check_ready(self, symbol: str, run_time: datetime) -> bool:
        """Whether the symbol's candle that closed at ``run_time`` is readable. NaiveTimeError without a zone."""
        run_ms = to_ms(run_time)
        return not read_candles(self.folder, columns=[], symbols=[symbol], span=Span(run_ms, run_ms)).is_empty()

    def get_all_symbols(self) -> list[str]:
        """Every symbol of which anything is kept, sorted."""
        frame = read_candles(self.folder, columns=[], retired=True)
        return sorted(frame[KEY[0]].unique().cast(pl.String).to_list())

    def has_symbol(self, symbol: str) -> bool:
        """Whether anything of the symbol is kept."""
        return not read_candles(self.folder, columns=[], symbols=[symbol], retired=True).is_empty()

    def _num_candles(self) -> int | None:
        """The window of the config beside the folder; None when the folder was copied without it, or it is no config:
        somebody may be editing it, which is no reason not to read candles."""
        try:
            return msgspec.json.decode(
                read_bounded(self.folder.base_dir / CONFIG_NAME, MAX_BYTES), type=_Window
            ).num_candles
        except (OSError, *UNREADABLE):
            return None


def _pandas(column: pl.Series) -> np.ndarray[Any, Any] | pd.DatetimeIndex:
    if column.dtype == pl.Datetime:
        return pd.DatetimeIndex(column.to_physical().to_numpy().view("datetime64[us]")).tz_localize("UTC")
    return column.to_numpy()
