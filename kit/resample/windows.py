"""Base candles in, target candles out: a pure function of frames.

A frame is sorted by symbol and begin time, each candle once, as ``kit.buffer.read`` gives it. A target candle is there
when its first and its last part stand exactly so many rows apart as it has parts: then none is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
import polars as pl

from kit.buffer.files import VALUE_COLUMNS
from kit.buffer.read import KEY, UTC_TIME, Span
from kit.resample.exact import Array, sliding, window_sums
from kit.resample.series import Series

T = TypeVar("T")
R = TypeVar("R")

COLUMNS = (*KEY, *VALUE_COLUMNS)
"""What is kept of a target candle: symbol, candle_begin_time (its first part's) and the base candles' values."""

WORKERS = 2
"""Threads for a whole market (numpy and pyarrow work outside the GIL): more would take the streamer's cores."""

CACHED_ROWS = 32_768
"""Rows worked on at once: what is made of them on the way then stays in the processor's cache."""

_OF_WINDOWS: dict[str, Callable[[Array, int], Array]] = {
    "candle_begin_time": lambda column, width: column[: len(column) - width + 1],
    "open": lambda column, width: column[: len(column) - width + 1],
    "high": lambda column, width: sliding(column, width, np.maximum),
    "low": lambda column, width: sliding(column, width, np.minimum),
    "close": lambda column, width: column[width - 1 :],
}
"""What a target candle has in a column, for every window of it; the sum where nothing is said."""


@dataclass(frozen=True)
class Windows:
    """The target candles that can be made of ``parts``.

    ``rows`` are those of their first parts and ``columns`` their values, both ordered by offset, then symbol, then
    begin time; ``bounds`` says where in them each offset (milliseconds) begins and ends.
    """

    parts: pl.DataFrame
    rows: Array
    columns: dict[str, Array]
    bounds: dict[int, slice]

    def of_offset(self, offset_ms: int) -> pl.DataFrame:
        """The candles of one offset with ``COLUMNS``, sorted by symbol and begin time."""
        where = self.bounds[offset_ms]
        values = (pl.Series(name, self.columns[name][where]) for name in VALUE_COLUMNS)
        time = pl.Series("candle_begin_time", self.columns["candle_begin_time"][where])
        return pl.DataFrame([self.parts["symbol"][self.rows[where]], time.cast(UTC_TIME), *values])


def windows_of(parts: pl.DataFrame, series: Series, span: Span) -> Windows:
    """The whole target candles with run times in ``span``, of all offsets.

    ``parts``: base candles with ``COLUMNS``, sorted by symbol and begin time; all that concern the span.
    """
    starts = _whole_windows(parts, series)
    begins_ms = parts["candle_begin_time"].to_physical().to_numpy().take(starts) // 1000
    run_times_ms, offsets_ms = begins_ms + series.target.ms, begins_ms % series.target.ms
    inside = (run_times_ms >= span.first_ms) & (run_times_ms <= span.last_ms) & (offsets_ms % series.step_ms == 0)
    starts, numbers = starts[inside], (offsets_ms[inside] // series.step_ms).astype(np.uint32)
    order = np.argsort(numbers, kind="stable")
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    ends = np.cumsum(np.bincount(numbers, minlength=len(series.offsets_ms))).tolist()
    bounds = {each: slice(*pair) for each, pair in zip(series.offsets_ms, pairwise([0, *ends]), strict=True)}

    def column(name: str) -> Array:
        return _by_offset(name, parts[name].to_physical().to_numpy(), series.parts, starts, places)

    names = ("candle_begin_time", *VALUE_COLUMNS)
    columns = dict(zip(names, for_each(names, column, rows=parts.height), strict=True))
    return Windows(parts, starts[order], columns, bounds)


def for_each(items: Sequence[T], work: Callable[[T], R], *, rows: int) -> list[R]:
    """``work`` on each item, in threads when it is about so many rows that this is worth their start."""
    if rows <= CACHED_ROWS:
        return [work(item) for item in items]
    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(work, items))


def _by_offset(name: str, column: Array, width: int, starts: Array, places: Array) -> Array:
    """A column's values of the windows that begin at the rows ``starts``, each put at its place."""
    of_windows = _OF_WINDOWS.get(name, window_sums)
    found = np.empty(len(starts), dtype=column.dtype)
    size = max(CACHED_ROWS, 4 * width)
    for first in range(0, len(column) - width + 1, size):
        low, high = np.searchsorted(starts, (first, first + size))
        if low < high:
            made = of_windows(column[first : first + size + width - 1], width)
            found[places[low:high]] = made[starts[low:high] - first]
    return found


def _whole_windows(parts: pl.DataFrame, series: Series) -> Array:
    """The first rows of the windows of which no part is missing."""
    last = series.parts - 1
    if parts.height <= last:
        return np.empty(0, dtype=np.int64)
    symbols = parts["symbol"].to_physical().to_numpy()
    times = parts["candle_begin_time"].to_physical().to_numpy()
    firsts = slice(0, parts.height - last)
    whole = (symbols[firsts] == symbols[last:]) & (times[last:] - times[firsts] == last * series.base.ms * 1000)
    return np.flatnonzero(whole)
