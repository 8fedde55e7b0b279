"""The letters of the grid: what is readable wins, and silence is never shown as sound."""

from __future__ import annotations

from kit.buffer.ledger import LedgerRecord
from kit.serve.cells import Columns, cells, excuses
from kit.words import from_ms
from tests.builders import MINUTE, NOON

TIMES = [NOON + index * MINUTE for index in range(4)]


def record(run_ms: int, missing: list[str] | None = None, excused: dict[str, str] | None = None) -> LedgerRecord:
    return LedgerRecord(
        run_time=from_ms(run_ms), expected=2, by_stream=0, by_rest=0, missing=missing or [], excused=excused or {},
        complete=not missing,
    )  # fmt: skip


def test_every_state_has_its_letter():
    records = {TIMES[0]: record(TIMES[0]), TIMES[1]: record(TIMES[1], ["B"], {"C": "settling"})}
    columns = Columns(TIMES, records, due_ms=TIMES[2])
    found = cells(columns, [("A", TIMES[0], "stream"), ("A", TIMES[1], "rest"), ("A", TIMES[3], "revision")])
    assert found == {"A": "sr?v", "B": ".m?-", "C": ".e?-"}
    assert columns.states() == "ci?-"
    assert excuses(records) == {"C": "settling"}


def test_a_run_time_that_is_due_without_record_is_open_to_doubt_even_where_candles_are():
    columns = Columns(TIMES, {}, due_ms=TIMES[3])
    assert columns.states() == "????"
    assert cells(columns, [("A", TIMES[1], "stream")]) == {"A": "?s??"}


def test_a_candle_that_was_filled_after_its_record_is_shown_and_others_outside_are_not():
    columns = Columns(TIMES, {TIMES[0]: record(TIMES[0], ["A"])}, due_ms=TIMES[0])
    assert cells(columns, [("A", TIMES[0], "rest"), ("A", TIMES[0] - MINUTE, "stream")]) == {"A": "r---"}
