"""Stands between the code under test and the system: notes every call that changes a disk, and may refuse or interrupt
it.

What is noted can be replayed, whole or in parts (``tests.power_loss.disk``). That nothing goes past this layer is seen
by replaying all of it: it must give the folder that is really there, byte for byte.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

CALLS = (
    *("open", "close", "write", "pwrite", "fsync", "fdatasync", "ftruncate", "truncate"),
    *("rename", "replace", "link", "symlink", "unlink", "remove", "mkdir", "rmdir"),
)


CHANGING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_DIRECTORY
"""What a file is opened with in order to change it; a folder is opened to be fsynced. Mere reading changes nothing."""


@dataclass(frozen=True)
class Operation:
    """One change, or one promise of the system (``fsync``). Paths are relative to the root."""

    kind: str  # create, write, truncate, fsync, rename, link, unlink, mkdir
    path: str
    number: int = 0  # of the file; 0: it was there before, and is known by its path
    offset: int = 0
    data: bytes = b""
    source: str = ""


@dataclass
class Handle:
    """An open file of the code under test."""

    path: str
    number: int
    offset: int = 0


@dataclass
class Layer:
    """Everything that this process does below ``root`` while the layer is ``installed``.

    ``before`` is called with the name and the path of each call; what it raises comes instead of the call.
    """

    root: Path
    before: Callable[[str, str], None] | None = None
    operations: list[Operation] = field(default_factory=list)
    handles: dict[int, Handle] = field(default_factory=dict)
    numbers: dict[int, int] = field(default_factory=dict)
    lock: Any = field(default_factory=threading.RLock)

    @contextmanager
    def installed(self) -> Iterator[Layer]:
        """Every call of this process goes through here."""
        with ExitStack() as patches:
            for name in CALLS:
                patches.enter_context(mock.patch.object(os, name, self._through(name)))
            yield self

    def _through(self, name: str) -> Callable[..., Any]:
        real, mine = getattr(os, name), getattr(self, f"do_{name}")

        def call(first: Any, *more: Any, **names: Any) -> Any:
            with self.lock:
                if isinstance(first, int):
                    handle = self.handles.get(first)
                    where = None if handle is None else handle.path
                else:
                    where = self._relative(more[0] if name in ("rename", "replace", "link", "symlink") else first)
                if where is None or (name == "open" and not more[0] & CHANGING):
                    return real(first, *more, **names)
                try:
                    if self.before is not None:
                        self.before(name, where)
                except OSError:
                    if name == "close":  # one that fails has closed all the same
                        mine(real, where, first)
                    raise
                return mine(real, where, first, *more, **names)

        return call

    def _relative(self, path: Any) -> str | None:
        try:
            # Not resolve(): that follows links, which is no business of this layer.
            return Path(os.path.abspath(path)).relative_to(self.root).as_posix()  # noqa: PTH100 - see above
        except ValueError:
            return None

    def _note(self, kind: str, path: str, **more: Any) -> None:
        self.operations.append(Operation(kind, path, **more))

    def _new_number(self, inode: int) -> int:
        """A number for a new file: the system gives the inode of a deleted one to the next, which is another file."""
        self.numbers[inode] = 1 + max(self.numbers.values(), default=0)
        return self.numbers[inode]

    def do_open(self, real: Any, where: str, path: Any, flags: int, mode: int = 0o777, **names: Any) -> int:
        existed = os.path.lexists(path)
        descriptor: int = real(path, flags, mode, **names)
        inode = os.fstat(descriptor).st_ino
        number = self.numbers.get(inode, 0) if existed else self._new_number(inode)
        if not existed:
            self._note("create", where, number=number)
        elif flags & os.O_TRUNC:
            self._note("truncate", where, number=number)
        self.handles[descriptor] = Handle(where, number)
        return descriptor

    def do_close(self, real: Any, where: str, descriptor: int) -> None:
        del self.handles[descriptor]
        real(descriptor)

    def do_write(self, real: Any, where: str, descriptor: int, data: Any) -> int:
        handle = self.handles[descriptor]
        written: int = real(descriptor, data)
        self._note("write", where, number=handle.number, offset=handle.offset, data=bytes(data)[:written])
        handle.offset += written
        return written

    def do_pwrite(self, real: Any, where: str, descriptor: int, data: Any, offset: int) -> int:
        written: int = real(descriptor, data, offset)
        self._note("write", where, number=self.handles[descriptor].number, offset=offset, data=bytes(data)[:written])
        return written

    def do_fsync(self, real: Any, where: str, descriptor: int) -> None:
        # Not done for real: nobody pulls the plug of the machine that tests, and a real one takes milliseconds.
        self._note("fsync", where, number=self.handles[descriptor].number)

    do_fdatasync = do_fsync

    def do_ftruncate(self, real: Any, where: str, descriptor: int, length: int) -> None:
        real(descriptor, length)
        self._note("truncate", where, number=self.handles[descriptor].number, offset=length)

    def do_truncate(self, real: Any, where: str, path: Any, length: int) -> None:
        real(path, length)
        self._note("truncate", where, number=self.numbers.get(Path(path).stat().st_ino, 0), offset=length)

    def do_rename(self, real: Any, where: str, source: Any, target: Any) -> None:
        real(source, target)
        self._note("rename", where, source=self._relative(source) or "")

    do_replace = do_rename

    def do_link(self, real: Any, where: str, source: Any, target: Any) -> None:
        real(source, target)
        self._note("link", where, source=self._relative(source) or "")

    def do_symlink(self, real: Any, where: str, source: Any, target: Any) -> None:
        raise AssertionError("the buffer has no symbolic links, and the model knows none")

    def do_unlink(self, real: Any, where: str, path: Any) -> None:
        real(path)
        self._note("unlink", where)

    do_remove = do_unlink

    def do_mkdir(self, real: Any, where: str, path: Any, mode: int = 0o777) -> None:
        real(path, mode)
        self._note("mkdir", where, number=self._new_number(Path(path).stat().st_ino))

    def do_rmdir(self, real: Any, where: str, path: Any) -> None:
        real(path)
        self._note("unlink", where)
