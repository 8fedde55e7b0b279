"""``python -m tests.clock.shifted SHIFT_FILE MODULE ARGUMENTS...``: run a program whose wall clock is wrong.

SHIFT_FILE holds eight bytes: by how many nanoseconds, signed. They are read at every look at the clock, so whoever
writes them sets the clock of the running program. Only the wall clock is shifted (``time.time``, ``time.time_ns``:
all of our wall times come from them); the steady clocks go on, as they do when a clock is set.
"""

from __future__ import annotations

import mmap
import runpy
import struct
import sys
import time
from pathlib import Path

FORMAT = struct.Struct("<q")


def write_shift(path: Path, shift_ms: int) -> None:
    """Set the clock of whoever runs on this file."""
    with path.open("r+b" if path.exists() else "w+b", buffering=0) as file:
        file.write(FORMAT.pack(shift_ms * 1_000_000))


def main() -> None:
    _, shift_file, module, *arguments = sys.argv
    with Path(shift_file).open("rb") as file:
        shift = mmap.mmap(file.fileno(), FORMAT.size, prot=mmap.PROT_READ)
    real = time.time_ns
    time.time_ns = lambda: real() + FORMAT.unpack_from(shift)[0]
    time.time = lambda: time.time_ns() / 1_000_000_000
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
