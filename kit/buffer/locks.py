"""One streamer and one flow at a time in a base directory, by a lock that the kernel drops when its holder dies.

The lock is ``flock``: it belongs to the open file, so it ends with the process however that ends, and lasts while the
process is only stopped. What that means on network file systems and in containers: docs/decisions/second-streamer.md.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress

from kit.buffer.layout import Folder
from kit.errors import FolderBusyError, FolderNotWritableError


@contextmanager
def hold(folder: Folder, writer: str) -> Iterator[None]:
    """Hold the folder as its one ``streamer`` or ``flow``.

    Raises:
        FolderBusyError: another process holds it; names its pid.
        FolderNotWritableError: the lock file cannot be opened, or its file system knows no locks.
    """
    path = folder.lock(writer)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise FolderNotWritableError(str(path), f"cannot be opened ({error.strerror})") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise FolderBusyError(
                str(folder.base_dir), f"another {writer} (pid {holder}) is at work on this folder; stop it first"
            ) from None
        except OSError as error:
            raise FolderNotWritableError(str(path), f"cannot be locked ({error.strerror})") from error
        with suppress(OSError):  # the pid is for whoever is refused: a full disk that has no room for it refuses nobody
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        with suppress(OSError):  # it is closed all the same, and what could not be kept is the pid
            os.close(descriptor)


def is_held(folder: Folder, writer: str) -> bool:
    """Whether a process is at work on the folder as that. Taking the lock shared for an instant costs a writer that
    begins just then one more try at most."""
    try:
        descriptor = os.open(folder.lock(writer), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


@asynccontextmanager
async def hold_when_free(
    folder: Folder, writer: str, *, look_every_s: float, on_wait: Callable[[FolderBusyError], None] = lambda _: None
) -> AsyncIterator[None]:
    """The same, waiting for whoever holds it; ``on_wait`` is told once. The event loop goes on meanwhile.

    It looks again and again: a thread that blocks in ``flock`` could not be cancelled.
    """
    told = False
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(hold(folder, writer))
                break
            except FolderBusyError as busy:
                if not told:
                    on_wait(busy)
                told = True
            await asyncio.sleep(look_every_s)
        yield
