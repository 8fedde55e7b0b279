"""Is a market complete? Decided from what is readable and what is known of each symbol, without any I/O.

A *slot* is one symbol at one begin time. It is *expected* from the symbol's first candle on for as long as the symbol
is in the market; an expected slot is either readable, or *excused* for a reason, or *missing*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from kit.buffer.ledger import LedgerRecord
from kit.buffer.states import Hole, SymbolState
from kit.words import Source, from_ms

Matrix = np.ndarray[tuple[int, int], np.dtype[Any]]

ABSENT, BY_STREAM, BY_REST = 0, 1, 2
CODE_OF_SOURCE = {Source.STREAM: BY_STREAM, Source.REST: BY_REST, Source.REVISION: BY_REST}

LISTED_LATER = "listed later"
NO_CANDLE = "no candle at the exchange"


@dataclass(frozen=True)
class Window:
    """The begin times that count: ``first_ms`` to ``last_ms``, both included, ``step_ms`` apart."""

    first_ms: int
    last_ms: int
    step_ms: int

    @property
    def size(self) -> int:
        """How many begin times there are."""
        return (self.last_ms - self.first_ms) // self.step_ms + 1

    def index(self, begin_ms: int) -> int:
        """The place of a begin time; outside the window below 0 or from ``size`` on."""
        return (begin_ms - self.first_ms) // self.step_ms

    def begin_ms(self, index: int) -> int:
        """The begin time at a place."""
        return self.first_ms + index * self.step_ms


@dataclass(frozen=True)
class Findings:
    """A market over a window. Matrices have a row a symbol (``symbols``, sorted) and a column a begin time.

    ``sources``: ABSENT, BY_STREAM or BY_REST. ``expected``, ``excused``, ``missing``: booleans.
    """

    symbols: tuple[str, ...]
    window: Window
    sources: Matrix
    expected: Matrix
    excused: Matrix
    missing: Matrix
    states: Mapping[str, SymbolState]

    def missing_at(self, index: int) -> list[str]:
        """The symbols that are missing at a begin time."""
        return [self.symbols[row] for row in np.flatnonzero(self.missing[:, index])]

    def excused_at(self, index: int) -> dict[str, str]:
        """The symbols that are excused at a begin time, with the reason."""
        begin_ms = self.window.begin_ms(index)
        rows = np.flatnonzero(self.excused[:, index]).tolist()
        return {self.symbols[row]: excuse_of(self.states[self.symbols[row]], begin_ms, self.window) for row in rows}


def examine(symbols: Sequence[str], states: Mapping[str, SymbolState], window: Window, readable: Matrix) -> Findings:
    """What is expected, excused and missing. ``readable`` has the rows of ``symbols`` and holds source codes."""
    shape = (len(symbols), window.size)
    expected = np.zeros(shape, dtype=bool)
    excusable = np.zeros(shape, dtype=bool)
    for row, symbol in enumerate(symbols):
        state = states[symbol]
        start = max(0, window.index(expected_from(state, window)))
        expected[row, start:] = True
        if _listing_in(state, window):
            # The period before the first candle: the symbol was in the market already, its first trade was not.
            expected[row, max(0, start - 1) : start] = True
            excusable[row, max(0, start - 1) : start] = True
        for hole in (*state.gaps, *state.halts):
            excusable[row, _columns(hole, window)] = True
        if state.stopped_ms is not None:
            # Candles that begin after it stopped; the one in which it stopped is looked for like any other.
            excusable[row, max(0, window.index(state.stopped_ms) + 1) :] = True
    absent = readable == ABSENT
    excused = expected & absent & excusable
    return Findings(tuple(symbols), window, readable, expected, excused, expected & absent & ~excusable, states)


def expected_from(state: SymbolState, window: Window) -> int:
    """The begin time from which candles of a symbol are expected: its first one as far as is known."""
    known = state.first_ms if state.first_ms is not None else state.listed_ms
    return window.first_ms if known is None else known


def excuse_of(state: SymbolState, begin_ms: int, window: Window) -> str:
    """Why no candle is needed there."""
    for gap in state.gaps:
        if gap.first_ms <= begin_ms <= gap.last_ms:
            return gap.reason or NO_CANDLE
    if state.stopped_ms is not None and begin_ms > state.stopped_ms - window.step_ms:
        return state.status.lower().replace("_", " ")
    for halt in state.halts:
        if halt.first_ms <= begin_ms <= halt.last_ms:
            return halt.reason
    return LISTED_LATER


def to_ask(findings: Findings) -> dict[str, list[tuple[int, int]]]:
    """For each symbol the ranges of begin times to ask the exchange for, newest first.

    More than what is missing: before a listing that is only presumed there may be candles, and a halt that is over
    excuses until the exchange has given its candles or has said twice that there are none.
    """
    wanted = findings.missing.copy()
    window = findings.window
    absent = findings.sources == ABSENT
    for row, symbol in enumerate(findings.symbols):
        state = findings.states[symbol]
        start = max(0, window.index(expected_from(state, window)))
        if state.first_ms is None and state.stopped_ms is None:
            since = 0 if state.since_ms is None else max(0, window.index(state.since_ms))
            wanted[row, since:start] = absent[row, since:start]
        if state.halts:
            wanted[row, start:] |= absent[row, start:] & _only_halted(state, window)[start:]
    ranges = {}
    for row in np.flatnonzero(wanted.any(axis=1)).tolist():
        ranges[findings.symbols[row]] = [
            (window.begin_ms(first), window.begin_ms(last)) for first, last in reversed(_runs(wanted[row]))
        ]
    return ranges


def record_of(
    findings: Findings,
    index: int,
    *,
    now: datetime,
    before: LedgerRecord | None,
    started_at: datetime | None = None,
    clock_offset_ms: int | None = None,
) -> LedgerRecord:
    """The ledger's record of one begin time; what ``before`` said of when it was completed stays true."""
    expected = findings.expected[:, index]
    sources = findings.sources[expected, index]
    missing = findings.missing_at(index)
    run_time = from_ms(findings.window.begin_ms(index) + findings.window.step_ms)
    completed_at = None
    complete = not missing and bool(expected.any())
    if complete:
        completed_at = before.completed_at if before is not None and before.complete else now
    return LedgerRecord(
        run_time=run_time,
        expected=int(expected.sum()),
        by_stream=int((sources == BY_STREAM).sum()),
        by_rest=int((sources == BY_REST).sum()),
        missing=missing,
        excused=findings.excused_at(index),
        complete=complete,
        completed_at=completed_at,
        seconds_to_complete=None if completed_at is None else round((completed_at - run_time).total_seconds(), 3),
        started_at=before.started_at if before is not None and before.started_at else started_at,
        clock_offset_ms=clock_offset_ms if before is None or before.clock_offset_ms is None else before.clock_offset_ms,
        filled=before.filled if before is not None else 0,
        revised=before.revised if before is not None else 0,
    )


