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


def advice(state: State, streamer: dict[str, Any] | None, worker: dict[str, Any]) -> str | None:
    """What a person can do, as the name of the page's words: what helps most; None while nothing has to be done.

    ``streamer``: its heartbeat or None; ``worker``: as ``worker_of`` gives it.
    """
    scheduled = worker["running"] is None and worker["last_run_time"] is not None
    if not worker["alive"] and not scheduled:
        return "start_worker"
    if streamer is None or not streamer["alive"]:
        return "start_streamer"
    if state is State.COMPLETE:
        return None
    return "wait" if state is State.STARTING else "examine"


def worker_of(status: dict[str, Any]) -> dict[str, Any]:
    """Whether anybody begins the periods, and the newest run time that was judged.

    By the worker's heartbeat, whose ``running`` and ``written_at`` are passed on. A market whose periods a schedule
    begins has none (both None): somebody is at work on it while the due run time has a record.
    """
    newest = status["periods"][0] if status["periods"] else None
    beat = status["worker"]
    judged_in_time = newest is not None and newest["run_time"] >= status["due"]
    return {
        "alive": judged_in_time if beat is None else beat["alive"],
        "running": beat and beat["running"],
        "written_at": beat and beat["written_at"],
        "last_run_time": newest and newest["run_time"],
    }
