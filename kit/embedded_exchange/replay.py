"""Recorded candles served again to the character, their times moved so that the newest closed just now.

Files are the exchange's archive files in the spot layout (12 columns, with or without a header, milliseconds or
microseconds),
zipped or not, named ``SYMBOL-INTERVAL-DATE``. All files of one symbol are moved by the same whole number of
intervals, so
that the last row is the newest closed candle at the start; after it the rows come again from the first (looping).
Larger intervals are aggregates; smaller ones than the files' do not exist.
"""

from __future__ import annotations

import csv
import io
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kit.embedded_exchange.bars import NO_TRADE, Bar, Bars, aggregated, flat_bar, no_bars
from kit.embedded_exchange.decimals import places_of, units_of
from kit.embedded_exchange.instrument import Scale, Scales
from kit.embedded_exchange.minute import IDS_PER_MINUTE
from kit.words import Interval, parse_interval

if TYPE_CHECKING:
    from pathlib import Path

_MICROSECONDS_FROM = 10**14  # an epoch time this large cannot be milliseconds (docs/exchange.md)
_PRICE_COLUMNS, _QUANTITY_COLUMNS, _TURNOVER_COLUMNS = (1, 2, 3, 4), (5, 9), (7, 10)


class ReplayTape:
    """A :class:`kit.embedded_exchange.tape.Tape` over recorded rows. A gap in the recording is a gap in the candles."""

    def __init__(self, rows: Bars, base_ms: int, now_ms: int) -> None:
        newest_ms = now_ms - now_ms % base_ms - base_ms
        self.base_ms = base_ms
        self.end_ms: int | None = None
        self._shift_ms = newest_ms - int(rows.begin_ms[-1])
        self._rows = rows
        self._offsets = rows.begin_ms - rows.begin_ms[0]
        self._span_ms = int(self._offsets[-1]) + base_ms
        self.listed_ms = int(rows.begin_ms[0]) + self._shift_ms

    def end(self, at_ms: int) -> None:
        """See :class:`kit.embedded_exchange.tape.Tape`."""
        self.end_ms = at_ms

    def announces_flat(self, begin_ms: int) -> bool:  # noqa: ARG002  # Tape's own form
        """See :class:`kit.embedded_exchange.tape.Tape`."""
        return False

    def bars(self, length_ms: int, first_ms: int, last_ms: int) -> Bars:
        """See :class:`kit.embedded_exchange.tape.Tape`."""
        if length_ms < self.base_ms or length_ms % self.base_ms or first_ms > last_ms:
            return no_bars()
        return aggregated(self._base_bars(first_ms, last_ms + length_ms), length_ms)

    def so_far(self, length_ms: int, begin_ms: int, now_ms: int) -> Bar | None:
        """See :class:`kit.embedded_exchange.tape.Tape`."""
        if length_ms < self.base_ms:
            return None
        parts = self._base_bars(begin_ms, min(begin_ms + length_ms, now_ms + 1))
        if len(parts) == 0:
            return None
        newest = parts.row(len(parts) - 1)
        previous_close = int(parts.close[-2]) if len(parts) > 1 else newest.open
        newest = _cut(newest, now_ms - newest.begin_ms, self.base_ms, previous_close)
        if len(parts) == 1:
            return newest._replace(begin_ms=begin_ms)
        done = aggregated(parts.part(slice(0, -1)), length_ms).row(0)
        return done.then(newest)

    def _base_bars(self, first_ms: int, stop_ms: int) -> Bars:
        """The rows that begin from ``first_ms`` up to but without ``stop_ms``."""
        first_ms = max(first_ms, self.listed_ms)
        if self.end_ms is not None:
            stop_ms = min(stop_ms, self.end_ms)
        if first_ms >= stop_ms:
            return no_bars()
        wanted = np.arange(-(-first_ms // self.base_ms) * self.base_ms, stop_ms, self.base_ms, dtype=np.int64)
        offsets = (wanted - self.listed_ms) % self._span_ms
        places = np.searchsorted(self._offsets, offsets)
        found = self._offsets[places] == offsets
        wanted, places = wanted[found], places[found]
        rows = self._rows
        first_id = wanted // self.base_ms * IDS_PER_MINUTE
        trades = rows.trades[places]
        return Bars(
            wanted,
            rows.open[places],
            rows.high[places],
            rows.low[places],
            rows.close[places],
            rows.volume[places],
            rows.quote[places],
            trades,
            rows.taker_base[places],
            rows.taker_quote[places],
            np.where(trades > 0, first_id, NO_TRADE),
            np.where(trades > 0, first_id + trades - 1, NO_TRADE),
        )


@dataclass(frozen=True)
class Replay:
    """One symbol's recording, ready to be served."""

    tape: ReplayTape
    scales: Scales


def load_replays(paths: tuple[Path, ...], now_ms: int) -> dict[str, Replay]:
    """The recordings in these files, by symbol.

    Raises:
        UnknownWordError: a file's name has no interval in it.
        ValueError: files of one symbol have different intervals, or a file has no rows.
    """
    rows: dict[str, list[list[str]]] = {}
    intervals: dict[str, Interval] = {}
    for path in paths:
        symbol, interval = _named(path)
        if intervals.setdefault(symbol, interval) is not interval:
            raise ValueError(f"{path.name}: other files of {symbol} are at {intervals[symbol]}")
        rows.setdefault(symbol, []).extend(_read(path))
    return {symbol: _replay(symbol, lines, intervals[symbol].ms, now_ms) for symbol, lines in rows.items()}


def _named(path: Path) -> tuple[str, Interval]:
    """Symbol and interval of ``BTCUSDT-1m-2020-01-01.zip``; a ``spot_`` in front is dropped."""
    symbol, _, rest = path.name.partition("-")
    return symbol.removeprefix("spot_"), parse_interval(rest.partition("-")[0])


def _read(path: Path) -> list[list[str]]:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            text = archive.read(archive.namelist()[0]).decode()
    else:
        text = path.read_text(encoding="utf-8")
    return [row for row in csv.reader(io.StringIO(text)) if row and row[0].isdigit()]


def _replay(symbol: str, rows: list[list[str]], base_ms: int, now_ms: int) -> Replay:
    if not rows:
        raise ValueError(f"the recording of {symbol} has no rows")
    unique = {_milliseconds(row[0]): row for row in rows}
    begins = sorted(unique)
    ordered = [unique[begin] for begin in begins]
    price, quantity, turnover = (
        max(places_of(row[column]) for row in ordered for column in columns)
        for columns in (_PRICE_COLUMNS, _QUANTITY_COLUMNS, _TURNOVER_COLUMNS)
    )
    places = {1: price, 2: price, 3: price, 4: price, 5: quantity, 7: turnover, 8: 0, 9: quantity, 10: turnover}
    columns = {
        index: np.array([units_of(row[index], digits) for row in ordered], dtype=np.int64)
        for index, digits in places.items()
    }
    ids = np.full(len(ordered), NO_TRADE, dtype=np.int64)
    begin_column = np.array(begins, dtype=np.int64)
    bars = Bars(*[begin_column, *(columns[index] for index in (1, 2, 3, 4, 5, 7, 8, 9, 10)), ids, ids])
    return Replay(ReplayTape(bars, base_ms, now_ms), Scales(Scale(price), Scale(quantity), Scale(turnover)))


def _milliseconds(text: str) -> int:
    time = int(text)
    return time // 1000 if time >= _MICROSECONDS_FROM else time


def _cut(bar: Bar, into_ms: int, length_ms: int, previous_close: int) -> Bar:
    """A recorded candle as it may have looked ``into_ms`` after its begin: open, then an extreme, the other, then the
    close.
    """
    if into_ms >= length_ms:
        return bar
    trades = min(1 + bar.trades * into_ms // length_ms, bar.trades - 1) if into_ms > 0 else 0
    if trades <= 0:
        return flat_bar(bar.begin_ms, previous_close)
    reached = (bar.open, bar.high, bar.low)[: 1 + 3 * trades // bar.trades]

    def share(whole: int) -> int:
        return whole * trades // bar.trades

    return Bar(
        bar.begin_ms,
        bar.open,
        max(reached),
        min(reached),
        reached[-1],
        share(bar.volume),
        share(bar.quote),
        trades,
        share(bar.taker_base),
        share(bar.taker_quote),
        bar.first_id,
        bar.first_id + trades - 1,
    )
