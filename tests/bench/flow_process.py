"""``python -m tests.bench.flow_process BASE_DIR SKEW_MS``: a long-lived process that does periods on order.

A line ``{"run_ms": N, "start_ms": M}`` on stdin means: at M by the exchange's clock do the period of run time N. A line
``{"step": NAME}`` answers as each step ends, and one with a ``record`` at the end: what ``run_period`` took
of wall and CPU, in all and by step, and the ledger's record.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from flows.steps import run_period
from kit.logs import configure
from kit.words import from_ms

if TYPE_CHECKING:
    from flows.steps import StepReport

ME = psutil.Process()


def used() -> dict[str, float]:
    """Seconds of wall and CPU, bytes sent to the disk, since the process began."""
    return {"wall": time.perf_counter(), "cpu": time.process_time(), "written": ME.io_counters().write_bytes}


def since(before: dict[str, float]) -> dict[str, float]:
    """The same, since ``before``."""
    return {name: value - before[name] for name, value in used().items()}


async def do(base_dir: Path, run_ms: int) -> dict[str, Any]:
    """One period, metered."""
    start = mark = used()
    steps = []

    def on_step(report: StepReport) -> None:
        nonlocal mark
        steps.append({"name": report.name, "summary": report.summary, "error": report.error, **since(mark)})
        print(json.dumps({"step": report.name}), flush=True)
        mark = used()

    outcome = await run_period(base_dir, from_ms(run_ms), on_step=on_step)
    record = outcome.record.as_dict()
    return {"run_ms": run_ms, **since(start), "steps": steps, "record": record, "rss": ME.memory_info().rss}


async def main(base_dir: Path, skew_ms: int) -> None:
    """Obey until stdin ends."""
    print(json.dumps({"ready": True}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        late_ms = time.time() * 1000 + skew_ms - order["start_ms"]
        await asyncio.sleep(max(0.0, -late_ms / 1000))
        began_ms = time.time() * 1000 + skew_ms
        print(json.dumps({"began_ms": began_ms, **await do(base_dir, order["run_ms"])}), flush=True)


if __name__ == "__main__":
    configure("json")
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
