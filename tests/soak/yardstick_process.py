"""``python -m tests.soak.yardstick_process FOLDER``: the same small work each second, and how long it took.

What the streamer, the worker and the reader do, in small: a timer that wakes it, some computing, a file that is
written, fsynced and renamed. It is done when the market is at rest, so that its time tells of the machine and not of
the product. One JSON line a second: ``at_ms`` by the clock, ``time_ms`` from when it should have begun, ``cpu_ms``.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path

from kit.buffer.files import write_atomically

SECOND_MS = 1000
AFTER_CLOSE_S = 0.95
"""The last final comes 0.8 s after the close and is readable some 0.07 s later; the flow's work begins at a close."""
ROUNDS = 120
BLOCK = bytes(64_000)


def work(path: Path) -> None:
    """Some 10 ms of computing, in Python and in C, and a file."""
    told = b""
    for _ in range(ROUNDS):
        told += hashlib.sha256(BLOCK).digest()
        told += json.dumps({str(each): each for each in range(100)}).encode()
    write_atomically(path, told)


def main(folder: Path) -> None:
    """Until it is killed."""
    due = time.time() // 1 + AFTER_CLOSE_S
    while True:
        due = max(due + 1, time.time() // 1 + AFTER_CLOSE_S)
        time.sleep(max(0.0, due - time.time()))
        cpu = time.process_time()
        work(folder / "yardstick")
        told = {"time_ms": (time.time() - due) * 1000, "cpu_ms": (time.process_time() - cpu) * 1000}
        print(json.dumps({"at_ms": round(due * SECOND_MS), **told}), flush=True)  # noqa: T201 - said so above


if __name__ == "__main__":
    main(Path(sys.argv[1]))
