"""From our numbers to Prometheus' samples, by the table: what is not in it cannot be told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from kit.metrics.histogram import Histogram
from kit.metrics.table import METRICS, Kind, Part

MAX_REASONS = 16
"""Reasons that others chose (the exchange's words) are told apart up to here; the rest is ``more``."""


class Samples:
    """The samples of one part at one moment. Every metric of the part is there, with samples or without."""

    def __init__(self, part: Part) -> None:
        self._families = {row.name: _family(row.name) for row in METRICS.values() if row.part is part}

    def put(self, name: str, value: float, **labels: str) -> None:
        """A counter's or gauge's value. KeyError: the table has no such metric, or other labels."""
        family = self._families[name]
        if not isinstance(family, CounterMetricFamily | GaugeMetricFamily):
            raise TypeError(f"{name} is a histogram")
        family.add_metric(_values(name, labels), value)

    def put_histogram(self, name: str, histogram: Histogram, **labels: str) -> None:
        """A histogram as it stands."""
        family = self._families[name]
        if not isinstance(family, HistogramMetricFamily):
            raise TypeError(f"{name} is no histogram")
        bounds = [*map(str, histogram.bounds), "+Inf"]
        cumulative = accumulate(histogram.counts)
        family.add_metric(_values(name, labels), list(zip(bounds, cumulative, strict=True)), histogram.total)

    def __iter__(self) -> Iterator[Metric]:
        """In the table's order."""
        return iter(self._families.values())


def at_most(reasons: Iterable[tuple[str, int]], limit: int = MAX_REASONS) -> dict[str, int]:
    """Counts by reason with a bounded number of reasons."""
    told: dict[str, int] = {}
    for reason, count in reasons:
        name = reason if reason in told or len(told) < limit else "more"
        told[name] = told.get(name, 0) + count
    return told


def _family(name: str) -> Metric:
    row = METRICS[name]
    match row.kind:
        case Kind.COUNTER:
            return CounterMetricFamily(row.name, row.help, labels=row.labels)
        case Kind.GAUGE:
            return GaugeMetricFamily(row.name, row.help, labels=row.labels)
        case Kind.HISTOGRAM:
            return HistogramMetricFamily(row.name, row.help, labels=row.labels)


def _values(name: str, labels: dict[str, str]) -> list[str]:
    row = METRICS[name]
    if labels.keys() != set(row.labels):
        raise KeyError(f"{name} has the labels {row.labels}, not {tuple(labels)}")
    return [labels[label] for label in row.labels]
