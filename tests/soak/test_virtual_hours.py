"""Hours of a streamer's life, played in seconds: nothing in it grows; and a little that did would be found."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from tests.bench.processes import Child
from tests.soak.census import grown

pytestmark = [pytest.mark.xdist_group("soak"), pytest.mark.timeout(900)]  # each hour has its own, shorter time

HOURS, HOURS_TO_FIND = 4, 3
SETTLED, ALLOWED = 2, 5
"""From the second hour on nothing may be added; one thing forgotten in each ten minutes would be six an hour."""
HAPPENS = ("opened", "lost", "refused", "rotated", "written")


def hours(scratch, count: int, *options: str) -> list[dict[str, Any]]:
    with Child("hours", ["tests.soak.virtual_hours", str(count), *options], scratch) as player:
        return [player.line(240) for _ in range(count)]


def test_nothing_in_a_streamer_grows_from_hour_to_hour_whatever_happens_to_it(tmp_path):
    played = hours(tmp_path, HOURS)
    assert grown(played, settled=SETTLED, allowed=ALLOWED) == {}
    assert all(later[what] > earlier[what] for what in HAPPENS for earlier, later in pairwise(played))
    log = (tmp_path / "hours.log").read_text()
    for event in ("disk.refuses", "frame.garbage", "candle.refused", "stream.stale", "connection.shutdown_announced"):
        assert event in log


def test_one_text_that_is_kept_of_each_connection_is_found(tmp_path):
    assert "held: list" in grown(hours(tmp_path, HOURS_TO_FIND, "--leak"), settled=SETTLED, allowed=ALLOWED)
