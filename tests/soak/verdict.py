"""Does anything grow? The last third of a run against its first, figure by figure. Pure.

What has to fill up first is no growth: the interpreter's caches, the window, and above all the folder, in which
absorbed files stay for two minutes and whose oldest blocks leave 256 periods at a time. So the beginning of a run does
not count, and where the run is long enough the two thirds lie a whole number of such cycles apart: then the folder is
compared with itself at the same point of its cycle.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ALLOWED_GROWTH = 0.05
ENOUGH = 5
"""Values that a third needs: fewer say nothing."""

Series = Sequence[tuple[float, float]]
"""(seconds since the beginning, value), in any order."""


@dataclass(frozen=True)
class Span:
    """Seconds since the beginning: ``first_s`` up to, and without, ``end_s``."""

    first_s: float
    end_s: float

    def of(self, series: Series) -> list[float]:
        """The values that were taken within."""
        return [value for at_s, value in series if self.first_s <= at_s < self.end_s]


@dataclass(frozen=True)
class Thirds:
    """The first and the last third of what counts; everything before ``first`` is warm-up."""

    first: Span
    last: Span


def thirds(total_s: float, *, warm_up_s: float, cycle_s: float) -> Thirds:
    """What to compare in a run of ``total_s``.

    The warm-up is at least ``warm_up_s``, and longer where that puts the thirds whole cycles apart.
    """
    third_s = (total_s - warm_up_s) / 3
    if 2 * third_s >= cycle_s:
        third_s = 2 * third_s // cycle_s * cycle_s / 2
    return Thirds(Span(total_s - 3 * third_s, total_s - 2 * third_s), Span(total_s - third_s, total_s))


@dataclass(frozen=True)
class Kind:
    """A kind of figure. ``noise``: a difference of the medians up to this is none, however small the figure is."""

    unit: str
    noise: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """Medians of both thirds. ``flat``: it grew by no more than is allowed; None: too few values to say."""

    name: str
    unit: str
    first: float | None
    last: float | None
    flat: bool | None

    @property
    def growth(self) -> float | None:
        """As a share of the first third; negative: it shrank."""
        return None if not self.first or self.last is None else self.last / self.first - 1


def judge(name: str, kind: Kind, series: Series, compared: Thirds) -> Verdict:
    """The verdict on one figure."""
    first, last = compared.first.of(series), compared.last.of(series)
    if min(len(first), len(last)) < ENOUGH:
        return Verdict(name, kind.unit, None, None, None)
    before, after = statistics.median(first), statistics.median(last)
    return Verdict(name, kind.unit, before, after, after - before <= max(kind.noise, ALLOWED_GROWTH * before))


def grown(verdicts: Sequence[Verdict]) -> list[str]:
    """The figures that grew, and those of which it cannot be said."""
    return [verdict.name for verdict in verdicts if verdict.flat is not True]


def judge_all(series: Mapping[str, tuple[Kind, Series]], compared: Thirds) -> list[Verdict]:
    """The verdicts on all figures."""
    return [judge(name, kind, values, compared) for name, (kind, values) in series.items()]
