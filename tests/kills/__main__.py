"""``python -m tests.kills --kills 500 --seed N``: the same kills as in the tests, as many as one likes."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

from tests.kills.buffer_life import kill_writers
from tests.kills.market_life import kill_market

SHARE_OF_MARKET = 10
"""One kill in so many is one of the real streamer or of a period's work: they take a hundred times as long."""


def main() -> None:
    """The command line; a failed assertion says what was lost, torn or made up."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    of_market = options.kills // SHARE_OF_MARKET
    with tempfile.TemporaryDirectory(prefix="kills-") as path:
        tally = kill_writers(Path(path) / "buffer", kills=options.kills - of_market, seed=options.seed)
        print(f"the buffer's writers: {tally}", flush=True)
        life = asyncio.run(kill_market(Path(path) / "market", kills=of_market, seed=options.seed))
        print(f"the real programs: {life.kills} killed, {life.compared} candles compared")


if __name__ == "__main__":
    main()
