"""When people are told that this machine's clock is off, and that it is well again. Decides only; no I/O."""

from __future__ import annotations

from flows.notice import REMIND_AFTER, Message
from kit.exchange_clock import is_off, off_words

REMIND_AFTER_MS = int(REMIND_AFTER.total_seconds() * 1000)
HARMLESS = "candles and periods go by the exchange's clock; logs, and what else runs here, do not: check NTP"


class ClockAlarm:
    """Keeps what it has told, so that an offset tells once, once an hour while it lasts, and once when it is over."""

    def __init__(self) -> None:
        self.off = False
        self._told_at_ms = 0

    def after(self, offset_ms: int, at_ms: int) -> Message | None:
        """What to tell, ``offset_ms`` being the exchange's clock minus this machine's at the exchange's ``at_ms``."""
        was_off, self.off = self.off, is_off(offset_ms, was_off=self.off)
        if self.off and (not was_off or at_ms - self._told_at_ms >= REMIND_AFTER_MS):
            self._told_at_ms = at_ms
            return Message(off_words(offset_ms), HARMLESS)
        if was_off and not self.off:
            return Message("this machine's clock is right again", f"it is within {abs(offset_ms)} ms of the exchange's")
        return None
