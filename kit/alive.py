"""``python -m kit.alive streamer|worker BASE_DIR [BASE_DIR ...]``: is its heartbeat fresh; for probes of containers.

Exit codes: 0 it is, in every folder where it has left one; 1 it is not, or no folder has one. A module of its own
because probes come often, and ``python -m kit`` loads what reads a market.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from kit.alarms.signs import SILENT_AFTER_S, STREAMER_NAME, WORKER_NAME, Beat, read_signs
from kit.exchange_clock import read_local

NAMES = {"streamer": STREAMER_NAME, "worker": WORKER_NAME}


def problem(who: str, base_dirs: Sequence[Path]) -> str | None:
    """Why ``who`` is not alive; None when it is."""
    beats = [(base_dir, read_signs(base_dir, NAMES[who], Beat)) for base_dir in base_dirs]
    there = [(base_dir, beat) for base_dir, beat in beats if beat is not None]
    if not there:
        return f"no {who} has left a heartbeat"
    now = read_local()
    for base_dir, beat in there:
        if not beat.running:
            return f"the {who} of {base_dir} was stopped"
        if beat.age_s(now) > SILENT_AFTER_S:
            return f"the {who} of {base_dir} is silent for {beat.age_s(now):.0f} s"
    return None


def main() -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m kit.alive", description=__doc__)
    parser.add_argument("who", choices=sorted(NAMES))
    parser.add_argument("base_dirs", metavar="BASE_DIR", nargs="+", type=Path)
    options = parser.parse_args()
    found = problem(options.who, options.base_dirs)
    print(found or "alive")  # noqa: T201 - a command
    return int(found is not None)


if __name__ == "__main__":
    raise SystemExit(main())
