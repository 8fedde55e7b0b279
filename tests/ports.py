"""Ports for programs that cannot find one by themselves, or that come back on the one they had."""

from __future__ import annotations

import contextlib
import os
import random
import socket
from collections.abc import Iterator

PICKED_FROM = range(20_000, 32_768)
"""Below what Linux hands out for port 0 and for each connection's own end: there a port that was free a moment ago, or
whose server was just killed, is soon somebody else's."""
WORKERS = 8


def free_port() -> int:
    """A port on loopback that nobody has, and that nobody is given without asking for it by its number: each worker of
    pytest-xdist picks among ports of its own, for a server may take long to listen on what was picked for it."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports = list(PICKED_FROM[worker % WORKERS :: WORKERS])
    random.SystemRandom().shuffle(ports)  # of each process its own order, whatever seeds the others
    return next(port for port in ports if _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextlib.contextmanager
def nobodys_port() -> Iterator[int]:
    """A port on which nobody answers, nor will: it is held without listening, so connections are refused."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port: int = holder.getsockname()[1]
        yield port
