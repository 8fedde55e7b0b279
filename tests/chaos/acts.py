"""What can be done to a stage: one act is a fault, an end of connections, a turn of market life, a kill, a pause or a
wrong clock. Plain values, so that a schedule of them can be printed and played again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.stage import Stage


@dataclass(frozen=True)
class Act:
    """``what``: fault, connections, market, kill, pause or skew. ``lasts_s``: after that it is undone: the fault off,
    the killed process started, the paused one going on, the clock right again."""

    what: str
    name: str
    keys: tuple[tuple[str, Any], ...] = ()
    lasts_s: float = 0.0

    def __str__(self) -> str:
        keys = ", ".join(f"{key}={value}" for key, value in self.keys)
        return f"{self.what} {self.name}({keys}) for {self.lasts_s:g} s"


@dataclass(frozen=True)
class Timed:
    """An act and when it begins, in seconds from the beginning of the run."""

    at_s: float
    act: Act


def fault(name: str, lasts_s: float, **keys: Any) -> Act:
    """A fault of the exchange."""
    return Act("fault", name, tuple(keys.items()), lasts_s)


@dataclass
class Doing:
    """Acts that are going on, and how each is undone."""

    stage: Stage
    going_on: list[tuple[float, Act, Any]] = field(default_factory=list)

    def begin(self, act: Act) -> None:
        """Do it."""
        keys, stage, handle = dict(act.keys), self.stage, None
        if act.what == "fault":
            handle = stage.control.switch_on(act.name, **keys)
        elif act.what == "connections":
            stage.control.end_connections(act.name, **keys)
        elif act.what == "market":
            stage.control.market(act.name, **keys)
        elif act.what == "kill":
            stage.kill(act.name)
        elif act.what == "pause":
            stage.stop(act.name)
        elif act.what == "skew":
            stage.skew(keys["skew_ms"])
        else:
            raise AssertionError(f"no such act: {act}")
        self.going_on.append((time.monotonic() + act.lasts_s, act, handle))

    def end(self, act: Act, handle: Any) -> None:
        """Undo it."""
        if act.what == "fault":
            self.stage.control.switch_off(handle)
        elif act.what == "kill":
            self.stage.start(act.name)
        elif act.what == "pause":
            self.stage.go_on(act.name)
        elif act.what == "skew":
            self.stage.skew(0)

    def end_due(self, *, all_of_them: bool = False) -> None:
        """Undo what has lasted long enough, in the order in which it was due."""
        for due in sorted(self.going_on, key=lambda one: one[0]):
            if all_of_them or due[0] <= time.monotonic():
                self.going_on.remove(due)
                self.end(due[1], due[2])

    @property
    def hit(self) -> set[str]:
        """The processes that are dead or paused now: nobody is killed twice."""
        return {act.name for _, act, _ in self.going_on if act.what in ("kill", "pause")}


def play(stage: Stage, timeline: Sequence[Timed]) -> None:
    """Do the acts of a timeline at their times, and undo each; returns when all are undone."""
    doing = Doing(stage)
    began = time.monotonic()
    left = sorted(timeline, key=lambda timed: timed.at_s)
    while left or doing.going_on:
        doing.end_due()
        while left and left[0].at_s <= time.monotonic() - began:
            act = left.pop(0).act
            if act.what not in ("kill", "pause") or act.name not in doing.hit:
                doing.begin(act)
        time.sleep(0.05)
