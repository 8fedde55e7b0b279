"""Reading candles: the files of a view as one frame, each candle once, sorted by symbol and time.

Frames in here carry the symbol as a polars Categorical, which is what keeps a whole market fast; the public readers
(``kit.market``, ``kit.candle_reader``) turn it into text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NoReturn

import numpy as np
import polars as pl

from kit.buffer.assets import asset_name, load_assets, ticker_of
from kit.buffer.files import FLOAT_COLUMNS, VALUE_COLUMNS
from kit.buffer.layout import CandleFile, Folder
from kit.buffer.view import Overlay, View, choose
from kit.errors import DamagedFileError, FolderError

ATTEMPTS = 10
"""Listings tried when a chosen file is gone: each loss means that the flow compacted at that very moment."""

POLARS_ERRORS = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
READING_ERRORS = (OSError, *POLARS_ERRORS)
"""What polars raises for a file that is gone or damaged; a panic of its own is none of its errors."""

KEY = ("symbol", "candle_begin_time")
UTC_TIME = pl.Datetime("us", "UTC")
POLARS_SCHEMA: dict[str, pl.DataType] = {
    "symbol": pl.Categorical(),
    "candle_begin_time": UTC_TIME,
    **{name: pl.Float64() if name in FLOAT_COLUMNS else pl.Int64() for name in VALUE_COLUMNS},
    "source": pl.Categorical(),
    "received_time": UTC_TIME,
}


_TIME_BITS = 44
"""Milliseconds since the epoch fit until the year 2527, and 16 bits of rank beside them."""

Numbers = np.ndarray[tuple[int], np.dtype[np.uint32]]


@dataclass(frozen=True)
class Span:
    """Run times from ``first_ms`` to ``last_ms``, both included, in milliseconds."""

    first_ms: int
    last_ms: int


def current_view(folder: Folder) -> View:
    """What a reader would open now."""
    return choose(folder.list_candle_files(), folder.interval.ms)


def read_candles(
    folder: Folder,
    *,
    columns: Sequence[str] | None = None,
    symbols: Sequence[str] | None = None,
    span: Span | None = None,
    last: int | None = None,
    retired: bool = False,
    text: bool = False,
) -> pl.DataFrame:
    """The readable candles: symbol, candle_begin_time and ``columns`` (all, provenance too, when None).

    ``span`` keeps its run times only; ``last`` those of the newest so many periods that anything is readable of;
    ``retired`` adds what is kept of symbols that left the market before the window began. A ticker that came back as
    another asset is that new asset; the rows of the former one are under its own name (``kit.buffer.assets``).
    ``text``: symbol and source as String and not as Categorical.

    Raises:
        DamagedFileError: a file is damaged; names it.
        FolderError: a file cannot be opened.
    """
    boundaries = load_assets(folder)
    if symbols is not None:
        boundaries = {ticker: boundaries[ticker] for ticker in {*map(ticker_of, symbols)} & boundaries.keys()}
    if not boundaries:
        return _as_text(_read_tickers(folder, columns, symbols, span, last, retired=retired, text=text), text=text)
    tickers = None if symbols is None else sorted({*map(ticker_of, symbols)})
    frame = _read_tickers(folder, columns, tickers, span, last, retired=retired)
    named = frame.with_columns(symbol=asset_name(boundaries))
    wanted = named if symbols is None else named.filter(pl.col("symbol").is_in(list(symbols)))
    return _as_text(in_order(wanted.cast({"symbol": POLARS_SCHEMA["symbol"]}), text=text), text=text)


def _as_text(frame: pl.DataFrame, *, text: bool) -> pl.DataFrame:
    return frame.cast({"source": pl.String}) if text and "source" in frame.columns else frame


def _read_tickers(
    folder: Folder,
    columns: Sequence[str] | None,
    symbols: Sequence[str] | None,
    span: Span | None,
    last: int | None,
    *,
    retired: bool,
    text: bool = False,
) -> pl.DataFrame:
    """``read_candles`` by the exchange's names, with another listing when a file went away in between."""
    wanted = [*KEY, *(name for name in (POLARS_SCHEMA if columns is None else columns) if name not in KEY)]
    for attempt in range(ATTEMPTS):
        view = current_view(folder)
        newest_ms = view.newest_run_ms
        kept = span
        if last is not None and newest_ms is not None:
            kept = Span(newest_ms - (last - 1) * folder.interval.ms, newest_ms)
        if kept is not None:
            view = view.narrowed(kept.first_ms, kept.last_ms)
        if not retired:
            view = view.without_retired()
        try:
            return _read_view(folder, view, wanted, symbols=symbols, span=kept, text=text)
        except READING_ERRORS as error:
            # polars has a word of its own for a file that vanished, or not, depending on when it did.
            if attempt == ATTEMPTS - 1 or all((folder.candles / file.name).exists() for file in view.files):
                _blame(folder, view, error)
    raise AssertionError("unreachable: the last attempt returns or raises")


