"""Counts of durations by size, as Prometheus' histograms have them: plain numbers, changed by one thread."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


class Histogram:
    """``counts[i]``: durations of at most ``bounds[i]`` seconds and more than the bound before; the last is open."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one. Clocks that differ by a millisecond make no negative durations."""
        seconds = max(0.0, seconds)
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds
