"""Where candles come from: a :class:`Tape` per instrument. The made-up one is here, the replayed one in ``replay``."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import numpy as np

from kit.embedded_exchange.bars import Bar, Bars, aggregated, joined, no_bars
from kit.embedded_exchange.instrument import MINUTE_MS, Instrument
from kit.embedded_exchange.minute import (
    FEWEST_TRADES,
    Minute,
    MinuteColumns,
    bar_of,
    whole_ids,
    whole_sums,
)
from kit.embedded_exchange.noise import F64, I64, U64, fractions, hashes, key_of, walk

SECOND_MS = 1000
HOUR_MS = 60 * MINUTE_MS
_LOWEST_PRICE = 20  # ticks; keeps the wicks above zero whatever the walk does
_LOOK_BACK = 8  # a minute divisible by this always has a trade, so the last close is never further away
_PLANS_BLOCK = 64  # minutes of plans kept ready for the stream
_HOURS_BLOCK = 256  # hours aggregated at once and remembered; 15360 minutes are one or two milliseconds' work


class Tape(Protocol):
    """The truth about one instrument's candles. Some between the first and the last may not exist."""

    @property
    def listed_ms(self) -> int:
        """The first moment of trading."""

    @property
    def end_ms(self) -> int | None:
        """No trade from here on, or None."""

    @property
    def base_ms(self) -> int:
        """The shortest interval it has."""

    def bars(self, length_ms: int, first_ms: int, last_ms: int) -> Bars:
        """Whole candles with begin times in ``first_ms`` ... ``last_ms`` (multiples of ``length_ms``), future ones
        too.
        """

    def so_far(self, length_ms: int, begin_ms: int, now_ms: int) -> Bar | None:
        """The candle that began at ``begin_ms`` with the trades up to ``now_ms``; None where there is no candle."""

    def end(self, at_ms: int) -> None:
        """From ``at_ms`` (a whole minute) on there are no candles."""

    def announces_flat(self, begin_ms: int) -> bool:
        """A candle that begins then has a final event even if nobody trades in it."""


