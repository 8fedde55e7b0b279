"""What a check says."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"  # it works, or will when it is started; somebody should know
    WRONG = "wrong"  # it does not work so


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, how it is, what was seen, and what to do where it is not well. No secrets."""

    name: str
    level: Level
    seen: str
    todo: str = ""

    def as_dict(self) -> dict[str, str]:
        """Plain values."""
        return {**asdict(self), "level": self.level.value}


def ok(name: str, seen: str) -> Finding:
    """Nothing to do."""
    return Finding(name, Level.OK, seen)


def warning(name: str, seen: str, todo: str) -> Finding:
    """Worth knowing."""
    return Finding(name, Level.WARNING, seen, todo)


def wrong(name: str, seen: str, todo: str) -> Finding:
    """To be mended."""
    return Finding(name, Level.WRONG, seen, todo)
