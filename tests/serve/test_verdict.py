"""The one word over a market: never complete on a record older than the newest due run time."""

from __future__ import annotations

import pytest

from kit.serve.verdict import State, advice, judged, worker_of

DUE = "2026-11-22T15:05:00Z"
BEFORE = "2026-11-22T15:04:00Z"
AFTER = "2026-11-22T15:06:00Z"


def status(*periods: tuple[str, bool], worker: dict[str, object] | None = None) -> dict[str, object]:
    return {
        "due": DUE,
        "periods": [{"run_time": time, "complete": complete} for time, complete in periods],
        "worker": worker,
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


def test_a_worker_with_a_heartbeat_is_told_by_it_whatever_the_records_say():
    for alive, running in ((True, True), (False, True), (False, False)):
        beat = {"alive": alive, "running": running, "written_at": DUE}
        for periods in ([(DUE, True)], [(BEFORE, True)]):
            told = worker_of(status(*periods, worker=beat))
            assert told == {**beat, "last_run_time": periods[0][0]}


def test_without_a_heartbeat_somebody_is_at_work_only_when_the_newest_due_run_time_has_a_record():
    assert worker_of(status((DUE, False)))["alive"]
    assert not worker_of(status((BEFORE, True)))["alive"]
    assert worker_of(status()) == {"alive": False, "running": None, "written_at": None, "last_run_time": None}


SCHEDULED = {"alive": False, "running": None, "last_run_time": BEFORE}


@pytest.mark.parametrize(
    ("state", "streamer", "worker", "wanted"),
    [
        (State.COMPLETE, True, {"alive": True}, None),
        (State.INCOMPLETE, True, {"alive": True}, "examine"),
        (State.NO_RECORD, True, {"alive": True}, "examine"),
        (State.STARTING, True, {"alive": True}, "wait"),
        (State.COMPLETE, False, {"alive": True}, "start_streamer"),
        (State.STARTING, None, {"alive": True}, "start_streamer"),
        (State.COMPLETE, True, {"alive": False, "running": True}, "start_worker"),
        (State.NO_RECORD, None, {"alive": False, "running": False}, "start_worker"),
        (State.STARTING, None, {"alive": False, "last_run_time": None}, "start_worker"),
        (State.NO_RECORD, True, SCHEDULED, "examine"),
    ],
)
def test_what_to_do_is_what_helps_most_and_nothing_while_all_is_well(state, streamer, worker, wanted):
    beat = None if streamer is None else {"alive": streamer}
    assert advice(state, beat, {"running": None, "last_run_time": BEFORE} | worker) == wanted
