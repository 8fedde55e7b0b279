"""One streamer and one flow at a time in a base directory, by a lock that the kernel drops when its holder dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from kit.buffer.layout import Folder
from kit.errors import FolderBusyError, FolderNotWritableError


@contextmanager
def hold(folder: Folder, writer: str, *, wait: bool = False) -> Iterator[None]:
    """Hold the folder as its one ``streamer`` or ``flow``; with ``wait`` queue for it instead of being refused.

    Raises:
        FolderBusyError: another process holds it; names its pid.
        FolderNotWritableError: the lock file cannot be opened.
    """
    path = folder.lock(writer)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise FolderNotWritableError(str(path), f"cannot be opened ({error.strerror})") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise FolderBusyError(
                str(folder.base_dir), f"another {writer} (pid {holder}) is at work on this folder; stop it first"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)
