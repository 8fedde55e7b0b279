"""A disk on which a process dies, or is refused, at a chosen system call, and readers look between any two."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import strategies as st


class Crash(BaseException):
    """The process dies here."""


OPEN, WRITE = os.open, os.write


class How(StrEnum):
    """What goes wrong at the chosen system call."""

    BEFORE = "dies before it"
    AFTER = "dies after it"
    HALF = "dies in the middle of it"
    FULL = "is refused: the disk is full"
    WATCHED = "nothing; but a reader looks before and after each"


@dataclass(frozen=True)
class Accident:
    """``how`` at the system call number ``at`` of a piece of work."""

    at: int
    how: How


ACCIDENTS = st.none() | st.builds(Accident, st.integers(0, 25), st.sampled_from(How))


@contextmanager
def disk_with(accident: Accident | None, look: Callable[[], None]) -> Iterator[None]:
    """Patch the system calls that ``kit.buffer`` writes with. Raises Crash, or OSError, out of the work done in it."""
    steps = 0
    looking = False

    def looks() -> None:
        nonlocal looking
        looking = True
        look()
        looking = False

    def failing(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **names: Any) -> Any:
            nonlocal steps
            if accident is None or looking or _only_reads(real, args):
                return real(*args, **names)
            steps += 1
            if steps - 1 != accident.at and accident.how is not How.WATCHED:
                return real(*args, **names)
            return _done(real, args, names, accident.how, looks)

        return step

    # Durability is the kernel's and tested elsewhere; what is tested here is the order of things.
    with (
        mock.patch("os.open", failing(OPEN)),
        mock.patch("os.write", failing(WRITE)),
        mock.patch("os.fsync", failing(lambda _: None)),
        mock.patch("os.rename", failing(os.rename)),
        mock.patch.object(Path, "unlink", failing(Path.unlink)),
    ):
        yield


def _only_reads(real: Callable[..., Any], args: tuple[Any, ...]) -> bool:
    return real is OPEN and not args[1] & os.O_WRONLY


def _done(
    real: Callable[..., Any], args: tuple[Any, ...], names: dict[str, Any], how: How, look: Callable[[], None]
) -> Any:
    if how is How.BEFORE:
        raise Crash
    if how is How.FULL:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if how is How.HALF and real is WRITE:
        descriptor, view = args
        real(descriptor, view[: len(view) // 2])
        raise Crash
    if how is How.WATCHED:
        look()
    result = real(*args, **names)
    if how is not How.WATCHED:
        raise Crash
    look()
    return result