def read_view(folder: Folder, view: View, wanted: Sequence[str], *, span: Span | None = None) -> pl.DataFrame:
    """The rows of a view whose files nobody deletes meanwhile: for the flow, which alone does.

    Raises:
        DamagedFileError: a file is damaged; names it.
        FolderError, OSError: a file cannot be opened.
    """
    try:
        return _read_view(folder, view, wanted, span=span)
    except READING_ERRORS as error:
        _blame(folder, view, error)


def _read_view(
    folder: Folder,
    view: View,
    wanted: Sequence[str],
    *,
    symbols: Sequence[str] | None = None,
    span: Span | None = None,
    text: bool = False,
) -> pl.DataFrame:
    """The rows of a view. OSError or PolarsError when one of its files has been deleted meanwhile, or is damaged."""
    if symbols is not None and not symbols:
        return in_order(_empty(wanted), text=text)
    scan = Scan(folder, tuple(wanted), _of_symbols(symbols), span)
    # From what wins to what loses: of equal keys the first row stays.
    layers = [
        *(scan.overlay(overlay) for overlay in view.revisions),
        *scan.files(view.blocks),
        *(scan.overlay(overlay) for overlay in view.rests),
        *scan.files(view.streams),
    ]
    return in_order(pl.concat(pl.collect_all(layers)) if layers else _empty(wanted), text=text)


def in_order(frame: pl.DataFrame, *, text: bool = False) -> pl.DataFrame:
    """The frame sorted by symbol (as text) and candle_begin_time; of equal keys the first row stays.

    Files are sorted by symbol and mostly follow each other in time. So rows come in runs of one symbol, and putting the
    runs in order does nearly always; sorting all rows takes four times as long and is the fall-back. With ``text`` the
    symbol column becomes String, which is cheapest here, where equal names lie together.
    """
    if frame.is_empty():
        return frame.with_columns(pl.col("symbol").cast(pl.String)) if text else frame
    frame = frame.rechunk()
    names, ranks, order = _by_runs(frame["symbol"])
    times = frame["candle_begin_time"].to_physical().to_numpy()
    moved = times[order]
    if not np.all((moved[1:] > moved[:-1]) | (ranks[1:] > ranks[:-1])):
        # One number for symbol and time. Stable, so of rows with one key the first is the one that wins.
        key = ranks.astype(np.int64) << _TIME_BITS | moved // 1000
        by_key = np.argsort(key, kind="stable")
        by_key = by_key[np.diff(key[by_key], prepend=-1) > 0]
        order, ranks = order[by_key], ranks[by_key]
    if not text:
        return frame[order]
    symbols = names.gather(pl.Series(ranks)).alias("symbol")
    return frame.drop("symbol")[order].insert_column(frame.columns.index("symbol"), symbols)


def _by_runs(symbols: pl.Series) -> tuple[pl.Series, Numbers, Numbers]:
    """The distinct names, sorted; and a stable order of the rows by name: the place of each row's name among them, and
    the row's own number."""
    codes = symbols.to_physical().to_numpy()
    starts = np.concatenate(([0], np.flatnonzero(codes[1:] != codes[:-1]) + 1))
    lengths = np.diff(starts, append=len(codes))
    present, first_run, name_of_run = np.unique(codes[starts], return_index=True, return_inverse=True)
    names = symbols[starts[first_run].astype(np.uint32)].cast(pl.String)
    by_name = names.arg_sort().to_numpy()
    rank_of_name = np.empty(len(present), dtype=np.uint32)
    rank_of_name[by_name] = np.arange(len(present), dtype=np.uint32)
    run_ranks = rank_of_name[name_of_run]
    run_order = np.argsort(run_ranks, kind="stable")
    lengths = lengths[run_order]
    ends = np.cumsum(lengths)
    order = np.arange(len(codes)) + np.repeat(starts[run_order] - (ends - lengths), lengths)
    return names.gather(by_name), np.repeat(run_ranks[run_order], lengths), order.astype(np.uint32)


