"""``python -m tests.bench``: measures the service against its targets and against the reference, prints a table.

Exit code 0 also when targets are missed: it is a measurement. 1 when something could not be measured at all.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

from tests.bench import factors, first_fill, live_market, punctuality, reading, reference
from tests.bench.figures import Figure, show
from tests.bench.processes import BenchError
from tests.resample import measuring as resampling

NAMES = ("reading", "factors", "resample", "live", "fill", "punctuality")
MB = 1e6


def measure(names: tuple[str, ...], scratch: Path, *, quick: bool) -> tuple[list[Figure], list[str]]:
    """The figures of the named parts, and what failed."""
    figures: list[Figure] = []
    problems: list[str] = []
    compared = reference.measure(scratch / "reference", symbols=750, candles=1500, sample=20 if quick else 75)
    block_bytes = None
    for name in names:
        began = time.monotonic()
        try:
            if name == "reading":
                found, sizes = reading.measure(scratch / name, compared)
                block_bytes = sizes.block_bytes_a_period
            elif name == "live":
                observed = live_market.observe(live_market.QUICK if quick else live_market.Plan(), scratch / name)
                found = live_market.figures(observed, compared)
                if block_bytes is not None:
                    total = (live_market.mean_written(observed) + block_bytes) / MB
                    note = "/proc/PID/io of streamer and flow, plus the blocks of a period by their files"
                    found.append(
                        Figure("written a period, all counted", "MB", total, 5, compared.period_bytes / MB, note)
                    )
            elif name == "factors":
                found = factors.measure(scratch / name)
            elif name == "resample":
                found = resampling.measure(scratch / name)
            elif name == "fill":
                found = first_fill.measure(scratch / name)
            else:
                found = punctuality.measure(scratch / name)
            figures += found
        except BenchError as error:
            problems.append(f"{name}: {error}")
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    return figures, problems


def machine() -> str:
    """What it ran on, and how busy that was."""
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    moment = time.strftime("%Y-%m-%d %H:%MZ", time.gmtime())
    return f"{moment}, {os.cpu_count()} cores, Python {platform.python_version()}, load averages {load}"


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=NAMES, help="this part; may be given more than once")
    parser.add_argument("--quick", action="store_true", help="two minutes: readers and the live market only")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    parser.add_argument("--keep", type=Path, help="a new folder for the files and logs, kept; default: temporary")
    options = parser.parse_args()
    usual = ("reading", "live") if options.quick else NAMES
    names = tuple(options.only or usual)
    before = machine()
    with tempfile.TemporaryDirectory(prefix="bmac-bench-") as temporary:
        scratch = options.keep or Path(temporary)
        scratch.mkdir(parents=True, exist_ok=True)
        figures, problems = measure(names, scratch, quick=options.quick)
    if options.json:
        plain = [dataclasses.asdict(figure) | {"met": figure.met, "ratio": figure.ratio} for figure in figures]
        print(json.dumps({"machine": before, "figures": plain, "problems": problems}, indent=1))
    else:
        show(figures, f"{before} (before), {machine()} (after)")
        for problem in problems:
            print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
