"""What is wrong with a factor, said so that its author knows where to look."""

from __future__ import annotations

from kit.errors import BmacError


class FactorError(BmacError):
    """A factor cannot be used or computed. ``column`` is its column's name, such as ``PctChg_100``."""

    def __init__(self, column: str, problem: str) -> None:
        super().__init__(f"factor {column}: {problem}")
        self.column = column
        self.problem = problem
