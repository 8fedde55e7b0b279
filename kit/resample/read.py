"""Reading resampled candles, as ``Market.candles(interval=..., offset=...)`` gives them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import polars as pl

from kit.buffer.assets import asset_name, load_assets
from kit.buffer.files import VALUE_COLUMNS
from kit.buffer.funding import FundingStore
from kit.buffer.layout import Folder
from kit.buffer.read import KEY, Span, current_view, in_order, read_candles
from kit.config import MarketConfig
from kit.errors import UnknownWordError
from kit.resample.changes import load_state
from kit.resample.series import Series, series_named
from kit.resample.windows import windows_of

FUNDING_COLUMNS = ("funding_rate", "funding_time", "funding_price")


def read_resample(
    folder: Folder,
    config: MarketConfig,
    interval: str,
    offset: str | timedelta = "0m",
    *,
    symbols: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    last: int | None = None,
) -> pl.DataFrame:
    """Resampled candles of one offset, one row each, sorted by symbol and ``candle_begin_time``.

    Columns: ``symbol`` (String), ``candle_begin_time`` (Datetime us UTC, the begin of the first part), then
    ``columns`` or all of the base market's values, ``count`` (Int64, parts: always all of them) and, where the config
    has ``funding_rate``, those of the first settlement in [begin, end), null without one: ``funding_rate`` (Float64),
    ``funding_time`` (Datetime us UTC), ``funding_price`` (Float64, the mark price; null where the exchange told none).

    Without ``symbols``: the candles whose parts lie in the base window. With ``symbols``: all that is kept of them,
    delisted ones included. ``last``: only the newest so many periods of that offset.

    Raises:
        UnknownWordError: an interval or offset that is not kept, or a column that does not exist; names what is.
        FolderError: a file is damaged; names it.
    """
    series = series_named(config, interval)
    offset_ms = series.offset_of(offset)
    wanted = _columns(columns, funding=config.funding_rate)
    stored = [name for name in wanted if name in VALUE_COLUMNS]
    target = series.folder(folder, offset_ms)
    span = _window(folder, series) if symbols is None and last is None else None
    frame = read_candles(target, columns=stored, symbols=symbols, span=span, last=last)
    if symbols is not None and last is None:
        frame = _with_delisted(frame, folder, series, offset_ms, symbols)
    frame = frame.with_columns(pl.col("symbol").cast(pl.String), count=pl.lit(series.parts, dtype=pl.Int64))
    if not set(FUNDING_COLUMNS).isdisjoint(wanted):
        frame = _with_funding(frame, folder, series)
    return frame.select(*KEY, *wanted)


def _columns(columns: Sequence[str] | None, *, funding: bool) -> list[str]:
    known = [*VALUE_COLUMNS, "count", *(FUNDING_COLUMNS if funding else ())]
    for name in columns or ():
        if name not in known and name not in KEY:
            raise UnknownWordError("column", name, known)
    return known if columns is None else [name for name in columns if name not in KEY]


def _window(folder: Folder, series: Series) -> Span | None:
    """The run times whose parts lie in the base window, as of the last update."""
    state = load_state(series.state_path(folder))
    return None if state is None else Span(series.first_run_ms(state.run_ms), state.run_ms)


def _with_delisted(
    kept: pl.DataFrame, folder: Folder, series: Series, offset_ms: int, symbols: Sequence[str]
) -> pl.DataFrame:
    """Adds what left the window but stays readable in the base market: it is kept there alone, and made when asked."""
    retired = [block for block in current_view(folder).blocks if block.kind == "retired"]
    if not retired:
        return kept
    span = Span(min(block.first_ms for block in retired), max(block.last_ms for block in retired) + series.target.ms)
    parts = read_candles(folder, columns=VALUE_COLUMNS, symbols=symbols, span=span, retired=True)
    made = windows_of(parts, series, span).of_offset(offset_ms)
    return in_order(pl.concat([kept, made.select(kept.columns)]))


def _with_funding(candles: pl.DataFrame, folder: Folder, series: Series) -> pl.DataFrame:
    """Adds the first settlement inside each candle; of two at one time the regular one."""
    rates = FundingStore(folder).read().with_columns(candle_begin_time="funding_time")
    rates = rates.with_columns(symbol=asset_name(load_assets(folder)))
    settled = rates.select(
        "symbol",
        "candle_begin_time",
        "funding_rate",
        "funding_time",
        pl.col("mark_price").alias("funding_price"),
    ).unique(KEY, keep="first", maintain_order=True)
    # Both are sorted by time within each symbol, which polars cannot see for itself.
    return candles.join_asof(
        settled.sort("candle_begin_time"),
        on="candle_begin_time",
        by="symbol",
        strategy="forward",
        tolerance=series.target.delta - timedelta(microseconds=1),
        check_sortedness=False,
    )
