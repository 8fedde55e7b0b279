"""Cuts, silence, refusals, rotations, listings in any order: all wanted streams are carried again, none is doubled."""

from __future__ import annotations

import random

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from streamer.life import Backoff, Ended, EndKind, Pace
from streamer.timing import Timing
from tests.models.connection_machine import ConnectionMachine
from tests.models.stream_exchange import ATTEMPTS_IN_FIVE_MINUTES

TestConnectionsInAnyOrder = ConnectionMachine.TestCase
# No shrinking: the steps are told as they are, and a failure must not take minutes.
TestConnectionsInAnyOrder.settings = settings(
    max_examples=30,
    stateful_step_count=35,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
    phases=(Phase.explicit, Phase.generate),
)


@given(st.lists(st.floats(0, 3) | st.floats(0, 400), min_size=1, max_size=400), st.integers(1, 300))
def test_however_often_connections_are_cut_the_attempts_stay_within_the_exchanges_limit(steps, allowed):
    pace, now, opened = Pace(5.0, allowed), 1000.0, []
    for step in steps:
        now += step
        opened.append(now + pace.wait_s(now))
    assert all(later - earlier >= 299.999 for earlier, later in zip(opened, opened[allowed:], strict=False))
    assert opened == sorted(opened)


def test_places_that_are_cut_every_ten_seconds_come_back_at_once_until_the_limit_is_near():
    pace, backoff = Pace(5.0, Timing().opens_in_five_minutes), Backoff(Timing(), random.Random(1))
    sound = Ended(EndKind.LOST, "cut", lived_s=10.0, delivered=True)
    attempts = []
    for step in range(60):
        now = 1000.0 + 10.0 * step
        attempts += [now + backoff.after(sound) + pace.wait_s(now) for _ in range(64)]
    first_five_minutes = [at for at in attempts if at < 1300.0]
    assert len(first_five_minutes) == Timing().opens_in_five_minutes <= ATTEMPTS_IN_FIVE_MINUTES
