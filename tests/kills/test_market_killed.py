"""The streamer and the period's work are killed at any moment, beside an exchange that does not wait for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kills.market_life import kill_market

pytestmark = pytest.mark.xdist_group("kills")


async def test_kills_of_the_streamer_and_the_flow_lose_nothing_and_the_restart_asks_for_what_is_missing(
    tmp_path: Path,
) -> None:
    life = await kill_market(tmp_path, kills=12, seed=3)
    assert life.kills >= 12
    assert life.completes > 0
