"""``python -m kit.embedded_exchange``: prints one JSON line with its URLs when ready, then runs until SIGTERM or
SIGINT.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from kit.embedded_exchange.exchange import EmbeddedExchange
from kit.embedded_exchange.faults import Fault, parse_fault
from kit.embedded_exchange.faults.listing import table
from kit.embedded_exchange.settings import Settings, parse_finals
from kit.errors import UnknownWordError
from kit.words import Venue


def _parser() -> argparse.ArgumentParser:
    usual = Settings()
    parser = argparse.ArgumentParser(prog="python -m kit.embedded_exchange", description=__doc__)
    parser.add_argument("--host", default=usual.host)
    parser.add_argument("--spot-port", type=int, default=usual.spot_port, help="0: any free port")
    parser.add_argument("--futures-port", type=int, default=usual.futures_port, help="0: any free port")
    parser.add_argument(
        "--control-port", type=int, default=None, help="0: any free port; without it no control endpoint"
    )
    parser.add_argument(
        "--fault", action="append", default=[], metavar="NAME:KEY=VALUE,...", help="a fault that is on from the start"
    )
    parser.add_argument("--faults", action="store_true", help="print the table of all faults and leave")
    parser.add_argument(
        "--symbols", type=int, default=usual.symbols, help="USDT pairs that trade, on each of spot and UM"
    )
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--update-ms", type=int, default=usual.update_ms, help="how often an open candle is pushed")
    parser.add_argument(
        "--spot-update-ms", type=int, default=None, help="the same on spot; without it eight times --update-ms"
    )
    parser.add_argument("--finals", default="real", help="real, burst or spread:SECONDS")
    parser.add_argument(
        "--weight-limit", type=int, default=usual.futures_weight_limit, help="of UM and CM together, a minute"
    )
    parser.add_argument("--spot-weight-limit", type=int, default=usual.spot_weight_limit)
    parser.add_argument("--history-days", type=int, default=usual.history_days)
    parser.add_argument(
        "--illiquid-share", type=float, default=usual.illiquid_share, help="0 to 1: symbols with silent minutes"
    )
    parser.add_argument("--skew-ms", type=int, default=usual.skew_ms, help="how far the exchange's clock is ahead")
    parser.add_argument("--connection-life-s", type=float, default=usual.connection_life_s)
    parser.add_argument(
        "--replay", action="append", default=[], metavar="FILE[,FILE]", help="archive files, zip or CSV"
    )
    parser.add_argument("--exchange-info", action="append", default=[], metavar="VENUE=FILE", help="a recorded answer")
    return parser


def settings_of(arguments: argparse.Namespace) -> Settings:
    """The settings of a command line.

    Raises:
        UnknownWordError: ``--finals`` or a venue of ``--exchange-info`` does not exist.
    """
    return Settings(
        host=arguments.host,
        spot_port=arguments.spot_port,
        futures_port=arguments.futures_port,
        control_port=arguments.control_port,
        symbols=arguments.symbols,
        seed=arguments.seed,
        update_ms=arguments.update_ms,
        spot_update_ms=arguments.spot_update_ms,
        finals=parse_finals(arguments.finals),
        futures_weight_limit=arguments.weight_limit,
        spot_weight_limit=arguments.spot_weight_limit,
        history_days=arguments.history_days,
        illiquid_share=arguments.illiquid_share,
        skew_ms=arguments.skew_ms,
        connection_life_s=arguments.connection_life_s,
        replay=tuple(Path(name) for group in arguments.replay for name in group.split(",")),
        exchange_info=dict(_recorded(text) for text in arguments.exchange_info),
    )


def _recorded(text: str) -> tuple[Venue, Path]:
    name, _, path = text.partition("=")
    venues = [venue.value for venue in Venue]
    if name not in venues:
        raise UnknownWordError("venue", name, venues)
    return Venue(name), Path(path)


async def run(settings: Settings, faults: Sequence[Fault] = ()) -> None:
    """Serves until SIGTERM or SIGINT, with these faults from the start."""
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    async with EmbeddedExchange(settings) as exchange:
        for fault in faults:
            exchange.faults.switch_on(fault)
        ports = {"spot": exchange.spot, "futures": exchange.futures}
        urls: dict[str, object] = {name: {"rest": port.rest, "ws": port.ws} for name, port in ports.items()}
        if exchange.control is not None:
            urls["control"] = exchange.control
        print(json.dumps(urls), flush=True)
        await ending.wait()


def main() -> int:
    """Exit code 0 after a signal, 2 for a wrong command line or file."""
    arguments = _parser().parse_args()
    if arguments.faults:
        print(table(), end="")
        return 0
    try:
        settings = settings_of(arguments)
        asyncio.run(run(settings, [parse_fault(words) for words in arguments.fault]))
    except (UnknownWordError, ValueError, OSError) as wrong:
        print(f"embedded exchange: {wrong}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
