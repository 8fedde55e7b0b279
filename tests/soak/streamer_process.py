"""``python -m tests.soak.streamer_process ROTATE_S LEAK BASE_DIR``: the streamer, but for how soon it rotates.

A connection lives for 23 hours in production; here it is replaced after ROTATE_S seconds, so that a short run sees what
a month does. With LEAK 1 it forgets to close a file and to drop some memory each tenth of a second: what the soak run
must find.
"""

from __future__ import annotations

import sys
import threading
import time
from functools import partial
from pathlib import Path

import streamer.app
from streamer.command import main
from streamer.timing import Timing

LEAKED_BYTES = 100_000


def leak() -> None:
    """Until the process ends."""
    kept: list[object] = []
    while True:
        kept += [Path(__file__).open("rb"), b"x" * LEAKED_BYTES]  # noqa: SIM115 - that is the point
        time.sleep(0.1)


if __name__ == "__main__":
    rotate_s = float(sys.argv[1])
    streamer.app.Timing = partial(Timing, rotate_after_s=rotate_s, rotate_jitter_s=rotate_s / 2)  # type: ignore[attr-defined, assignment]  # for a class what makes one
    if sys.argv[2] == "1":
        threading.Thread(target=leak, daemon=True).start()
    sys.exit(main([*sys.argv[3:], "--log-format", "json"]))
