"""The judge finds what is planted, and nothing where all is well."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Any
from zlib import crc32

import pytest

from tests.chaos.judge import Finding, Key, Listed, Memory, Reading, Record, Values, unhealed

STEP = 1000
NOON = 1_795_348_800_000
SYMBOLS = ("AUSDT", "BUSDT")
COUNT = 5
LAST = NOON + (COUNT - 1) * STEP


def values(symbol: str, begin: int) -> Values:
    return tuple(float(crc32(f"{symbol} {begin} {place}".encode()) % 1000) for place in range(9))


ROWS: dict[Key, Values] = {
    (symbol, NOON + n * STEP): values(symbol, NOON + n * STEP) for symbol in SYMBOLS for n in range(COUNT)
}


def record(begin: int, **changes: Any) -> Record:
    sound = Record(begin + STEP, 2, 2, 0, frozenset(), MappingProxyType({}), complete=True)
    return replace(sound, **changes)


def reading(**changes: Any) -> Reading:
    """A sound one: two symbols, five candles, all of them true, by stream and complete."""
    sound = Reading(
        rows=ROWS,
        sources=dict.fromkeys(ROWS, "stream"),
        revised={},
        records=[record(NOON + n * STEP) for n in range(COUNT)],
        listed={symbol: Listed(symbol, True, 0, None, 0) for symbol in SYMBOLS},
        truth=ROWS,
        truth_until_ms=LAST,
        exchange_ms=LAST + STEP + 500,
    )
    return replace(sound, **changes)


def look(*readings: Reading) -> list[str]:
    memory = Memory(STEP, num_candles=100)
    found: list[Finding] = []
    for one in readings:
        found = memory.look(one)
    return [f"{one.kind} {one.symbol} {one.begin_ms - NOON}" for one in found]


def without(*keys: Key) -> dict[Key, Values]:
    return {key: row for key, row in ROWS.items() if key not in keys}


SECOND = ("AUSDT", NOON + STEP)
OTHER = tuple(value + 1 for value in ROWS[SECOND])


def test_a_sound_market_gives_no_finding_and_is_healed() -> None:
    assert look(reading(), reading()) == []
    assert unhealed(reading(), STEP, NOON, LAST) == []


def test_a_candle_that_was_readable_and_is_no_longer_is_lost() -> None:
    gone = reading(rows=without(SECOND), records=())
    assert look(reading(), gone) == ["lost AUSDT 1000"]


def test_a_candle_that_left_the_window_is_not_lost() -> None:
    memory = Memory(STEP, num_candles=COUNT - 1)
    memory.look(reading())
    assert memory.look(reading(rows=without(("AUSDT", NOON)), records=())) == []


def test_a_candle_of_an_ended_symbol_has_to_stay_beyond_the_window() -> None:
    memory = Memory(STEP, num_candles=COUNT - 1)
    memory.look(reading())
    ended = {**reading().listed, "AUSDT": Listed("AUSDT", False, 0, LAST, LAST - 60_000)}
    found = memory.look(reading(rows=without(("AUSDT", NOON)), listed=ended, records=()))
    assert [one.kind for one in found] == ["lost"]


def test_a_change_without_a_revision_is_found_and_one_with_it_is_not() -> None:
    changed = {**ROWS, SECOND: OTHER}
    truth = {"truth": changed}
    assert look(reading(), reading(rows=changed, **truth)) == ["changed AUSDT 1000"]
    revised = {SECOND: [(ROWS[SECOND], OTHER)]}
    assert look(reading(), reading(rows=changed, revised=revised, **truth)) == []
    foreign = {SECOND: [(OTHER, OTHER)]}
    assert look(reading(), reading(rows=changed, revised=foreign, **truth)) == ["changed AUSDT 1000"]


def test_a_candle_before_its_close_is_early() -> None:
    begin = LAST + STEP
    row = {("AUSDT", begin): values("AUSDT", begin)}
    early = reading(rows={**ROWS, **row}, exchange_ms=begin + STEP - 1)
    assert look(early) == ["early AUSDT 5000"]
    assert look(replace(early, exchange_ms=begin + STEP)) == []


def test_a_candle_that_the_exchange_does_not_have_is_fabricated() -> None:
    assert look(reading(truth=without(SECOND))) == ["fabricated AUSDT 1000"]
    assert unhealed(reading(truth=without(SECOND)), STEP, NOON, LAST) != []


def test_a_wrong_value_is_remembered_until_it_is_right() -> None:
    memory = Memory(STEP, num_candles=100)
    memory.look(reading(truth={**ROWS, SECOND: OTHER}))
    assert list(memory.wrong) == [SECOND]
    assert unhealed(reading(truth={**ROWS, SECOND: OTHER}), STEP, NOON, LAST) != []
    memory.look(reading())
    assert memory.wrong == {}
    assert memory.ever_wrong == {SECOND}


def test_a_record_that_calls_a_hole_complete_is_false() -> None:
    hole = reading(rows=without(SECOND))
    assert look(hole) == ["false_complete AUSDT 1000"]
    incomplete = record(SECOND[1], complete=False, by_stream=1, missing=frozenset({"AUSDT"}))
    assert look(replace(hole, records=[incomplete])) == []


def test_an_excuse_for_a_candle_that_exists_is_false() -> None:
    excused = record(SECOND[1], by_stream=1, excused=MappingProxyType({"AUSDT": "no candle at the exchange"}))
    hole = reading(rows=without(SECOND), records=[excused])
    assert look(hole) == ["false_excuse AUSDT 1000"]
    assert look(replace(hole, truth=without(SECOND))) == []


def test_a_reused_ticker_must_not_have_its_former_candles() -> None:
    anew = Listed("AUSDT", True, 60_000 * (1 + LAST // 60_000), None, 0)
    listed = {**reading().listed, "AUSDT": anew}
    assert {line.split()[0] for line in look(reading(listed=listed, records=()))} == {"joined"}
    renamed = {(f"{symbol}#1" if symbol == "AUSDT" else symbol, begin): row for (symbol, begin), row in ROWS.items()}
    assert look(reading(), reading(rows=renamed, listed=listed, records=())) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"by_stream": 1}, "do not add up"),
        ({"by_stream": 1, "by_rest": 1}, "by stream 1, readable 2"),
        ({"complete": False, "missing": frozenset({"AUSDT"}), "by_stream": 1}, "incomplete"),
    ],
)
def test_a_record_has_to_say_what_the_provenance_says(changes: dict[str, Any], says: str) -> None:
    records = [record(NOON + n * STEP, **(changes if n == 2 else {})) for n in range(COUNT)]
    (problem,) = unhealed(reading(records=records), STEP, NOON, LAST)
    assert says in problem
