"""Faults of final events: from one honest final to what is sent in its place, and when. Pure but for the count."""

from __future__ import annotations

from typing import NamedTuple

from kit.embedded_exchange.bars import Bar
from kit.embedded_exchange.faults.active import Faults
from kit.embedded_exchange.faults.fault import Fault
from kit.embedded_exchange.instrument import Instrument
from kit.embedded_exchange.noise import fraction_of

_COLUMN_OF = {"quote_volume": "quote", "trade_num": "trades"}  # where the contract's name is not Bar's


class Sending(NamedTuple):
    """A final event to be sent ``delay_ms`` from now."""

    delay_ms: int
    bar: Bar


def planned(faults: Faults, instrument: Instrument, bar: Bar) -> list[Sending]:
    """What is sent instead of this final at this moment."""
    if _strike(faults, "finals_dropped", instrument, bar):
        return []
    sendings = [Sending(0, bar)]
    if wrong := _strike(faults, "finals_corrected", instrument, bar):
        sendings = [Sending(0, corrected(bar, wrong))]
    if wrong := _strike(faults, "finals_corrected_twice", instrument, bar):
        sendings = [Sending(0, corrected(bar, wrong)), Sending(wrong.whole("after_ms"), bar)]
    if more := _strike(faults, "finals_duplicated", instrument, bar):
        sendings *= 1 + more.whole("copies")
    delay_ms = _delay_ms(faults, instrument, bar)
    return [Sending(one.delay_ms + delay_ms, one.bar) for one in sendings]


def _delay_ms(faults: Faults, instrument: Instrument, bar: Bar) -> int:
    delay_ms = 0
    if late := _strike(faults, "finals_late", instrument, bar):
        delay_ms += late.whole("by_ms")
    if mixed := _strike(faults, "finals_out_of_order", instrument, bar):
        share = fraction_of("order", faults.seed, instrument.symbol, bar.begin_ms)
        delay_ms += int(share * (mixed.whole("within_ms") + 1))
    return delay_ms


def corrected(bar: Bar, fault: Fault) -> Bar:
    """The candle with one wrong value; high and low still hold its prices."""
    name = str(fault.own["field"])
    column = _COLUMN_OF.get(name, name)
    right = getattr(bar, column)
    wrong = max(0, round(right * fault.number("factor")))
    if wrong == right:
        wrong += 1
    changed = bar._replace(**{column: wrong})
    prices = (changed.open, changed.close)
    if column == "high":
        return changed._replace(high=max(wrong, changed.low, *prices)) if wrong > right else _lowered(changed, wrong)
    if column == "low":
        return changed._replace(low=min(wrong, changed.high, *prices)) if wrong < right else _raised(changed, wrong)
    return changed._replace(high=max(changed.high, *prices), low=min(changed.low, *prices))


def _lowered(bar: Bar, high: int) -> Bar:
    """All prices at most ``high``."""
    return bar._replace(open=min(bar.open, high), close=min(bar.close, high), low=min(bar.low, high))


def _raised(bar: Bar, low: int) -> Bar:
    """All prices at least ``low``."""
    return bar._replace(open=max(bar.open, low), close=max(bar.close, low), high=max(bar.high, low))


def early(faults: Faults, instrument: Instrument, begin_ms: int, left_ms: int) -> bool:
    """An event with ``x: true`` is to be sent although ``left_ms`` are left until the close."""
    found = faults.find("finals_early", instrument.venue, instrument.symbol, begin_ms)
    if found is None or left_ms > found.fault.whole("by_ms"):
        return False
    faults.hit(found)
    return True


def _strike(faults: Faults, name: str, instrument: Instrument, bar: Bar) -> Fault | None:
    return faults.strike(name, instrument.venue, instrument.symbol, bar.begin_ms)
