"""The factors of the last run times on disk: ``factors_{interval}/20261122T070500Z.parquet``, one file a run time.

What was missing and what went wrong stands in the file's metadata, so that a reader has both or neither.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet

from kit.buffer.files import remove_temporaries, write_table
from kit.buffer.layout import Folder, parse_time_word, time_word
from kit.buffer.read import POLARS_ERRORS
from kit.calculators.result import FactorResult
from kit.durable import make_folder
from kit.errors import FolderError
from kit.words import from_ms, to_ms

KEPT = 256
"""Run times kept: 21 hours of 5m candles, some 50 MB for 750 symbols and 30 factors. Older ones are computed anew."""

_META = b"bmac_factors"


class _Told(msgspec.Struct):
    """What stands in a file's metadata."""

    missing: tuple[str, ...]
    errors: tuple[str, ...]


class FactorStore:
    """The stored factors of one market. Written by the flow that holds the folder; any number of readers."""

    def __init__(self, folder: Folder) -> None:
        self.path = folder.base_dir / f"factors_{folder.interval}"

    def put(self, result: FactorResult) -> Path:
        """Write a run time's factors, replacing earlier ones of it, and delete what is too old; the file's path.
        OSError when the disk refuses."""
        make_folder(self.path)
        told = {"missing": result.missing, "errors": result.errors}
        table = result.frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        table = table.replace_schema_metadata({_META: json.dumps(told, ensure_ascii=False).encode()})
        path = self._file(to_ms(result.run_time))
        write_table(path, table, "parquet")
        remove_temporaries(self.path)
        for old_ms in self.run_times_ms()[:-KEPT]:
            self._file(old_ms).unlink(missing_ok=True)
        return path

    def get(self, run_time: datetime) -> FactorResult | None:
        """A run time's factors, or None. NaiveTimeError without a zone; FolderError when the file is damaged."""
        path = self._file(to_ms(run_time))
        try:
            table = pa.parquet.read_table(pa.BufferReader(path.read_bytes()))
            told = msgspec.json.decode((table.schema.metadata or {})[_META], type=_Told)
            frame = pl.DataFrame(table.replace_schema_metadata(None))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, KeyError, RecursionError, pa.ArrowException, *POLARS_ERRORS) as error:
            raise FolderError(str(path), f"cannot be read ({error}); if it is damaged, delete it") from error
        return FactorResult(from_ms(to_ms(run_time)), frame, told.missing, told.errors)

    def run_times_ms(self) -> list[int]:
        """The run times that are stored, in milliseconds, oldest first."""
        try:
            names = [path.name for path in self.path.iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(filter(None, map(_run_ms, names)))

    def _file(self, run_ms: int) -> Path:
        return self.path / f"{time_word(run_ms)}.parquet"


def _run_ms(name: str) -> int | None:
    word, _, suffix = name.partition(".")
    try:
        return parse_time_word(word) if suffix == "parquet" else None
    except ValueError:
        return None
