"""Starts writers quickly: a process that has imported everything once, and forks whenever it is told to.

One JSON line in, one out: ``{"start": role, "arguments": [...], "says": path}`` gives ``{"pid": ...}``,
``{"wait": pid}`` gives ``{"status": ...}`` as ``os.waitpid`` does. It ends with its stdin, its children with it.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import traceback
from typing import Any

from tests.kills.roles import ROLES

PR_SET_PDEATHSIG = 1


def start(order: dict[str, Any]) -> int:
    """Fork a writer; its pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        log = os.open(f"{order['says']}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        code = ROLES[order["start"]](order["says"], *order["arguments"]) or 0
    except BaseException:  # noqa: BLE001 - the child of a fork must not return into the parent's code
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """Until stdin ends."""
    for line in sys.stdin:
        order = json.loads(line)
        answer = {"pid": start(order)} if "start" in order else {"status": os.waitpid(order["wait"], 0)[1]}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
