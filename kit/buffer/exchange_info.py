"""The exchange info of a market on disk, with its history: a parquet file a change, named by when it was seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.json
import pyarrow.parquet
import structlog

from kit.buffer.files import write_table
from kit.buffer.layout import Folder, names_of_files, time_word
from kit.errors import FolderError
from kit.words import to_ms

log = structlog.get_logger(__name__)

Row = Mapping[str, Any]
"""One symbol: ``symbol``, ``status`` and what else the exchange says, as plain values."""


class ExchangeInfoStore:
    """Rows by symbol, kept whole at each change. Saved by whoever has fresh ones; the newest file is what holds now."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder.exchange_info

    def versions(self) -> list[Path]:
        """The files, oldest first."""
        names = names_of_files(self._folder)
        return [self._folder / name for name in sorted(names) if name.endswith(".parquet") and name[:1].isdigit()]

    def latest(self) -> list[dict[str, Any]] | None:
        """The newest rows, sorted by symbol, or None when there are none yet. A damaged version is passed over."""
        return self._newest_readable(self.versions())

    def at(self, moment: datetime) -> list[dict[str, Any]] | None:
        """The rows as they were known at ``moment``; None when that was before the first."""
        word = time_word(to_ms(moment))
        return self._newest_readable([path for path in self.versions() if path.stem.partition("_")[0] <= word])

    def save(self, rows: Sequence[Row], seen_at: datetime) -> bool:
        """Keep the rows if they differ from the newest; whether they did. OSError when the disk refuses."""
        ordered = _normalised(rows)
        versions = self.versions()
        if versions and self._newest_readable(versions[-1:]) == ordered:
            return False
        word = time_word(to_ms(seen_at))
        if versions and versions[-1].stem.partition("_")[0] >= word:
            # Two changes within a second, or a clock that went back: the newest file must still sort last.
            base, _, count = versions[-1].stem.partition("_")
            word = f"{base}_{int(count or 0) + 1:04d}"
        # By way of JSON, which pyarrow reads by itself: building arrays from Python lists would import pandas, and the
        # streamer, which saves the first exchange info when it comes before the flow, must stay small.
        write_table(self._folder / f"{word}.parquet", _table(ordered), "parquet")
        return True

    @staticmethod
    def read(path: Path) -> list[dict[str, Any]]:
        """The rows of one version. FolderError when it is damaged."""
        try:
            rows: list[dict[str, Any]] = pyarrow.parquet.ParquetFile(path).read().to_pylist()
        except (OSError, ValueError, pa.ArrowException) as error:  # ValueError: names that are no UTF-8
            raise FolderError(str(path), f"cannot be read ({error}); if it is damaged, delete it") from error
        return rows

    def _newest_readable(self, versions: Sequence[Path]) -> list[dict[str, Any]] | None:
        for path in reversed(versions):
            try:
                return self.read(path)
            except FolderError as error:
                log.warning("exchange_info.damaged", error=str(error))
        return None


def _normalised(rows: Sequence[Row]) -> list[dict[str, Any]]:
    names = sorted({name for row in rows for name in row})
    ordered = [{name: row.get(name) for name in names} for row in sorted(rows, key=lambda row: str(row["symbol"]))]
    plain: list[dict[str, Any]] = msgspec.json.decode(msgspec.json.encode(ordered))
    return plain


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    schema = pa.schema([(name, _kind([row[name] for row in rows])) for name in rows[0]]) if rows else pa.schema([])
    lines = b"\n".join(map(msgspec.json.encode, rows))
    return pyarrow.json.read_json(BytesIO(lines), parse_options=pyarrow.json.ParseOptions(explicit_schema=schema))


def _kind(values: Sequence[Any]) -> pa.DataType:
    """The column type of plain values; what is always absent, or of several kinds, is text."""
    kinds = {type(value) for value in values if value is not None}
    known = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), list: pa.list_(pa.string())}
    return known.get(kinds.pop(), pa.string()) if len(kinds) == 1 else pa.string()
