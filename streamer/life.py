"""When a connection is sound, silent or due for a replacement, and how long to wait after its end. Pure.

Times are seconds of a monotonic clock, given as arguments.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

    from streamer.timing import Timing

STOP_STATUSES = (403, 418, 429, 451)  # answers to the upgrade by which the exchange asks for a pause
FIVE_MINUTES_S = 300.0  # in which spot allows 300 attempts from one address


class Phase(StrEnum):
    """Where a connection is in its life."""

    CONNECTING = "connecting"
    SUBSCRIBING = "subscribing"  # open; no frame yet
    LIVE = "live"
    STALE = "stale"  # silent for longer than a market is
    DRAINING = "draining"  # a replacement delivers; closing
    CLOSED = "closed"


class EndKind(StrEnum):
    """Why a connection ended."""

    REFUSED = "refused"  # it never opened
    LOST = "lost"  # closed or cut by the other side
    SILENT = "silent"  # open, and nothing came: we left
    DRAINED = "drained"  # replaced, as planned


@dataclass(frozen=True)
class Ended:
    """The end of a connection. ``lived_s`` counts from its opening; ``http_status`` is that of a refusal."""

    kind: EndKind
    reason: str
    lived_s: float = 0.0
    delivered: bool = False
    calm: bool = False
    http_status: int | None = None


class Life:
    """The watchdog of one open connection. ``strikes``: how often in a row this place was left for silence."""

    def __init__(self, timing: Timing, opened_at: float, *, rotate_at: float, strikes: int = 0) -> None:
        self._timing = timing
        self._opened_at = opened_at
        self._rotate_at = rotate_at
        self._strikes = strikes
        self._asked_at: float | None = None
        self._last_frame: float | None = None
        self._calm_since = opened_at
        self._leaving = False
        self.shutdown_announced = False

    @property
    def last_frame(self) -> float | None:
        """When the newest frame of a stream came."""
        return self._last_frame

    @property
    def delivered(self) -> bool:
        """Whether any frame of a stream came."""
        return self._last_frame is not None

    def asked(self, now: float) -> None:
        """A SUBSCRIBE was sent: from here on frames are due."""
        if self._asked_at is None:
            self._asked_at = now

    def frame(self, now: float) -> None:
        """A frame of a stream came; an answer to a control message is none."""
        before = self._last_frame or self._opened_at
        if now - before > self._timing.silent_after_s:
            self._calm_since = now
        self._last_frame = now

    def leave(self) -> None:
        """Its replacement delivers."""
        self._leaving = True

    def phase(self, now: float) -> Phase:
        """Where it is now."""
        if self._leaving:
            return Phase.DRAINING
        if self.silent_for(now) > self._patience(now):
            return Phase.STALE
        return Phase.LIVE if self.delivered else Phase.SUBSCRIBING

    def silent_for(self, now: float) -> float:
        """Seconds since a frame came or should have begun to come; 0 before anything was asked for."""
        if self._asked_at is None:
            return 0.0
        return now - (self._last_frame or self._asked_at)

    def replacement_due(self, now: float) -> bool:
        """Whether a replacement should be opened: the exchange announced its end, or it nears the 24 h."""
        return self.shutdown_announced or now >= self._rotate_at

    def calm(self, now: float) -> bool:
        """Whether it delivered without a long silence for so long that earlier silences are forgotten."""
        return self.delivered and now - self._calm_since > self._timing.calm_after_s

    def _patience(self, now: float) -> float:
        first = self._timing.silent_after_s if self.delivered else self._timing.first_frame_within_s
        strikes = 0 if self.calm(now) else self._strikes
        return min(first * 2.0**strikes, max(first, self._timing.silence_cap_s))


class Backoff:
    """How long to wait before the next attempt at one place: exponential with full jitter, none after a sound life.

    A market may really be quiet: each life left for silence makes the next one more patient (``strikes``).
    """

    def __init__(self, timing: Timing, chance: random.Random) -> None:
        self._timing = timing
        self._chance = chance
        self._failures = 0
        self.strikes = 0

    def after(self, ended: Ended) -> float:
        """Seconds to wait after that end."""
        if ended.calm:
            self.strikes = 0
        if ended.kind is EndKind.SILENT:
            self.strikes = min(self.strikes + 1, 10)
        if ended.kind is EndKind.DRAINED or (ended.delivered and ended.lived_s >= self._timing.healthy_life_s):
            self._failures = 0
            return 0.0
        ceiling = min(self._timing.backoff_first_s * 2.0**self._failures, self._timing.backoff_cap_s)
        self._failures = min(self._failures + 1, 30)
        if ended.http_status in STOP_STATUSES:
            return self._chance.uniform(self._timing.refused_floor_s, self._timing.backoff_cap_s)
        return self._chance.uniform(0.0, ceiling)


class Pace:
    """At most so many new connections a second, and so many in five minutes, over all places of the process.

    Back-off alone does not keep the exchange's 300 attempts in 5 minutes: where a network cuts sound connections every
    ten seconds, each place comes back at once, and eleven of them are too many.
    """

    def __init__(self, per_second: float, in_five_minutes: int) -> None:
        self._gap_s = 1.0 / per_second
        self._free_at = 0.0
        self._turns: deque[float] = deque(maxlen=in_five_minutes)

    def wait_s(self, now: float) -> float:
        """Seconds that the caller must wait before it opens one; its turn is taken."""
        full = len(self._turns) == self._turns.maxlen
        turn = max(now, self._free_at, self._turns[0] + FIVE_MINUTES_S if full else now)
        self._free_at = turn + self._gap_s
        self._turns.append(turn)
        return turn - now


def may_take_over(needed: set[str], delivered: set[str], *, open_for_s: float, timing: Timing) -> bool:
    """Whether a replacement can carry on alone.

    ``needed``: streams of which the old connection had frames since the new one asked for them; ``delivered``: those
    of which the new one had. Quiet streams are in neither and hold nothing up.
    """
    if open_for_s < timing.overlap_s or not delivered:
        return False
    return len(needed & delivered) >= timing.nearly_all * len(needed)
