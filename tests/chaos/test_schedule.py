"""Schedules follow from their seed, and reach everything."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.schedule import ENDLESS, PALETTE, schedule
from tests.chaos.trials import TRIALS


@given(seed=st.integers(0, 2**40), seconds=st.floats(1, 300), endless=st.booleans())
def test_a_schedule_is_a_function_of_its_seed(seed: int, seconds: float, endless: bool) -> None:
    once, again = (schedule(seed, seconds, endless=endless) for _ in range(2))
    assert once == again
    assert all(0 <= timed.at_s <= seconds for timed in once)
    assert [timed.at_s for timed in once] == sorted(timed.at_s for timed in once)


def test_other_seeds_give_other_schedules() -> None:
    assert len({schedule(seed, 60) for seed in range(50)}) == 50


def test_everything_in_the_palette_comes_up() -> None:
    names = {timed.act.name for seed in range(60) for timed in schedule(seed, 120, endless=True)}
    assert len(names) >= len(PALETTE + ENDLESS) - 3  # late finals come in two kinds, kills and pauses hit the same


def test_every_fault_of_the_palette_is_also_tried_alone() -> None:
    alone = {act.name for trial in TRIALS for act in trial.acts}
    drawn = {timed.act.name for seed in range(60) for timed in schedule(seed, 120, endless=True)}
    assert drawn <= alone | {"life"}, "a connection's life ends like forced_disconnect"
