"""What happens inside one made-up minute, trade by trade, in closed form.

A minute has ``trades`` trades, spread evenly over its time: the first right after its start, the last exactly at its
close (so
that the final always holds one more trade than any open event before it). They fall into four runs at one price each:
open, the two extremes in either order, close. Counts, volumes and turnovers after any number of trades have a closed
form,
so a second, a minute so far and a whole minute are cut from the same cloth and always add up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kit.embedded_exchange.bars import NO_TRADE, Bar, flat_bar
from kit.embedded_exchange.instrument import MINUTE_MS

if TYPE_CHECKING:
    from kit.embedded_exchange.noise import I64

RUNS = 4
FEWEST_TRADES = RUNS  # so that each run has a trade, and high and low are really reached
IDS_PER_MINUTE = 1 << 20  # trade ids are unique and rise; they are not gapless between minutes


class Minute(NamedTuple):
    """The plan of one minute. ``prices``: of the four runs, in ticks. ``taker``: 256ths of the volume that takers
    bought.
    """

    begin_ms: int
    prices: tuple[int, int, int, int]
    trades: int
    lots: int
    taker: int
    previous_close: int
    inverse_unit: int

    @property
    def first_id(self) -> int:
        """Id of its first trade."""
        return self.begin_ms // MINUTE_MS * IDS_PER_MINUTE


def trades_by(trades: int, into_ms: int) -> int:
    """How many of a minute's trades have happened ``into_ms`` after its begin. The last one happens at the close."""
    if into_ms <= 0 or trades == 0:
        return 0
    if into_ms >= MINUTE_MS:
        return trades
    return min(1 + trades * into_ms // MINUTE_MS, trades - 1)


def bar_of(minute: Minute, from_ms: int, to_ms: int) -> Bar:
    """The candle of the trades between two moments of a minute, both given in milliseconds after its begin."""
    begin_ms = minute.begin_ms + from_ms
    first, last = trades_by(minute.trades, from_ms), trades_by(minute.trades, to_ms)
    if first == last:
        price = minute.previous_close if first == 0 else minute.prices[_run_of(minute.trades, first - 1)]
        return flat_bar(begin_ms, price)
    first_run, last_run = _run_of(minute.trades, first), _run_of(minute.trades, last - 1)
    reached = minute.prices[first_run : last_run + 1]
    after, before = _sums(minute, last), _sums(minute, first)
    return Bar(
        begin_ms,
        reached[0],
        max(reached),
        min(reached),
        reached[-1],
        after[0] - before[0],
        after[1] - before[1],
        last - first,
        after[2] - before[2],
        after[3] - before[3],
        minute.first_id + first,
        minute.first_id + last - 1,
    )


def _run_of(trades: int, index: int) -> int:
    # Run j holds the trades n*j//4 ... n*(j+1)//4 - 1.
    run = (index * RUNS) // trades
    return run + 1 if index >= trades * (run + 1) // RUNS else run


def _sums(minute: Minute, count: int) -> tuple[int, int, int, int]:
    """Volume, turnover, taker volume and taker turnover of the first ``count`` trades."""
    volume = quote = taker_base = taker_quote = 0
    for run, price in enumerate(minute.prices):
        end = min(count, minute.trades * (run + 1) // RUNS)
        lots = minute.lots * end // minute.trades
        taken = lots * minute.taker // 256
        quote += _turnover(lots - volume, price, minute.inverse_unit)
        taker_quote += _turnover(taken - taker_base, price, minute.inverse_unit)
        volume, taker_base = lots, taken
        if end == count:
            break
    return volume, quote, taker_base, taker_quote


def _turnover(lots: int, price: int, inverse_unit: int) -> int:
    return lots * inverse_unit // price if inverse_unit else lots * price


class MinuteColumns(NamedTuple):
    """Plans of many minutes in columns, as :class:`Minute` has them; ``prices`` has one array for each run."""

    begin_ms: I64
    prices: tuple[I64, I64, I64, I64]
    trades: I64
    lots: I64
    taker: I64
    previous_close: I64
    inverse_unit: int

    def minutes(self) -> list[Minute]:
        """The plans one by one, as plain integers."""
        begins, trades, lots = self.begin_ms.tolist(), self.trades.tolist(), self.lots.tolist()
        takers, closes = self.taker.tolist(), self.previous_close.tolist()
        first, second, third, last = (price.tolist() for price in self.prices)
        prices = list(zip(first, second, third, last, strict=True))
        return [
            Minute(begins[row], prices[row], trades[row], lots[row], takers[row], closes[row], self.inverse_unit)
            for row in range(len(begins))
        ]


def whole_sums(plan: MinuteColumns) -> tuple[I64, I64, I64, I64]:
    """Volume, turnover, taker volume and taker turnover of whole minutes: ``_sums`` at the close, for many."""
    trades = np.maximum(plan.trades, 1)
    volume, taken = np.zeros_like(trades), np.zeros_like(trades)
    quote, taker_quote = np.zeros_like(trades), np.zeros_like(trades)
    for run, price in enumerate(plan.prices):
        # The last run's end is the whole; said apart because a division of a whole column costs the most here.
        lots = plan.lots if run == RUNS - 1 else plan.lots * (trades * (run + 1) >> 2) // trades
        taken_now = lots * plan.taker >> 8
        if plan.inverse_unit:
            quote += (lots - volume) * plan.inverse_unit // price
            taker_quote += (taken_now - taken) * plan.inverse_unit // price
        else:
            quote += (lots - volume) * price
            taker_quote += (taken_now - taken) * price
        volume, taken = lots, taken_now
    return volume, quote, taken, taker_quote


def whole_ids(plan: MinuteColumns) -> tuple[I64, I64]:
    """First and last trade id of whole minutes."""
    first = plan.begin_ms // MINUTE_MS * IDS_PER_MINUTE
    traded = plan.trades > 0
    return np.where(traded, first, NO_TRADE), np.where(traded, first + plan.trades - 1, NO_TRADE)
