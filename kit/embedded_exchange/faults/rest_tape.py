"""What ``/klines`` makes of a tape while a fault is on: rows too old, not final yet, or missing for a while."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kit.embedded_exchange.bars import Bar, Bars
from kit.embedded_exchange.faults.active import Active, Faults
from kit.embedded_exchange.instrument import Instrument
from kit.embedded_exchange.tape import Tape

_NAMES = ("klines_stale", "klines_unfinished", "klines_hole_for_a_while")


def rest_tape(faults: Faults, instrument: Instrument, tape: Tape, now_ms: int) -> Tape:
    """The tape as REST shows it at this moment; the same one where no fault is about it."""
    concerned = [one for one in faults.named(*_NAMES) if one.fault.concerns(instrument.venue, (instrument.symbol,))]
    return RestTape(faults, instrument, tape, now_ms, concerned) if concerned else tape


@dataclass
class RestTape:
    """A :class:`Tape` for one request."""

    faults: Faults
    instrument: Instrument
    inner: Tape
    now_ms: int
    concerned: list[Active]

    def __post_init__(self) -> None:
        self.base_ms = self.inner.base_ms
        self.listed_ms = self.inner.listed_ms
        self.end_ms = self.inner.end_ms

    def end(self, at_ms: int) -> None:
        """See :class:`Tape`."""
        self.inner.end(at_ms)

    def announces_flat(self, begin_ms: int) -> bool:
        """See :class:`Tape`."""
        return self.inner.announces_flat(begin_ms)

    def bars(self, length_ms: int, first_ms: int, last_ms: int) -> Bars:
        """See :class:`Tape`."""
        rows = self.inner.bars(length_ms, first_ms, last_ms)
        for one in self.concerned:
            rows = self._changed(one, rows, length_ms)
        return rows

    def so_far(self, length_ms: int, begin_ms: int, now_ms: int) -> Bar | None:
        """See :class:`Tape`. The open candle is missing where the one before it is stale."""
        stale = [one for one in self.concerned if one.fault.name == "klines_stale"]
        if any(self._recent(one, begin_ms - length_ms, length_ms) for one in stale):
            return None
        return self.inner.so_far(length_ms, begin_ms, now_ms)

    def _changed(self, one: Active, rows: Bars, length_ms: int) -> Bars:
        begins = rows.begin_ms.tolist()
        if one.fault.name == "klines_hole_for_a_while":
            hit = [self._missing(one, begin) for begin in begins]
        else:
            hit = [self._recent(one, begin, length_ms) for begin in begins]
        if not any(hit):
            return rows
        self.faults.hit(one)
        if one.fault.name == "klines_unfinished":
            return Bars.of([self._unfinished(one, rows.row(i), length_ms) if hit[i] else rows.row(i)
                            for i in range(len(rows))])  # fmt: skip
        if one.fault.name == "klines_stale":
            return rows.part(slice(0, hit.index(True)))
        return rows.where(~np.array(hit))

    def _missing(self, one: Active, begin_ms: int) -> bool:
        begins = one.fault.own["begins"]
        return begin_ms in begins if isinstance(begins, tuple) else self._picks(one, begin_ms)

    def _recent(self, one: Active, begin_ms: int, length_ms: int) -> bool:
        """The candle closed at most ``for_ms`` ago, and is one of those that are hit."""
        age_ms = self.now_ms - begin_ms - length_ms
        return 0 <= age_ms < one.fault.whole("for_ms") and self._picks(one, begin_ms)

    def _picks(self, one: Active, begin_ms: int) -> bool:
        return one.fault.picks(self.faults.seed, self.instrument.symbol, begin_ms)

    def _unfinished(self, one: Active, row: Bar, length_ms: int) -> Bar:
        moment_ms = max(row.begin_ms, row.begin_ms + length_ms - one.fault.whole("early_ms"))
        return self.inner.so_far(length_ms, row.begin_ms, moment_ms) or row
