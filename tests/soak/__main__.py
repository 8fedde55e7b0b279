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
from tests.soak.verdict import Span, Verdict, grown, judge_all


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
    verdicts = judge_all(observed.recorder.series, plan.compared)
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
    }


def show(plan: Plan, observed: Observed, verdicts: list[Verdict], load: str) -> None:
    """The table, and what happened."""
    compared = plan.compared
    table = Table(title=f"Soak: {plan.symbols} symbols at 1s, {plan.total_s:.0f} s", caption=load, title_justify="left")
    for heading in ("figure", f"median {_word(compared.first)}", f"median {_word(compared.last)}", "growth", ""):
        table.add_column(heading, justify="left" if heading == "figure" else "right")
    words = {True: "[green]flat[/]", False: "[red bold]GROWS[/]", None: "[red]not measured[/]"}
    for verdict in verdicts:
        growth = "" if verdict.growth is None else f"{verdict.growth:+.1%}"
        table.add_row(verdict.name, _amount(verdict, verdict.first), _amount(verdict, verdict.last), growth,
                      words[verdict.flat])  # fmt: skip
    console = Console(width=None if os.environ.get("COLUMNS") or os.isatty(1) else 140)
    console.print(table)
    console.print(
        f"{observed.periods} periods worked on, {observed.periods_skipped} skipped, "
        f"{observed.attempts_failed} attempts cut or failed; "
        f"{observed.waits} waits of the reader, {observed.waits_in_vain} in vain",
        *observed.happened,
        *(f"PROBLEM {problem}" for problem in observed.problems),
        *_remarks(plan),
        sep="\n",
        highlight=False,
    )


def _remarks(plan: Plan) -> list[str]:
    if plan.compared.first.first_s >= plan.rest_leaves_s:
        return []
    until = f"before {plan.rest_leaves_s:.0f} s the folder has rows of the first fill, which are smaller"
    return [f"The folder's size is compared with one that is too small: {until}"]


def _word(span: Span) -> str:
    return f"{span.first_s:.0f} to {span.end_s:.0f} s"


def _amount(verdict: Verdict, value: float | None) -> str:
    return "" if value is None else f"{value:,.1f} {verdict.unit}".strip()


if __name__ == "__main__":
    sys.exit(main())
