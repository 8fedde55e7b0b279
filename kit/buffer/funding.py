"""Settled funding rates on disk: one parquet file a month, rewritten whole when something new came."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import polars as pl

from kit.buffer.files import write_atomically
from kit.buffer.layout import Folder
from kit.buffer.read import READING_ERRORS
from kit.durable import make_folder
from kit.errors import FolderError

SCHEMA = {
    "symbol": pl.String(),
    "funding_time": pl.Datetime("us", "UTC"),
    "funding_rate": pl.Float64(),
    "mark_price": pl.Float64(),
    "kind": pl.String(),
}
KEY = ["symbol", "funding_time", "kind"]


class FundingRate(NamedTuple):
    """One settlement as it was: the time rounded to the hour, the rate, the mark price where the exchange told it,
    and its kind (Regular, or Special such as a dividend adjustment: two may share a time)."""

    symbol: str
    funding_time: datetime
    funding_rate: float
    mark_price: float | None
    kind: str


class FundingStore:
    """The funding rates of one market. Written by the flow that holds the folder."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder.funding

    def read(self, symbols: Sequence[str] | None = None) -> pl.DataFrame:
        """Rows sorted by symbol and time; empty when none are kept. ``SCHEMA`` gives the columns.

        Raises:
            FolderError: a file is damaged; names it.
        """
        frame = pl.concat([pl.DataFrame(schema=SCHEMA), *map(_read, self._files())])
        if symbols is not None:
            frame = frame.filter(pl.col("symbol").is_in(list(symbols)))
        return frame.sort(KEY)

    def newest(self) -> dict[str, datetime]:
        """For each symbol its newest settlement."""
        newest = self.read().group_by("symbol").agg(pl.col("funding_time").max())
        return dict(newest.rows())

    def add(self, rates: Iterable[FundingRate]) -> int:
        """Keep settlements; the newer word on the same one wins. How many rows were new or changed."""
        fresh = pl.DataFrame(list(rates), schema=SCHEMA, orient="row")
        changed = 0
        for (month,), rows in fresh.group_by(pl.col("funding_time").dt.strftime("%Y%m")):
            path = self._folder / f"{month}.parquet"
            kept = _read(path) if path.exists() else pl.DataFrame(schema=SCHEMA)
            merged = pl.concat([rows, kept]).unique(KEY, keep="first").sort(KEY)
            new = merged.join(kept, on=list(SCHEMA), how="anti", nulls_equal=True).height
            if new:
                make_folder(self._folder)
                write_atomically(path, _bytes(merged))
                changed += new
        return changed

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9]*.parquet")) if self._folder.is_dir() else []


def _read(path: Path) -> pl.DataFrame:
    try:
        # As bytes: a path would be read as a pattern.
        return pl.read_parquet(path.read_bytes()).select(list(SCHEMA)).cast(pl.Schema(SCHEMA))
    except READING_ERRORS as error:
        raise FolderError(str(path), f"cannot be read ({error}); if it is damaged, delete it") from error


def _bytes(frame: pl.DataFrame) -> bytes:
    sink = BytesIO()
    frame.write_parquet(sink, compression="lz4")
    return sink.getvalue()
