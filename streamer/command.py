"""``python -m streamer BASE_DIR [BASE_DIR ...]``: keep the closed candles of these markets flowing into their buffers.

Exit codes: 0 after SIGTERM or SIGINT (within 5 s), 2 for a config or a folder that cannot be used, 1 for a bug.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from kit.config import load_config
from kit.errors import ConfigError, FolderError
from kit.logs import configure
from streamer.app import Streamer


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m streamer", description=__doc__)
    parser.add_argument("base_dirs", metavar="BASE_DIR", nargs="+", type=Path, help="folder with a config.json")
    parser.add_argument("--log-format", choices=["auto", "console", "json"], default="auto")
    options = parser.parse_args(arguments)
    configure(options.log_format)
    logging.getLogger("websockets").setLevel(logging.CRITICAL)  # what it reports as errors, we report as events
    try:
        configs = [load_config(path) for path in dict.fromkeys(path.resolve() for path in options.base_dirs)]
        asyncio.run(_stream(Streamer(configs)))
    except (ConfigError, FolderError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


async def _stream(streamer: Streamer) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await streamer.run(stop)
