"""Values of one factor computed in several ways, compared: how many differ, by how much, and what that means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

TOLERANCE = 1e-9
"""Relative difference that counts as equal: sums that began elsewhere differ in their last bits, some 1e-13."""

ROUNDING = 1e-12
"""Share of the factor's largest value below which a difference is what running sums leave where the true value is 0."""

Snapshot = Mapping[str, float | None]
"""The values of one run time by symbol; None: no value."""


@dataclass(frozen=True)
class Differences:
    """How many values were compared, how many differ, the largest relative difference (infinite: one is no value)."""

    compared: int
    count: int
    largest: float


@dataclass(frozen=True)
class FactorCheck:
    """One factor's check, over run times x symbols. ``kind``: native or module.

    ``ahead``: values from everything that differ from those of the candles up to then. ``live``: values of the declared
    history that differ from those of all candles up to then. ``stored``: what was stored then and is not what is
    computed now. ``largest``: the largest relative difference of the first two. ``declared`` and ``needed``: warm-up in
    candles; ``needed`` is None when all that is kept is not more than enough.
    """

    column: str
    kind: str
    compared: int
    ahead: int
    live: int
    stored: int
    largest: float
    declared: int | None
    needed: int | None

    @property
    def sound(self) -> bool:
        """Whether live equals history."""
        return not (self.ahead or self.live or self.needs_more)

    @property
    def needs_more(self) -> bool:
        """Whether a value depends on more candles than are declared."""
        return self.declared is not None and (self.needed is None or self.needed > self.declared)

    @property
    def verdict(self) -> str:
        """What was found, in words."""
        words = {
            "looks ahead": self.ahead > 0,
            f"needs more than the {self.declared} candles it declares": self.live > 0 or self.needs_more,
            "never forgets: give it a fixed warm-up": self.kind == "module" and self.needed is None and not self.ahead,
            "differs from what was stored": self.stored > 0,
        }
        return "; ".join(word for word, holds in words.items() if holds) or "live equals history"


def compare(ones: Sequence[Snapshot], others: Sequence[Snapshot]) -> Differences:
    """Compare the symbols that both have, run time by run time."""
    pairs = [
        (one[symbol], other[symbol])
        for one, other in zip(ones, others, strict=True)
        for symbol in sorted(one.keys() & other.keys())
    ]
    scale = max((abs(value) for pair in pairs for value in pair if value is not None), default=0.0)
    found = [_difference(one, other, scale) for one, other in pairs]
    return Differences(len(pairs), sum(difference > TOLERANCE for difference in found), max(found, default=0.0))


def _difference(one: float | None, other: float | None, scale: float) -> float:
    if one is None or other is None:
        return 0.0 if one is other else float("inf")
    if abs(one - other) <= ROUNDING * scale:
        return 0.0
    return abs(one - other) / max(abs(one), abs(other))


def fewest(compute: Callable[[int], Snapshot], whole: Snapshot, most: int) -> int | None:
    """The fewest newest candles that give what all of them give, by halving; None when fewer than ``most`` do not."""
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        if compare([compute(middle)], [whole]).count:
            low = middle
        else:
            high = middle
    return None if high == most else high
