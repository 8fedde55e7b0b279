"""What is looked at each second: the processes, by the operating system, and the folder."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.soak.verdict import Kind

MB = 1e6
MEMORY, COUNT, TIME = Kind("MB"), Kind(""), Kind("ms", noise=5.0)
"""Times wander by some milliseconds with what else the machine does."""
THREADS = Kind("", noise=(os.cpu_count() or 1) + 4)
"""asyncio's own pool has so many threads and begins each when it is first needed, which may be at any time."""


@dataclass
class Recorder:
    """The series of every figure, by name, as (seconds, value). ``began_ms``: the moment of second 0, by the clock."""

    began_ms: int = 0
    series: dict[str, tuple[Kind, list[tuple[float, float]]]] = field(default_factory=dict)

    def note(self, name: str, kind: Kind, at_s: float, value: float) -> None:
        """One value."""
        self.series.setdefault(name, (kind, []))[1].append((round(at_s, 3), value))

    def note_process(self, name: str, process: psutil.Process, at_s: float) -> None:
        """Its resident and its own memory, open files and threads. psutil.Error: it has ended."""
        with process.oneshot():
            memory = process.memory_full_info()
            self.note(f"{name}: resident memory", MEMORY, at_s, memory.rss / MB)
            self.note(f"{name}: memory of its own", MEMORY, at_s, memory.uss / MB)
            self.note(f"{name}: open files and sockets", COUNT, at_s, process.num_fds())
            self.note(f"{name}: threads", THREADS, at_s, process.num_threads())

    def note_folder(self, folder: Path, at_s: float) -> None:
        """Size and number of its files."""
        sizes = list(sizes_of(folder))
        self.note("folder: size", MEMORY, at_s, sum(sizes) / MB)
        self.note("folder: files", COUNT, at_s, len(sizes))


def sizes_of(folder: Path) -> list[int]:
    """The sizes of all files below; what goes away meanwhile is left out."""
    sizes = []
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                sizes.append((Path(path) / name).stat().st_size)
            except FileNotFoundError:
                continue
    return sizes
