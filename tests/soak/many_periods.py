"""``python -m tests.soak.many_periods COUNT BASE_DIR``: so many periods' work, one right after the other.

What a worker does in a market's thread, but for the waiting: each period gets the newest candles by REST, fills and
judges the window, audits, compacts. A JSON line (``tests.soak.census``) after each EVERY periods. With ``--leak`` each
one leaves a descriptor and a text behind: what must be found.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from datetime import timedelta
from pathlib import Path

from flows.attempts import Patience, do_period
from flows.board import Work
from flows.markets import served_market
from flows.steps import run_period
from flows.worker.tally import Tally
from kit.logs import configure
from kit.words import utc_now
from tests.soak.census import census

EVERY = 20
FINAL_AFTER = timedelta(seconds=3)
LONG_AGO = timedelta(minutes=5)
"""The first period's: with the second all of its candles leave the window, and the largest block retires."""
ENOUGH_TIME = timedelta(minutes=1)
KEPT: list[str] = []


async def work(base_dir: Path, count: int, *, leak: bool) -> None:
    """Do them, and tell."""
    market = served_market(base_dir)
    tally = Tally([base_dir])
    for number in range(1, count + 1):
        ago = LONG_AGO if number == 1 else FINAL_AFTER
        period = Work(market, market.pace.newest_closed(utc_now() - ago))
        tally.begun(period)
        ending = await do_period(run_period, period, utc_now() + ENOUGH_TIME, Patience(attempts=1))
        tally.ended(period, ending)
        if leak:
            KEPT.append(f"{os.open(base_dir, os.O_RDONLY)}")
        if number % EVERY == 0:
            with tally.at(base_dir) as counts:
                verdicts = {str(name): times for name, times in counts.verdicts.items()}
            print(json.dumps({"periods": number, "verdicts": verdicts, **census()}), flush=True)  # noqa: T201 - said so above


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.soak.many_periods", description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("base_dir", type=Path)
    parser.add_argument("--leak", action="store_true")
    options = parser.parse_args()
    configure("json")
    asyncio.run(work(options.base_dir.absolute(), options.count, leak=options.leak))
