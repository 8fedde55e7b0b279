"""The exchange's clock, known from its own answers and kept by a clock of this machine that cannot be set.

This machine has two clocks. The *wall* clock tells people the time; it may be wrong, and NTP, people and virtual
machines set it at any moment. The *steady* clock counts since boot, is the same in every process, goes on in sleep and
is never set. So what was learned of the exchange is kept against the steady one, and a jump of the other harms nothing.

An answer of ``/time`` bounds the exchange's clock from both sides: it was told after the request was sent and before
the answer was here. Such bounds are cut with those known before, which grow wider with age. All but the two readings of
clocks is pure.
"""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import NamedTuple

STEADY_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Linux' monotonic clock stands still while the machine sleeps, its boot time clock does not (clock_gettime(2)). Where
there is none (macOS), the monotonic one counts sleep, too."""

DRIFT_PPM = 200
"""Quartz is right to 100 ppm, with a margin of two: 12 ms a minute. NTP steers both clocks, so it is mostly less."""

SERVERS_DIFFER_MS = 5
"""Each answer may come from another of the exchange's machines; how far theirs differ is not published."""

OFF_MS = 500
"""From here on the wall clock is called off: people and logs would take one second for another."""
WELL_MS = 300
"""Below this it is well again. Between the two nothing changes, so that an offset at the border tells once."""

SAME_MOMENT_MS = 1.0
"""Two clocks read within this count as read at once; it takes a microsecond, unless the process is stopped between."""
READINGS = 5
"""After so many the machine is too slow for better."""

JUMP_MS = 250
"""A wall clock that moved so much more or less than the steady one was set; NTP's slewing is 0.5 ms a second."""


class Local(NamedTuple):
    """Both clocks of this machine at one moment, in milliseconds, and which boot the steady one counts from."""

    wall_ms: int
    steady_ms: int
    boot: str


class Offset(NamedTuple):
    """The exchange's clock minus a local one at the local moment ``at_ms``, right to within ``error_ms``."""

    offset_ms: int
    error_ms: int
    at_ms: int


def read_local() -> Local:
    """This machine's clocks, both at the same moment: whoever is stopped between the two readings reads again."""
    for _ in range(READINGS):
        began_ms, wall_ms, ended_ms = steady_ms(), time.time_ns() // 1_000_000, steady_ms()
        if ended_ms - began_ms < SAME_MOMENT_MS:
            break
    return Local(wall_ms, int(began_ms), BOOT)


def steady_ms() -> float:
    """The steady clock in milliseconds: for spans, and to compare with other processes of this boot."""
    return time.clock_gettime_ns(STEADY_CLOCK) / 1_000_000


def unset_wall_s() -> float:
    """The wall clock in seconds, but without what it was set forward by since this process began.

    For ages by the times of files: what was written before the clock was set must not look old at once. What is
    written after it looks young for longer than it is, which costs no more than room on the disk.
    """
    now = read_local()
    return min(now.wall_ms, _BEGAN.wall_ms + now.steady_ms - _BEGAN.steady_ms) / 1000


def offset_of_answer(server_ms: int, sent_ms: float, received_ms: float) -> Offset:
    """What an answer of ``/time`` says. ``server_ms`` is cut to milliseconds, the other two are the local clock's."""
    lowest, highest = server_ms - received_ms, server_ms + 1 - sent_ms
    error = -(-(highest - lowest) // 2) + SERVERS_DIFFER_MS
    return Offset(round((lowest + highest) / 2), int(error), round(received_ms))


def aged(known: Offset, now_ms: int) -> Offset:
    """The same at a later moment: it may have drifted."""
    age_ms = max(0, now_ms - known.at_ms)
    return Offset(known.offset_ms, known.error_ms + age_ms * DRIFT_PPM // 1_000_000, known.at_ms)


def merged(known: Offset | None, fresh: Offset) -> Offset:
    """What both say together; where they cannot both be true, a clock has been set, and the fresh one is right."""
    if known is None:
        return fresh
    older = aged(known, fresh.at_ms)
    lowest = max(older.offset_ms - older.error_ms, fresh.offset_ms - fresh.error_ms)
    highest = min(older.offset_ms + older.error_ms, fresh.offset_ms + fresh.error_ms)
    if lowest > highest:
        return fresh
    middle = (lowest + highest) // 2
    return Offset(middle, max(highest - middle, middle - lowest), fresh.at_ms)


def is_off(offset_ms: int, *, was_off: bool) -> bool:
    """Whether the wall clock is off, ``offset_ms`` being the exchange's minus it; with hysteresis."""
    return abs(offset_ms) > (WELL_MS if was_off else OFF_MS)


def jumped_ms(before: Local, now: Local) -> int:
    """By how much the wall clock was set between two looks; 0 for what is within its usual steering."""
    jump = (now.wall_ms - before.wall_ms) - (now.steady_ms - before.steady_ms)
    return jump if abs(jump) >= JUMP_MS else 0


def off_words(offset_ms: int) -> str:
    """The offset for people: ``this machine's clock is 3600.4 s ahead of the exchange's``."""
    direction = "behind" if offset_ms > 0 else "ahead of"
    return f"this machine's clock is {abs(offset_ms) / 1000:.1f} s {direction} the exchange's"


def _boot() -> str:
    """A name for this boot, the same for all processes; of this process alone where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return uuid.uuid4().hex


BOOT = _boot()
_BEGAN = read_local()
