"""The exchange's own clock, which may be wrong on purpose."""

from __future__ import annotations

import time


class Clock:
    """The machine's clock plus a skew that may be changed at any time, while the exchange runs.

    Everything the exchange says about time (open bars, finals, ``E``, ``/time``, the ``Date`` header, the minute of the
    weight pools) follows this one clock, so a test moves the whole exchange to just before a close by one assignment.
    """

    def __init__(self, skew_ms: int = 0) -> None:
        self.skew_ms = skew_ms

    def now_ms(self) -> int:
        """Milliseconds since the epoch by this clock."""
        return time.time_ns() // 1_000_000 + self.skew_ms
