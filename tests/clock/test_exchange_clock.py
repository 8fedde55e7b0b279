"""The pure rules: what is known of the exchange's clock, however the local ones behave."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.budget import rules
from kit.budget.rules import State
from kit.exchange_clock import (
    DRIFT_PPM,
    JUMP_MS,
    OFF_MS,
    WELL_MS,
    Local,
    Offset,
    aged,
    is_off,
    jumped_ms,
    merged,
    offset_of_answer,
    read_local,
)

NOON = 1_795_348_800_000
HOUR = 3_600_000
DAY = 24 * HOUR
trips = st.floats(0.1, 3_000)
jumps = st.sampled_from([0, 0, -DAY, DAY, -HOUR, HOUR, 3_000, -3_000]) | st.integers(-DAY, DAY)


def local(steady_ms: float, wall_ms: float = NOON, boot: str = "this") -> Local:
    return Local(int(wall_ms), int(steady_ms), boot)


@settings(deadline=None)
@given(
    ahead_ms=st.integers(-DAY, DAY),
    drift_ppm=st.floats(-DRIFT_PPM / 2, DRIFT_PPM / 2),
    answers=st.lists(st.tuples(st.floats(0, 600_000), trips, trips), min_size=1, max_size=30),
    later_ms=st.floats(0, DAY),
)
def test_the_true_offset_is_always_within_the_error(ahead_ms, drift_ppm, answers, later_ms):
    """Each answer: a pause, the way there, the way back. The exchange's clock runs quicker or slower than ours."""

    def exchange(steady_ms: float) -> float:
        return NOON + ahead_ms + steady_ms * (1 + drift_ppm / 1e6)

    known, now = None, 0.0
    for pause, there, back in answers:
        sent, told, received = now + pause, now + pause + there, now + pause + there + back
        known = merged(known, offset_of_answer(int(exchange(told)), int(sent), int(received)))
        now = received
        assert abs(exchange(now) - now - known.offset_ms) <= known.error_ms + 1
    late = aged(known, round(now + later_ms))
    assert abs(exchange(now + later_ms) - (now + later_ms) - late.offset_ms) <= late.error_ms + 1


@settings(deadline=None)
@given(known=st.builds(Offset, st.integers(-DAY, DAY), st.integers(0, 5_000), st.integers(0, DAY)),
       fresh=st.builds(Offset, st.integers(-DAY, DAY), st.integers(0, 5_000), st.integers(DAY, 2 * DAY)))  # fmt: skip
def test_an_answer_never_makes_the_clock_less_certain_and_a_set_clock_is_believed(known, fresh):
    both = merged(known, fresh)
    assert both.error_ms <= fresh.error_ms + 1
    assert abs(both.offset_ms - fresh.offset_ms) <= fresh.error_ms
    older = aged(known, fresh.at_ms)
    if abs(older.offset_ms - fresh.offset_ms) > older.error_ms + fresh.error_ms:
        assert both == fresh


def test_a_quick_answer_is_kept_against_slow_ones_until_it_is_old():
    quick = offset_of_answer(NOON + 1_005, 1_000, 1_010)
    assert merged(quick, offset_of_answer(NOON + 4_500, 3_000, 5_000)).error_ms <= quick.error_ms + 1
    hour_later = offset_of_answer(NOON + HOUR + 4_500, HOUR + 3_000, HOUR + 5_000)
    assert merged(quick, hour_later).error_ms > 100


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 100_000), jumps), max_size=20), st.integers(-DAY, DAY))
def test_no_setting_of_the_wall_clock_moves_the_exchanges(steps, ahead_ms):
    state = rules.adopted(State(), local(0))
    state = rules.with_time_answer(state, NOON + ahead_ms, local(0), local(0))
    steady, wall = 0, NOON
    for pause, jump in steps:
        steady, wall = steady + pause, wall + pause + jump
        now = local(steady, wall)
        state = rules.adopted(state, now)
        assert abs(rules.exchange_ms(state, now) - (NOON + ahead_ms + steady)) <= 1


def test_after_a_reboot_the_wall_clock_and_the_last_offset_serve_until_the_exchange_is_asked():
    state = rules.with_time_answer(
        rules.adopted(State(), local(5_000_000)), NOON + 700, local(5_000_000), local(5_000_000)
    )
    booted = local(9_000, NOON + HOUR, boot="another")
    assert rules.clock_error_ms(state, local(5_000_000)) < 20
    for after in (state, rules.adopted(state, booted)):
        assert abs(rules.exchange_ms(after, booted) - (NOON + HOUR + 700)) <= 1
        later = local(10_000, NOON + HOUR, boot="another")
        assert rules.clock_error_ms(rules.adopted(after, later), later) == rules.UNSURE_MS


@settings(deadline=None)
@given(st.lists(st.integers(-2_000, 2_000), max_size=50))
def test_an_offset_is_told_beyond_half_a_second_and_an_unsteady_one_only_once(offsets):
    off = False
    for offset in offsets:
        was, off = off, is_off(offset, was_off=off)
        if off != was:
            assert abs(offset) > OFF_MS if off else abs(offset) <= WELL_MS


@settings(deadline=None)
@given(st.integers(0, HOUR), st.integers(-DAY, DAY))
def test_a_jump_is_told_by_its_size_and_steering_is_none(pause, jump):
    found = jumped_ms(local(0), local(pause, NOON + pause + jump))
    assert found == (jump if abs(jump) >= JUMP_MS else 0)


def test_the_clocks_of_this_machine_are_read_as_they_are():
    first, second = read_local(), read_local()
    assert first.boot == second.boot
    assert first.steady_ms <= second.steady_ms
    assert first.wall_ms > NOON - 365 * DAY


class Stopped:
    """A ``time`` of a process that stands still before some of its readings, for so many milliseconds each."""

    def __init__(self, pauses_ms: Iterator[int]) -> None:
        self.pauses_ms = pauses_ms
        self.passed_ms = 0

    def _now_ns(self) -> int:
        self.passed_ms += next(self.pauses_ms)
        return self.passed_ms * 1_000_000

    def time_ns(self) -> int:
        return NOON * 1_000_000 + self._now_ns()

    def clock_gettime_ns(self, _clock: int) -> int:
        return self._now_ns()


@pytest.mark.parametrize("pauses_ms", [(0, 92, 0), (0, 0, 92), (0, 400, 400, 0, 92, 0)])
def test_both_clocks_are_of_one_moment_though_the_process_is_stopped_between_them(monkeypatch, pauses_ms):
    monkeypatch.setattr("kit.exchange_clock.time", Stopped(chain(pauses_ms, repeat(0))))
    here = read_local()
    assert here.wall_ms - NOON == here.steady_ms == sum(pauses_ms)


def test_a_machine_that_is_too_slow_is_told_a_time_all_the_same(monkeypatch):
    monkeypatch.setattr("kit.exchange_clock.time", Stopped(repeat(7)))
    here = read_local()
    assert here.wall_ms - NOON == here.steady_ms + 7