def with_answer(
    state: SymbolState,
    asked: tuple[int, int],
    answered: Sequence[int],
    *,
    asked_ms: int,
    patience_ms: int,
    step_ms: int,
    certain_ms: int,
) -> list[Hole]:
    """The holes that an answer confirms: begin times of ``asked`` that are not in ``answered`` and were not in an
    earlier answer either, at least ``patience_ms`` before. Others are remembered in ``state`` as unanswered once.

    Begin times that were answered are taken off the unanswered ones. Those after ``certain_ms`` are never confirmed:
    the exchange may not have got so far yet.
    """
    absent = np.ones((asked[1] - asked[0]) // step_ms + 1, dtype=bool)
    for begin_ms in answered:
        if asked[0] <= begin_ms <= asked[1]:
            absent[(begin_ms - asked[0]) // step_ms] = False
    holes = [(asked[0] + first * step_ms, asked[0] + last * step_ms) for first, last in _runs(absent)]
    confirmed, once = [], []
    for first, last in holes:
        for begin_ms in range(first, last + 1, step_ms):
            earlier = next((hole for hole in state.unanswered if hole.first_ms <= begin_ms <= hole.last_ms), None)
            patient = earlier is not None and asked_ms - earlier.asked_ms >= patience_ms
            if patient and begin_ms <= certain_ms:
                confirmed.append(begin_ms)
            else:
                once.append((begin_ms, earlier.asked_ms if earlier is not None else asked_ms))
    outside = [
        piece
        for hole in state.unanswered
        for piece in (
            Hole(hole.first_ms, min(hole.last_ms, asked[0] - step_ms), asked_ms=hole.asked_ms),
            Hole(max(hole.first_ms, asked[1] + step_ms), hole.last_ms, asked_ms=hole.asked_ms),
        )
        if piece.first_ms <= piece.last_ms
    ]
    state.unanswered = outside + _joined(once, step_ms)
    return [Hole(hole.first_ms, hole.last_ms, NO_CANDLE) for hole in _joined([(b, 0) for b in confirmed], step_ms)]


def _joined(begins: Sequence[tuple[int, int]], step_ms: int) -> list[Hole]:
    """Holes of neighbouring begin times that were asked at the same moment."""
    holes: list[Hole] = []
    for begin_ms, asked_ms in begins:
        last = holes[-1] if holes else None
        if last is not None and last.last_ms + step_ms == begin_ms and last.asked_ms == asked_ms:
            holes[-1] = Hole(last.first_ms, begin_ms, asked_ms=asked_ms)
        else:
            holes.append(Hole(begin_ms, begin_ms, asked_ms=asked_ms))
    return holes


def _columns(hole: Hole, window: Window) -> slice:
    """The places of a hole in a window."""
    return slice(max(0, window.index(hole.first_ms)), max(0, window.index(hole.last_ms) + 1))


def _only_halted(state: SymbolState, window: Window) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Where nothing but a halt that is over tells why there is no candle."""
    halted = np.zeros(window.size, dtype=bool)
    for halt in state.halts:
        halted[_columns(halt, window)] = True
    for gap in state.gaps:
        halted[_columns(gap, window)] = False
    return halted


def _listing_in(state: SymbolState, window: Window) -> bool:
    known = state.first_ms if state.first_ms is not None else state.listed_ms
    return known is not None and known > window.first_ms


def _runs(flags: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[tuple[int, int]]:
    """First and last place of each run of true ones."""
    edges = np.diff(np.concatenate(([0], flags.astype(np.int8), [0])))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
    return list(zip(starts.tolist(), ends.tolist(), strict=True))
