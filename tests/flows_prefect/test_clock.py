from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.markets import Pace, check_run_time
from flows.worker.clock import Due, MarketClock, next_due
from kit.errors import FolderError, NaiveTimeError
from kit.words import EPOCH, utc_now
from tests.flows_prefect.builders import FIVE_MINUTES, RUN_TIME, TINY, market, outcome

if TYPE_CHECKING:
    from pathlib import Path

    from flows.attempts import RunPeriod
    from flows.board import Ending, Work
    from flows.steps import Outcome

OFFSET = FIVE_MINUTES.offset


def test_the_first_period_of_a_process_is_the_newest_due_and_starts_at_once() -> None:
    assert next_due(None, RUN_TIME + timedelta(minutes=2), FIVE_MINUTES) == Due(RUN_TIME, RUN_TIME + OFFSET)


def test_a_period_is_not_due_before_its_offset() -> None:
    due = next_due(None, RUN_TIME + timedelta(seconds=2.9), FIVE_MINUTES)
    assert due.run_time == RUN_TIME - timedelta(minutes=5)


def test_the_period_after_the_last_is_next() -> None:
    following = RUN_TIME + timedelta(minutes=5)
    assert next_due(RUN_TIME, RUN_TIME + timedelta(seconds=4), FIVE_MINUTES) == Due(following, following + OFFSET)


def test_targets_that_passed_unseen_are_skipped_to_the_newest_and_counted() -> None:
    now = RUN_TIME + timedelta(minutes=20, seconds=10)
    due = next_due(RUN_TIME, now, FIVE_MINUTES)
    assert due.run_time == RUN_TIME + timedelta(minutes=20)
    assert due.skipped == 3


def test_a_clock_set_back_by_hours_does_not_stop_the_periods() -> None:
    now = RUN_TIME - timedelta(hours=3)
    due = next_due(RUN_TIME, now, FIVE_MINUTES)
    assert timedelta(0) < due.target - now <= FIVE_MINUTES.interval


def test_a_clock_set_back_by_a_second_repeats_no_period() -> None:
    due = next_due(RUN_TIME, RUN_TIME + timedelta(seconds=2), FIVE_MINUTES)
    assert due.run_time == RUN_TIME + FIVE_MINUTES.interval


@given(
    last=st.none() | st.integers(0, 3000),
    now=st.datetimes(datetime(2026, 1, 1), datetime(2026, 1, 3), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis wants them naive
    offset=st.integers(0, 299),
)
def test_whatever_the_clock_shows_the_next_target_is_at_most_an_interval_away(
    last: int | None, now: datetime, offset: int
) -> None:
    pace = Pace(timedelta(minutes=5), timedelta(seconds=offset))
    start = datetime(2026, 1, 1, tzinfo=UTC)
    last_run = None if last is None else start + last * pace.interval
    due = next_due(last_run, now, pace)
    assert not (due.run_time - EPOCH) % pace.interval
    assert due.target - now <= 2 * pace.interval
    assert due.target + pace.interval > now  # never an old one


@pytest.mark.parametrize(
    ("run_time", "error"),
    [
        (RUN_TIME.replace(tzinfo=None), NaiveTimeError),
        (RUN_TIME + timedelta(seconds=1), FolderError),
        (RUN_TIME + timedelta(minutes=5), FolderError),
    ],
)
def test_a_run_time_without_zone_off_the_grid_or_in_the_future_is_refused(
    run_time: datetime, error: type[Exception], tmp_path: Path
) -> None:
    with pytest.raises(error):
        check_run_time(FIVE_MINUTES, tmp_path, run_time, RUN_TIME + timedelta(minutes=1))


class Periods:
    """Collects what a clock began and ended."""

    def __init__(self) -> None:
        self.begun: list[tuple[datetime, datetime]] = []
        self.works: list[Work] = []
        self.ended: list[Ending] = []

    def begin(self, work: Work) -> None:
        self.works.append(work)
        self.begun.append((work.run_time, utc_now()))

    def end(self, _work: Work, ending: Ending) -> None:
        self.ended.append(ending)

    def wait_for(self, count: int, within_sec: float = 90) -> None:
        deadline = time.monotonic() + within_sec
        while len(self.begun) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(self.begun) >= count


def clock_of(run_period: RunPeriod, periods: Periods) -> MarketClock:
    return MarketClock(market(pace=TINY), run_period, on_begin=periods.begin, on_end=periods.end)


async def quick(*_: object, **__: object) -> Outcome:
    return outcome()


def test_every_period_is_begun_once_and_never_before_its_target() -> None:
    periods = Periods()
    clock = clock_of(quick, periods)
    clock.start()
    periods.wait_for(4)
    clock.stop()
    assert clock.join(30)
    run_times = [run_time for run_time, _ in periods.begun]
    assert len(set(run_times)) == len(run_times)
    assert run_times == sorted(run_times)
    assert all(at >= TINY.target(run_time) for run_time, at in periods.begun)


def test_work_that_does_not_end_is_cut_before_the_next_period_which_starts_all_the_same() -> None:
    cancelled = threading.Event()

    async def endless(*_: object, **__: object) -> Outcome:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return outcome()

    periods = Periods()
    clock = clock_of(endless, periods)
    clock.start()
    periods.wait_for(3)
    clock.stop()
    assert clock.join(30)
    assert cancelled.is_set()
    assert any(isinstance(ending.error, TimeoutError) for ending in periods.ended)


def test_a_clock_with_work_in_hand_stops_within_a_second_or_two() -> None:
    async def long(*_: object, **__: object) -> Outcome:
        await asyncio.sleep(60)
        return outcome()

    periods = Periods()
    pace = Pace(timedelta(days=1), timedelta(0))  # what is cut is cut by the stop, not by the next period
    clock = MarketClock(market(pace=pace), long, on_begin=periods.begin, on_end=periods.end)
    clock.start()
    periods.wait_for(1)
    clock.stop()
    assert clock.join(30)  # the work would take 60
    assert periods.ended == []  # nobody is alarmed by a stop
    last = periods.works[0].ending
    assert last is not None
    assert isinstance(last.error, asyncio.CancelledError)


def test_work_that_breaks_in_an_unforeseen_way_leaves_the_clock_running() -> None:
    async def broken(*_: object, **__: object) -> Outcome:
        raise KeyError("nobody thought of this")

    periods = Periods()
    clock = clock_of(broken, periods)
    clock.start()
    periods.wait_for(3)
    assert clock.alive
    clock.stop()
    assert clock.join(30)
