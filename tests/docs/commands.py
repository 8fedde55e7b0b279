"""Shell blocks as units that are run one after the other, and what kind each is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """How a unit is run."""

    ONCE = "to its end, which has to be a good one"
    STAYS = "started, seen working, ended when all is done"
    STATE = "kept for the units after it on the page"
    MAKE = "make -n: the target has to exist"


TARGETS_ELSEWHERE = {
    "demo": "tests/end_to_end runs it",
    "setup": "it has been run, or nothing here would",
    "test": "it is what runs this",
    "bench": "twenty minutes; its parts are tested in tests/bench",
    "chaos": "minutes; tests/chaos runs it shortly",
    "kills": "minutes; tests/kills runs it shortly",
    "soak": "minutes; tests/soak runs it shortly",
    "fuzz": "minutes; tests/hostile runs it shortly",
    "lint": "it looks at code, not at the service",
    "docs": "tests/docs builds the site",
}
"""Targets of make that are not run here, with the reason."""

RUN_HERE = (".venv/bin/python", "python", "prefect", "sh", "mkdir", "cp", "echo", "tail", "curl", "false", "make")
"""The commands that are run: they stay within the reader's folder and this machine's loopback. Pages also tell people
what to do as root on a machine of theirs, and these tests may run as root: nothing else is ever started."""

_OUTSIDE = re.compile(r"(^|[\s=>])(~|\$HOME|\.\./|/(?!dev/null))|https?://(?!127\.0\.0\.1)")

STAYING = (
    r"python -m streamer ",
    r"prefect server start",
    r"prefect worker start",
    r"python -m flows worker",
    r"python -m kit serve ",
    r"python -m kit\.embedded_exchange (?!--faults)",
)


TELLING = {"python -m kit watch": (0, 1), "python -m kit doctor": (0, 1)}
"""Commands whose exit code tells what they saw: here any that is no error is a good end."""


@dataclass(frozen=True)
class Unit:
    """A logical line of a shell block."""

    place: str
    text: str

    @property
    def kind(self) -> Kind:
        """How it is run."""
        if self.text.startswith("make "):
            return Kind.MAKE
        if re.match(r"(export |set [-+]|cd |[A-Z_]+=\S+$)", self.text):
            return Kind.STATE
        return Kind.STAYS if any(re.search(pattern, self.text) for pattern in STAYING) else Kind.ONCE

    @property
    def harmless(self) -> bool:
        """Whether it may be run at all."""
        if self.kind is Kind.STATE:
            return not re.search(r"`|\$\(", self.text)
        heads = [part.split()[0] for part in re.split(r"&&|\|\||;|\|", self.text) if part.strip()]
        return all(head in RUN_HERE for head in heads) and not _OUTSIDE.search(self.text)

    @property
    def good_codes(self) -> tuple[int, ...]:
        """The exit codes of a good end."""
        return next((codes for words, codes in TELLING.items() if words in self.text), (0,))

    @property
    def target(self) -> str:
        """The target of ``make``."""
        return next(word for word in self.text.split()[1:] if "=" not in word)


def units_of(place: str, text: str) -> list[Unit]:
    """The logical lines of a block; a trailing backslash joins, comments on lines of their own fall away."""
    joined = text.replace("\\\n", " ")
    lines = [re.sub(r"\s+#\s.*$", "", line).strip() for line in joined.splitlines()]
    return [Unit(place, line) for line in lines if line and not line.startswith("#")]
