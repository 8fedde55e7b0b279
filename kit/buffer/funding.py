"""Settled funding rates on disk: one parquet file a month, rewritten whole when something new came."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import polars as pl

from kit.buffer.files import write_atomically
from kit.buffer.layout import ASIDE, Folder, names_of_files
from kit.buffer.read import POLARS_ERRORS
from kit.durable import make_folder
from kit.errors import DamagedFileError, FolderError
from kit.outside import MEGABYTE, TooLargeError, read_bounded

SCHEMA = {
    "symbol": pl.String(),
    "funding_time": pl.Datetime("us", "UTC"),
    "funding_rate": pl.Float64(),
    "mark_price": pl.Float64(),
    "kind": pl.String(),
}
KEY = ["symbol", "funding_time", "kind"]

MAX_BYTES = 256 * MEGABYTE
"""Ten thousand symbols that settle each hour make 7 million rows a month, of some 20 bytes."""

_MONTH = re.compile(rf"((?:{ASIDE})?)(20\d\d)(0[1-9]|1[0-2])\.parquet", re.ASCII)


class FundingRate(NamedTuple):
    """One settlement as it was: the time rounded to the hour, the rate, the mark price where the exchange told it,
    and its kind (Regular, or Special such as a dividend adjustment: two may share a time)."""

    symbol: str
    funding_time: datetime
    funding_rate: float
    mark_price: float | None
    kind: str


class Month(NamedTuple):
    """The settlements of a month: from ``begin`` on, before ``end``."""

    begin: datetime
    end: datetime


class FundingStore:
    """The funding rates of one market. Written by the flow that holds the folder."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder.funding

    def read(self, symbols: Sequence[str] | None = None) -> pl.DataFrame:
        """Rows sorted by symbol and time; empty when none are kept. ``SCHEMA`` gives the columns.

        Raises:
            DamagedFileError: a file is damaged; names it.
            FolderError: a file cannot be opened.
        """
        frame = pl.concat([pl.DataFrame(schema=SCHEMA), *map(_read, self._files())])
        if symbols is not None:
            frame = frame.filter(pl.col("symbol").is_in(list(symbols)))
        return frame.sort(KEY)

    def newest(self, month: Month | None = None) -> dict[str, datetime]:
        """For each symbol its newest settlement, of a month where one is given."""
        rates = self.read()
        if month is not None:
            rates = rates.filter(pl.col("funding_time").is_between(*month, closed="left"))
        return dict(rates.group_by("symbol").agg(pl.col("funding_time").max()).rows())

    def damaged_months(self) -> list[Month]:
        """The months whose file has been put aside, oldest first: what is kept of them is what came since."""
        found = filter(None, map(_MONTH.fullmatch, names_of_files(self._folder)))
        return sorted(_month(match) for match in found if match[1])

    def add(self, rates: Iterable[FundingRate]) -> int:
        """Keep settlements; the newer word on the same one wins. How many rows were new or changed.

        Raises:
            DamagedFileError: the file of their month is damaged, or a folder or a pipe lies in its place.
            OSError: the disk refuses.
        """
        fresh = pl.DataFrame(list(rates), schema=SCHEMA, orient="row")
        changed = 0
        for (month,), rows in fresh.group_by(pl.col("funding_time").dt.strftime("%Y%m")):
            path = self._folder / f"{month}.parquet"
            kept = _read(path)
            merged = pl.concat([rows, kept]).unique(KEY, keep="first").sort(KEY)
            new = merged.join(kept, on=list(SCHEMA), how="anti", nulls_equal=True).height
            if new:
                make_folder(self._folder)
                write_atomically(path, _bytes(merged))
                changed += new
        return changed

    def _files(self) -> list[Path]:
        found = filter(None, map(_MONTH.fullmatch, names_of_files(self._folder)))
        return sorted(self._folder / match[0] for match in found if not match[1])


def damage_of_month(path: Path) -> Exception | None:
    """Why nobody can read the file of a month; None when it is sound. OSError when it cannot be opened."""
    try:
        _read(path)
    except DamagedFileError as error:
        return error.__cause__ if isinstance(error.__cause__, Exception) else error
    return None


def _read(path: Path) -> pl.DataFrame:
    """The settlements of a file; none where there is no file."""
    try:
        content = read_bounded(path, MAX_BYTES)
    except FileNotFoundError:
        return pl.DataFrame(schema=SCHEMA)
    except OSError as error:
        if isinstance(error, TooLargeError) or (path.exists() and not path.is_file()):
            raise DamagedFileError(str(path), str(error)) from error
        raise FolderError(str(path), f"cannot be read ({error.strerror})") from error
    try:
        return pl.read_parquet(content).select(list(SCHEMA)).cast(pl.Schema(SCHEMA))
    except (OSError, *POLARS_ERRORS) as error:  # polars has OSErrors of its own for offsets that lie outside
        raise DamagedFileError(str(path), str(error)) from error


def _month(match: re.Match[str]) -> Month:
    begin = datetime(int(match[2]), int(match[3]), 1, tzinfo=UTC)
    return Month(begin, (begin + timedelta(days=31)).replace(day=1))


def _bytes(frame: pl.DataFrame) -> bytes:
    sink = BytesIO()
    frame.write_parquet(sink, compression="lz4")
    return sink.getvalue()
