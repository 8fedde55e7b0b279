"""What is expected, excused, missing and asked for; each rule as a row, and all of them against a naive model."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.buffer.states import Hole, SymbolState
from kit.completeness import (
    ABSENT,
    BY_REST,
    BY_STREAM,
    LISTED_LATER,
    NO_CANDLE,
    Findings,
    Window,
    examine,
    record_of,
    to_ask,
    with_answer,
)
from kit.words import from_ms
from tests.builders import MINUTE, NOON

SIZE = 10
WINDOW = Window(NOON, NOON + (SIZE - 1) * MINUTE, MINUTE)
PATIENCE = 60_000


def at(index: int) -> int:
    return NOON + index * MINUTE


def state(**facts: object) -> SymbolState:
    return SymbolState(**{"status": "TRADING", **facts})  # type: ignore[arg-type] # each test gives what it is about


def findings(symbol_state: SymbolState, readable: str = "." * SIZE) -> Findings:
    """``.`` absent, ``s`` by stream, ``r`` by REST."""
    codes = np.array([[{".": ABSENT, "s": BY_STREAM, "r": BY_REST}[letter] for letter in readable]], dtype=np.uint8)
    return examine(["AUSDT"], {"AUSDT": symbol_state}, WINDOW, codes)


def drawn(found: Findings) -> str:
    """``-`` not expected, ``x`` missing, ``e`` excused, ``o`` there."""
    return "".join(
        "-" if not expected else "x" if missing else "e" if excused else "o"
        for expected, missing, excused in zip(found.expected[0], found.missing[0], found.excused[0], strict=True)
    )


@pytest.mark.parametrize(("facts", "readable", "drawing"), [
    ({}, "..........", "xxxxxxxxxx"),
    ({}, "ssrrssrrss", "oooooooooo"),
    ({"listed_ms": at(-5)}, "ss..ssssss", "ooxxoooooo"),
    ({"listed_ms": at(0)}, "..ssssssss", "xxoooooooo"),  # nothing before the window is known to be missing
    ({"listed_ms": at(3)}, "...sssssss", "--eooooooo"),  # in the market before its first trade
    ({"listed_ms": at(3)}, "..ssssssss", "--oooooooo"),
    ({"listed_ms": at(3)}, "....ssssss", "--exoooooo"),
    ({"listed_ms": at(3), "first_ms": at(4)}, "....ssssss", "---eoooooo"),  # sure goes before presumed
    ({"listed_ms": at(50)}, "..........", "----------"),
    ({"first_ms": at(9)}, ".........s", "--------eo"),
    ({"stopped_ms": at(6) + 10_000, "status": "SETTLING"}, "sssssss...", "oooooooeee"),
    ({"stopped_ms": at(6) + 10_000, "status": "SETTLING"}, "ssssss....", "ooooooxeee"),  # the one it stopped in
    ({"stopped_ms": at(6) + 10_000, "status": "SETTLING"}, "ssssssssss", "oooooooooo"),
    ({"stopped_ms": at(-1) + 10_000}, "..........", "eeeeeeeeee"),
    ({"gaps": [Hole(at(2), at(4))]}, "ss...sssss", "ooeeeooooo"),
    ({"gaps": [Hole(at(2), at(4))]}, "ss.s.sssss", "ooeoeooooo"),  # came after all
    ({"gaps": [Hole(at(-20), at(1)), Hole(at(8), at(40))]}, "..ssssss..", "eeooooooee"),
    ({"gaps": [Hole(at(-20), at(-10))]}, "..........", "xxxxxxxxxx"),
    ({"gaps": [Hole(at(20), at(30))]}, "..........", "xxxxxxxxxx"),
    ({"unanswered": [Hole(at(2), at(4), asked_ms=1)]}, "ss...sssss", "ooxxxooooo"),  # once is not enough
    ({"halts": [Hole(at(2), at(4), "halt")]}, "ss....ssss", "ooeeexoooo"),  # it trades again: the next is expected
    ({"halts": [Hole(at(-9), at(-2), "halt")]}, "..ssssssss", "xxoooooooo"),
])  # fmt: skip
def test_a_slot_is_expected_excused_or_missing(facts: dict[str, object], readable: str, drawing: str) -> None:
    assert drawn(findings(state(**facts), readable)) == drawing


@pytest.mark.parametrize(("facts", "readable", "index", "reason"), [
    ({"listed_ms": at(3)}, "...sssssss", 2, LISTED_LATER),
    ({"stopped_ms": at(6), "status": "PRE_SETTLE"}, "sssssss...", 8, "pre settle"),
    ({"gaps": [Hole(at(2), at(4), NO_CANDLE)]}, "ss...sssss", 3, NO_CANDLE),
    ({"gaps": [Hole(at(2), at(4), "settling")]}, "ss...sssss", 3, "settling"),
    ({"halts": [Hole(at(2), at(4), "halt")]}, "ss...sssss", 3, "halt"),
    ({"halts": [Hole(at(2), at(4), "halt")], "gaps": [Hole(at(3), at(3), NO_CANDLE)]}, "ss...sssss", 3, NO_CANDLE),
])  # fmt: skip
def test_an_excuse_has_its_reason(facts: dict[str, object], readable: str, index: int, reason: str) -> None:
    assert findings(state(**facts), readable).excused_at(index) == {"AUSDT": reason}


@pytest.mark.parametrize(("facts", "readable", "asked"), [
    ({}, "ssssssssss", []),
    ({}, "s.ss..ssss", [(4, 5), (1, 1)]),
    ({"listed_ms": at(3)}, "...sssssss", [(0, 2)]),  # a listing date is only presumed
    ({"listed_ms": at(3)}, ".ssssss.ss", [(7, 7), (0, 0)]),
    ({"listed_ms": at(3), "first_ms": at(3)}, "...sssssss", []),
    ({"listed_ms": at(3), "since_ms": at(3)}, "...sssssss", []),  # before it, another asset
    ({"listed_ms": at(3), "since_ms": at(1)}, "...sssssss", [(1, 2)]),
    ({"stopped_ms": at(6)}, "sssss.....", [(5, 6)]),
    ({"stopped_ms": at(6), "listed_ms": at(3)}, "...ssss...", []),
    ({"gaps": [Hole(at(2), at(4))]}, "s....sssss", [(1, 1)]),
    ({"halts": [Hole(at(2), at(4), "halt")]}, "ss.s.sssss", [(4, 4), (2, 2)]),  # it may have traded all the same
    ({"halts": [Hole(at(2), at(4), "halt")], "gaps": [Hole(at(2), at(3))]}, "ss...sssss", [(4, 4)]),
    ({"halts": [Hole(at(-3), at(3), "halt")], "first_ms": at(2)}, "....ssssss", [(2, 3)]),
])  # fmt: skip
def test_what_is_asked_for_is_what_is_missing_newest_first(
    facts: dict[str, object], readable: str, asked: list[tuple[int, int]]
) -> None:
    wanted = {"AUSDT": [(at(first), at(last)) for first, last in asked]} if asked else {}
    assert to_ask(findings(state(**facts), readable)) == wanted


def record(readable: str, index: int = 0, before: object = None, **facts: object):
    now = from_ms(at(index) + MINUTE) + timedelta(seconds=2)
    return record_of(findings(state(**facts), readable), index, now=now, before=before)  # type: ignore[arg-type] # None or one


def test_a_record_counts_each_expected_symbol_once() -> None:
    found = examine(
        ["A", "B", "C", "D", "E"],
        {
            "A": state(), "B": state(), "C": state(), "D": state(gaps=[Hole(at(0), at(9), NO_CANDLE)]),
            "E": state(first_ms=at(5)),
        },
        WINDOW,
        np.array([[BY_STREAM] * SIZE, [BY_REST] * SIZE, [ABSENT] * SIZE, [ABSENT] * SIZE, [BY_STREAM] * SIZE]),
    )  # fmt: skip
    made = record_of(found, 0, now=from_ms(NOON + 2 * MINUTE), before=None)
    assert (made.expected, made.by_stream, made.by_rest) == (4, 1, 1)
    assert (made.missing, made.excused) == (["C"], {"D": NO_CANDLE})
    assert made.run_time == from_ms(NOON + MINUTE)
    assert not made.complete
    assert made.completed_at is None


def test_a_market_of_which_nothing_is_expected_is_not_complete() -> None:
    made = record("..........", listed_ms=at(50))
    assert (made.expected, made.complete, made.completed_at, made.seconds_to_complete) == (0, False, None, None)


def test_when_a_period_was_completed_stays_what_it_was_until_it_is_incomplete_again() -> None:
    first = record("ssssssssss")
    assert first.seconds_to_complete == 2
    later = from_ms(NOON + 60 * MINUTE)
    again = record_of(findings(state(), "rsssssssss"), 0, now=later, before=first)
    assert (again.by_rest, again.completed_at) == (1, first.completed_at)
    lost = record_of(findings(state(), ".sssssssss"), 0, now=later, before=again)
    assert (lost.complete, lost.completed_at, lost.missing) == (False, None, ["AUSDT"])
    back = record_of(findings(state(), "rsssssssss"), 0, now=later, before=lost)
    assert (back.complete, back.completed_at) == (True, later)


@settings(max_examples=300)
@given(data=st.data())
def test_every_expected_slot_is_readable_or_excused_or_missing_and_complete_means_none_is_missing(
    data: st.DataObject,
) -> None:
    moment = st.none() | st.integers(-15, 25).map(at)
    hole = st.tuples(st.integers(-5, 14), st.integers(0, 6)).map(lambda each: Hole(at(each[0]), at(sum(each))))
    facts = state(
        first_ms=data.draw(moment), listed_ms=data.draw(moment), stopped_ms=data.draw(moment),
        gaps=data.draw(st.lists(hole, max_size=3)), halts=data.draw(st.lists(hole, max_size=2)),
    )  # fmt: skip
    found = findings(facts, data.draw(st.text(".sr", min_size=SIZE, max_size=SIZE)))
    begins = facts.first_ms if facts.first_ms is not None else facts.listed_ms
    for index in range(SIZE):
        begin_ms = at(index)
        made = record_of(found, index, now=from_ms(begin_ms + 5 * MINUTE), before=None)
        assert made.by_stream + made.by_rest + len(made.missing) + len(made.excused) == made.expected
        assert made.complete == (made.expected > 0 and not made.missing)
        must = begins is None or begin_ms >= begins
        halted = facts.stopped_ms is not None and begin_ms > facts.stopped_ms
        in_gap = any(gap.first_ms <= begin_ms <= gap.last_ms for gap in (*facts.gaps, *facts.halts))
        absent = found.sources[0, index] == ABSENT
        assert bool(found.missing[0, index]) == (must and absent and not halted and not in_gap)
    asked = {begin for first, last in to_ask(found).get("AUSDT", []) for begin in range(first, last + 1, MINUTE)}
    missing = {at(index) for index in np.flatnonzero(found.missing[0])}
    readable = {at(index) for index in np.flatnonzero(found.sources[0])}
    assert missing <= asked
    for index in np.flatnonzero(found.excused[0]):
        only_halted = any(halt.first_ms <= at(index) <= halt.last_ms for halt in facts.halts)
        confirmed = any(gap.first_ms <= at(index) <= gap.last_ms for gap in facts.gaps)
        listed_later = begins is not None and at(index) < begins
        assert not only_halted or confirmed or listed_later or at(index) in asked, (
            "no excuse hides a candle that may exist"
        )
    assert not asked & readable


Asked = tuple[int, int, set[int], int, int]
asks = st.lists(
    st.tuples(
        st.integers(0, 12), st.integers(0, 6), st.sets(st.integers(0, 20)), st.integers(0, 90_000), st.integers(-1, 25)
    ),
    max_size=12,
)


@settings(max_examples=400)
@given(history=asks)
def test_a_hole_is_confirmed_by_two_answers_far_enough_apart_and_never_past_what_is_certain(
    history: list[Asked],
) -> None:
    known = state()
    first_asked: dict[int, int] = {}
    now_ms = 0
    for start, length, answered, waited, certain in history:
        now_ms += waited
        span = range(start, start + length + 1)
        confirmed = with_answer(
            known,
            (at(start), at(start + length)),
            sorted(at(index) for index in answered),
            asked_ms=now_ms,
            patience_ms=PATIENCE,
            step_ms=MINUTE,
            certain_ms=at(certain),
        )
        expected = set()
        for index in span:
            if index in answered:
                first_asked.pop(index, None)
            elif index in first_asked and now_ms - first_asked[index] >= PATIENCE and index <= certain:
                expected.add(index)
                del first_asked[index]
            else:
                first_asked.setdefault(index, now_ms)
        assert begins(confirmed) == {at(index) for index in expected}
        assert all(hole.reason == NO_CANDLE for hole in confirmed)
        remembered = {begin: hole.asked_ms for hole in known.unanswered for begin in begins([hole])}
        assert remembered == {at(index): asked for index, asked in first_asked.items()}


def begins(holes: list[Hole]) -> set[int]:
    found = [begin for hole in holes for begin in range(hole.first_ms, hole.last_ms + 1, MINUTE)]
    assert len(found) == len(set(found)), "a begin time in two holes"
    return set(found)
