"""Does anything grow? The last third of a run against its first, figure by figure. Pure.

What has to fill up first is no growth: the interpreter's caches, the allocators, each thread's own memory. So the
beginning of a run does not count, and where the run is long enough the two thirds lie a whole number of the folder's
cycles (256 periods, after which its oldest block leaves) apart: then the folder is compared with itself at the same
point of its cycle.

How long something takes depends on what else the machine does meanwhile, which is not the product's. So a yardstick is
measured beside it, the same work each second (``tests.soak.yardstick_process``), and times count as they would have
been, had the yardstick taken as long all the time as in the first third.
"""

from __future__ import annotations

import statistics
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

ALLOWED_GROWTH = 0.05
ENOUGH = 5
"""Values that a third needs: fewer say nothing."""
AROUND_S = 8.0
"""A value is corrected by the median yardstick of so many seconds before and after it: one alone is a chance's."""

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
    """A kind of figure. ``noise``: a difference up to this is none, however small the figure is.

    ``yardstick``: the one that it is corrected by; "" for what another process's work does not change. ``typical``: the
    value that stands for a third.
    """

    unit: str
    noise: float = 0.0
    yardstick: str = ""
    typical: Callable[[Sequence[float]], float] = statistics.median


@dataclass(frozen=True)
class Verdict:
    """What stands for each third. ``flat``: it grew by no more than is allowed; None: too few values to say.

    ``as_measured``: the growth of what was corrected by a yardstick, without that.
    """

    name: str
    unit: str
    first: float | None = None
    last: float | None = None
    flat: bool | None = None
    as_measured: float | None = None

    @property
    def growth(self) -> float | None:
        """As a share of the first third; negative: it shrank."""
        return None if not self.first or self.last is None else self.last / self.first - 1


def judge(name: str, kind: Kind, series: Series, compared: Thirds, yardstick: Series = ()) -> Verdict:
    """The verdict on one figure; ``yardstick``: the values of its own, in the order of time."""
    plain = of_both(series, compared, kind.typical)
    judged = of_both(corrected(series, yardstick, compared), compared, kind.typical) if kind.yardstick else plain
    if plain is None or judged is None:
        return Verdict(name, kind.unit)
    before, after = judged
    flat = after - before <= max(kind.noise, ALLOWED_GROWTH * before)
    as_measured = plain[1] / plain[0] - 1 if kind.yardstick and plain[0] else None
    return Verdict(name, kind.unit, before, after, flat, as_measured)


def of_both(
    series: Series, compared: Thirds, typical: Callable[[Sequence[float]], float] = statistics.median
) -> tuple[float, float] | None:
    """What stands for each of both thirds; None where one has too few values."""
    first, last = compared.first.of(series), compared.last.of(series)
    if min(len(first), len(last)) < ENOUGH:
        return None
    return typical(first), typical(last)


def corrected(series: Series, yardstick: Series, compared: Thirds) -> Series:
    """What the values would have been, had the yardstick always been what it was in the first third.

    Values with no yardstick around them are left out; all of them where the first third has none.
    """
    usual = compared.first.of(yardstick)
    if not usual:
        return []
    moments = [at_s for at_s, _ in yardstick]
    found = []
    for at_s, value in series:
        near = yardstick[bisect_left(moments, at_s - AROUND_S) : bisect_left(moments, at_s + AROUND_S)]
        if near:
            found.append((at_s, value * statistics.median(usual) / statistics.median(each for _, each in near)))
    return found


def grown(verdicts: Sequence[Verdict]) -> list[str]:
    """The figures that grew, and those of which it cannot be said."""
    return [verdict.name for verdict in verdicts if verdict.flat is not True]
