"""Writing the ledger: the newest period's record as soon as it is known, the window's wherever they changed."""

from __future__ import annotations

from datetime import datetime

import msgspec
import numpy as np

from flows.steps.context import Period
from kit.buffer.ledger import Ledger, LedgerRecord
from kit.completeness import ABSENT, BY_REST, BY_STREAM, Findings, record_of

UNCHANGED = ("expected", "by_stream", "by_rest", "missing", "excused", "complete")


def write_newest(period: Period, findings: Findings) -> LedgerRecord:
    """Write the record of the period's run time, and return it."""
    ledger = Ledger(period.folder)
    record = record_of(
        findings,
        findings.window.size - 1,
        now=_now(period),
        before=ledger.get(period.run_time),
        started_at=period.started_at,
        clock_offset_ms=period.clock_offset_ms,
    )
    ledger.put([record])
    return record


def write_window(period: Period, findings: Findings) -> int:
    """Write the records of all run times whose state is another than the ledger says; how many.

    A run time that was complete and whose candles are no longer readable becomes incomplete again: the ledger never
    says more than can be read.
    """
    ledger = Ledger(period.folder)
    window = findings.window
    step = window.step_ms
    written = ledger.between(window.first_ms + step, window.last_ms + step)
    now = _now(period)
    counts = _counts(findings)
    changed = []
    for index in range(window.size):
        before = written.get(window.begin_ms(index) + step)
        if before is not None and before.complete and counts[index] == _counts_of(before):
            continue
        record = record_of(findings, index, now=now, before=before)
        if before is None or any(getattr(record, name) != getattr(before, name) for name in UNCHANGED):
            changed.append(record)
    ledger.put(changed)
    ledger.forget_before(period.kept_from_ms)
    return len(changed)


Counts = tuple[int, int, int, int, int]
"""expected, by_stream, by_rest, missing, excused: a record that has the same ones still tells the truth."""


def _counts(findings: Findings) -> list[Counts]:
    sources = np.where(findings.expected, findings.sources, ABSENT)
    each = (findings.expected, sources == BY_STREAM, sources == BY_REST, findings.missing, findings.excused)
    return list(zip(*(flags.sum(axis=0).tolist() for flags in each), strict=True))


def _counts_of(record: LedgerRecord) -> Counts:
    return record.expected, record.by_stream, record.by_rest, len(record.missing), len(record.excused)


def count_in_newest(period: Period) -> None:
    """Add to the newest record how many candles this period's work filled and revised."""
    ledger = Ledger(period.folder)
    record = ledger.get(period.run_time)
    if record is not None and (period.filled or period.revised):
        filled, revised = record.filled + period.filled, record.revised + period.revised
        ledger.put([msgspec.structs.replace(record, filled=filled, revised=revised)])


def _now(period: Period) -> datetime:
    """Completed when *we* could read it, by the exchange's clock, as run times are."""
    return max(period.exchange_now(), period.run_time)