class MadeUpTape:
    """Candles as a pure function of (seed, venue, symbol, time), at the granularity of a minute, cut into seconds on
    demand.
    """

    base_ms = SECOND_MS

    def __init__(self, instrument: Instrument, seed: int) -> None:
        self.listed_ms = instrument.listed_ms
        self.end_ms: int | None = None
        self._activity = instrument.activity
        self._key = key_of(seed, instrument.venue, instrument.symbol)
        self._middle = instrument.activity.price * 10**instrument.scales.price.places / instrument.scales.price.unit
        quantity_unit = instrument.scales.quantity.unit / 10**instrument.scales.quantity.places
        if instrument.inverse_unit:
            self._lots = instrument.activity.turnover / int(instrument.record["contractSize"])
        else:
            self._lots = instrument.activity.turnover / (instrument.activity.price * quantity_unit)
        self._inverse_unit = instrument.inverse_unit
        # Blocks of different symbols end at different minutes, so that renewing them is spread over time.
        self._phase = self._key % _PLANS_BLOCK
        self._plans = lru_cache(maxsize=2)(self._plans_of_block)
        self._version = 0
        self._done: dict[int, tuple[int, int, Bar | None]] = {}

    def end(self, at_ms: int) -> None:
        """See :class:`Tape`."""
        self.end_ms = at_ms
        self._version += 1  # hours remembered until now may lie beyond the end
        self._done.clear()

    def announces_flat(self, begin_ms: int) -> bool:  # noqa: ARG002  # Tape's own form
        """See :class:`Tape`."""
        return False

    def bars(self, length_ms: int, first_ms: int, last_ms: int) -> Bars:
        """See :class:`Tape`. Lengths under a minute divide it; longer ones are whole minutes."""
        if first_ms > last_ms:
            return no_bars()
        if length_ms < MINUTE_MS:
            return self._second_bars(length_ms, first_ms, last_ms)
        if length_ms % HOUR_MS == 0:
            blocks = range(
                first_ms // HOUR_MS // _HOURS_BLOCK, (last_ms + length_ms - 1) // HOUR_MS // _HOURS_BLOCK + 1
            )
            hours = joined([_remembered_hours(self, self._version, block) for block in blocks])
            return aggregated(hours.between(first_ms, last_ms + length_ms - 1), length_ms)
        return aggregated(self._minute_bars(first_ms // MINUTE_MS, (last_ms + length_ms) // MINUTE_MS), length_ms)

    def so_far(self, length_ms: int, begin_ms: int, now_ms: int) -> Bar | None:
        """See :class:`Tape`."""
        last_ms = min(now_ms, begin_ms + length_ms)
        if self.end_ms is not None:
            last_ms = min(last_ms, self.end_ms)
        from_ms = max(begin_ms, self.listed_ms)
        if from_ms >= begin_ms + length_ms or last_ms < from_ms or (self.end_ms is not None and from_ms >= self.end_ms):
            return None
        if length_ms < MINUTE_MS:
            minute = self.minute(begin_ms // MINUTE_MS)
            return bar_of(minute, begin_ms - minute.begin_ms, last_ms - minute.begin_ms)
        # The close itself belongs to the minute that ends there: its last trade happens exactly then.
        index = (last_ms - 1 if last_ms > from_ms else from_ms) // MINUTE_MS
        minute = self.minute(index)
        now = bar_of(minute, 0, last_ms - minute.begin_ms)
        done = self._done_before(length_ms, from_ms, index)
        if done is None:
            return now._replace(begin_ms=begin_ms)
        return done.then(now)._replace(begin_ms=begin_ms)

    def minute(self, index: int) -> Minute:
        """The plan of one minute, counted since the epoch."""
        shifted = index + self._phase
        return self._plans(shifted // _PLANS_BLOCK)[shifted % _PLANS_BLOCK]

    def _done_before(self, length_ms: int, from_ms: int, index: int) -> Bar | None:
        """The whole minutes of a bar before the one with this index, remembered until the next minute begins."""
        known = self._done.get(length_ms)
        if known is not None and known[:2] == (from_ms, index):
            return known[2]
        first = from_ms // MINUTE_MS
        if known is not None and known[0] == from_ms and known[1] == index - 1:
            newest = bar_of(self.minute(index - 1), 0, MINUTE_MS)
            done: Bar | None = newest if known[2] is None else known[2].then(newest)
        else:
            whole = aggregated(self._minute_bars(first, index), MINUTE_MS << 32)
            done = whole.row(0) if len(whole) else None
        self._done[length_ms] = (from_ms, index, done)
        return done

    def hours_of_block(self, block: int) -> Bars:
        """Whole hours, 256 at a time, counted since the epoch; :meth:`bars` remembers them."""
        first = block * _HOURS_BLOCK * 60
        return aggregated(self._minute_bars(first, first + _HOURS_BLOCK * 60), HOUR_MS)

    def _plans_of_block(self, block: int) -> list[Minute]:
        return self._columns(block * _PLANS_BLOCK - self._phase, _PLANS_BLOCK).minutes()

    def _second_bars(self, length_ms: int, first_ms: int, last_ms: int) -> Bars:
        rows = [
            bar
            for begin_ms in range(first_ms, last_ms + 1, length_ms)
            if (bar := self.so_far(length_ms, begin_ms, begin_ms + length_ms)) is not None
        ]
        return Bars.of(rows)

    def _minute_bars(self, first: int, stop: int) -> Bars:
        """Whole minutes from ``first`` up to but without ``stop``, as far as the instrument is listed."""
        first = max(first, self.listed_ms // MINUTE_MS)
        if self.end_ms is not None:
            stop = min(stop, self.end_ms // MINUTE_MS)
        if first >= stop:
            return no_bars()
        plan = self._columns(first, stop - first)
        volume, quote, taker_base, taker_quote = whole_sums(plan)
        high = np.maximum(plan.prices[1], plan.prices[2])
        low = np.minimum(plan.prices[1], plan.prices[2])
        return Bars(
            plan.begin_ms,
            plan.prices[0],
            high,
            low,
            plan.prices[3],
            volume,
            quote,
            plan.trades,
            taker_base,
            taker_quote,
            *whole_ids(plan),
        )

    def _columns(self, first: int, count: int) -> MinuteColumns:
        early = first - _LOOK_BACK
        number = count + _LOOK_BACK
        activity = self._activity
        level = np.exp(walk(self._key, early, number + 1) * activity.step)
        level *= self._middle
        edges = np.maximum(level, _LOWEST_PRICE).astype(np.int64)
        draws = hashes(self._key + 1, early, number)
        # The first trade is near the last close but rarely at it, as on the real exchange.
        opens = edges[:-1] + ((draws >> np.uint64(61)) & np.uint64(3)).astype(np.int64) - 1
        closes = edges[1:]
        trades = self._trades(early, number, draws)
        closes, previous = (
            _carried(closes, trades) if activity.quiet else (closes, np.concatenate((opens[:1], closes[:-1])))
        )
        opens = opens if not activity.quiet else np.where(trades > 0, opens, closes)
        wick = level[1:] * activity.step
        top = np.maximum(opens, closes) + _wick(wick, trades, fractions(draws, 0, 10))
        bottom = np.maximum(np.minimum(opens, closes) - _wick(wick, trades, fractions(draws, 10, 10)), 1)
        up_first = (draws >> np.uint64(20)) & np.uint64(1) == 1
        lots = (self._lots * (0.3 + 1.4 * fractions(draws, 21, 12))).astype(np.int64) + trades
        keep = slice(_LOOK_BACK, None)
        return MinuteColumns(
            np.arange(first, first + count, dtype=np.int64) * MINUTE_MS,
            (
                opens[keep],
                np.where(up_first, top, bottom)[keep],
                np.where(up_first, bottom, top)[keep],
                closes[keep],
            ),
            trades[keep],
            np.where(trades > 0, lots, 0)[keep],
            64 + ((draws >> np.uint64(33)) & np.uint64(127)).astype(np.int64)[keep],
            previous[keep],
            self._inverse_unit,
        )

    def _trades(self, first: int, count: int, draws: U64) -> I64:
        activity = self._activity
        trades = (activity.trades * (0.5 + fractions(draws, 40, 12))).astype(np.int64)
        trades = np.maximum(trades, FEWEST_TRADES)
        if not activity.quiet:
            return trades
        minutes = np.arange(first, first + count)
        always = (minutes % _LOOK_BACK == 0) | (minutes == self.listed_ms // MINUTE_MS)
        quiet = fractions(draws, 52, 12) < activity.quiet
        return np.where(quiet & ~always, 0, trades)


@lru_cache(maxsize=2048)  # about 50 MB, whatever the number of symbols
def _remembered_hours(tape: MadeUpTape, version: int, block: int) -> Bars:
    del version  # part of the key: a delisting makes what was remembered void
    return tape.hours_of_block(block)


def _carried(closes: I64, trades: I64) -> tuple[I64, I64]:
    """Closes of minutes without a trade are those of the last one that had one; and each minute's previous close."""
    places = np.where(trades > 0, np.arange(len(closes)), 0)
    filled = closes[np.maximum.accumulate(places)]
    return filled, np.concatenate((filled[:1], filled[:-1]))


def _wick(size: F64, trades: I64, share: F64) -> I64:
    """How far a minute reached beyond its open and close; not at all where nobody traded."""
    return np.where(trades > 0, (size * share).astype(np.int64), 0)
