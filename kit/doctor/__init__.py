"""``python -m kit doctor``: is everything there that a market needs, and if not, what to do. Bounded in time."""

from kit.doctor.examination import Examination, examine
from kit.doctor.finding import Finding, Level

__all__ = ["Examination", "Finding", "Level", "examine"]
