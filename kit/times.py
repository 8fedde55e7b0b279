"""BMAC's two helpers for a strategy's own clock."""

from __future__ import annotations

from datetime import datetime, timedelta

from kit.words import from_ms, parse_interval, to_ms, utc_now


def now_time() -> datetime:
    """The local clock's time, aware, in UTC."""
    return utc_now()


def next_run_time(time_interval: str, ahead_seconds: float = 5) -> datetime:
    """The next run time (UTC) of an interval that is at least ``ahead_seconds`` away.

    Raises:
        UnknownWordError: the interval does not exist.
    """
    interval = parse_interval(time_interval)
    soonest_ms = to_ms(now_time() + timedelta(seconds=ahead_seconds))
    return from_ms(-(-soonest_ms // interval.ms) * interval.ms)
