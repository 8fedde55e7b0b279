"""Files that somebody damaged: put aside by the flow, so that one does not stop a market.

Our own files appear whole; a disk, a power cut that the disk lied about, or another program can damage one later.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import structlog

from kit.buffer.funding import damage_of_month
from kit.buffer.layout import ASIDE, Folder, parse_name
from kit.buffer.read import damage_of
from kit.durable import sync_folder
from kit.errors import DamagedFileError
from kit.outside import open_regular

log = structlog.get_logger(__name__)

_MARKS = {".parquet": b"PAR1", ".feather": b"ARROW1"}
"""How a whole file begins and ends."""


def refuse_torn(paths: Iterable[Path]) -> None:
    """Look at the ends of files that may not be read for long.

    Raises:
        DamagedFileError: one is torn; names it.
        OSError: one cannot be opened.
    """
    for path in paths:
        if is_torn(path):
            raise DamagedFileError(str(path), "it is torn")


def is_torn(path: Path) -> bool:
    """Whether a file does not begin and end as a whole one does: what power cuts leave behind, told at no cost.
    OSError when it cannot be opened."""
    mark = _MARKS[path.suffix]
    with open_regular(path) as file:
        begin = file.read(len(mark))
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(mark)))
        return begin != mark or file.read() != mark or size <= 2 * len(mark)


def put_aside(path: Path) -> bool:
    """Rename a damaged file so that no reader opens it any more; False when it is sound after all, or gone.

    What it held of the window is missing then, and fetched again; the file is left to people. OSError when the disk
    refuses.
    """
    try:
        damage = damage_of_month(path) if parse_name(path.name) is None else damage_of(path)
    except FileNotFoundError:
        return False
    if damage is None:
        return False
    _rename(path, str(damage))
    return True


def put_aside_what_is_after(folder: Folder, ms: int) -> int:
    """Rename the candle files that are named for run times after ``ms``, sound or not; how many.

    Somebody else made them: no candle of theirs can have closed. Readers take the newest run time from the names, so
    one of them would move the whole window. OSError when the disk refuses.
    """
    strange = [file for file in folder.list_candle_files() if file.last_ms > ms]
    for file in strange:
        _rename(folder.candles / file.name, "it is named for the future")
    return len(strange)


def _rename(path: Path, damage: str) -> None:
    aside = path.with_name(f"{ASIDE}{path.name}")
    path.rename(aside)
    sync_folder(path.parent)
    log.error("file.damaged", path=str(path), put_aside_as=aside.name, damage=damage)
