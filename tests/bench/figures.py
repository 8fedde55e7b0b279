"""What a benchmark reports: a figure with its target and what the reference took, as a table and as JSON."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Figure:
    """One measured value; smaller is better. ``target``: at most this. ``reference``: the same thing the BMAC way.

    ``reached`` is None for what could not be measured; ``note`` says why, or how it was measured.
    """

    name: str
    unit: str
    reached: float | None
    target: float | None = None
    reference: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target was reached; None where there is none, or nothing was measured."""
        return None if self.reached is None or self.target is None else self.reached <= self.target

    @property
    def ratio(self) -> float | None:
        """Ours / reference, both measured in this run."""
        return None if self.reached is None or not self.reference else self.reached / self.reference

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "met": self.met, "ratio": self.ratio}


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value that ``share`` (0 to 100) of the values do not exceed; None of nothing. No interpolation."""
    return float(np.percentile(values, share, method="higher")) if values else None


def show(figures: Sequence[Figure], load: str) -> None:
    """Print the table, and which targets were missed."""
    table = Table(title="Benchmarks", caption=load, title_justify="left", caption_justify="left")
    for heading in ("figure", "target", "reached", "reference", "ours / reference", "", "how"):
        table.add_column(heading, justify="left" if heading in ("figure", "how") else "right", overflow="fold")
    words = {True: "[green]met[/]", False: "[red bold]MISSED[/]", None: ""}
    for figure in figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:.4f}" if figure.ratio < 1 else f"{figure.ratio:.2f}"
        table.add_row(
            figure.name,
            _amount(figure.target, figure.unit, "<= "),
            _amount(figure.reached, figure.unit) or "not measured",
            _amount(figure.reference, figure.unit),
            ratio,
            words[figure.met],
            figure.note,
        )
    console = Console(width=None if os.environ.get("COLUMNS") or os.isatty(1) else 180)
    console.print(table)
    missed = [figure.name for figure in figures if figure.met is False]
    absent = [figure.name for figure in figures if figure.reached is None]
    console.print(f"{len(missed)} targets missed" + "".join(f"\n  - {name}" for name in missed), highlight=False)
    if absent:
        console.print(f"{len(absent)} figures not measured" + "".join(f"\n  - {name}" for name in absent))


def _amount(value: float | None, unit: str, prefix: str = "") -> str:
    if value is None:
        return ""
    places = 0 if abs(value) >= 1000 else 1 if abs(value) >= 10 else 3
    return f"{prefix}{value:,.{places}f} {unit}"
