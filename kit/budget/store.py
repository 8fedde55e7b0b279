"""The budget's file: one small state, shared by the processes of a machine, whole after a kill at any moment.

Two slots of a fixed place in one file are written in turn, each with a sequence number and a checksum; the newest
sound one is the state. A kill or a power cut in the middle of a write spoils the older slot only. Writing in place
costs a tenth of a rename with its new file, and needs no space on a full disk. Writers hold ``flock`` on the file for
some tens of microseconds and never across an await; the system drops it when a process dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import time
import zlib
from typing import TYPE_CHECKING, TypeVar

import msgspec
import structlog

from kit.budget.rules import State
from kit.durable import make_folder, sync_folder
from kit.errors import FolderNotWritableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MAGIC = b"bmacWB1\n"
HEAD = struct.Struct("<8sQII")  # magic, sequence, length and CRC-32 of what follows
SLOT_BYTES = 64 * 1024  # some 800 promises; a machine has 8 fetchers a process
FIRST_READ = 4096  # holds the state but in a crowd
# A process that holds the lock works for microseconds. One that was stopped while it did (SIGSTOP, a debugger) must
# not stop our event loop with it.
LOCK_TRIES = 20
LOCK_PAUSE_SECONDS = 0.0005

T = TypeVar("T")
log = structlog.get_logger(__name__)


class BusyError(Exception):
    """The lock is held for much longer than work under it takes; try again later."""


class Store:
    """The file of one pool. Safe to use after a fork, and when the file is deleted under it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        self._pid = 0
        self._open()

    def close(self) -> None:
        """Give the file back. It stays for the next."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):  # it is closed all the same; what has to be kept was fsynced
                os.close(self._fd)
            self._fd = -1

    def update(self, change: Callable[[State], tuple[State, T]]) -> T:
        """Change the state as nobody else does; what ``change`` returns beside it is handed on.

        A new stop is on the disk, not only in the system's memory, before this returns.

        Raises:
            BusyError: the lock could not be had in 10 ms.
            FolderNotWritableError: the system refuses.
        """
        with self._os_errors(), self._locked():
            sequence, old = self._read()
            new, result = change(old)
            if new != old:
                self._write(sequence + 1, new)
                # While it lasts, each write is: two that were not could both be torn, and the stop with them.
                if new.stop is not None:
                    os.fsync(self._fd)
            return result

    def read(self) -> State:
        """The state as it is, without the lock: a half-written slot fails its checksum, the other one is whole."""
        with self._os_errors():
            self._open_anew_if_gone()
            return self._read()[1]

    def _open(self) -> None:
        with self._os_errors():
            make_folder(self._path.parent)
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o664)
            self._pid = os.getpid()
            if os.fstat(self._fd).st_size < 2 * SLOT_BYTES:
                # Written out, not only lengthened: later writes need no new blocks. Nothing is overwritten.
                os.pwrite(self._fd, bytes(2 * SLOT_BYTES - os.fstat(self._fd).st_size), os.fstat(self._fd).st_size)
                sync_folder(self._path.parent)  # a stop in a file whose name is lost would be lost with it

    def _open_anew_if_gone(self) -> None:
        if self._pid != os.getpid() or os.fstat(self._fd).st_nlink == 0:
            # After a fork both would share one lock; a deleted file is shared with nobody.
            self.close()
            self._open()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._open_anew_if_gone()
        for _ in range(LOCK_TRIES):
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(LOCK_PAUSE_SECONDS)
        else:
            raise BusyError(str(self._path))
        try:
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    @contextlib.contextmanager
    def _os_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            hint = "the weight budget cannot be kept here; set BMAC_STATE_DIR to a folder that can be written"
            raise FolderNotWritableError(str(self._path), f"{error.strerror or error}: {hint}") from error

    def _read(self) -> tuple[int, State]:
        sound = [found for slot in (0, 1) if (found := self._read_slot(slot)) is not None]
        return max(sound, key=lambda found: found[0], default=(0, State()))

    def _read_slot(self, slot: int) -> tuple[int, State] | None:
        raw = os.pread(self._fd, FIRST_READ, slot * SLOT_BYTES)
        if len(raw) < HEAD.size:
            return None
        magic, sequence, length, checksum = HEAD.unpack_from(raw)
        if magic != MAGIC or length > SLOT_BYTES - HEAD.size:
            return None
        if HEAD.size + length > len(raw):
            raw += os.pread(self._fd, HEAD.size + length - len(raw), slot * SLOT_BYTES + len(raw))
        body = raw[HEAD.size : HEAD.size + length]
        if zlib.crc32(body) != checksum:
            return None
        try:
            return sequence, msgspec.msgpack.decode(body, type=State)
        except msgspec.MsgspecError as error:  # of another version
            log.warning("budget.state_unreadable", path=str(self._path), problem=str(error))
            return None

    def _write(self, sequence: int, state: State) -> None:
        body = msgspec.msgpack.encode(state)
        if len(body) > SLOT_BYTES - HEAD.size:
            raise BusyError(f"{self._path}: more promises than it can hold")
        head = HEAD.pack(MAGIC, sequence, len(body), zlib.crc32(body))
        os.pwrite(self._fd, head + body, sequence % 2 * SLOT_BYTES)
