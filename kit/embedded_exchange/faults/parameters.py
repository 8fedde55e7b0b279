"""One key of a fault: its type, its bounds, its default, and how a value of JSON or of a command line is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

_SAID = {
    "whole": "whole number",
    "numbers": "list of whole numbers",
    "names": "list of symbols",
    "flag": "true | false",
}
Value = int | float | str | bool | tuple[int, ...] | None


class FaultError(ValueError):
    """A fault with a key or a value that does not exist; the text says what is allowed."""


@dataclass(frozen=True)
class Parameter:
    """``lowest`` and ``highest`` bound numbers, ``words`` lists the texts there are; None only where ``optional``."""

    name: str
    type: Literal["whole", "number", "text", "flag", "numbers", "names"]
    default: Value
    doc: str
    lowest: float | None = None
    highest: float | None = None
    words: tuple[str, ...] = ()
    optional: bool = False

    @property
    def allowed(self) -> str:
        """What it may be, for people."""
        said = " | ".join(self.words) if self.words else _SAID.get(self.type, self.type)
        if self.lowest is not None:
            said += f" from {self.lowest:g}"
        if self.highest is not None:
            said += f" to {self.highest:g}"
        return said + (" or null" if self.optional else "")

    def checked(self, value: Any) -> Value:
        """The value, frozen.

        Raises:
            FaultError: it is of another type, out of bounds, or not one of the words.
        """
        if value is None and self.optional:
            return None
        if not self._fits(value):
            raise FaultError(f"{self.name}: {value!r} is wrong (allowed: {self.allowed})")
        return tuple(value) if self.type == "numbers" else value

    def _fits(self, value: Any) -> bool:
        if self.type == "flag":
            return isinstance(value, bool)
        if self.type == "text":
            return isinstance(value, str) and (not self.words or value in self.words)
        if self.type == "numbers":
            return isinstance(value, Sequence) and not isinstance(value, str) and all(map(_is_whole, value))
        fits = _is_whole(value) or (self.type == "number" and isinstance(value, float))
        low = self.lowest is None or (fits and value >= self.lowest)
        return fits and low and (self.highest is None or value <= self.highest)

    def read(self, words: str) -> Value:
        """A value of the command line; lists are joined by ``+``.

        Raises:
            FaultError: as :meth:`checked`.
        """
        if words in ("", "null"):
            return self.checked(None)
        if self.type == "text":
            return self.checked(words)
        if self.type == "flag":
            return self.checked({"true": True, "false": False}.get(words, words))
        try:
            if self.type == "numbers":
                return self.checked([int(part) for part in words.split("+")])
            return self.checked(int(words) if self.type == "whole" or words.lstrip("-").isdigit() else float(words))
        except ValueError as wrong:
            if isinstance(wrong, FaultError):
                raise
            raise FaultError(f"{self.name}: {words!r} is wrong (allowed: {self.allowed})") from None


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def whole(name: str, default: int, doc: str, *, lowest: float = 0, highest: float | None = None) -> Parameter:
    """A whole number, mostly a time in ms or a count."""
    return Parameter(name, "whole", default, doc, lowest, highest)


def number(name: str, default: float, doc: str, *, lowest: float | None = None) -> Parameter:
    """Any number."""
    return Parameter(name, "number", default, doc, lowest)


def switch(name: str, doc: str, *, lowest: float = 0) -> Parameter:
    """A whole number, or null, which is the default."""
    return Parameter(name, "whole", None, doc, lowest, optional=True)


def numbers(name: str, doc: str) -> Parameter:
    """Whole numbers, or null, which is the default."""
    return Parameter(name, "numbers", None, doc, optional=True)


def words(name: str, default: str | None, allowed: tuple[str, ...], doc: str) -> Parameter:
    """One of a few words."""
    return Parameter(name, "text", default, doc, words=allowed, optional=default is None)


def text(name: str, default: str | None, doc: str) -> Parameter:
    """Any text."""
    return Parameter(name, "text", default, doc, optional=default is None)


def flag(name: str, doc: str) -> Parameter:
    """True or false, which is the default."""
    return Parameter(name, "flag", False, doc)
