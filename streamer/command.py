"""``python -m streamer BASE_DIR [BASE_DIR ...]``: keep the closed candles of these markets flowing into their buffers.

One streamer works on a folder. A second one is refused, or stands by with ``--standby``: it opens no connection and
takes each folder over as soon as the streamer that holds it has ended, however that ended.

Exit codes: 0 after SIGTERM or SIGINT (within 5 s), 2 for a config, a folder or a port that cannot be used, 1 for a bug.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

from kit.config import load_config
from kit.errors import ConfigError, FolderBusyError, FolderError
from kit.logs import configure
from kit.metrics import VARIABLE, Address, MetricsError, parse_address
from streamer.app import Streamer
from streamer.systemd import manager_of, report


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m streamer", description=__doc__)
    parser.add_argument("base_dirs", metavar="BASE_DIR", nargs="+", type=Path, help="folder with a config.json")
    parser.add_argument(
        "--standby", action="store_true", help="wait for folders that another streamer holds, and take them over"
    )
    parser.add_argument(
        "--metrics",
        metavar="[HOST:]PORT",
        default=os.environ.get(VARIABLE),
        help=f"tell Prometheus how it is, under /metrics; default: {VARIABLE}, else nobody",
    )
    parser.add_argument("--log-format", choices=["auto", "console", "json"], default="auto")
    options = parser.parse_args(arguments)
    configure(options.log_format)
    logging.getLogger("websockets").setLevel(logging.CRITICAL)  # what it reports as errors, we report as events
    try:
        metrics = parse_address(options.metrics)
        configs = [load_config(path) for path in dict.fromkeys(path.resolve() for path in options.base_dirs)]
        asyncio.run(_stream(Streamer(configs), standby=options.standby, metrics=metrics))
    except FolderBusyError as error:
        sys.stderr.write(f"{error}, or stand by for it: python -m streamer --standby ...\n")
        return 2
    except (ConfigError, FolderError, MetricsError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


async def _stream(streamer: Streamer, *, standby: bool, metrics: Address | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with ExitStack() as served:
        if metrics is not None:
            from streamer.metrics import serving_metrics  # noqa: PLC0415 - 11 MB, only for those who want it

            served.enter_context(serving_metrics(streamer, metrics))
        manager = manager_of(os.environ, os.getpid())
        reporting = None if manager is None else asyncio.create_task(report(manager, streamer, stop))
        await streamer.run(stop, standby=standby)
        if reporting is not None:
            await reporting
