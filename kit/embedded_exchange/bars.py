"""Candles as whole numbers: one (:class:`Bar`) or many (:class:`Bars`), and how smaller ones make larger ones.

Prices count the instrument's price unit, volumes its quantity unit, turnovers its turnover unit, so every sum is
exact and
every interval is the exact aggregate of its parts: open of the first, close of the last, highest, lowest, sums.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kit.embedded_exchange.noise import I64

NO_TRADE = -1  # what the exchange writes for first and last trade id of a bar without trades
_NO_FIRST_ID = np.iinfo(np.int64).max


class Bar(NamedTuple):
    """One candle, closed or so far."""

    begin_ms: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    quote: int
    trades: int
    taker_base: int
    taker_quote: int
    first_id: int
    last_id: int

    def then(self, later: Bar) -> Bar:
        """This bar and the one after it as one."""
        return Bar(
            self.begin_ms,
            self.open,
            max(self.high, later.high),
            min(self.low, later.low),
            later.close,
            self.volume + later.volume,
            self.quote + later.quote,
            self.trades + later.trades,
            self.taker_base + later.taker_base,
            self.taker_quote + later.taker_quote,
            later.first_id if self.first_id == NO_TRADE else self.first_id,
            self.last_id if later.last_id == NO_TRADE else later.last_id,
        )


def flat_bar(begin_ms: int, price: int) -> Bar:
    """A bar in which nobody traded: the price stays where it was."""
    return Bar(begin_ms, price, price, price, price, 0, 0, 0, 0, 0, NO_TRADE, NO_TRADE)


@dataclass(frozen=True)
class Bars:
    """Candles in columns, ascending by ``begin_ms``; all ``int64``, fields as in :class:`Bar`."""

    begin_ms: I64
    open: I64
    high: I64
    low: I64
    close: I64
    volume: I64
    quote: I64
    trades: I64
    taker_base: I64
    taker_quote: I64
    first_id: I64
    last_id: I64

    def __len__(self) -> int:
        return len(self.begin_ms)

    @classmethod
    def of(cls, bars: Sequence[Bar]) -> Bars:
        """Single candles as columns."""
        table = np.array(bars, dtype=np.int64).reshape(len(bars), len(fields(cls)))
        return cls(*table.T)

    def part(self, rows: slice) -> Bars:
        """Some of the rows."""
        return Bars(*(column[rows] for column in self._columns()))

    def where(self, keep: npt.NDArray[np.bool_]) -> Bars:
        """The rows for which ``keep`` is true."""
        return Bars(*(column[keep] for column in self._columns()))

    def between(self, first_ms: int, last_ms: int) -> Bars:
        """The rows whose begin time lies in ``first_ms`` ... ``last_ms``, both ends included."""
        low, high = np.searchsorted(self.begin_ms, [first_ms, last_ms + 1])
        return self.part(slice(int(low), int(high)))

    def row(self, index: int) -> Bar:
        """One row."""
        return Bar(*(int(column[index]) for column in self._columns()))

    def _columns(self) -> list[I64]:
        return [getattr(self, field.name) for field in fields(self)]


def no_bars() -> Bars:
    """No candle at all."""
    return Bars(*(np.empty(0, dtype=np.int64) for _ in fields(Bars)))


def joined(pieces: list[Bars]) -> Bars:
    """Pieces one after the other."""
    if not pieces:
        return no_bars()
    if len(pieces) == 1:
        return pieces[0]
    return Bars(*(np.concatenate([getattr(piece, field.name) for piece in pieces]) for field in fields(Bars)))


def aggregated(parts: Bars, length_ms: int) -> Bars:
    """Larger candles from smaller ones that lie inside them. A larger one with only some of its parts is made of
    those.
    """
    if len(parts) == 0:
        return parts
    begins = parts.begin_ms - parts.begin_ms % length_ms
    starts = np.flatnonzero(np.concatenate(([True], begins[1:] != begins[:-1])))
    ends = np.concatenate((starts[1:], [len(parts)])) - 1
    first_ids = np.where(parts.first_id == NO_TRADE, _NO_FIRST_ID, parts.first_id)
    first_id = np.minimum.reduceat(first_ids, starts)
    return Bars(
        begins[starts],
        parts.open[starts],
        np.maximum.reduceat(parts.high, starts),
        np.minimum.reduceat(parts.low, starts),
        parts.close[ends],
        np.add.reduceat(parts.volume, starts),
        np.add.reduceat(parts.quote, starts),
        np.add.reduceat(parts.trades, starts),
        np.add.reduceat(parts.taker_base, starts),
        np.add.reduceat(parts.taker_quote, starts),
        np.where(first_id == _NO_FIRST_ID, NO_TRADE, first_id),
        np.maximum.reduceat(parts.last_id, starts),
    )
