"""``python -m tests.bench.reading_process BASE_DIR RUN_MS REPEATS``: how long a strategy's reads take.

Each read is done once to warm up and then REPEATS times; prints one JSON object with the seconds of each.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from kit import CandleFileReader, Market
from kit.words import from_ms

if TYPE_CHECKING:
    from collections.abc import Callable


def seconds(read: Callable[[], object], repeats: int) -> list[float]:
    """Seconds of each of ``repeats`` reads, after one that is not counted."""
    read()
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        read()
        taken.append(time.perf_counter() - began)
    return taken


def main(base_dir: Path, run_ms: int, repeats: int) -> None:
    """Measure all."""
    market = Market(base_dir)
    symbol = sorted(market.ready(from_ms(run_ms)))[300]
    reader = CandleFileReader(market.folder.candles)
    reads: dict[str, Callable[[], object]] = {
        "all columns": market.candles,
        "closes": lambda: market.candles(columns=["close"]),
        "one symbol": lambda: market.candles(symbols=[symbol]),
        "one symbol, pandas": lambda: reader.read_candle(symbol),
        "newest period, ready": lambda: market.ready(from_ms(run_ms)),
        "newest period, candles": lambda: market.candles(last=1),
    }
    rows = {"all columns": market.candles().height, "one symbol": market.candles(symbols=[symbol]).height}
    print(json.dumps({"rows": rows, "seconds": {name: seconds(read, repeats) for name, read in reads.items()}}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
