"""``python -m tests.soak --minutes 10``: does anything grow in a streamer, a worker, a reader and their folder?

Prints a table (with ``--json FILE`` every sample too). Exit code 1 when a figure grew by more than 5 %, or when
something else went wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.__main__ import machine
from tests.bench.processes import BenchError
from tests.soak.stage import Observed, Plan, observe
from tests.soak.verdict import Span, Verdict, grown, of_both


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--symbols", type=int, default=Plan.symbols)
    parser.add_argument("--num-candles", type=int, default=Plan.num_candles)
    parser.add_argument("--rotate-s", type=float, default=Plan.rotate_s, help="how long a connection lives")
    parser.add_argument("--leak", action="store_true", help="let the streamer leak, to see that it is found")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where everything is written")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="a new folder for the files and logs, kept")
    options = parser.parse_args()
    plan = Plan(options.minutes * 60, options.symbols, options.num_candles, options.rotate_s, options.leak)
    before = machine()
    with tempfile.TemporaryDirectory(prefix="bmac-soak-") as temporary:
        scratch = options.keep or Path(temporary)
        scratch.mkdir(parents=True, exist_ok=True)
        try:
            observed = observe(plan, scratch)
        except BenchError as error:
            print(error, file=sys.stderr)
            return 1
    verdicts = observed.recorder.verdicts(plan.compared)
    if options.json:
        options.json.write_text(json.dumps(report(plan, observed, verdicts, before), indent=1))
    show(plan, observed, verdicts, f"{before} (before), {machine()} (after)")
    return 1 if grown(verdicts) or observed.problems else 0


def report(plan: Plan, observed: Observed, verdicts: list[Verdict], before: str) -> dict[str, object]:
    """Everything as plain values."""
    facts = {name: value for name, value in asdict(observed).items() if name != "recorder"}
    return {
        "machine": before,
        "plan": asdict(plan),
        "compared": asdict(plan.compared),
        **facts,
        "figures": [asdict(verdict) | {"growth": verdict.growth} for verdict in verdicts],
        "samples": {name: values for name, (_, values) in observed.recorder.series.items()},
        "yardsticks": observed.recorder.yardsticks,
    }


def show(plan: Plan, observed: Observed, verdicts: list[Verdict], load: str) -> None:
    """The table, and what happened."""
    compared = plan.compared
    table = Table(title=f"Soak: {plan.symbols} symbols at 1s, {plan.total_s:.0f} s", caption=load, title_justify="left")
    spans = (_word(compared.first), _word(compared.last))
    for heading in ("figure", *spans, "growth", "", "as measured"):
        table.add_column(heading, justify="left" if heading == "figure" else "right")
    words = {True: "[green]flat[/]", False: "[red bold]GROWS[/]", None: "[red]not measured[/]"}
    for verdict in verdicts:
        amounts = (_amount(verdict, verdict.first), _amount(verdict, verdict.last))
        table.add_row(verdict.name, *amounts, _share(verdict.growth), words[verdict.flat], _share(verdict.as_measured))
    console = Console(width=None if os.environ.get("COLUMNS") or os.isatty(1) else 140)
    console.print(table)
    console.print(
        f"{observed.periods} periods worked on, {observed.periods_skipped} skipped, "
        f"{observed.attempts_failed} attempts cut or failed; "
        f"{observed.waits} waits of the reader, {observed.waits_in_vain} in vain",
        *observed.happened,
        *(f"PROBLEM {problem}" for problem in observed.problems),
        *_yardsticks(plan, observed),
        sep="\n",
        highlight=False,
    )


def _yardsticks(plan: Plan, observed: Observed) -> list[str]:
    """How fast the machine was: times are corrected by it, so that its other work is not taken for growth."""
    found = {name: of_both(series, plan.compared) for name, series in observed.recorder.yardsticks.items()}
    return [
        f"The yardstick's {name}, the same work each second: {values[0]:.1f} ms, then {values[1]:.1f} ms "
        f"({values[1] / values[0] - 1:+.1%})"
        for name, values in found.items()
        if values is not None
    ]


def _word(span: Span) -> str:
    return f"{span.first_s:.0f} to {span.end_s:.0f} s"


def _share(growth: float | None) -> str:
    return "" if growth is None else f"{growth:+.1%}"


def _amount(verdict: Verdict, value: float | None) -> str:
    return "" if value is None else f"{value:,.1f} {verdict.unit}".strip()


if __name__ == "__main__":
    sys.exit(main())
