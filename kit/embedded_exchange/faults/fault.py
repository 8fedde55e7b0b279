"""One fault as a frozen value, and how it is read from JSON or from a command line."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kit.embedded_exchange.faults.kinds import KINDS, Kind
from kit.embedded_exchange.faults.parameters import FaultError, Parameter, Value
from kit.embedded_exchange.noise import fraction_of
from kit.words import Venue

COMMON = (
    Parameter("venue", "text", None, "only there", words=tuple(Venue), optional=True),
    Parameter("symbols", "names", None, "only these", optional=True),
    Parameter("share", "number", None, "how many are hit, always the same ones for a seed", 0, 1, optional=True),
    Parameter("seconds", "number", None, "ends by itself after that long; null: until switched off", 0, optional=True),
    Parameter("times", "whole", None, "ends by itself after so many hits", 1, optional=True),
)


@dataclass(frozen=True, init=False)
class Fault:
    """``Fault("finals_late", venue="spot", share=0.5, seconds=10, by_ms=3000)``: the keys of all faults, then its own.

    ``venue``, ``symbols``: None means all. ``own`` has a value for each key of its kind.

    Raises:
        FaultError: no such fault, no such key, or a value that is not allowed; says what is.
    """

    name: str
    venue: Venue | None
    symbols: frozenset[str] | None
    share: float
    seconds: float | None
    times: int | None
    own: Mapping[str, Value] = field(hash=False)

    def __init__(
        self,
        /,
        name: str,
        *,
        venue: str | None = None,
        symbols: Collection[str] | None = None,
        share: float | None = None,
        seconds: float | None = None,
        times: int | None = None,
        **own: Any,
    ) -> None:
        kind = kind_of(name)
        if times is not None and not kind.counted:
            raise FaultError(f"times: {name} cannot be counted (allowed: null; use seconds)")
        given = {"venue": venue, "share": share, "seconds": seconds, "times": times}
        common = {key.name: key.checked(given[key.name]) for key in COMMON if key.name in given}
        values: dict[str, Any] = {
            **common,
            "name": name,
            "venue": None if venue is None else Venue(venue),
            "symbols": _symbols(symbols),
            "share": kind.share if share is None else share,
            "own": _own(kind, own),
        }
        for key, value in values.items():
            object.__setattr__(self, key, value)

    @property
    def kind(self) -> Kind:
        """Its line of the table."""
        return KINDS[self.name]

    def whole(self, key: str) -> int:
        """One of its own keys that is a whole number."""
        value = self.own[key]
        assert isinstance(value, int)  # noqa: S101  # checked when the fault was made
        return value

    def number(self, key: str) -> float:
        """One of its own keys that is a number."""
        value = self.own[key]
        assert isinstance(value, int | float)  # noqa: S101  # checked when the fault was made
        return value

    def concerns(self, venue: Venue | None, symbols: Iterable[str] = ()) -> bool:
        """It is about this venue, and about one of these symbols if it names any."""
        if self.venue is not None and self.venue is not venue:
            return False
        return self.symbols is None or not self.symbols.isdisjoint(symbols)

    def picks(self, seed: int, *place: object) -> bool:
        """This place is in its share; the same for the same seed, whenever it is asked."""
        return self.share >= 1 or fraction_of(self.name, seed, *place) < self.share

    def as_json(self) -> dict[str, Any]:
        """Every key with its value."""
        symbols = None if self.symbols is None else sorted(self.symbols)
        common = {"venue": self.venue, "symbols": symbols, "share": self.share}
        return {"name": self.name, **common, "seconds": self.seconds, "times": self.times, **self.own}


def kind_of(name: Any) -> Kind:
    """The kind of that name.

    Raises:
        FaultError: there is none.
    """
    if not isinstance(name, str) or name not in KINDS:
        raise FaultError(f"fault {unknown(name, KINDS)}")
    return KINDS[name]


def unknown(word: Any, allowed: Iterable[str]) -> str:
    """What to say about a word that does not exist."""
    names = list(allowed)
    near = difflib.get_close_matches(str(word), names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{word!r} does not exist{hint} (allowed: {', '.join(names)})"


def fault_of(keys: Any) -> Fault:
    """The fault of a JSON object.

    Raises:
        FaultError: as :class:`Fault`, or no object.
    """
    if not isinstance(keys, dict) or "name" not in keys:
        raise FaultError(f"an object with a name is needed (allowed: {', '.join(KINDS)})")
    return Fault(**keys)


def parse_fault(words: str) -> Fault:
    """``NAME:key=value,key=value`` of a command line; lists are joined by ``+``.

    Raises:
        FaultError: as :class:`Fault`.
    """
    name, _, rest = words.partition(":")
    kind = kind_of(name)
    known = {key.name: key for key in (*COMMON, *kind.parameters)}
    keys: dict[str, Any] = {}
    for pair in filter(None, rest.split(",")):
        key, _, value = pair.partition("=")
        if key not in known:
            raise FaultError(f"{name}: key {unknown(key, known)}")
        keys[key] = value.split("+") if key == "symbols" else known[key].read(value)
    return Fault(name, **keys)


def _symbols(symbols: Any) -> frozenset[str] | None:
    if symbols is None:
        return None
    names = symbols if isinstance(symbols, Collection) and not isinstance(symbols, str | Mapping) else (None,)
    if not all(isinstance(name, str) for name in names):
        raise FaultError(f"symbols: {symbols!r} is wrong (allowed: list of symbols or null)")
    return frozenset(map(str, names))


def _own(kind: Kind, given: Mapping[str, Any]) -> dict[str, Value]:
    for key in given:
        if kind.parameter(key) is None:
            allowed = [one.name for one in (*COMMON, *kind.parameters)]
            raise FaultError(f"{kind.name}: key {unknown(key, allowed)}")
    return {one.name: one.checked(given[one.name]) if one.name in given else one.default for one in kind.parameters}
