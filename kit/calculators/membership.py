"""Which symbols a calculator waits for: those that trade, as BMAC's exchange-info reader told."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl

from kit.buffer.exchange_info import ExchangeInfoStore
from kit.buffer.layout import Folder
from kit.dialect.symbols import SymbolInfo, select, trades
from kit.errors import FolderError
from kit.words import TradeType, parse_interval


def trading_symbols(exchange_info: object, folder: Folder | None) -> set[str] | None:
    """The symbols that trade now; None when that is not known yet.

    ``exchange_info`` is what a user hands to ``BmacAllMarketCalculator`` first: a reader of our own or a ``Market``
    (anything with a ``folder``), the path of the folder (``exginfo_5m``, or the base directory), a frame with a
    ``symbol`` column (and ``status``, of which TRADING counts), something with ``get_all_symbols()``, or the names.
    The exchange info on disk is that of the whole venue; ``folder`` says which slice of it is the market.

    Raises:
        FolderError: it is none of these.
    """
    given = exchange_info
    own = getattr(given, "folder", None)
    if isinstance(own, Folder):
        return _on_disk(own if folder is None else folder)
    if isinstance(given, str | Path):
        return _on_disk(_folder_at(Path(given), folder))
    if isinstance(given, pl.DataFrame | pd.DataFrame):
        return _in_frame(given)
    if hasattr(given, "get_all_symbols"):
        return set(given.get_all_symbols())
    if isinstance(given, Iterable):
        return {str(symbol) for symbol in given}
    raise FolderError(repr(given), "tells no symbols: give the folder of the exchange info, its reader, or a Market")


def _folder_at(path: Path, folder: Folder | None) -> Folder:
    if folder is None:
        raise FolderError(str(path), "is the exchange info of a venue; the candle reader must tell which market it is")
    base_dir = path.parent if path.name.startswith("exginfo_") else path
    return Folder(base_dir, folder.trade_type, folder.interval, folder.save_type)


def _in_frame(frame: pl.DataFrame | pd.DataFrame) -> set[str]:
    if "symbol" not in frame.columns:
        raise FolderError("exchange info", "the frame has no column 'symbol'")
    rows = (
        frame.select("symbol", *(["status"] if "status" in frame.columns else [])).rows()
        if isinstance(frame, pl.DataFrame)
        else frame[["symbol", *(["status"] if "status" in frame.columns else [])]].to_numpy().tolist()
    )
    return {str(row[0]) for row in rows if len(row) == 1 or row[1] == "TRADING"}


def base_market(folder: Folder) -> Folder:
    """The market in whose base directory a folder lies: itself, but for a resample, whose interval is another."""
    try:
        raw = json.loads((folder.base_dir / "config.json").read_bytes())
        interval = parse_interval(raw["interval"])
    except (OSError, ValueError, KeyError, TypeError):
        return folder
    return Folder(folder.base_dir, folder.trade_type, interval, folder.save_type)


def _on_disk(folder: Folder) -> set[str] | None:
    rows = ExchangeInfoStore(base_market(folder)).latest()
    if rows is None:
        return None
    keep, exclude = _narrowed(folder.base_dir)
    infos = map(SymbolInfo.from_dict, rows)
    chosen = select(TradeType(folder.trade_type), infos, keep, exclude).symbols
    return {info.symbol for info in chosen if trades(info)}


def _narrowed(base_dir: Path) -> tuple[list[str] | None, list[str] | None]:
    """The config's keep_symbols and exclude_symbols; nothing when the folder was copied without its config."""
    try:
        raw: dict[str, Any] = json.loads((base_dir / "config.json").read_bytes())
        keep, exclude = raw.get("keep_symbols"), raw.get("exclude_symbols")
    except (OSError, ValueError, AttributeError):
        return None, None
    return _names(keep), _names(exclude)


def _names(value: object) -> list[str] | None:
    return [str(name).upper() for name in value] if isinstance(value, list) else None
