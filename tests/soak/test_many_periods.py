"""Many periods' work in one process: it leaves nothing behind; and a little that it did would be found."""

from __future__ import annotations

from typing import Any

import pytest

from tests.bench.processes import Child
from tests.soak.census import grown
from tests.soak.many_periods import EVERY
from tests.soak.stage import write_config

pytestmark = [pytest.mark.xdist_group("soak"), pytest.mark.timeout(900)]  # each look has its own, shorter time

SETTLED, LOOKS, LOOKS_TO_FIND = 1, 4, 2
ALLOWED = 5
"""One thing forgotten in each period would be 20 from look to look."""


def looks(scratch, count: int, *options: str) -> list[dict[str, Any]]:
    market = ["--symbols", "3", "--illiquid-share", "0", "--spot-weight-limit", "1000000"]
    with Child("exchange", ["kit.embedded_exchange", *market], scratch) as exchange:
        write_config(scratch / "market", exchange.line(90)["spot"], 20)
        periods = ["tests.soak.many_periods", str(count * EVERY), str(scratch / "market"), *options]
        with Child("periods", periods, scratch) as worker:
            return [worker.line(240) for _ in range(count)]


def test_the_work_of_many_periods_leaves_nothing_in_the_process(tmp_path):
    seen = looks(tmp_path, LOOKS)
    assert grown(seen, settled=SETTLED, allowed=ALLOWED) == {}
    done = seen[-1]["verdicts"]
    assert set(done) <= {"Completed", "AlreadyDone"}
    assert done["Completed"] > 1


def test_a_descriptor_and_a_text_that_each_period_leaves_are_found(tmp_path):
    found = grown(looks(tmp_path, LOOKS_TO_FIND, "--leak"), settled=SETTLED, allowed=ALLOWED)
    assert {"files", "held: list"} <= set(found)
