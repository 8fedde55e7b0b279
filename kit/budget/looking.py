"""For those who only look at a pool: what processes of this machine have learned of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TypeVar

from kit.budget.budget import WeightBudget
from kit.budget.place import file_name, state_folder
from kit.budget.views import ClockView, KnownStop
from kit.errors import FolderNotWritableError

T = TypeVar("T")


def known_clock(pool: str) -> ClockView | None:
    """The exchange's clock as processes of this machine have learned it, for one that only looks; None: not since boot.

    Writes nothing but what opening the state writes, and only where there is one.
    """
    view = _looked_at(pool, WeightBudget.clock)
    return None if view is None or view.age_ms is None else view


def known_stop(pool: str) -> KnownStop | None:
    """The stop that holds now, for one that only looks, as ``known_clock`` does; None: there is none."""
    return _looked_at(pool, WeightBudget.known_stop)


def _looked_at(pool: str, what: Callable[[WeightBudget], T]) -> T | None:
    if not (state_folder() / file_name(pool)).exists():
        return None
    try:
        with contextlib.closing(WeightBudget(pool)) as budget:
            return what(budget)
    except FolderNotWritableError:  # another user's
        return None
