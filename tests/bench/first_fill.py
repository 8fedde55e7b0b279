"""The first fill of a futures market: 600 symbols x 1500 candles against the exchange's weight limit of 2400 a minute.

What the limit alone allows: the exchange counts weight in fixed minutes of its clock. Weight W at L a minute needs
``ceil(W / L)`` of them when the first is fresh, and the last of these begins ``(ceil(W / L) - 1)`` minutes after the
first began. A client that needs no time at all would be done at that moment; counted from the flow's start, which is
``offset`` after the minute's beginning, that is the lower bound.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tests.bench.figures import Figure
from tests.bench.live_market import MINUTE_MS, OFFSET_MS, exchange_ms, skew_for, write_config
from tests.bench.processes import Child

if TYPE_CHECKING:
    from pathlib import Path

KLINES = "/fapi/v1/klines"
LIMIT = 2400
WEIGHT_A_SYMBOL = 7  # 1500 candles: three pages of 499 at 2 and one of the last 3 at 1


def lower_bound_s(weight: int, limit: int, started_after_turn_s: float) -> float:
    """Seconds from the start to the earliest moment at which ``weight`` can have been spent."""
    return (math.ceil(weight / limit) - 1) * MINUTE_MS / 1000 - started_after_turn_s


def measure(scratch: Path, *, symbols: int = 600, num_candles: int = 1500) -> list[Figure]:
    """The figures. BenchError: a process failed."""
    scratch.mkdir()
    base_dir = scratch / "market"
    skew_ms = skew_for(MINUTE_MS - 6_000)  # the processes are up when the fresh minute begins
    arguments = ["--symbols", symbols, "--weight-limit", LIMIT, "--skew-ms", skew_ms]
    with Child("exchange", ["tests.bench.exchange_process", *map(str, arguments)], scratch) as exchange:
        write_config(base_dir, exchange.line(30), num_candles)
        with Child("flow", ["tests.bench.flow_process", str(base_dir), str(skew_ms)], scratch) as flow:
            flow.line(60)
            run_ms = exchange_ms(skew_ms) // MINUTE_MS * MINUTE_MS + MINUTE_MS
            flow.send({"run_ms": run_ms, "start_ms": run_ms + OFFSET_MS})
            done = flow.line(400)
        exchange.send({"report": True})
        report = exchange.line(30)
    return figures(done, report, symbols)


def figures(done: dict[str, Any], report: dict[str, Any], symbols: int) -> list[Figure]:
    """What the flow's and the exchange's records come to."""
    weight = sum(report["weight"].values())
    ideal = symbols * WEIGHT_A_SYMBOL
    fixed = weight - report["weight"].get(KLINES, 0)
    started_s = (done["began_ms"] - done["run_ms"]) / 1000
    bound = lower_bound_s(weight, LIMIT, started_s)
    walls = {step["name"]: step["wall"] for step in done["steps"]}
    to_filled = walls["exchange_info"] + walls["newest"] + walls["history"]
    refused = {status: count for status, count in report["status"].items() if status != "200"}
    steps = ", ".join(f"{name} {wall:.1f}" for name, wall in walls.items())
    missing = next(step["summary"] for step in done["steps"] if step["name"] == "history")
    paths = ", ".join(f"{path.rsplit('/', 1)[-1]} {total}" for path, total in report["weight"].items())
    return [
        Figure(
            "first fill, weight above 7 a symbol",
            "%",
            (weight - fixed - ideal) / ideal * 100,
            3,
            note=f"{paths}; {missing}",
        ),
        Figure("first fill, weight of fixed calls", "", fixed),
        Figure("first fill, time", "s", to_filled, 1.1 * bound, note=f"limit alone: {bound:.1f} s; {steps}"),
        Figure("first fill, whole period's work", "s", done["wall"], note=f"CPU {done['cpu']:.1f} s"),
        Figure("first fill, refused requests", "", sum(refused.values()), 0, note=str(refused or "no 429, no 418")),
    ]
