"""What systemd is told (sd_notify(3)) when it has started the streamer as ``Type=notify``: ready, how it is, alive.

Alive means that candles can reach the disk. ``WATCHDOG=1`` is sent from the event loop, a few times in each
``WatchdogSec``, and only while no write to a base directory has been under way for longer than half of it. So a loop
that blocks, a process that is stopped and a disk that hangs all starve the watchdog. A disk that refuses (full, read
only) does not, nor does an exchange that is away: a new process would be refused as well, and what is pending in this
one would be lost.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from kit.outside import printable
from kit.words import from_ms
from streamer.app import StreamedMarket, Streamer

logger = structlog.stdlib.get_logger(__name__)

TELL_EVERY_S = 5.0  # as often as the heartbeat is written
PINGS = 4  # within WatchdogSec: systemd asks for two, and a loaded machine may miss one
HUNG_SHARE = 0.5  # of WatchdogSec, after which a write hangs
MAX_STATUS_CHARS = 1000  # it is one line of `systemctl status`


@dataclass(frozen=True)
class Manager:
    """Where the service manager listens. ``watchdog_s``: it kills who is silent for so long; None: it does not."""

    address: str
    watchdog_s: float | None = None

    @property
    def tell_every_s(self) -> float:
        """Seconds between two messages."""
        return TELL_EVERY_S if self.watchdog_s is None else min(TELL_EVERY_S, self.watchdog_s / PINGS)

    def feeds(self, slowest_write_s: float) -> bool:
        """Whether a process whose slowest write has taken so long is alive."""
        return self.watchdog_s is not None and slowest_write_s <= self.watchdog_s * HUNG_SHARE

    def tell(self, **fields: str) -> None:
        """Send one message; a manager that does not take it harms nothing but is logged."""
        message = "\n".join(f"{name}={value}" for name, value in fields.items()).encode()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto(message, self.address)
        except OSError as error:
            logger.warning("systemd.unreachable", error=str(error))


def manager_of(environment: Mapping[str, str], pid: int) -> Manager | None:
    """The manager that ``environment`` names for process ``pid``; None where nobody wants to be told."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return None
    period = environment.get("WATCHDOG_USEC", "")
    meant = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
    watchdog_s = int(period) / 1e6 if meant and period.isascii() and period.isdigit() and int(period) else None
    return Manager(f"\0{address[1:]}" if address[0] == "@" else address, watchdog_s)


def status_line(markets: Sequence[StreamedMarket]) -> str:
    """All markets in one line, or that another streamer is waited for."""
    return printable("; ".join(map(_of_market, markets)) or "standing by", limit=MAX_STATUS_CHARS)


def _of_market(market: StreamedMarket) -> str:
    wanted, delivering = market.route.delivering(market.sink.name)
    newest = f"{from_ms(market.stats.last_run_ms):%H:%M:%SZ}" if market.stats.last_run_ms else "none yet"
    trouble = "" if market.stats.disk_error is None else f", the disk refuses ({market.stats.disk_error})"
    pending = f", {market.writer.pending} unwritten" if market.writer.pending else ""
    return f"{market.folder.candles.name}: {delivering} of {wanted} streams deliver, newest {newest}{pending}{trouble}"


async def report(manager: Manager, streamer: Streamer, stop: asyncio.Event) -> None:
    """Tell the manager from when the folders are held (or stood by for) until ``stop`` is set."""
    await streamer.begun.wait()
    manager.tell(READY="1", STATUS=status_line(streamer.markets))
    while not stop.is_set():
        alive = {"WATCHDOG": "1"} if manager.feeds(streamer.slowest_write_s()) else {}
        manager.tell(STATUS=status_line(streamer.markets), **alive)
        try:
            async with asyncio.timeout(manager.tell_every_s):
                await stop.wait()
        except TimeoutError:
            continue
    manager.tell(STOPPING="1", STATUS="writing what is pending")
