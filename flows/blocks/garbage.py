"""Keeps Prefect's server on SQLite from standing still for a minute: its garbage is collected in a thread of its own.

A statement that failed ("database is locked", a constraint) stays with its cursor, and that with the error's traceback,
until the garbage collector comes. Python runs it wherever memory is asked for, so mostly in the event loop. There it
resets the statement, and waits for the connection; whose thread may be waiting for the lock of the database, up to the
60 s of Prefect's ``busy_timeout``; and who has the lock may be waiting for the event loop. In a thread of its own only
the collector waits. (CPython 3.11; 3.12 takes the statement from the cursor when it fails.)
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Sequence
from itertools import count

EVERY_SEC = 0.5
FULLY_EVERY = 60
"""Of so many collections one looks at all that is; the others at what is young."""


def stands_still(arguments: Sequence[str], database: str, python: tuple[int, int]) -> bool:
    """Whether a process with that command line, database's address and version of Python needs this.

    It is ``prefect server start``, in the foreground or what its ``--background`` starts.
    """
    server = list(arguments[1:3]) == ["server", "start"] or any("prefect.server.api" in word for word in arguments)
    return server and not database.startswith("postgresql") and python < (3, 12)


def collect_apart() -> None:
    """Collect garbage in a thread from now on, and nowhere else. What there is now counts as lasting for ever."""
    gc.collect()
    gc.freeze()
    gc.disable()
    threading.Thread(target=_collect, name="garbage", daemon=True).start()


def _collect() -> None:
    for turn in count(1):
        time.sleep(EVERY_SEC)
        gc.collect(2 if turn % FULLY_EVERY == 0 else 1)


def collect_apart_in_a_server() -> None:
    """In a server that could stand still; other programs that import this keep their ways."""
    if stands_still(sys.argv, os.environ.get("PREFECT_SERVER_DATABASE_CONNECTION_URL", ""), sys.version_info[:2]):
        collect_apart()
