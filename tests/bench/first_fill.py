"""The first fill of a futures market: 600 symbols x 1500 candles against the exchange's weight limit of 2400 a minute.

What the limit alone allows: the exchange counts weight in fixed minutes of its clock. Weight W at L a minute needs
``ceil(W / L)`` of them when the first is fresh, and the last of these begins ``(ceil(W / L) - 1)`` minutes after the
first began. A client that needs no time at all would be done at that moment; counted from the flow's start, which is
``offset`` after the minute's beginning, that is the lower bound.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from tests.bench.figures import Figure
from tests.bench.live_market import MINUTE_MS, OFFSET_MS, exchange_ms, period_done, write_config
from tests.bench.processes import Child, sleep_until

if TYPE_CHECKING:
    from pathlib import Path

KLINES = "/fapi/v1/klines"
LIMIT = 2400
STARTS_WITHIN_MS = 8_000  # both processes are up by then
WEIGHT_A_SYMBOL = 7  # 1500 candles: three pages of 499 at 2 and one of the last 3 at 1


def lower_bound_s(weight: int, limit: int, started_after_turn_s: float) -> float:
    """Seconds from the start to the earliest moment at which ``weight`` can have been spent."""
    return (math.ceil(weight / limit) - 1) * MINUTE_MS / 1000 - started_after_turn_s


def measure(scratch: Path, *, symbols: int = 600, num_candles: int = 1500) -> list[Figure]:
    """The figures. Begins with a minute of the machine's clock, which is the exchange's here. BenchError: a process
    failed.
    """
    scratch.mkdir()
    base_dir = scratch / "market"
    until_turn_ms = MINUTE_MS - exchange_ms(0) % MINUTE_MS
    sleep_until(time.time() + max(0, until_turn_ms - STARTS_WITHIN_MS) / 1000)
    arguments = ["--symbols", symbols, "--weight-limit", LIMIT, "--skew-ms", 0]
    reports: dict[str, dict[str, Any]] = {}
    with Child("exchange", ["tests.bench.exchange_process", *map(str, arguments)], scratch) as exchange:
        write_config(base_dir, exchange.line(30), num_candles)

        def note(moment: str) -> None:
            if moment in ("history", "end"):
                exchange.send({"report": True})
                reports[moment] = exchange.line(30)

        with Child("flow", ["tests.bench.flow_process", str(base_dir), "0"], scratch) as flow:
            flow.line(60)
            run_ms = exchange_ms(0) // MINUTE_MS * MINUTE_MS + MINUTE_MS
            flow.send({"run_ms": run_ms, "start_ms": run_ms + OFFSET_MS})
            done = period_done(flow, 400, note)
        note("end")
    return figures(done, reports["history"], reports["end"], symbols)


def figures(done: dict[str, Any], filled: dict[str, Any], report: dict[str, Any], symbols: int) -> list[Figure]:
    """What the flow's record and the exchange's, when history was ``filled`` and at the end, come to."""
    weight = sum(filled["weight"].values())
    ideal = symbols * WEIGHT_A_SYMBOL
    fixed = weight - filled["weight"].get(KLINES, 0)
    started_s = (done["began_ms"] - done["run_ms"]) / 1000
    bound = lower_bound_s(weight, LIMIT, started_s)
    walls = {step["name"]: step["wall"] for step in done["steps"]}
    to_filled = walls["exchange_info"] + walls["newest"] + walls["history"]
    refused = {status: count for status, count in report["status"].items() if status != "200"}
    steps = ", ".join(f"{name} {wall:.1f}" for name, wall in walls.items())
    missing = next(step["summary"] for step in done["steps"] if step["name"] == "history")
    paths = ", ".join(f"{path.rsplit('/', 1)[-1]} {total}" for path, total in filled["weight"].items())
    return [
        Figure(
            "first fill, weight above 7 a symbol",
            "%",
            (weight - fixed - ideal) / ideal * 100,
            3,
            note=f"{paths}; {missing}",
        ),
        Figure("first fill, weight of fixed calls", "", fixed),
        Figure(
            "first fill, weight after it in the same period",
            "",
            sum(report["weight"].values()) - weight,
            note="what REST told soon after the close is read once more, and the hourly sample",
        ),
        Figure("first fill, time", "s", to_filled, 1.1 * bound, note=f"limit alone: {bound:.1f} s; {steps}"),
        Figure("first fill, whole period's work", "s", done["wall"], note=f"CPU {done['cpu']:.1f} s"),
        Figure("first fill, refused requests", "", sum(refused.values()), 0, note=str(refused or "no 429, no 418")),
    ]
