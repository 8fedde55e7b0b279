"""What the demo shows: its live view of a market's folder, and why it cannot go on."""

from __future__ import annotations

import pytest
from rich.console import Console

from deployments.demo.screen import Screen
from deployments.demo.services import ServiceDiedError, running
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


def test_a_port_that_somebody_took_is_told_however_much_the_server_says_after_it(tmp_path):
    cause = "ERROR: [Errno 98] error while attempting to bind on address ('127.0.0.1', 4200): address already in use"
    program = f"import sys; print({cause!r}); [print('traceback', n) for n in range(40)]; sys.exit(3)"
    with running(tmp_path, {}) as services:
        server = services.start("prefect-server", ["-c", program])
        server.process.wait(180)
        with pytest.raises(ServiceDiedError) as ended:
            services.check()
    assert cause in str(ended.value)
    assert "traceback 39" in str(ended.value)
    assert "traceback 10" not in str(ended.value)
