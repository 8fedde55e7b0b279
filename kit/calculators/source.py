"""Where a calculator's candles come from: a small set of reads, so that a resample can stand in for the market."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import polars as pl

from kit.buffer.files import VALUE_COLUMNS
from kit.buffer.layout import Folder
from kit.buffer.read import Span, read_candles
from kit.errors import FolderError


@runtime_checkable
class CandleSource(Protocol):
    """What a calculator reads. Frames: symbol (Categorical), candle_begin_time (UTC), columns; sorted by both."""

    @property
    def step_ms(self) -> int:
        """The candles' length in milliseconds."""

    @property
    def watched(self) -> Path:
        """The folder in which something changes when there are new candles."""

    @property
    def base_dir(self) -> Path:
        """The market's base directory."""

    def read(
        self, first_ms: int, last_ms: int, columns: Sequence[str] | None = None, symbols: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """The candles of the run times from first to last (milliseconds, both included); all value columns if None."""


@dataclass(frozen=True)
class BufferSource:
    """A market's own candles."""

    folder: Folder

    @property
    def step_ms(self) -> int:
        """The market's interval in milliseconds."""
        return self.folder.interval.ms

    @property
    def watched(self) -> Path:
        """The folder of the market's candles."""
        return self.folder.candles

    @property
    def base_dir(self) -> Path:
        """The market's base directory."""
        return self.folder.base_dir

    def read(
        self, first_ms: int, last_ms: int, columns: Sequence[str] | None = None, symbols: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """The candles of the run times from first to last, from the buffer. FolderError when a file is damaged."""
        wanted = VALUE_COLUMNS if columns is None else columns
        return read_candles(self.folder, columns=wanted, symbols=symbols, span=Span(first_ms, last_ms))


def source_of(reader: object) -> CandleSource:
    """The candles behind a ``CandleFileReader``, a ``Market``, or whatever is a source itself.

    Raises:
        FolderError: it is none of these.
    """
    if isinstance(reader, CandleSource):
        return reader
    folder = getattr(reader, "folder", None)
    if isinstance(folder, Folder):
        return BufferSource(folder)
    raise FolderError(repr(reader), "is no candle reader: give CandleFileReader(folder, save_type) or a Market")
