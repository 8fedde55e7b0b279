"""The grid of symbols by run times as one letter a cell, decided from sources and ledger records without any I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kit.buffer.ledger import LedgerRecord

STREAM, REST, REVISION = "s", "r", "v"
MISSING, EXCUSED = "m", "e"
NOT_IN_MARKET = "."  # the run time has a record, and it does not ask for this symbol
UNJUDGED = "?"  # no candle, and no record that would say whether there should be one
OPEN = "-"  # not due yet

LETTER_OF_SOURCE = {"stream": STREAM, "rest": REST, "revision": REVISION}


@dataclass(frozen=True)
class Columns:
    """The run times of a grid, ``step_ms`` apart, oldest first, with the ledger's records of them.

    Those after ``due_ms`` need no record yet.
    """

    run_times_ms: Sequence[int]
    records: Mapping[int, LedgerRecord]
    due_ms: int

    def states(self) -> str:
        """A letter a column: c complete, i incomplete, ? no record though due, - not due yet."""
        return "".join(map(self._state, self.run_times_ms))

    def _state(self, run_ms: int) -> str:
        record = self.records.get(run_ms)
        if record is not None:
            return "c" if record.complete else "i"
        return UNJUDGED if run_ms <= self.due_ms else OPEN

    def without_candle(self, run_ms: int) -> str:
        """What a cell without candle is where no record names the symbol."""
        if run_ms in self.records:
            return NOT_IN_MARKET
        return UNJUDGED if run_ms <= self.due_ms else OPEN


def cells(columns: Columns, candles: Sequence[tuple[str, int, str]]) -> dict[str, str]:
    """For each symbol, sorted, its letters. ``candles``: symbol, run time in milliseconds and source of what is
    readable; a readable candle is shown as such, whatever an older record said of it.
    """
    place = {run_ms: index for index, run_ms in enumerate(columns.run_times_ms)}
    named = {symbol for record in columns.records.values() for symbol in (*record.missing, *record.excused)}
    symbols = sorted(named.union(symbol for symbol, _, _ in candles))
    row_of = {symbol: row for row, symbol in enumerate(symbols)}
    blank = [columns.without_candle(run_ms) for run_ms in columns.run_times_ms]
    letters: np.ndarray[tuple[int, int], np.dtype[Any]] = np.tile(np.array(blank, dtype="U1"), (len(symbols), 1))
    for run_ms, record in columns.records.items():
        for symbol in record.missing:
            letters[row_of[symbol], place[run_ms]] = MISSING
        for symbol in record.excused:
            letters[row_of[symbol], place[run_ms]] = EXCUSED
    for symbol, run_ms, source in candles:
        if run_ms in place:
            letters[row_of[symbol], place[run_ms]] = LETTER_OF_SOURCE.get(source, STREAM)
    return {symbol: "".join(letters[row]) for symbol, row in row_of.items()}


def excuses(records: Mapping[int, LedgerRecord]) -> dict[str, str]:
    """Why a symbol is excused, by the newest record that excuses it."""
    return {symbol: reason for _, record in sorted(records.items()) for symbol, reason in record.excused.items()}
