"""The streamer's own way to the exchange's clock: the stamps of frames, some of them late, some of them nonsense."""

from __future__ import annotations

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kit.exchange_clock import OFF_MS, Local
from streamer.stamps import REMEMBERED, SLACK_MS, SPAN_MS, WITNESSES, StampClock

NOON = 1_795_348_800_000
HOUR = 3_600_000
DAY = 24 * HOUR
jumps = st.sampled_from([0, 0, 0, -DAY, DAY, -HOUR, HOUR, 3_000, -3_000])


class World:
    """A clock that hears; the exchange's true time is ``NOON`` + steady."""

    def __init__(self, wall_off_ms: int = 0) -> None:
        self.clock = StampClock()
        self.steady_ms = 1_000_000
        self.wall_off_ms = wall_off_ms

    @property
    def true_ms(self) -> int:
        return NOON + self.steady_ms

    @property
    def local(self) -> Local:
        return Local(self.true_ms + self.wall_off_ms, self.steady_ms, "this")

    def hear(self, *, latency_ms: int = 30, wrong_by_ms: int = 0) -> bool:
        return self.clock.hear(self.true_ms - latency_ms + wrong_by_ms, self.local)


@settings(deadline=None)
@given(st.integers(-DAY, DAY), st.lists(st.tuples(st.integers(1, 5_000), st.integers(0, 1_500), jumps), max_size=60))
def test_once_a_few_are_heard_every_true_stamp_is_believed_whatever_the_wall_clock_does(wall_off_ms, frames):
    world = World(wall_off_ms)
    for _ in range(WITNESSES):
        world.hear()
    for pause, latency, jump in frames:
        world.steady_ms += pause
        world.wall_off_ms += jump
        assert world.hear(latency_ms=latency)
        received = world.clock.received_ms(world.local)
        assert world.true_ms - 1_500 <= received <= world.true_ms + OFF_MS


@settings(deadline=None)
@given(
    st.integers(-DAY, DAY),
    st.lists(st.sets(st.integers(0, REMEMBERED - 1), max_size=(WITNESSES - 1) // 2), max_size=10),
    st.integers(SLACK_MS + 100, DAY),
)
def test_wrong_stamps_among_true_ones_are_never_believed(wall_off_ms, wrong_ones, wrong_by_ms):
    """Of any ``REMEMBERED`` in a row fewer are wrong than it takes witnesses; a wrong wall clock agrees with none."""
    assume(abs(wrong_by_ms - wall_off_ms) > SLACK_MS + 100)
    world = World(wall_off_ms)
    for _ in range(REMEMBERED):
        world.hear()
    for wrong in wrong_ones:
        for place in range(REMEMBERED):
            world.steady_ms += 100
            assert world.hear(wrong_by_ms=wrong_by_ms if place in wrong else 0) == (place not in wrong)


def test_the_first_stamp_is_believed_when_the_wall_clock_says_the_same():
    assert World(wall_off_ms=800).hear()
    assert not World(wall_off_ms=-HOUR).hear()


def test_a_slow_wall_clock_is_found_out_by_the_first_few_stamps():
    world = World(wall_off_ms=-HOUR)
    assert [world.hear() for _ in range(WITNESSES + 2)] == [False] * (WITNESSES - 1) + [True] * 3
    assert world.clock.offset_ms(world.local) == HOUR - 30


def test_frames_that_waited_for_minutes_are_believed_and_so_are_the_fresh_ones_after_them():
    world = World()
    assert all(world.hear(latency_ms=300_000) for _ in range(200))
    assert world.hear()


def test_stamps_are_wanted_each_second_and_at_once_while_one_could_not_be_believed():
    world = World(wall_off_ms=-HOUR)
    for _ in range(WITNESSES):
        assert world.clock.wants(now_s=5.0)
        world.hear()
    assert not world.clock.wants(now_s=5.9)
    assert world.clock.wants(now_s=6.0)
    assert not world.clock.wants(now_s=6.1)
    world.hear(wrong_by_ms=DAY)
    assert world.clock.wants(now_s=6.1)


def test_a_steady_clock_that_stood_still_is_made_up_for_by_a_few_stamps():
    """A virtual machine that was saved for an hour: its clocks go on where they stood, the wall clock is set later."""
    world = World()
    for _ in range(10):
        world.hear()
    late = [world.clock.hear(world.true_ms + HOUR, world.local) for _ in range(WITNESSES)]
    assert late == [False] * (WITNESSES - 1) + [True]
    assert world.clock.offset_ms(world.local) == HOUR


def test_a_clock_that_drifts_is_followed():
    world = World()
    for second in range(4 * SPAN_MS // 1000):
        world.steady_ms += 1_000
        assert world.clock.hear(world.true_ms - second, world.local)
    assert abs(world.clock.offset_ms(world.local) + 4 * SPAN_MS // 1000) <= 2 * SPAN_MS // 1000


def test_an_offset_turns_once_on_its_way_out_and_once_on_its_way_back():
    world = World()
    turns = []
    for wall_off_ms in (-1, -300, -600, -450, -510, -350, -100, -1):
        world.wall_off_ms = wall_off_ms
        world.hear(latency_ms=0)
        turns.append((world.clock.turned(world.local), world.clock.off))
    assert turns == [(False, False), (False, False), (True, True), (False, True), (False, True), (False, True),
                     (True, False), (False, False)]  # fmt: skip


def test_a_wall_clock_that_is_ahead_is_told_from_slow_frames_once_a_whole_span_was_heard():
    world, turned_after = World(wall_off_ms=2_000), []
    for second in range(2 * SPAN_MS // 1000):
        world.steady_ms += 1_000
        world.hear()
        turned_after += [second] if world.clock.turned(world.local) else []
    assert len(turned_after) == 1
    assert turned_after[0] >= SPAN_MS // 1000 - 1
    assert world.clock.off


def test_before_any_stamp_nothing_is_known():
    world = World(wall_off_ms=HOUR)
    assert world.clock.offset_ms(world.local) is None
    assert not world.clock.turned(world.local)
    assert world.clock.received_ms(world.local) == world.local.wall_ms


def test_the_first_frames_of_a_start_say_when_they_came_where_the_wall_clock_cannot_be_right():
    world = World(wall_off_ms=HOUR)
    assert world.hear(latency_ms=30)
    assert world.clock.received_ms(world.local) == world.true_ms - 30


def test_the_first_frames_of_a_start_leave_a_wall_clock_alone_that_can_be_right():
    world = World(wall_off_ms=0)
    assert world.hear(latency_ms=200)
    assert world.clock.received_ms(world.local) == world.local.wall_ms
