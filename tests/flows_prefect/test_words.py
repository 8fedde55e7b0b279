from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec import structs

from flows.board import Board
from flows.verdict import Named, Verdict, steps_line, told_late, verdict_of
from flows.worker.lane import Item, Lane
from flows.worker.mirror import quiet_for
from flows.worker.sweeping import Origin, Overdue, verdict_on
from kit.errors import UnreachableError
from tests.flows_prefect.builders import FIVE_MINUTES, RUN_TIME, ending, market, outcome, report, work
from tests.flows_prefect.stand_in import record_of

GOOD = Verdict(Named.COMPLETED, "complete 3/3 in 0.3 s")
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("ended", "name", "message"),
    [
        (ending(), Named.COMPLETED, "complete 3/3 in 2.1 s"),
        (
            ending(outcome(structs.replace(record_of(RUN_TIME), seconds_to_complete=3.25))),
            Named.COMPLETED,
            "complete 3/3 in 3.2 s",  # since the close, as the ledger and `kit status` say
        ),
        (ending(outcome(already_done=True)), Named.ALREADY_DONE, "complete 3/3, already done before this run"),
        (
            ending(outcome(record_of(RUN_TIME, ["AUSDT", "BUSDT"])), attempts=3),
            Named.INCOMPLETE,
            "incomplete 1/3 in 2.1 s, 2 missing: AUSDT, BUSDT (3 attempts)",
        ),
        (
            ending(error=UnreachableError("nobody answers")),
            Named.FAILED,
            "nobody answers (1 attempt, 2.1 s)",
        ),
        (ending(error=KeyError("x")), Named.FAILED, "KeyError: 'x' (1 attempt, 2.1 s)"),
    ],
)
def test_an_ending_is_told_in_one_line(ended: object, name: Named, message: str) -> None:
    assert verdict_of(ended) == Verdict(name, message)  # type: ignore[arg-type]  # parametrize loses the type


def test_what_is_told_long_after_carries_the_true_times() -> None:
    told = told_late(GOOD, ending(), RUN_TIME + timedelta(hours=2))
    assert "worked 2026-11-22 07:05:00.000000Z to 07:05:02.100000Z" in told.message
    assert told_late(GOOD, ending(), RUN_TIME + timedelta(seconds=3)) == GOOD


def test_steps_are_told_with_their_seconds_and_their_failures() -> None:
    line = steps_line([report("newest"), report("funding", error="HTTP 403")])
    assert line == "newest 3 filled (0.40 s); funding failed: HTTP 403"


def test_the_lane_gives_the_newest_first_and_drops_the_oldest() -> None:
    lane = Lane(longest=3)
    items = [Item(work(RUN_TIME + n * MINUTE)) for n in range(4)]
    for item in items:
        lane.put(item)
    assert lane.dropped == 1
    assert [lane.take() for _ in range(4)] == [items[3], items[2], items[1], None]


def test_what_could_not_be_shown_goes_behind_the_rest() -> None:
    lane = Lane()
    first, second = Item(work()), Item(work(RUN_TIME + MINUTE))
    lane.put(first)
    lane.put_back(second)
    assert lane.take() is first


def test_the_board_remembers_a_bounded_number_of_works() -> None:
    board = Board(remembered=2)
    works = [work(RUN_TIME + n * MINUTE) for n in range(3)]
    for entry in works:
        board.put(entry)
    assert board.find(*works[0].key) is None
    assert board.find(*works[2].key) is works[2]


@pytest.mark.parametrize(
    ("origin", "minutes_ago", "known", "queued", "expected"),
    [
        (Origin.SCHEDULE, 30, None, False, Named.STALE),
        (Origin.MIRROR, 30, None, False, Named.STALE),
        (Origin.SCHEDULE, 0, None, False, None),  # the newest: the clock is about to begin it
        (Origin.SCHEDULE, 30, ending(), True, None),  # its turn to be shown is to come
        (Origin.SCHEDULE, 30, ending(), False, Named.ALREADY_DONE),
        (Origin.PERSON, 30, None, False, None),
    ],
)
def test_a_run_that_nobody_will_execute_is_closed_with_the_reason(
    origin: Origin, minutes_ago: int, known: object, queued: bool, expected: Named | None
) -> None:
    now = RUN_TIME + minutes_ago * MINUTE + timedelta(seconds=4)
    entry = work(ended=known) if known else None  # type: ignore[arg-type]  # parametrize loses the type
    verdict = verdict_on(Overdue(origin, RUN_TIME + FIVE_MINUTES.offset), FIVE_MINUTES, now, entry, queued=queued)
    assert (verdict.name if verdict else None) == expected


def test_the_mirror_is_quiet_in_the_last_second_before_any_target_and_only_then() -> None:
    second = timedelta(seconds=1)
    target = RUN_TIME + FIVE_MINUTES.offset
    assert quiet_for(target - 1.5 * second, [market()], second) == 0
    assert 0.5 <= quiet_for(target - 0.5 * second, [market()], second) < 0.6
    assert quiet_for(target + 0.1 * second, [market()], second) == 0
