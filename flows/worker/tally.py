"""What Prometheus may hear of the periods that this process did: counted once when one begins and once when it ends."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from flows.verdict import Named, verdict_of
from kit.metrics import Histogram
from kit.metrics.table import COMPLETE_BOUNDS_S, LATENESS_BOUNDS_S, STEP_BOUNDS_S
from kit.words import Source

if TYPE_CHECKING:
    from flows.board import Ending, Work
    from flows.steps import StepReport

STEPS = ("exchange_info", "newest", "history", "funding", "factors", "audits", "resample", "compact")
"""The steps of a period: told from the beginning, so that a first failure is a change."""


@dataclass
class Counts:
    """The counts of one market. ``ended`` grows with each period; ``last_*`` are of the newest that ended."""

    lateness: Histogram = field(default_factory=lambda: Histogram(LATENESS_BOUNDS_S))
    time_to_complete: Histogram = field(default_factory=lambda: Histogram(COMPLETE_BOUNDS_S))
    steps: dict[str, Histogram] = field(default_factory=lambda: {name: Histogram(STEP_BOUNDS_S) for name in STEPS})
    step_failures: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[Named] = field(default_factory=Counter)
    candles: Counter[Source] = field(default_factory=Counter)
    filled: int = 0
    revised: int = 0
    skipped: int = 0
    ended: int = 0
    last_run_time: datetime | None = None
    last_time_to_complete_s: float | None = None


class Tally:
    """The counts of some markets. Clocks write, each its own market; whoever reads looks ``at`` one."""

    def __init__(self, base_dirs: Iterable[Path]) -> None:
        self._lock = threading.Lock()
        self._counts = {base_dir: Counts() for base_dir in base_dirs}

    @contextmanager
    def at(self, base_dir: Path) -> Iterator[Counts]:
        """The counts of a market; nobody changes them meanwhile, so look shortly."""
        with self._lock:
            yield self._counts[base_dir]

    def begun(self, work: Work) -> None:
        """A period's work has begun."""
        with self.at(work.market.base_dir) as counts:
            counts.skipped += work.skipped
            if work.late_s is not None:
                counts.lateness.observe(work.late_s)

    def ended(self, work: Work, ending: Ending) -> None:
        """It has ended."""
        verdict, reports = verdict_of(ending).name, work.reports
        with self.at(work.market.base_dir) as counts:
            counts.ended += 1
            counts.last_run_time = work.run_time
            counts.verdicts[verdict] += 1
            for report in reports:
                _count_step(counts, report)
            if verdict is not Named.ALREADY_DONE:  # whoever did it has counted it
                _count_outcome(counts, ending)


def _count_step(counts: Counts, report: StepReport) -> None:
    took_s = (report.ended_at - report.started_at).total_seconds()
    counts.steps.setdefault(report.name, Histogram(STEP_BOUNDS_S)).observe(took_s)
    counts.step_failures[report.name] += report.error is not None


def _count_outcome(counts: Counts, ending: Ending) -> None:
    if ending.outcome is None:
        return
    record = ending.outcome.record
    counts.candles[Source.STREAM] += record.by_stream
    counts.candles[Source.REST] += record.by_rest
    counts.filled += record.filled
    counts.revised += record.revised
    if record.complete and record.seconds_to_complete is not None:
        counts.time_to_complete.observe(record.seconds_to_complete)
        counts.last_time_to_complete_s = record.seconds_to_complete
