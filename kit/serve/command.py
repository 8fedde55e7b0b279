"""``python -m kit serve``: the page until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path

from kit import logs
from kit.serve.app import serving
from kit.serve.guard import is_loopback


def serve(base_dirs: Sequence[Path], host: str, port: int) -> None:
    """Serve the page and print its address; returns after a signal. OSError when the address cannot be listened on."""
    logs.configure()
    asyncio.run(_serve(base_dirs, host, port))


async def _serve(base_dirs: Sequence[Path], host: str, port: int) -> None:
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    async with serving(base_dirs, host, port) as address:
        print(f"status page: {address}", flush=True)  # noqa: T201 - a command
        if not is_loopback(host):
            print("It has no password: whoever reaches this address sees the markets.", flush=True)  # noqa: T201 - same
        await ending.wait()
