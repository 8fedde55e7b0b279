"""Streams are spread evenly, and stay where they are when the market changes."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from streamer.assignment import assign, connections_needed, move

NAMES = st.sets(st.integers(0, 400).map(lambda number: f"s{number}@kline_1m"))
LISTENERS = st.integers(1, 16)
MAX_STREAMS = st.integers(1, 100)


@given(NAMES, LISTENERS, MAX_STREAMS)
def test_a_first_assignment_is_even_and_leaves_no_connection_idle(names, listeners, max_streams):
    assigned = assign(names, {}, listeners=listeners, max_streams=max_streams)
    load = Counter(assigned.values())
    assert assigned.keys() == names
    assert max(load.values(), default=0) - min(load.values(), default=0) <= 1
    assert set(load) == set(range(connections_needed(len(names), listeners, max_streams)))


@given(NAMES, NAMES, LISTENERS, MAX_STREAMS)
def test_a_change_keeps_limits_leaves_none_idle_and_moves_only_to_fill_an_empty_connection(
    a, b, listeners, max_streams
):
    before = assign(a, {}, listeners=listeners, max_streams=max_streams)
    after = assign(b, before, listeners=listeners, max_streams=max_streams)
    slots = connections_needed(len(b), listeners, max_streams)
    load = Counter(after.values())
    assert after.keys() == b
    assert set(load) == set(range(slots))
    assert all(count <= max_streams for count in load.values())
    moved = [name for name in a & b if before[name] < slots and before[name] != after[name]]
    kept = Counter(slot for name, slot in before.items() if name in b)
    assert len(moved) <= sum(1 for slot in range(slots) if not kept[slot])


@given(NAMES, LISTENERS)
def test_a_listing_touches_one_connection_only(names, listeners):
    names.add("first@kline_1m")
    before = assign(names, {}, listeners=listeners, max_streams=1024)
    after = assign(names | {"new@kline_1m"}, before, listeners=listeners, max_streams=1024)
    assert {name: after[name] for name in before} == before


def test_a_delisting_touches_no_other_stream():
    names = {f"s{number}" for number in range(100)}
    before = assign(names, {}, listeners=8, max_streams=1024)
    after = assign(names - {"s7", "s42"}, before, listeners=8, max_streams=1024)
    assert after == {name: slot for name, slot in before.items() if name not in ("s7", "s42")}


def test_more_streams_than_the_listeners_can_carry_get_more_connections():
    assert connections_needed(2049, 1, 1024) == 3


def test_a_moved_stream_goes_to_the_least_loaded_other_connection():
    assigned = {"a": 0, "b": 0, "c": 1, "d": 1, "e": 2}
    assert move("a", assigned, listeners=3, max_streams=10) == {**assigned, "a": 2}


def test_a_stream_stays_where_there_is_no_other_connection():
    assert move("a", {"a": 0, "b": 0}, listeners=1, max_streams=10) == {"a": 0, "b": 0}
