"""A tape whose past was changed for good: halted and quiet times, and candles that never existed. It is the truth.

Halts and quiet times are cut to the second, and every interval is the exact aggregate of what is left; a hole is one
candle at one begin time that is missing at whatever interval has a candle there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Protocol

import numpy as np

from kit.embedded_exchange.bars import Bar, Bars, aggregated, flat_bar, joined
from kit.embedded_exchange.instrument import MINUTE_MS
from kit.embedded_exchange.tape import SECOND_MS, Tape

_OPEN_END = 1 << 62


class Period(Protocol):
    """A time during which something was on, by the exchange's clock; still on where ``until_ms`` is None."""

    since_ms: int
    until_ms: int | None


@dataclass
class Halt:
    """A :class:`Period` without trading."""

    since_ms: int
    until_ms: int | None = None


@dataclass(frozen=True, eq=False)
class Hole:
    """Candles that do not exist: ``chosen`` of those that begin in the period, or ``begins`` whenever."""

    period: Period
    chosen: Callable[[int], bool]
    begins: frozenset[int] | None

    def has(self, begin_ms: int) -> bool:
        """The candle of that begin time is missing."""
        if self.begins is not None:
            return begin_ms in self.begins
        return covers(self.period, begin_ms) and self.chosen(begin_ms)


def covers(period: Period, begin_ms: int) -> bool:
    """A candle that begins then begins while it is on."""
    return period.since_ms <= begin_ms and (period.until_ms is None or begin_ms < period.until_ms)


def overlaps(period: Period, first_ms: int, stop_ms: int) -> bool:
    """Some of ``first_ms`` up to but without ``stop_ms`` lies in it."""
    return period.since_ms < stop_ms and (period.until_ms is None or first_ms < period.until_ms)


class AlteredTape:
    """A :class:`Tape` over another one. Periods and holes may be added at any time."""

    def __init__(self, inner: Tape) -> None:
        self.inner = inner
        self.halts: list[Period] = []
        self.quiets: list[Period] = []
        self.announced: list[Period] = []  # those of the quiet ones whose flat candles have final events
        self.holes: list[Hole] = []

    @property
    def base_ms(self) -> int:
        """See :class:`Tape`."""
        return self.inner.base_ms

    @property
    def listed_ms(self) -> int:
        """See :class:`Tape`."""
        return self.inner.listed_ms

    @property
    def end_ms(self) -> int | None:
        """See :class:`Tape`."""
        return self.inner.end_ms

    def end(self, at_ms: int) -> None:
        """See :class:`Tape`."""
        self.inner.end(at_ms)

    def bars(self, length_ms: int, first_ms: int, last_ms: int) -> Bars:
        """See :class:`Tape`."""
        low, high = self._touched()
        from_ms = max(first_ms, low - low % length_ms)
        to_ms = min(last_ms, high - high % length_ms)
        if from_ms > to_ms:
            return self._without_holes(self.inner.bars(length_ms, first_ms, last_ms))
        if length_ms < MINUTE_MS:
            middle = Bars.of([bar for bar in self._units(from_ms, to_ms + length_ms) if bar is not None])
        else:
            middle = aggregated(self._minutes(from_ms, to_ms + length_ms), length_ms)
        before = self.inner.bars(length_ms, first_ms, from_ms - length_ms)
        return self._without_holes(joined([before, middle, self.inner.bars(length_ms, to_ms + length_ms, last_ms)]))

    def so_far(self, length_ms: int, begin_ms: int, now_ms: int) -> Bar | None:
        """See :class:`Tape`."""
        if any(hole.has(begin_ms) for hole in self.holes):
            return None
        stop_ms = min(now_ms, begin_ms + length_ms)
        if not any(overlaps(one, begin_ms, stop_ms) for one in (*self.halts, *self.quiets)):
            return self.inner.so_far(length_ms, begin_ms, now_ms)
        if length_ms < MINUTE_MS:
            return self._unit(begin_ms, length_ms, stop_ms)
        minute_ms = stop_ms - stop_ms % MINUTE_MS
        whole = self._minutes(begin_ms, minute_ms)
        pieces = [whole.row(index) for index in range(len(whole))]
        pieces += [bar for bar in self._units(minute_ms, stop_ms) if bar is not None]
        return reduce(Bar.then, pieces)._replace(begin_ms=begin_ms) if pieces else None

    def announces_flat(self, begin_ms: int) -> bool:
        """See :class:`Tape`."""
        return any(covers(one, begin_ms) for one in self.announced)

    def _touched(self) -> tuple[int, int]:
        """The time in which anything is halted or quiet; empty where nothing is."""
        periods = [*self.halts, *self.quiets]
        if not periods:
            return _OPEN_END, 0
        ends = [_OPEN_END if one.until_ms is None else one.until_ms for one in periods]
        return min(one.since_ms for one in periods), max(ends)

    def _minutes(self, first_ms: int, stop_ms: int) -> Bars:
        """Whole minutes from ``first_ms`` up to but without ``stop_ms``."""
        rows = self.inner.bars(MINUTE_MS, first_ms, stop_ms - MINUTE_MS)
        minutes = []
        for index, begin_ms in enumerate(rows.begin_ms.tolist()):
            if any(overlaps(one, begin_ms, begin_ms + MINUTE_MS) for one in (*self.halts, *self.quiets)):
                parts = [bar for bar in self._units(begin_ms, begin_ms + MINUTE_MS) if bar is not None]
                minutes += [reduce(Bar.then, parts)._replace(begin_ms=begin_ms)] if parts else []
            else:
                minutes.append(rows.row(index))
        return Bars.of(minutes)

    def _units(self, first_ms: int, stop_ms: int) -> Iterator[Bar | None]:
        """The smallest candles that begin before ``stop_ms``; the last one with its trades up to then."""
        for begin_ms in range(first_ms, stop_ms, self._unit_ms):
            yield self._unit(begin_ms, self._unit_ms, min(begin_ms + self._unit_ms, stop_ms))

    @property
    def _unit_ms(self) -> int:
        return max(self.base_ms, SECOND_MS)

    def _unit(self, begin_ms: int, length_ms: int, stop_ms: int) -> Bar | None:
        if any(covers(one, begin_ms) for one in self.halts):
            return None
        quiet = next((one for one in self.quiets if covers(one, begin_ms)), None)
        real = self.inner.so_far(length_ms, begin_ms, stop_ms)
        if quiet is None or real is None:
            return real
        return flat_bar(begin_ms, self._price_before(quiet, real))

    def _price_before(self, quiet: Period, otherwise: Bar) -> int:
        """The last price before a quiet time."""
        unit_ms = self._unit_ms
        first_ms = -(-quiet.since_ms // unit_ms) * unit_ms
        last = self.inner.so_far(unit_ms, first_ms - unit_ms, first_ms)
        return otherwise.open if last is None else last.close

    def _without_holes(self, rows: Bars) -> Bars:
        if not self.holes:
            return rows
        return rows.where(
            np.array([not any(hole.has(begin) for hole in self.holes) for begin in rows.begin_ms.tolist()])
        )
