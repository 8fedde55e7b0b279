"""What is growth between looks at a process, and what is not."""

from __future__ import annotations

import pytest

from tests.soak.census import census, grown


def looks(*counts: int, files: int = 5):
    return [{"objects": {"x": count, "y": 3}, "held": {"list": 10}, "files": files} for count in counts]


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ((10, 20, 30, 40), {"objects: x": [10, 20, 30, 40]}),
        ((90, 20, 30, 40), {}),  # settled=1: the first interval shrank
        ((10, 90, 90, 90), {}),
        ((10, 20, 19, 90), {}),
        ((10, 15, 20, 25), {}),
    ],
)
def test_growth_is_more_at_each_look(counts, found):
    assert grown(looks(*counts), settled=1, allowed=5) == found


def test_looks_before_it_has_settled_do_not_count():
    assert grown(looks(90, 20, 30, 40), settled=2, allowed=5) == {"objects: x": [20, 30, 40]}


def test_descriptors_and_kinds_that_are_new_count():
    seen = [*looks(1), *looks(1, files=15)]
    seen[1]["held"]["set"] = 7
    assert grown(seen, settled=1, allowed=5) == {"files": [5, 15], "held: set": [0, 7]}


def test_a_census_counts_what_is_held():
    before = census()
    kept = [[f"{number}" for number in range(1000)]]
    after = census()
    assert after["held"]["list"] - before["held"]["list"] >= len(kept[0])
