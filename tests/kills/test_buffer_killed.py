"""The buffer's writers are killed at any moment, one or all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from polars.exceptions import PolarsError

from kit.errors import FolderError
from tests.kills.buffer_life import kill_writers
from tests.kills.roles import DEFECTS

pytestmark = pytest.mark.xdist_group("kills")


def test_hundreds_of_kills_lose_nothing_tear_nothing_and_make_nothing_up(tmp_path: Path) -> None:
    tally = kill_writers(tmp_path, kills=200, seed=1)
    print(tally)  # noqa: T201 - what was done, for whoever asks pytest with -s
    assert tally.kills >= 200
    assert tally.both > 20
    assert tally.stops > 3


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_writer_that_does_not_replace_files_whole_is_found(tmp_path: Path, defect: str) -> None:
    with pytest.raises((AssertionError, FolderError, PolarsError)):
        kill_writers(tmp_path, kills=40, seed=2, defect=defect)
