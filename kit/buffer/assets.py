"""Tickers that came back as another asset: where the old asset's candles end and the new one's begin.

The exchange reuses names (LITUSDT was Litentry, then Lighter). Candle files keep the exchange's name; the small file
``assets.json``, which only exists once that has happened, tells from which begin time on a ticker is another asset.
Rows before it are read as ``LITUSDT#1`` (``#2`` for the next asset, and so on), so that nobody joins the two and
nothing is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
import polars as pl

from kit.buffer.files import write_atomically
from kit.buffer.layout import Folder
from kit.errors import FolderError
from kit.outside import MEGABYTE, UNREADABLE, read_bounded
from kit.words import LAST_MS

Boundaries = Mapping[str, Sequence[int]]
"""For each reused ticker the begin times (milliseconds, ascending) from which on it is the next asset."""

MAX_BYTES = 16 * MEGABYTE  # an entry has some 50 bytes, and tickers are reused a few times a year

MARK = "#"
"""Between a ticker and the number of its former asset; no symbol of the exchange has it."""


_decoder = msgspec.json.Decoder(dict[str, list[Annotated[int, msgspec.Meta(ge=0, le=LAST_MS)]]])


def load_assets(folder: Folder) -> Boundaries:
    """The reused tickers; empty when there are none.

    Raises:
        FolderError: the file cannot be understood. Reading on would join two assets.
    """
    try:
        return _decoder.decode(read_bounded(folder.assets, MAX_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, *UNREADABLE) as error:
        raise FolderError(
            str(folder.assets), f"is damaged ({error}); it tells which tickers changed their asset: restore it"
        ) from error


def add_boundary(folder: Folder, ticker: str, begin_ms: int) -> None:
    """From ``begin_ms`` on the ticker is another asset. Repeating it changes nothing. OSError when the disk refuses."""
    known = load_assets(folder)
    moments = sorted({*known.get(ticker, ()), begin_ms})
    write_atomically(folder.assets, msgspec.json.encode({**known, ticker: moments}))


def ticker_of(name: str) -> str:
    """The exchange's name of an asset: ``LITUSDT`` of ``LITUSDT#1``."""
    return name.partition(MARK)[0]


def asset_name(boundaries: Boundaries) -> pl.Expr:
    """The asset each row belongs to, as text, from the columns symbol and candle_begin_time."""
    ticker = pl.col("symbol").cast(pl.String)
    begin_ms = pl.col("candle_begin_time").dt.epoch("ms")
    name = ticker
    for reused, moments in boundaries.items():
        for number, moment in reversed(list(enumerate(moments, start=1))):
            former = (ticker == reused) & (begin_ms < moment)
            name = pl.when(former).then(pl.lit(f"{reused}{MARK}{number}")).otherwise(name)
    return name
