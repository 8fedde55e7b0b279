"""What comes from outside, made safe in one place: texts to show, symbols to use, small files to read.

Outside is everybody but this program: the exchange and whatever stands before it, chat services, other programs on the
machine, and people who edit the folder by hand.
"""

from __future__ import annotations

import errno
import os
import stat
import unicodedata
from pathlib import Path
from typing import BinaryIO

import msgspec


class TooLargeError(OSError):
    """A file is larger than anything that could be meant to be in it."""


UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TooLargeError)
"""What reading and decoding somebody's bytes with msgspec can raise: the wrong shape, no UTF-8, too deep, too much."""

MEGABYTE = 1024 * 1024

MAX_SYMBOL_CHARS = 64  # the longest known (delivery contracts of 1000... coins) has under 30

# Characters that mean something in a path, a URL, a pattern, HTML, markdown or a command line, and the mark that the
# buffer puts behind the former assets of a ticker (#). None was ever part of a symbol.
_MEANINGFUL = frozenset("/\\#%?&=<>|:;,\"'`*[](){}@!^~")


def printable(text: str, *, limit: int | None = None, lines: bool = False) -> str:
    """``text`` that a terminal shows as it is: no control characters, marks of direction or halves of characters.

    They become escapes such as ``\\x1b``; with ``lines``, line ends and tabs stay. ``limit``: at most so many
    characters of the text, with ``...`` where it goes on.
    """
    if limit is not None and len(text) > limit:
        text = text[:limit] + "..."
    if text.isprintable():
        return text
    kept = "\n\t" if lines else ""
    return "".join(each if each.isprintable() or each in kept else _escaped(each) for each in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def symbol_problem(text: str) -> str | None:
    """Why ``text`` cannot be a symbol, or None. A symbol need not be ASCII: ``币安人生USDT`` is one.

    What is left is safe in paths, URLs, terminals, logs and tables of every kind. Letters that this Python's Unicode
    does not know yet are allowed: a coin that is named with one must not be lost.
    """
    if not 0 < len(text) <= MAX_SYMBOL_CHARS:
        return f"it has not 1 to {MAX_SYMBOL_CHARS} characters"
    if any(_is_no_letter(char) for char in text) or set(text) == {"."}:
        return "it has spaces, control characters, path separators or other signs"
    return None


def _is_no_letter(char: str) -> bool:
    category = unicodedata.category(char)
    return char in _MEANINGFUL or category[0] == "Z" or category in ("Cc", "Cf", "Cs", "Co")


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file to read its bytes; links are followed. A pipe in a file's place would block for ever.

    Raises:
        OSError: there is none (FileNotFoundError), it cannot be opened, or it is no regular file.
        ValueError: the path holds a null character.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "it is no regular file", str(path))


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """The content of a regular file of at most ``max_bytes``: one of gigabytes would take all memory.

    Raises:
        OSError, ValueError: as ``open_regular``.
        TooLargeError: it is larger.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        # The size may be none (in /proc) or change meanwhile: the content counts.
        content = b"" if size > max_bytes else file.read(max_bytes + 1)
    if max(len(content), size) > max_bytes:
        raise TooLargeError(errno.EFBIG, f"it is larger than {max_bytes} bytes", str(path))
    return content
