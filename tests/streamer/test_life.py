"""When a connection counts as silent, when it is replaced, and how long the next attempt waits."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from streamer.life import Backoff, Ended, EndKind, Life, Pace, Phase, may_take_over
from streamer.timing import Timing

TIMING = Timing()
LOST = Ended(EndKind.LOST, "cut")
SILENT = Ended(EndKind.SILENT, "nothing")
SOUND = Ended(EndKind.LOST, "cut", lived_s=3600, delivered=True)


def life(strikes: int = 0) -> Life:
    alive = Life(TIMING, 1000.0, rotate_at=1000.0 + 3600, strikes=strikes)
    alive.asked(1001.0)
    return alive


def test_no_frame_within_ten_seconds_of_the_subscribe_is_silence():
    assert life().phase(1010.9) is Phase.SUBSCRIBING
    assert life().phase(1011.1) is Phase.STALE


def test_nothing_is_due_before_anything_was_asked_for():
    assert Life(TIMING, 1000.0, rotate_at=9999.0).phase(2000.0) is Phase.SUBSCRIBING


def test_no_frame_for_twenty_seconds_is_silence_after_the_first():
    alive = life()
    alive.frame(1002.0)
    assert alive.phase(1021.9) is Phase.LIVE
    assert alive.phase(1022.1) is Phase.STALE


def test_each_life_left_for_silence_makes_the_next_one_more_patient_up_to_a_cap():
    backoff = Backoff(TIMING, random.Random(1))
    patience = []
    for _ in range(8):
        alive = life(backoff.strikes)
        alive.frame(1002.0)
        patience.append(next(wait for wait in range(1000) if alive.phase(1002.0 + wait) is Phase.STALE) - 1)
        backoff.after(SILENT)
    assert patience == [20, 40, 80, 120, 120, 120, 120, 120]


def test_ten_minutes_without_a_long_pause_restore_the_short_patience():
    alive = life(strikes=3)
    for second in range(0, 700, 10):
        alive.frame(1002.0 + second)
    assert alive.calm(1700.0)
    assert alive.phase(1692.0 + 21) is Phase.STALE


def test_a_replacement_is_due_at_the_planned_time_or_when_the_exchange_announces_its_end():
    alive = life()
    assert not alive.replacement_due(4599.0)
    assert alive.replacement_due(4600.0)
    announced = life()
    announced.shutdown_announced = True
    assert announced.replacement_due(1001.0)


def test_the_first_attempt_after_a_sound_life_is_at_once():
    backoff = Backoff(TIMING, random.Random(1))
    for _ in range(5):
        backoff.after(LOST)
    assert backoff.after(SOUND) == 0.0


def test_a_connection_that_delivers_and_dies_at_once_again_and_again_is_not_hammered():
    backoff = Backoff(TIMING, random.Random(1))
    short = Ended(EndKind.LOST, "cut", lived_s=0.5, delivered=True)
    assert sum(backoff.after(short) for _ in range(20)) > 60


@given(st.integers(0, 10_000), st.integers(1, 60))
def test_no_wait_is_longer_than_the_cap(seed, failures):
    backoff = Backoff(TIMING, random.Random(seed))
    assert all(0 <= backoff.after(LOST) <= TIMING.backoff_cap_s for _ in range(failures))


@given(st.integers(0, 10_000), st.sampled_from([403, 418, 429, 451]))
def test_a_refusal_that_asks_for_a_pause_gets_a_long_one_at_the_first_time(seed, status):
    refused = Ended(EndKind.REFUSED, "no", http_status=status)
    assert Backoff(TIMING, random.Random(seed)).after(refused) >= TIMING.refused_floor_s


@given(st.lists(st.floats(0, 2), min_size=1, max_size=100))
def test_no_more_than_five_connections_open_in_any_second(steps):
    pace, now, opened = Pace(5.0, 1000), 1000.0, []
    for step in steps:
        now += step
        opened.append(now + pace.wait_s(now))
    assert all(later - earlier >= 0.999 for earlier, later in zip(opened, opened[5:], strict=False))


def test_a_replacement_takes_over_only_when_it_delivers_nearly_all_that_the_old_one_does():
    streams = {f"s{number}" for number in range(100)}
    quiet_by_chance = set(list(streams)[:2])
    assert may_take_over(streams, streams - quiet_by_chance, open_for_s=6, timing=TIMING)
    assert not may_take_over(streams, set(list(streams)[:97]), open_for_s=6, timing=TIMING)
    assert not may_take_over(streams, streams, open_for_s=4, timing=TIMING)
    assert not may_take_over(set(), set(), open_for_s=600, timing=TIMING)
    assert may_take_over(set(), {"s1"}, open_for_s=6, timing=TIMING)
