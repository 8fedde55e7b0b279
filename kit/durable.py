"""Folders whose names survive a power cut: a file that was fsynced is lost all the same when the folder is not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An OSError from in here names ``path``: those of calls on open files name nothing."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def sync_folder(folder: Path) -> None:
    """Make what was created, renamed and deleted inside ``folder`` survive a power cut. OSError names the folder."""
    with naming(folder):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def make_folder(path: Path) -> None:
    """Make ``path`` and what is missing above it, where it is not there; it survives a power cut once this returns.

    Raises:
        FileExistsError: something on the way is a file.
        OSError: the disk refuses; names the folder.
    """
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)
