"""What became of a period, written to ``BASE_DIR/period.json`` by whoever works on it: alarms are raised from there.

Both functions block for the disk. A process that dies in the middle leaves a beginning without an end.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec.structs import replace

from flows.verdict import Named, verdict_of
from kit.alarms.signs import PERIOD_NAME, Begun, Ended, FailingStep, PeriodSigns, read_signs, write_signs
from kit.errors import BmacError
from kit.logs import shown
from kit.words import utc_now

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from flows.board import Ending
    from flows.steps import StepReport

CRASHED, CUT = "Crashed", "Cut"
"""Names beside those of ``flows.verdict``: of a period that no process came to judge, and of one that made room for the
next. That is no failure by itself (periods of a second are cut often): what it left is told by the ledger."""
REASON_CHARS = 1000
"""Of a step's error: more than people are told, and little in a file that is written each few seconds."""


def note_begin(base_dir: Path, run_time: datetime) -> None:
    """A period begins. One that was begun before and never ended has crashed: that is not forgotten here."""
    before = read_signs(base_dir, PERIOD_NAME, PeriodSigns) or PeriodSigns()
    last = before.last
    if before.begun is not None:
        message = f"the process {before.begun.pid} ended in the middle of it"
        last = Ended(run_time=before.begun.run_time, ended_at=utc_now(), verdict=CRASHED, message=message)
    begun = Begun(run_time=run_time, begun_at=utc_now(), pid=os.getpid())
    write_signs(base_dir, PERIOD_NAME, replace(before, begun=begun, last=last))


def note_end(base_dir: Path, ended: Ended) -> None:
    """A period has ended."""
    before = read_signs(base_dir, PERIOD_NAME, PeriodSigns) or PeriodSigns()
    write_signs(base_dir, PERIOD_NAME, PeriodSigns(last=ended, failing=failing_after(before.failing, ended)))


def failing_after(before: Mapping[str, FailingStep], ended: Ended) -> dict[str, FailingStep]:
    """The steps that fail, after a period. One that is done again counts once; one that did not come to its end says
    nothing. Pure."""
    failing = dict(before)
    for name, reason in ended.steps.items():
        known = failing.pop(name, None)
        if reason is None:
            continue
        earlier = 0 if known is None else known.periods - (known.run_time == ended.run_time)
        failing[name] = FailingStep(run_time=ended.run_time, periods=earlier + 1, reason=reason)
    return failing


def note_cut(base_dir: Path) -> None:
    """Whoever worked on the folder was stopped: what was begun is left to the next, and is no crash."""
    before = read_signs(base_dir, PERIOD_NAME, PeriodSigns)
    if before is not None and before.begun is not None and before.begun.pid == os.getpid():
        write_signs(base_dir, PERIOD_NAME, replace(before, begun=None))


def ended_as(run_time: datetime, ending: Ending) -> Ended:
    """An ending as it is noted."""
    verdict = verdict_of(ending)
    return Ended(
        run_time=run_time,
        ended_at=ending.ended_at,
        verdict=CUT if isinstance(ending.error, TimeoutError) else verdict.name.value,
        message=verdict.message,
        attempts=ending.attempts,
        steps=_by_name(() if ending.outcome is None else ending.outcome.steps),
    )


def ended_now(run_time: datetime, name: Named, message: str, steps: Iterable[StepReport] = ()) -> Ended:
    """The end of a period that was tried once, just now."""
    return Ended(run_time=run_time, ended_at=utc_now(), verdict=name.value, message=message, steps=_by_name(steps))


def _by_name(reports: Iterable[StepReport]) -> dict[str, str | None]:
    """What became of each step; of one that was done twice, the second time."""
    return {
        report.name: None if report.error is None else shown(report.error, limit=REASON_CHARS) for report in reports
    }


@contextmanager
def noted(base_dir: Path, run_time: datetime) -> Iterator[list[Ended]]:
    """Around a period that is worked on here and now; how it ended is put into the list.

    Stopped, it is left to the next. An error that nobody foresaw leaves it without an end: it has crashed.
    """
    ends: list[Ended] = []
    note_begin(base_dir, run_time)
    try:
        yield ends
    except BmacError as error:
        note_end(base_dir, ended_now(run_time, Named.FAILED, str(error)))
        raise
    except (asyncio.CancelledError, KeyboardInterrupt):
        note_cut(base_dir)
        raise
    note_end(base_dir, ends[-1])