def _of_symbols(symbols: Sequence[str] | None) -> list[pl.Expr]:
    if symbols is None:
        return []
    name = pl.col("symbol")
    return [name == symbols[0] if len(symbols) == 1 else name.is_in(list(symbols))]


def _run_time_within(folder: Folder, first_ms: int, last_ms: int) -> pl.Expr:
    begins = (first_ms - folder.interval.ms, last_ms - folder.interval.ms)
    lower, upper = (pl.lit(ms * 1000).cast(UTC_TIME) for ms in begins)
    return pl.col("candle_begin_time").is_between(lower, upper)


@dataclass(frozen=True)
class Scan:
    """How files are scanned: which columns and rows of them are wanted."""

    folder: Folder
    wanted: tuple[str, ...]
    conditions: list[pl.Expr]
    span: Span | None

    def files(self, files: Sequence[CandleFile]) -> list[pl.LazyFrame]:
        """The wanted rows of files, in their order; run times are compared where a file reaches beyond the span."""
        frames: list[pl.LazyFrame] = []
        for within, group in groupby(files, key=self._within):
            conditions = list(self.conditions)
            if self.span is not None and not within:
                conditions.append(_run_time_within(self.folder, self.span.first_ms, self.span.last_ms))
            frames += self._frames(list(group), conditions)
        return frames

    def overlay(self, overlay: Overlay) -> pl.LazyFrame:
        """The wanted rows of a file that lies on top, but for what has been absorbed."""
        frame = self.files([overlay.file])[0]
        absorbed = [~_run_time_within(self.folder, first, last) for first, last in overlay.absorbed]
        return frame.filter(*absorbed) if absorbed else frame

    def _within(self, file: CandleFile) -> bool:
        return self.span is None or (self.span.first_ms <= file.first_ms and file.last_ms <= self.span.last_ms)

    def _frames(self, files: Sequence[CandleFile], conditions: list[pl.Expr]) -> Iterator[pl.LazyFrame]:
        """Parquet and feather may lie side by side when ``save_type`` was changed.

        polars opens a path more than once, and the streamer may put a newer slice under the same name in between; so
        slices, which are small, are read here in one go. Files of the flow never change under their name.
        """
        for (suffix, is_slice), group in groupby(
            files, key=lambda file: (Path(file.name).suffix, file.kind == "stream")
        ):
            scan = partial(
                pl.scan_parquet if suffix == ".parquet" else pl.scan_ipc, glob=False, hive_partitioning=False
            )
            paths = [self.folder.candles / file.name for file in group]
            frame = scan([path.read_bytes() for path in paths]) if is_slice else scan(paths)
            yield frame.filter(*conditions).select(self.wanted) if conditions else frame.select(self.wanted)


def _blame(folder: Folder, view: View, error: BaseException) -> NoReturn:
    """Say which file cannot be read; the error as it is when all can."""
    for file in view.files:
        path = folder.candles / file.name
        try:
            damage = damage_of(path)
        except FileNotFoundError:
            continue
        except OSError as refusal:
            raise FolderError(str(path), f"cannot be read ({refusal.strerror})") from error
        if damage is not None:
            raise DamagedFileError(str(path), str(damage)) from error
    raise error


def damage_of(path: Path) -> Exception | None:
    """Why nobody can read a candle file; None when it is sound. OSError when it cannot be opened.

    Decided in memory: that no more files can be opened, say, is no damage.
    """
    content = path.read_bytes()
    try:
        frame = pl.read_parquet(content) if path.suffix == ".parquet" else pl.read_ipc(content)
        # Joined and ordered as readers do; provenance is not in every kind of file.
        names = [name for name in POLARS_SCHEMA if name in (*KEY, *VALUE_COLUMNS) or name in frame.columns]
        in_order(pl.concat([_empty(names), frame.select(names)]))
    except READING_ERRORS as error:  # polars has OSErrors of its own for offsets that lie outside
        return error
    return None


def _empty(wanted: Sequence[str]) -> pl.DataFrame:
    return pl.DataFrame(schema={name: POLARS_SCHEMA[name] for name in wanted})
