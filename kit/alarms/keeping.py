"""``BASE_DIR/alarms.json``: what people have been told, and the messages that have not arrived yet.

Everybody who looks at the folder (worker, the streamer's child, cron) shares it under a lock, for milliseconds; nobody
holds the lock while a message is sent.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import structlog
from msgspec.structs import replace

from kit.alarms.book import Page
from kit.buffer.files import write_atomically
from kit.outside import MEGABYTE, UNREADABLE, printable, read_bounded

log = structlog.stdlib.get_logger(__name__)

STATE_NAME, LOCK_NAME = "alarms.json", "alarms.lock"
MAX_BYTES = 4 * MEGABYTE  # 750 symbols and twenty letters have some 50 kB
LOCK_WITHIN_S, LOCK_LOOK_S = 5.0, 0.02

MAX_LETTERS = 20
TRIES = 54
FIRST_RETRY_MS, LONGEST_RETRY_MS = 30_000, 1_800_000
"""A day: a network or a chat service may be away for a night, and what happened then is read in the morning."""
LETTER_CHARS = 3000
"""Of several messages in one: as of one (``kit.alarms.message``)."""
CLAIM_MS = 60_000
"""Whoever takes a letter has so long to deliver it before another tries: two attempts of 10 s with their pause."""


class Letter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message that has not arrived everywhere. ``targets``: those left to tell, None: all. Times in milliseconds.

    ``messages``: how many it is made of, the newest first, whose ``title`` it has.
    """

    id: str
    title: str
    body: str
    robots: tuple[str, ...]
    try_at_ms: int
    tries: int = 0
    targets: tuple[str, ...] | None = None
    messages: int = 1

    @property
    def headline(self) -> str:
        """The title to send."""
        return self.title if self.messages == 1 else f"{self.title} (+{self.messages - 1})"

    def taken(self, now_ms: int) -> Letter:
        """The same in somebody's hands."""
        return replace(self, try_at_ms=now_ms + CLAIM_MS, tries=self.tries + 1)

    def failed(self, targets: Sequence[str], now_ms: int) -> Letter | None:
        """What is left after a try that some targets refused; None: it is given up.

        What has long been waiting is tried at the same moments, so that it arrives as one message (``together``).
        """
        if self.tries >= TRIES:
            return None
        try_at_ms = now_ms + FIRST_RETRY_MS * 2 ** min(self.tries - 1, 10)
        if try_at_ms - now_ms >= LONGEST_RETRY_MS:
            try_at_ms = (now_ms // LONGEST_RETRY_MS + 1) * LONGEST_RETRY_MS
        return replace(self, targets=tuple(targets), try_at_ms=try_at_ms)

    def due(self, now_ms: int) -> bool:
        """Whether it should be tried. A moment too far in the future is of a clock that was set back."""
        return self.try_at_ms <= now_ms or self.try_at_ms > now_ms + LONGEST_RETRY_MS + CLAIM_MS


def together(letters: Iterable[Letter]) -> list[Letter]:
    """The letters, oldest first, with those that have been tried and are for the same people as one, the newest first:
    who was away for a night shall not be called twenty times at once."""
    groups: dict[object, Letter] = {}
    for letter in letters:
        key = (letter.robots, letter.targets) if letter.tries else letter.id
        groups[key] = _joined(groups[key], letter) if key in groups else letter
    return list(groups.values())


def _joined(older: Letter, newer: Letter) -> Letter:
    texts = [each.body if each.messages > 1 else f"{each.title}\n{each.body}" for each in (newer, older)]
    return replace(
        newer,
        body=printable("\n\n".join(texts), limit=LETTER_CHARS, lines=True),
        tries=min(older.tries, newer.tries),
        messages=older.messages + newer.messages,
    )


class Kept(msgspec.Struct, frozen=True):
    """The file's content."""

    page: Page = Page()
    letters: tuple[Letter, ...] = ()


class LockedElsewhereError(Exception):
    """Somebody holds the lock for much longer than work under it takes."""


@contextmanager
def held(base_dirs: Sequence[Path]) -> Iterator[dict[Path, Kept]]:
    """The folders' files, by folder, while nobody else changes them.

    Raises:
        LockedElsewhereError: the locks could not be had in some seconds.
        OSError: a lock file cannot be opened.
    """
    with ExitStack() as locks:
        for base_dir in sorted(set(base_dirs)):  # in one order: two who take the same ones cannot wait for each other
            locks.enter_context(_locked(base_dir / LOCK_NAME))
        yield {base_dir: load(base_dir) for base_dir in base_dirs}


def load(base_dir: Path) -> Kept:
    """The folder's file; empty where there is none or it is damaged: then what is wrong is told once more."""
    path = base_dir / STATE_NAME
    try:
        return msgspec.json.decode(read_bounded(path, MAX_BYTES), type=Kept)
    except FileNotFoundError:
        return Kept()
    except UNREADABLE as error:
        log.warning("alarms.damaged", path=str(path), error=str(error))
        return Kept()


def save(changed: Mapping[Path, Kept]) -> None:
    """Keep them. OSError when the disk refuses one."""
    for base_dir, kept in changed.items():
        ordered = msgspec.json.encode(kept, order="deterministic")
        write_atomically(base_dir / STATE_NAME, msgspec.json.format(ordered, indent=1) + b"\n")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    give_up_at = time.monotonic() + LOCK_WITHIN_S
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > give_up_at:
                    raise LockedElsewhereError(str(path)) from None
                time.sleep(LOCK_LOOK_S)
        yield
    finally:
        os.close(descriptor)
