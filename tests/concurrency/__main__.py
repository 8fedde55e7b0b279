"""``python -m tests.concurrency --rounds 10``: how long a takeover takes, from the end of one streamer to the next.

Each round ends the streamer of a 1s market while another stands by, by SIGKILL and SIGTERM in turn, and measures to the
standby's taking the lock, to its first candle on disk, and how many periods the stream left to REST altogether.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import tempfile
import time
from datetime import datetime
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.__main__ import machine
from tests.bench.processes import Child
from tests.concurrency.stage import Stage, eventually, slices, stage

SYMBOLS = 300


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.concurrency", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    table = Table(title=f"Takeover, {SYMBOLS} symbols at 1s, 8 connections", caption=machine(), title_justify="left")
    for heading in ("ended by", "rounds", "lock", "first candle on disk", "median", "periods without any row"):
        table.add_column(heading)
    with tempfile.TemporaryDirectory(prefix="bmac-takeover-") as scratch, stage(Path(scratch), symbols=SYMBOLS) as here:
        found = measure(here, options.rounds)
    for name, rounds in found.items():
        locks, firsts, periods = zip(*rounds, strict=True)
        table.add_row(
            name,
            str(len(rounds)),
            f"{min(locks):.2f} to {max(locks):.2f} s",
            f"{min(firsts):.2f} to {max(firsts):.2f} s",
            f"{statistics.median(firsts):.2f} s",
            f"{min(periods)} to {max(periods)}",
        )
    Console(width=140).print(table)
    return 0


def measure(here: Stage, rounds: int) -> dict[str, list[tuple[float, float, int]]]:
    """For each signal the rounds: seconds to the lock, seconds to the first candle on disk, periods without a row."""
    base_dir = here.market("market", num_socket_listeners=8)
    found: dict[str, list[tuple[float, float, int]]] = {"SIGKILL": [], "SIGTERM": []}
    active = here.streamer("s0", base_dir)
    standby = active
    try:
        for number in range(1, rounds + 1):
            eventually(lambda: len(list(slices(base_dir).values() or [[]])[-1]) >= 4, "it streams")
            name = f"s{number}"
            standby = here.streamer(name, "--standby", base_dir)
            eventually(partial(here.events, name, "streamer.standing_by"), "it stands by")
            how = "SIGKILL" if number % 2 else "SIGTERM"
            found[how].append(_round(here, base_dir, name, active, getattr(signal, how)))
            active.stop()
            active = standby
    finally:
        active.stop()
        standby.stop()
    return found


def _round(here: Stage, base_dir: Path, name: str, active: Child, number: int) -> tuple[float, float, int]:
    before = len(slices(base_dir))
    at = time.time()
    os.kill(active.pid, number)
    eventually(lambda: len(slices(base_dir)) > before and len(list(slices(base_dir).values())[-1]) >= 3, "taken over")
    (taken,) = here.events(name, "streamer.takes_over")
    old, new = list(slices(base_dir).values())[-2:]
    first = min((base_dir / "usdt_spot_1s" / file.name).stat().st_ctime for file in new)
    lacking = (new[0].first_ms - old[-1].last_ms) // 1000 - 1
    return datetime.fromisoformat(taken["timestamp"]).timestamp() - at, first - at, max(0, lacking)


if __name__ == "__main__":
    sys.exit(main())
