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
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from kit.buffer.assets import asset_name, load_assets, ticker_of
from kit.buffer.files import FLOAT_COLUMNS, VALUE_COLUMNS
from kit.buffer.layout import CandleFile, Folder
from kit.buffer.view import Overlay, View, choose
from kit.errors import FolderError

ATTEMPTS = 10
"""Listings tried when a chosen file is gone: each loss means that the flow compacted at that very moment."""

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

Ranks = np.ndarray[tuple[int], np.dtype[np.uint16]]


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
) -> pl.DataFrame:
    """The readable candles: symbol, candle_begin_time and ``columns`` (all, provenance too, when None).

    ``span`` keeps its run times only; ``last`` those of the newest so many periods that anything is readable of;
    ``retired`` adds what is kept of symbols that left the market before the window began. A ticker that came back as
    another asset is that new asset; the rows of the former one are under its own name (``kit.buffer.assets``).

    Raises:
        FolderError: a file is damaged; names it.
    """
    boundaries = load_assets(folder)
    if symbols is not None:
        boundaries = {ticker: boundaries[ticker] for ticker in {*map(ticker_of, symbols)} & boundaries.keys()}
    if not boundaries:
        return _read_tickers(folder, columns, symbols, span, last, retired=retired)
    tickers = None if symbols is None else sorted({*map(ticker_of, symbols)})
    frame = _read_tickers(folder, columns, tickers, span, last, retired=retired)
    named = frame.with_columns(symbol=asset_name(boundaries))
    wanted = named if symbols is None else named.filter(pl.col("symbol").is_in(list(symbols)))
    return in_order(wanted.cast({"symbol": POLARS_SCHEMA["symbol"]}))


