"""``python -m tests.soak.reader_process BASE_DIR SEED SYMBOL``: a strategy that waits for every period of a 1s market.

It waits for all symbols that are readable at its start but SYMBOL, which is going to be delisted. One JSON line a
period: ``run_ms``, and ``delay_ms`` from the exchange's last final of the period to all of them readable here, or
``missing`` when they were not within PATIENCE_S.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from kit.embedded_exchange.settings import Finals
from kit.errors import NotReadyError
from kit.market import Market
from kit.words import from_ms

SECOND_MS = 1000
PATIENCE_S = 10.0


def last_final_ms(symbols: list[str], run_ms: int, seed: int) -> int:
    """When the exchange sends the last final of a period, which it decides by seed, symbol and time."""
    finals = Finals()
    return run_ms + max(finals.delay_ms(seed, name, run_ms - SECOND_MS, illiquid=False) for name in symbols)


async def main(base_dir: Path, seed: int, leaves: str) -> None:
    """Until it is killed."""
    market = Market(base_dir)
    run_ms = time.time_ns() // 1_000_000 // SECOND_MS * SECOND_MS
    symbols = sorted(market.ready(from_ms(run_ms - 5 * SECOND_MS)) - {leaves})
    while True:
        run_ms = max(run_ms + SECOND_MS, time.time_ns() // 1_000_000 // SECOND_MS * SECOND_MS)
        due_ms = last_final_ms(symbols, run_ms, seed)
        await asyncio.sleep(max(0.0, run_ms / 1000 - time.time()))
        try:
            await market.wait_ready(symbols, from_ms(run_ms), PATIENCE_S)
            told: dict[str, object] = {"delay_ms": time.time_ns() / 1e6 - due_ms}
        except NotReadyError as error:
            told = {"missing": str(error)}
        print(json.dumps({"run_ms": run_ms, "symbols": len(symbols), **told}), flush=True)  # noqa: T201 - said so above


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
