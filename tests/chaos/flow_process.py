"""``python -m tests.chaos.flow_process BASE_DIR=SECONDS ...``: the worker's own clocks without Prefect.

Each market's work is due every so many seconds, which for 1s candles may be several periods. Prints the record of every
period's work as a JSON line; ends when stdin does, or by SIGTERM.
"""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path

from flows.board import Ending, Work
from flows.markets import Pace, ServedMarket
from flows.steps import run_period
from flows.worker.clock import MarketClock
from kit.config import load_config
from kit.logs import configure
from tests.chaos.lines import say


def served(text: str) -> ServedMarket:
    """The market of an argument."""
    name, _, seconds = text.rpartition("=")
    config = load_config(Path(name))
    return ServedMarket(Path(name), Path(name).name, Pace(timedelta(seconds=float(seconds)), config.offset))


def tell(work: Work, ending: Ending) -> None:
    """One line for what came of it."""
    record = None if ending.outcome is None else ending.outcome.record.as_dict()
    error = None if ending.error is None else str(ending.error)
    say({"market": work.market.label, "record": record, "error": error})


def main(arguments: list[str]) -> None:
    """Serve until stdin ends."""
    configure("json")
    clocks = [MarketClock(served(text), run_period, on_begin=lambda _: None, on_end=tell) for text in arguments]
    for clock in clocks:
        clock.start()
    say({"ready": True})
    sys.stdin.read()
    for clock in clocks:
        clock.stop()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