def _read_tickers(
    folder: Folder,
    columns: Sequence[str] | None,
    symbols: Sequence[str] | None,
    span: Span | None,
    last: int | None,
    *,
    retired: bool,
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
            return read_view(folder, view, wanted, symbols=symbols, span=kept)
        except (OSError, pl.exceptions.PolarsError) as error:
            # polars has a word of its own for a file that vanished, or not, depending on when it did.
            if attempt == ATTEMPTS - 1 or all((folder.candles / file.name).exists() for file in view.files):
                _blame(folder, view, error)
    raise AssertionError("unreachable: the last attempt returns or raises")


def read_view(
    folder: Folder,
    view: View,
    wanted: Sequence[str],
    *,
    symbols: Sequence[str] | None = None,
    span: Span | None = None,
) -> pl.DataFrame:
    """The rows of a view. OSError or PolarsError when one of its files has been deleted meanwhile, or is damaged."""
    if symbols is not None and not symbols:
        return _empty(wanted)
    conditions = _conditions(folder, symbols, span)
    # From what wins to what loses: of equal keys the first row stays.
    layers = [
        *(_overlay(folder, overlay, wanted, conditions) for overlay in view.revisions),
        *_scan(folder, view.blocks, wanted, conditions),
        *(_overlay(folder, overlay, wanted, conditions) for overlay in view.rests),
        *_scan(folder, view.streams, wanted, conditions),
    ]
    return in_order(pl.concat(pl.collect_all(layers))) if layers else _empty(wanted)


def in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame sorted by symbol (as text) and candle_begin_time; of equal keys the first row stays.

    Files are sorted by symbol and mostly follow each other in time, so a stable radix sort of the symbol's number
    does nearly always; the general sort is the fall-back, and knows runs when it meets them.
    """
    if frame.is_empty():
        return frame
    frame = frame.rechunk()
    rank = symbol_rank(frame["symbol"])
    times = frame["candle_begin_time"].to_physical().to_numpy()
    order = np.argsort(rank, kind="stable").astype(np.uint32)
    if np.all((np.diff(times[order]) > 0) | (np.diff(rank[order]) > 0)):
        return frame[order]
    # One number for symbol and time. Stable, so of rows with one key the first is the one that wins.
    key = rank.astype(np.int64) << _TIME_BITS | times // 1000
    order = np.argsort(key, kind="stable").astype(np.uint32)
    kept: pl.DataFrame = frame[order[np.diff(key[order], prepend=-1) > 0]]
    return kept


def symbol_rank(symbols: pl.Series) -> Ranks:
    """For each row the place of its symbol in the sorted list of symbols; uint16 sorts by radix."""
    codes = symbols.to_physical().to_numpy()
    names = symbols.unique()
    by_name = np.argsort(names.cast(pl.String).to_numpy(), kind="stable")
    table = np.zeros(int(codes.max()) + 1, dtype=np.uint16)
    table[names.to_physical().to_numpy()[by_name]] = np.arange(len(names), dtype=np.uint16)
    ranks: Ranks = table[codes]
    return ranks


def _conditions(folder: Folder, symbols: Sequence[str] | None, span: Span | None) -> list[pl.Expr]:
    conditions = []
    if symbols is not None:
        name = pl.col("symbol")
        conditions.append(name == symbols[0] if len(symbols) == 1 else name.is_in(list(symbols)))
    if span is not None:
        conditions.append(_run_time_within(folder, span.first_ms, span.last_ms))
    return conditions


def _run_time_within(folder: Folder, first_ms: int, last_ms: int) -> pl.Expr:
    begins = (first_ms - folder.interval.ms, last_ms - folder.interval.ms)
    lower, upper = (pl.lit(ms * 1000).cast(UTC_TIME) for ms in begins)
    return pl.col("candle_begin_time").is_between(lower, upper)


def _scan(
    folder: Folder, files: Sequence[CandleFile], wanted: Sequence[str], conditions: Sequence[pl.Expr]
) -> list[pl.LazyFrame]:
    frames = list(_lazy_frames(folder, files))
    if not frames:
        return []
    frame = pl.concat(frames)
    return [frame.filter(*conditions).select(wanted) if conditions else frame.select(wanted)]


def _lazy_frames(folder: Folder, files: Sequence[CandleFile]) -> Iterator[pl.LazyFrame]:
    """The files in their order; parquet and feather may lie side by side when ``save_type`` was changed.

    polars opens a path more than once, and the streamer may put a newer slice under the same name in between; so
    slices, which are small, are read here in one go. Files of the flow never change under their name.
    """
    for (suffix, is_slice), group in groupby(files, key=lambda file: (Path(file.name).suffix, file.kind == "stream")):
        scan = partial(pl.scan_parquet if suffix == ".parquet" else pl.scan_ipc, glob=False, hive_partitioning=False)
        paths = [folder.candles / file.name for file in group]
        yield scan([path.read_bytes() for path in paths]) if is_slice else scan(paths)


def _overlay(folder: Folder, overlay: Overlay, wanted: Sequence[str], conditions: Sequence[pl.Expr]) -> pl.LazyFrame:
    absorbed = [~_run_time_within(folder, first, last) for first, last in overlay.absorbed]
    return _scan(folder, [overlay.file], wanted, [*conditions, *absorbed])[0]


def _blame(folder: Folder, view: View, error: Exception) -> NoReturn:
    """Say which file cannot be read; the error as it is when all can."""
    for file in view.files:
        path = folder.candles / file.name
        try:
            pa.ipc.open_file(path).read_all() if path.suffix == ".feather" else pa.parquet.read_table(path)
        except FileNotFoundError:
            continue
        except (OSError, pa.ArrowException) as damage:
            raise FolderError(
                str(path),
                f"cannot be read ({damage}); if it is damaged, delete it: what it held of the window is fetched again",
            ) from error
    raise error


def _empty(wanted: Sequence[str]) -> pl.DataFrame:
    return pl.DataFrame(schema={name: POLARS_SCHEMA[name] for name in wanted})
