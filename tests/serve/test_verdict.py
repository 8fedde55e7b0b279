"""The one word over a market: never complete on a record older than the newest due run time."""

from __future__ import annotations

import pytest

from kit.serve.verdict import State, judged, worker_of

DUE = "2026-11-22T15:05:00Z"
BEFORE = "2026-11-22T15:04:00Z"
AFTER = "2026-11-22T15:06:00Z"


def status(*periods: tuple[str, bool]) -> dict[str, object]:
    return {
        "due": DUE,
        "periods": [{"run_time": time, "complete": complete, "started_at": None} for time, complete in periods],
    }


@pytest.mark.parametrize(
    ("periods", "state", "stands_on"),
    [
        ([(DUE, True), (BEFORE, True)], State.COMPLETE, DUE),
        ([(DUE, False), (BEFORE, True)], State.INCOMPLETE, DUE),
        ([(BEFORE, True)], State.NO_RECORD, None),
        ([], State.STARTING, None),
        ([(AFTER, True), (DUE, True)], State.COMPLETE, AFTER),
        ([(AFTER, False), (DUE, True)], State.COMPLETE, DUE),
        ([(AFTER, False), (DUE, False)], State.INCOMPLETE, DUE),
        ([(AFTER, False), (BEFORE, True)], State.NO_RECORD, None),
        ([(AFTER, True), (BEFORE, True)], State.COMPLETE, AFTER),
    ],
)
def test_a_verdict_stands_on_the_newest_due_run_time_or_a_newer_one_that_is_complete(periods, state, stands_on):
    found, record = judged(status(*periods))
    assert (found, record and record["run_time"]) == (state, stands_on)


def test_the_worker_is_at_work_only_when_the_newest_due_run_time_has_a_record():
    assert worker_of(status((DUE, False)))["alive"]
    assert not worker_of(status((BEFORE, True)))["alive"]
    assert worker_of(status()) == {"alive": False, "last_run_time": None, "started_at": None}
