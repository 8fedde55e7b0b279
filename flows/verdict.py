"""What is said of a period's end, the same words in Prefect, in logs and in alarms. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from kit.logs import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from flows.board import Ending
    from flows.steps import StepReport

NAMED_SYMBOLS = 5
SHOWN_LATE_AFTER = timedelta(seconds=30)
"""A period shown that long after its end was worked on while Prefect was away: the true times are then told."""


class Named(StrEnum):
    """The names of the states that a period's run ends in."""

    COMPLETED = "Completed"
    ALREADY_DONE = "AlreadyDone"  # another process, or an earlier run, had done it
    INCOMPLETE = "Incomplete"  # symbols are missing, with names
    FAILED = "Failed"  # nothing could be done, with the reason
    STALE = "Stale"  # a newer period was due, whose work covers this one's gaps
    WORKER_LOST = "WorkerLost"  # left running by a process that is gone


@dataclass(frozen=True)
class Verdict:
    """The name of the end, one line about it, and whether people should be told."""

    name: Named
    message: str

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return self.name in (Named.COMPLETED, Named.ALREADY_DONE, Named.STALE)


def verdict_of(ending: Ending) -> Verdict:
    """The verdict on a period's work."""
    if ending.outcome is None:
        return Verdict(Named.FAILED, f"{reason_of(ending.error)} ({_tries(ending.attempts)}, {_seconds(ending)} s)")
    record = ending.outcome.record
    present = f"{record.by_stream + record.by_rest}/{record.expected - len(record.excused)}"
    took = f"in {_seconds(ending)} s"
    if not record.complete:
        missing = f"{len(record.missing)} missing: {some_of(record.missing)}"
        return Verdict(Named.INCOMPLETE, f"incomplete {present} {took}, {missing} ({_tries(ending.attempts)})")
    if ending.outcome.already_done and ending.attempts == 1:
        return Verdict(Named.ALREADY_DONE, f"complete {present}, already done before this run")
    excused = f", {len(record.excused)} excused" if record.excused else ""
    failed = [step.name for step in ending.outcome.steps if step.error is not None]
    troubled = f", failed: {', '.join(failed)}" if failed else ""
    after = f"in {record.seconds_to_complete:.1f} s" if record.seconds_to_complete is not None else took
    return Verdict(Named.COMPLETED, f"complete {present} {after}{excused}{troubled}")  # since the close, as the ledger


def stale_verdict(run_time: datetime, newer: datetime) -> Verdict:
    """The verdict on a run that came too late."""
    message = f"{clock_word(newer)} was due before {clock_word(run_time)} began; its work fills the gaps"
    return Verdict(Named.STALE, message)


def told_late(verdict: Verdict, ending: Ending, now: datetime) -> Verdict:
    """The same with the true times in it, when it is told long after."""
    if now - ending.ended_at < SHOWN_LATE_AFTER:
        return verdict
    times = f"worked {ending.started_at:%Y-%m-%d %H:%M:%S.%f}Z to {ending.ended_at:%H:%M:%S.%f}Z"
    return Verdict(verdict.name, f"{verdict.message}; {times}, shown later because Prefect was away")


def reason_of(error: BaseException | None) -> str:
    """An error as one line for people; an unforeseen one with its type."""
    if error is None:
        return "no reason is known"
    text = shown(" ".join(str(error).split()))
    ours = type(error).__module__.startswith("kit.") or isinstance(error, TimeoutError)
    return text if ours and text else f"{type(error).__name__}: {text}"


def steps_line(reports: Iterable[StepReport]) -> str:
    """Steps as one line: ``newest 742 there (0.4 s); funding failed: ...``."""
    return "; ".join(_step(report) for report in reports) or "not needed"


def clock_word(run_time: datetime) -> str:
    """A run time as people read it: ``2026-11-22 07:05Z``."""
    return f"{run_time:%Y-%m-%d %H:%MZ}" if not run_time.second else f"{run_time:%Y-%m-%d %H:%M:%SZ}"


def some_of(symbols: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(symbols) - NAMED_SYMBOLS
    return ", ".join(symbols[:NAMED_SYMBOLS]) + (f" and {more} more" if more > 0 else "")


def _step(report: StepReport) -> str:
    if report.error is not None:
        return f"{report.name} failed: {shown(str(report.error))}"
    return f"{report.name} {report.summary} ({(report.ended_at - report.started_at).total_seconds():.2f} s)"


def _seconds(ending: Ending) -> str:
    return f"{(ending.ended_at - ending.started_at).total_seconds():.1f}"


def _tries(attempts: int) -> str:
    return "1 attempt" if attempts == 1 else f"{attempts} attempts"
