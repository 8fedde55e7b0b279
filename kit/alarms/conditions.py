"""The words of alarms: what can be wrong, with what patience it is told, and what was seen of a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Facts = Mapping[str, Any]
"""What a sentence is filled with: names ending in ``_ms`` are moments (UTC milliseconds), the rest plain values."""

MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86_400.0


class Kind(StrEnum):
    """What is wrong."""

    FAILED = "failed"  # a period could not be done
    CRASHED = "crashed"  # the process that worked on it is gone
    NO_RECORD = "no_record"  # nobody has done it
    INCOMPLETE = "incomplete"  # symbols are missing after the deadline
    STEP_FAILING = "step_failing"  # one of the period's steps fails while its candles are there
    STALLED = "stalled"  # nothing comes by stream
    PART_SILENT = "part_silent"  # some streams send nothing
    FAILING = "failing"  # a connection does not come about
    LOSING = "losing"  # connections are lost again and again
    BANNED = "banned"  # 418
    FORBIDDEN = "forbidden"  # 403, 451
    CLOCK_OFF = "clock_off"
    DISK_LOW = "disk_low"
    UNWRITABLE = "unwritable"  # the streamer cannot write its candles
    STREAMER_SILENT = "streamer_silent"
    STREAMER_STOPPED = "streamer_stopped"
    WORKER_SILENT = "worker_silent"
    WORKER_STOPPED = "worker_stopped"


class NewsKind(StrEnum):
    """What happened once."""

    LISTED = "listed"
    STOPPED = "stopped"
    RESUMED = "resumed"


class Reason(StrEnum):
    """Why a symbol is missing."""

    UNANSWERED = "unanswered"  # the exchange answered without this candle
    NO_REST = "no_rest"  # the exchange has told us to wait
    UNDELIVERED = "undelivered"  # neither stream nor REST brought it


@dataclass(frozen=True)
class Rule:
    """How a kind is told. ``rank``: one of a higher rank under the same key is told although a lower one was.

    ``confirm_s``: it must have lasted so long; ``settle_s``: it must have been gone so long before that is told;
    ``remind_s``: told again while it lasts.
    """

    rank: int
    confirm_s: float
    settle_s: float = 10.0  # two heartbeats
    remind_s: float = HOUR_S


RULES: dict[Kind, Rule] = {
    Kind.FAILED: Rule(3, 0.0),
    Kind.CRASHED: Rule(3, 45.0),  # between two attempts, 33 s at most, the folder's lock is free as after a crash
    Kind.NO_RECORD: Rule(2, 20.0),  # a first start loads for some seconds
    Kind.INCOMPLETE: Rule(1, 0.0),  # its deadline was the patience
    Kind.STEP_FAILING: Rule(1, 0.0),  # the periods that it failed in were
    Kind.STALLED: Rule(2, 30.0),  # a start subscribes a market in some 10 s
    # Illiquid pairs may trade less than once in minutes, all night: told once, and over when all have sent for long.
    Kind.PART_SILENT: Rule(1, 150.0, settle_s=1800.0, remind_s=DAY_S),
    Kind.FAILING: Rule(1, 60.0),
    Kind.LOSING: Rule(1, 0.0),
    Kind.BANNED: Rule(3, 0.0),
    Kind.FORBIDDEN: Rule(3, 0.0),
    Kind.CLOCK_OFF: Rule(1, 5.0),  # a jump is measured anew within a second
    Kind.DISK_LOW: Rule(2, 10.0),
    Kind.UNWRITABLE: Rule(3, 10.0),
    # The heartbeat's age is the patience; the rest is for a machine that just woke up or booted.
    Kind.STREAMER_SILENT: Rule(3, 12.0),
    Kind.WORKER_SILENT: Rule(3, 12.0),
    # Somebody stopped it on purpose: to be reminded daily is enough.
    Kind.STREAMER_STOPPED: Rule(1, 0.0, remind_s=DAY_S),
    Kind.WORKER_STOPPED: Rule(1, 0.0, remind_s=DAY_S),
}


@dataclass(frozen=True)
class Condition:
    """Something that is wrong now. Of one ``key`` there is at most one at a time."""

    key: str
    kind: Kind
    facts: Facts = field(default_factory=dict)


@dataclass(frozen=True)
class Symbols:
    """The market's symbols: those that trade, and those that stopped with their status at the exchange."""

    trading: frozenset[str]
    stopped: Mapping[str, str]


@dataclass(frozen=True)
class Sight:
    """What was seen of a folder. ``blind``: keys of which nothing is known now; what was, stays.

    ``well``: facts for telling the recovery of a key. ``symbols``: None when nothing is known of them.
    """

    label: str
    conditions: tuple[Condition, ...] = ()
    blind: frozenset[str] = frozenset()
    well: Mapping[str, Facts] = field(default_factory=dict)
    symbols: Symbols | None = None
