"""What a budget tells those who look: values of one moment. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from kit.budget.rules import StopKind


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A pool at a moment. ``used`` is the most that the exchange can have counted in this window (a minute)."""

    pool: str
    limit: int
    used: int
    outstanding: int
    window_ends_ms: int
    stop_kind: str | None
    stop_until_ms: int | None
    clock_offset_ms: int  # exchange's clock minus this machine's wall clock


@dataclass(frozen=True, slots=True)
class ClockView:
    """The exchange's clock at a moment, in UTC milliseconds, right to within ``error_ms``.

    ``offset_ms``: it minus this machine's wall clock. ``age_ms``: since ``/time`` was asked; None: not in this boot,
    or what it said was contradicted since.
    """

    exchange_ms: int
    error_ms: int
    offset_ms: int
    age_ms: int | None

    @property
    def earliest_ms(self) -> int:
        """A moment that the exchange's clock has surely reached."""
        return self.exchange_ms - self.error_ms


@dataclass(frozen=True, slots=True)
class KnownStop:
    """A stop that the exchange told: nobody sends before ``until_ms`` (its clock)."""

    kind: StopKind
    until_ms: int
    message: str
