"""One weight budget for each pool of the exchange, for all processes of this machine, kept across restarts.

The design and its proof are in docs/decisions/weight-budget.md.
"""

from kit.budget.budget import Reservation, WeightBudget
from kit.budget.looking import known_clock, known_stop
from kit.budget.place import state_folder
from kit.budget.rules import StopKind, Urgency
from kit.budget.views import ClockView, KnownStop, Snapshot

__all__ = [
    "ClockView",
    "KnownStop",
    "Reservation",
    "Snapshot",
    "StopKind",
    "Urgency",
    "WeightBudget",
    "known_clock",
    "known_stop",
    "state_folder",
]
