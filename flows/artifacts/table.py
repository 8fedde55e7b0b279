"""A period's ledger record and what its steps did, as rows that people read. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from flows.verdict import some_of, steps_line, verdict_of
from kit.logs import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flows.board import Ending, Work
    from kit.buffer.ledger import LedgerRecord

NAMED = 40
"""Symbols named in a cell: the whole list of a market that is away altogether would be a page of names."""

Row = dict[str, str]


def ledger_rows(work: Work, ending: Ending) -> list[Row]:
    """The rows, ``what`` and ``value``; Prefect shows ten at once, so what matters most comes first."""
    cells = {"result": verdict_of(ending).message, "run time": f"{work.run_time:%Y-%m-%d %H:%M:%SZ}"}
    if ending.outcome is not None:
        cells |= _record_cells(ending.outcome.record)
    cells["attempts"] = str(ending.attempts)
    took = (ending.ended_at - ending.started_at).total_seconds()
    cells["worked"] = f"from {ending.started_at:%H:%M:%S}Z, {took:.1f} s"
    cells |= {f"step {report.name}": steps_line([report]) for report in work.reports}
    return [{"what": what, "value": shown(value)} for what, value in cells.items()]


def _record_cells(record: LedgerRecord) -> dict[str, str]:
    return {
        "complete": _complete(record),
        "missing": f"{len(record.missing)}: {_names(record.missing)}" if record.missing else "0",
        "expected": str(record.expected),
        "by stream": str(record.by_stream),
        "by REST": str(record.by_rest),
        "excused": _excused(record.excused),
        "filled, revised": f"{record.filled}, {record.revised}",
        "exchange's clock": "unknown" if record.clock_offset_ms is None else f"{record.clock_offset_ms:+d} ms of ours",
    }


def _complete(record: LedgerRecord) -> str:
    if not record.complete:
        return "no"
    return "yes" if record.seconds_to_complete is None else f"yes, {record.seconds_to_complete:.2f} s after the close"


def _names(symbols: Sequence[str]) -> str:
    more = len(symbols) - NAMED
    return ", ".join(symbols[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _excused(excused: Mapping[str, str]) -> str:
    by_reason: dict[str, list[str]] = defaultdict(list)
    for symbol, reason in sorted(excused.items()):
        by_reason[reason].append(symbol)
    told = [f"{len(symbols)} {reason} ({some_of(symbols)})" for reason, symbols in sorted(by_reason.items())]
    return "; ".join(told) or "0"
