"""Answers and refusals of the REST side, as values. Bodies are the recorded and documented ones, word for word."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kit.embedded_exchange.weights import Decision, Verdict
from kit.words import Venue

_REFUSALS: dict[str, tuple[int, int, str]] = {
    "symbol": (400, -1121, "Invalid symbol."),
    "status": (400, -1122, "Invalid symbol status."),
    "interval": (400, -1120, "Invalid interval."),
    "limit": (400, -1130, "Data sent for parameter 'limit' is not valid."),
    "too_long": (400, -1127, "Lookup interval is too big. More than 4800 hours between startTime and endTime."),
}


@dataclass(frozen=True)
class Answer:
    """What goes back: HTTP status, body and, on a refusal for weight on spot, the seconds to wait.

    ``delivery``: how it goes back; only faults send it ``late`` (after ``late_ms``) or ``torn`` in its middle.
    """

    status: int
    body: bytes
    retry_after_s: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delivery: Literal["whole", "late", "torn"] = "whole"
    late_ms: int = 0


class RefusedError(Exception):
    """Raised by an endpoint to end its work with a refusal."""

    def __init__(self, refusal: Answer) -> None:
        super().__init__(refusal.body.decode())
        self.refusal = refusal


def answer(value: Any) -> Answer:
    """JSON the way the exchange writes it: no blanks, UTF-8 as it is."""
    return Answer(200, _json(value))


def refused(why: str) -> RefusedError:
    """One of the refusals that have no parameter in their text, to be raised."""
    status, code, text = _REFUSALS[why]
    return RefusedError(Answer(status, _json({"code": code, "msg": text})))


def missing(parameter: str) -> RefusedError:
    """A mandatory parameter was not sent."""
    text = f"Mandatory parameter '{parameter}' was not sent, was empty/null, or malformed."
    return RefusedError(Answer(400, _json({"code": -1102, "msg": text})))


def illegal(parameter: str) -> RefusedError:
    """A number was expected."""
    text = f"Illegal characters found in parameter '{parameter}'; legal range is '^[0-9]{{1,20}}$'."
    return RefusedError(Answer(400, _json({"code": -1100, "msg": text})))


def no_such_path(venue: Venue | None, path: str) -> Answer:
    """404: JSON on futures, the gateway's page on spot."""
    if venue in (Venue.UM, Venue.CM):
        return Answer(404, _json({"code": -5000, "msg": f"Path {path}, Method GET is invalid"}))
    return Answer(404, b"<html><body><h2>404 Not found</h2></body></html>")


def too_much(venue: Venue, decision: Decision, limit: int, address: str, now_ms: int) -> Answer:
    """429 or 418 with the venue's words; ``Retry-After`` on spot only (the futures documents do not have it)."""
    until_ms = decision.until_ms
    banned = decision.verdict is Verdict.BANNED
    wait_s = max(1, -(-(until_ms - now_ms) // 1000))
    if venue is Venue.SPOT:
        text = (
            f"Way too much request weight used; IP banned until {until_ms}. "
            "Please use WebSocket Streams for live updates to avoid bans."
            if banned
            else f"Too much request weight used; current limit is {limit} request weight per 1 MINUTE. "
            "Please use WebSocket Streams for live updates to avoid polling the API."
        )
        return Answer(decision.verdict.value, _json({"code": -1003, "msg": text}), wait_s)
    text = (
        f"Way too many requests; IP({address}) banned until {until_ms}. "
        "Please use the websocket for live updates to avoid bans."
        if banned
        else f"Too many requests; current limit is {limit} requests per minute. "
        "Please use the websocket for live updates to avoid polling the API."
    )
    return Answer(decision.verdict.value, _json({"code": -1003, "msg": text}))


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
