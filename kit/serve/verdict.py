"""What one look shall tell of a market, decided from its status without any I/O."""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class State(StrEnum):
    """The one word over a market."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"  # the record says what is missing
    NO_RECORD = "no_record"  # nobody has judged the newest due run time: it may be complete or not
    STARTING = "starting"  # nothing has ever been judged here
    BROKEN = "broken"  # the folder or its config cannot be used


def judged(status: dict[str, Any]) -> tuple[State, dict[str, Any] | None]:
    """The state of a market, and the ledger record that it stands on: never one older than the newest due run time.

    A run time that is not due yet counts once it is complete; until then the due one is what can be told.
    ``status``: as ``kit.status.market_status`` gives it, records newest first.
    """
    periods: list[dict[str, Any]] = status["periods"]
    if not periods:
        return State.STARTING, None
    # Times are all spelled alike (ISO 8601, UTC, whole seconds), so that they compare as text.
    current = [record for record in periods if record["run_time"] >= status["due"]]
    for record in current:
        if record["complete"]:
            return State.COMPLETE, record
    due = next((record for record in current if record["run_time"] == status["due"]), None)
    return (State.NO_RECORD, None) if due is None else (State.INCOMPLETE, due)


def worker_of(status: dict[str, Any]) -> dict[str, Any]:
    """What the records tell of the worker, which has no heartbeat: it is at work when the due run time has a record."""
    newest = status["periods"][0] if status["periods"] else None
    return {
        "alive": newest is not None and newest["run_time"] >= status["due"],
        "last_run_time": newest and newest["run_time"],
        "started_at": newest and newest["started_at"],
    }
