"""The exchange's clock as its frames tell it: each is stamped when it is sent, and arrives some time later.

So a stamp says that the exchange's clock is at least there, and the quickest frames of the last minutes say where it
is. That is kept against this machine's steady clock (``kit.exchange_clock``): the wall clock may be wrong or be set,
and only speaks where stamps are few. Decides only; no I/O.
"""

from __future__ import annotations

from collections import deque

from kit.exchange_clock import Local, is_off

SLACK_MS = 2_000
"""A stamp so far ahead of what is known is not the exchange's time: it would seal good periods. Quicker frames than
those before, and the drift of the clocks, are far less."""
WITNESSES = 5
"""So many of the last stamps have to agree before they are believed against what was known: some are just wrong."""
REMEMBERED = 9
SPAN_MS = 60_000
"""The quickest frame of this and the last span counts: what drifts slowly is followed, and a busy minute outlived."""
HEAR_EVERY_S = 1.0
"""A stamp a second of each route is enough; frames come by the thousand."""


class StampClock:
    """Hears stamps, knows the exchange's clock. All times are milliseconds since the epoch."""

    def __init__(self) -> None:
        self.off = False
        self._recent: deque[int] = deque(maxlen=REMEMBERED)
        self._best: int | None = None
        self._best_before: int | None = None
        self._span_began_ms = 0
        self._hear_at_s = 0.0
        self._doubts = True

    @property
    def known(self) -> bool:
        """Whether stamps have been believed."""
        return self._ahead_ms is not None

    def wants(self, now_s: float) -> bool:
        """Whether to be given an open frame's stamp now: each second (``now_s``: any steady clock), and each one while
        too few are known or one could not be believed."""
        if self._doubts or now_s >= self._hear_at_s:
            self._hear_at_s = now_s + HEAR_EVERY_S
            return True
        return False

    def hear(self, stamp_ms: int, local: Local) -> bool:
        """Learn from a stamp; whether it can be the exchange's time.

        A stamp of the past can be: frames wait in queues. One of the future cannot.
        """
        ahead_ms = stamp_ms - local.steady_ms
        self._recent.append(ahead_ms)
        believed = self._believed(stamp_ms, local)
        if believed:
            self._learn(ahead_ms, local.steady_ms)
        self._doubts = not believed or len(self._recent) < WITNESSES
        return believed or (self._ahead_ms is None and stamp_ms <= local.wall_ms + SLACK_MS)

    def received_ms(self, local: Local) -> int:
        """The exchange's clock now: the wall clock where it can be right, since the quickest frame took its time, too;
        else what the stamps say."""
        ahead_ms = self._ahead_ms
        if ahead_ms is None:  # the first stamps of a start: the wall clock may be an hour ahead of them
            possible = [ahead for ahead in self._recent if local.steady_ms + ahead <= local.wall_ms + SLACK_MS]
            if not possible:
                return local.wall_ms
            ahead_ms = max(possible)
        told_ms = local.steady_ms + ahead_ms
        wall_can_be_right = told_ms <= local.wall_ms and not is_off(told_ms - local.wall_ms, was_off=False)
        return local.wall_ms if wall_can_be_right else told_ms

    def offset_ms(self, local: Local) -> int | None:
        """The exchange's clock minus the wall clock, too small by what the quickest frame took; None: not known."""
        return None if self._ahead_ms is None else local.steady_ms + self._ahead_ms - local.wall_ms

    def turned(self, local: Local) -> bool:
        """Whether the wall clock has gone off, or has come right again, since the last call; ``off`` says which.

        A wall clock that is behind shows at once. One that is ahead looks like frames that took long, until the
        quickest of a whole span is known.
        """
        offset_ms = self.offset_ms(local)
        was_off = self.off
        if offset_ms is not None and (offset_ms > 0 or self._best_before is not None):
            self.off = is_off(offset_ms, was_off=was_off)
        return self.off != was_off

    @property
    def _ahead_ms(self) -> int | None:
        """The exchange's clock minus the steady one, as far as is known."""
        return max((best for best in (self._best, self._best_before) if best is not None), default=None)

    def _believed(self, stamp_ms: int, local: Local) -> bool:
        """By what is known, or by the wall clock, which two wrong ones would hardly agree on, or by enough others."""
        ahead_ms, known_ms = stamp_ms - local.steady_ms, self._ahead_ms
        if known_ms is not None and ahead_ms <= known_ms + SLACK_MS:
            return True
        if abs(stamp_ms - local.wall_ms) <= SLACK_MS:
            return True
        if len(self._recent) < WITNESSES:
            return False
        return ahead_ms <= sorted(self._recent, reverse=True)[WITNESSES - 1] + SLACK_MS

    def _learn(self, ahead_ms: int, steady_ms: int) -> None:
        if steady_ms - self._span_began_ms >= SPAN_MS:
            self._span_began_ms = steady_ms
            self._best, self._best_before = None, self._best
        self._best = ahead_ms if self._best is None else max(self._best, ahead_ms)
