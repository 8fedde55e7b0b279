"""Faults of connections as decisions: which attempt is refused, which message goes wrong, which stream stays dead."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from math import ceil
from typing import TypeVar

from kit.embedded_exchange.control import Change
from kit.embedded_exchange.faults.active import Faults
from kit.embedded_exchange.noise import fraction_of
from kit.words import Venue

C = TypeVar("C")


def refusal(faults: Faults, venues: Iterable[Venue]) -> str | None:
    """How this attempt to connect is refused (``http`` or ``reset``), or None."""
    for one in faults.named("refuse"):
        if one.fault.venue is not None and one.fault.venue not in venues:
            continue
        one.seen += 1
        if one.fault.picks(faults.seed, one.seen):
            return str(faults.hit(one).own["how"])
    return None


def disturbed(faults: Faults, venue: Venue, change: Change) -> tuple[Change, int]:
    """What becomes of a control message's effect, and by how many ms it is late."""
    late_ms = 0
    for one in faults.named("subscription_error", "slow_acknowledgement"):
        fault = one.fault
        if (fault.venue is not None and fault.venue is not venue) or not (change.subscribe or change.unsubscribe):
            continue
        one.seen += 1
        if not fault.picks(faults.seed, one.seen):
            continue
        if fault.name == "slow_acknowledgement":
            late_ms = max(late_ms, faults.hit(one).whole("by_ms"))
        elif change.subscribe:
            faults.hit(one)
            error = {"code": fault.own["code"], "msg": fault.own["msg"]}
            change = replace(change, reply=json.dumps(error, separators=(",", ":")), subscribe=())
    return change, late_ms


def stays_dead(faults: Faults, venue: Venue, symbol: str, stream: str) -> bool:
    """A stream subscribed now is acknowledged and never delivers."""
    for one in faults.named("partial_resubscription"):
        if one.fault.concerns(venue, (symbol,)) and not one.fault.picks(faults.seed, stream):
            faults.hit(one)
            return True
    return False


def some_of(things: list[tuple[int, C]], share: float, *place: object) -> list[C]:
    """``share`` of the numbered things, rounded up, the same ones for the same place."""
    ranked = sorted(things, key=lambda numbered: fraction_of(*place, numbered[0]))
    return [thing for _, thing in ranked[: ceil(share * len(ranked))]]
