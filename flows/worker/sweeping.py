"""Runs of a deployment that nobody is going to execute any more, and what they end as. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from flows.verdict import Named, Verdict, clock_word, stale_verdict

if TYPE_CHECKING:
    from datetime import datetime

    from flows.board import Work
    from flows.markets import Pace


class Origin(Enum):
    """Who wanted a scheduled run."""

    SCHEDULE = "schedule"
    MIRROR = "mirror"  # ours, or another worker's, made to show a period
    PERSON = "person"


@dataclass(frozen=True)
class Overdue:
    """A scheduled run whose time has come. ``expected``: when it should have started."""

    origin: Origin
    expected: datetime

    @property
    def by_person(self) -> bool:
        """Whether somebody started it in the UI or by the command line."""
        return self.origin is Origin.PERSON


def verdict_on(run: Overdue, pace: Pace, now: datetime, work: Work | None, *, queued: bool) -> Verdict | None:
    """What to close an overdue run with; None to leave it, because its turn is still to come.

    ``work``: this process's work of that run's period. ``queued``: that work waits to be shown.
    """
    if run.by_person or queued:
        return None
    run_time, newest = pace.newest_closed(run.expected), pace.newest_due(now)
    if work is not None:
        done = work.ending is not None and now - work.ending.ended_at > pace.interval
        return Verdict(Named.ALREADY_DONE, f"{clock_word(run_time)} is shown by another run") if done else None
    return stale_verdict(run_time, newest) if run_time < newest else None
