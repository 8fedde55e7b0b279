"""Random sequences of faults, several at once: one seed that stays, and every seed that ever failed.

``python -m tests.chaos --minutes 30 --seed N`` plays others, for longer.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.__main__ import SEEDS, sequence

pytestmark = [pytest.mark.xdist_group("chaos_b"), pytest.mark.timeout(600)]

FIRST = (1, 25.0)
"""A seed and its length in seconds."""


def played_again() -> list[tuple[int, float]]:
    """The seeds of ``seeds.txt``."""
    lines = [line.split() for line in SEEDS.read_text("utf-8").splitlines() if line.strip() and line[0] != "#"]
    return [(int(words[0]), float(words[1])) for words in lines]


@pytest.mark.parametrize(("seed", "seconds"), [FIRST, *played_again()])
def test_a_random_sequence_of_faults_loses_nothing_and_calls_nothing_complete_that_is_not(
    tmp_path: Path, seed: int, seconds: float
) -> None:
    came = sequence(seed, seconds, tmp_path / "stage")
    assert came["problems"] == [], came["schedule"]
    assert came["judge"]["spot"]["failed_reads"] == 0
    assert came["judge"]["spot"]["compared"] > 100
