"""The demo's live view of a market's folder."""

from __future__ import annotations

from rich.console import Console

from deployments.demo.screen import Screen
from deployments.demo.stage import MARKETS, Scene
from kit.words import from_ms, utc_now
from tests.serve.builders import STEP, market_in


def test_factors_stay_in_sight_while_those_of_the_newest_run_time_are_being_computed(tmp_path):
    market = market_in(tmp_path / "markets" / MARKETS[0])
    for path in market.base_dir.glob("factors_*/*.parquet"):
        path.unlink()
    before_ms = market.due_ms - STEP
    market.factors(before_ms, {"PctChg_5": [0.3, None, 0.2, -0.1], "Rsi_3": [50.0, 70.0, 30.0, 40.0]})
    console = Console(width=100, force_terminal=False)
    with console.capture() as captured:
        console.print(Screen(Scene(tmp_path, 0, 0), utc_now(), None).ranking())
    assert f"PctChg_5 at {from_ms(before_ms).astimezone():%H:%M}: highest" in captured.get()
    assert "+0.3000" in captured.get()
