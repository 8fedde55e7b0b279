"""``python -m tests.bench.reader_process BASE_DIR FIRST_RUN_MS COUNT SKEW_MS``: a strategy that waits for candles.

For each of COUNT 1m run times it is woken by the file system, as ``Market.wait_ready`` is, looks at ``Market.ready``
and notes when each symbol was first seen to be readable. One JSON line a run time: milliseconds of the exchange's
clock by symbol.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from kit.market import Market
from kit.waiting import wait_until
from kit.words import from_ms

MINUTE_MS = 60_000
BEFORE_MS = 2_000  # begin to watch so long before the close
PATIENCE_S = 12.0


async def note_readable(market: Market, run_ms: int, symbols: int, skew_ms: int) -> dict[str, int]:
    """Exchange milliseconds at which each symbol's candle was readable here; ends when all are, or patience does."""
    seen: dict[str, int] = {}

    def look() -> bool | None:
        ready = market.ready(from_ms(run_ms))
        now_ms = time.time_ns() // 1_000_000 + skew_ms
        for symbol in ready:
            seen.setdefault(symbol, now_ms)
        return True if len(seen) >= symbols else None

    await wait_until(market.folder.candles, look, PATIENCE_S)
    return seen


async def main(base_dir: Path, first_run_ms: int, count: int, skew_ms: int) -> None:
    """All run times, one after the other."""
    market = Market(base_dir)
    symbols = len(market.ready(from_ms(first_run_ms - MINUTE_MS)))
    print(json.dumps({"symbols": symbols}), flush=True)
    for run_ms in range(first_run_ms, first_run_ms + count * MINUTE_MS, MINUTE_MS):
        await asyncio.sleep(max(0.0, (run_ms - BEFORE_MS - skew_ms) / 1000 - time.time()))
        readable = await note_readable(market, run_ms, symbols, skew_ms)
        print(json.dumps({"run_ms": run_ms, "readable": readable}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *map(int, sys.argv[2:5])))
