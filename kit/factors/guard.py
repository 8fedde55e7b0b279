"""The one seam where users' own code runs: it may raise anything, and must not take the rest down."""

from __future__ import annotations

from traceback import extract_tb
from types import TracebackType
from typing import Self


class Guard:
    """``with Guard() as guard: ...``: what was raised inside is in ``guard.error``, and goes no further.

    What ends the program (KeyboardInterrupt, SystemExit) is let through.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, Exception):
            self.error = error
            return True
        return False

    @property
    def problem(self) -> str:
        """What was raised and in which line of whose code: ``KeyError: 'vol' (PctChg.py line 3)``."""
        if self.error is None:
            return ""
        places = extract_tb(self.error.__traceback__)
        where = f" ({places[-1].filename.rpartition('/')[2]} line {places[-1].lineno})" if places else ""
        return f"{type(self.error).__name__}: {self.error}{where}"
