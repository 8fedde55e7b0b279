"""``python -m tests.bench.exchange_process``: the embedded exchange with a record of what it sent and was asked.

Prints its URLs as one JSON line. A line ``{"spread_from_ms": N}`` on stdin changes the finals of candles that close
from then on from one burst to a spread of five seconds. A line ``{"report": true}`` prints the event time of every
final and the REST requests so far.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kit.embedded_exchange.exchange import EmbeddedExchange
from kit.embedded_exchange.settings import Finals, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

NEVER_MS = 1 << 62
FINAL = re.compile(rb'"E":(\d+),"s":"([^"]+)","k":\{"t":(\d+)')


@dataclass(frozen=True)
class BurstThenSpread(Finals):
    """All finals at once until the candle that begins at ``spread_from_ms[0]``, from then on spread."""

    spread_from_ms: list[int] = field(default_factory=lambda: [NEVER_MS])

    def delay_ms(self, seed: int, symbol: str, begin_ms: int, *, illiquid: bool) -> int:
        """Milliseconds from the close to the final event of one candle."""
        finals = Finals("spread", 5.0) if begin_ms >= self.spread_from_ms[0] else Finals("burst")
        return finals.delay_ms(seed, symbol, begin_ms, illiquid=illiquid)


def record_finals(exchange: EmbeddedExchange) -> list[bytes]:
    """The frames of all futures finals from now on, as they go out. They are read when the report is asked for."""
    frames: list[bytes] = []
    hub = exchange.futures._hub  # the one place that all finals pass
    finals: Callable[[int], Any] = hub.finals

    def recorded(now_ms: int) -> Any:
        outbox = finals(now_ms)
        for sent in outbox.values():
            frames.extend(sent)
        return outbox

    hub.finals = recorded  # type: ignore[method-assign]  # watched for the measurement, otherwise unchanged
    return frames


def report(exchange: EmbeddedExchange, frames: list[bytes]) -> dict[str, Any]:
    """``finals``: event time in ms by begin time and symbol; ``requests``: counts and weight by status and path."""
    finals: dict[str, dict[str, int]] = {}
    for frame in frames:
        found = FINAL.search(frame)
        if found is not None:
            event_ms, symbol, begin_ms = found.groups()
            finals.setdefault(begin_ms.decode(), {})[symbol.decode()] = int(event_ms)
    status: Counter[str] = Counter()
    weight: Counter[str] = Counter()
    for request in exchange.requests:
        status[str(request.status)] += 1
        weight[request.path] += request.weight
    return {"finals": finals, "status": status, "weight": weight}


async def serve(settings: Settings, finals: BurstThenSpread | None) -> None:
    """Until SIGTERM."""
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    async with EmbeddedExchange(settings) as exchange:
        frames = record_finals(exchange)
        print(json.dumps({"rest": exchange.futures.rest, "ws": exchange.futures.ws}), flush=True)
        reader = asyncio.StreamReader(limit=1 << 20)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        listening = asyncio.create_task(_obey(reader, exchange, frames, finals))
        await ending.wait()
        listening.cancel()


async def _obey(
    reader: asyncio.StreamReader, exchange: EmbeddedExchange, frames: list[bytes], finals: BurstThenSpread | None
) -> None:
    async for line in reader:
        order = json.loads(line)
        if finals is not None and "spread_from_ms" in order:
            finals.spread_from_ms[0] = order["spread_from_ms"]
        if "report" in order:
            print(json.dumps(report(exchange, frames)), flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, required=True)
    parser.add_argument("--weight-limit", type=int, required=True)
    parser.add_argument("--skew-ms", type=int, required=True)
    parser.add_argument("--bursts", action="store_true", help="no silent symbols, finals in bursts")
    options = parser.parse_args()
    finals = BurstThenSpread() if options.bursts else None
    settings = Settings(
        symbols=options.symbols,
        futures_weight_limit=options.weight_limit,
        skew_ms=options.skew_ms,
        finals=finals or Finals(),
        illiquid_share=0.0 if options.bursts else Settings.illiquid_share,
    )
    asyncio.run(serve(settings, finals))


if __name__ == "__main__":
    main()
