"""What is looked at each second: the processes, by the operating system, and the folder."""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.soak.verdict import Kind, Thirds, Verdict, judge

MB = 1e6
BY_TIME, BY_CPU = "time", "CPU"
"""The yardsticks: how long its work took, and how much of that it was on a core."""
MEMORY, COUNT = Kind("MB"), Kind("")
HANDLES = Kind("", typical=min)
"""Who waits for a candle has a watch with three descriptors meanwhile; a leak leaves none of its own out."""
TIME = Kind("ms", noise=5.0, yardstick=BY_TIME)
"""Times wander by some milliseconds with what else the machine does."""
CPU = Kind("ms", noise=1.0, yardstick=BY_CPU)
"""A core that others use too has colder caches. The system counts in steps of 10 ms: CPU_OVER_S makes 0.6 of them."""
CPU_OVER_S = 16
THREADS = Kind("", noise=(os.cpu_count() or 1) + 4)
"""asyncio's own pool has so many threads and begins each when it is first needed, which may be at any time."""
ELASTIC = "tokio-rt-worker"
"""polars' pool for files has as many threads as files are waited for at once, and ends those that are idle for 10 s:
how many there are says how busy the disk is. They are not counted."""


@dataclass
class Recorder:
    """The series of every figure and of the yardsticks, by name, as (seconds, value).

    ``began_ms``: the moment of second 0, by the clock.
    """

    began_ms: int = 0
    series: dict[str, tuple[Kind, list[tuple[float, float]]]] = field(default_factory=dict)
    yardsticks: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: {BY_TIME: [], BY_CPU: []})
    _cpu: dict[str, deque[tuple[float, float]]] = field(default_factory=dict)

    def note(self, name: str, kind: Kind, at_s: float, value: float) -> None:
        """One value."""
        self.series.setdefault(name, (kind, []))[1].append((round(at_s, 3), value))

    def note_yardstick(self, at_ms: int, time_ms: float, cpu_ms: float) -> None:
        """What the yardstick took at a moment."""
        at_s = (at_ms - self.began_ms) / 1000
        self.yardsticks[BY_TIME].append((at_s, time_ms))
        self.yardsticks[BY_CPU].append((at_s, cpu_ms))

    def note_process(self, name: str, process: psutil.Process, at_s: float) -> None:
        """Its resident and its own memory, open files, threads and CPU time. psutil.Error: it has ended."""
        with process.oneshot():
            memory, cpu = process.memory_full_info(), process.cpu_times()
            self.note(f"{name}: resident memory", MEMORY, at_s, memory.rss / MB)
            self.note(f"{name}: memory of its own", MEMORY, at_s, memory.uss / MB)
            self.note(f"{name}: open files and sockets", HANDLES, at_s, process.num_fds())
            self.note(f"{name}: threads", THREADS, at_s, sum(word != ELASTIC for word in thread_names(process.pid)))
        self._note_cpu(name, at_s, cpu.user + cpu.system)

    def note_folder(self, folder: Path, at_s: float) -> None:
        """Size and number of its files."""
        sizes = list(sizes_of(folder))
        self.note("folder: size", MEMORY, at_s, sum(sizes) / MB)
        self.note("folder: files", COUNT, at_s, len(sizes))

    def verdicts(self, compared: Thirds) -> list[Verdict]:
        """What became of every figure."""
        return [
            judge(name, kind, values, compared, self.yardsticks[kind.yardstick] if kind.yardstick else ())
            for name, (kind, values) in self.series.items()
        ]

    def _note_cpu(self, name: str, at_s: float, cpu_s: float) -> None:
        past = self._cpu.setdefault(name, deque(maxlen=CPU_OVER_S))
        if past:
            before_s, before_cpu_s = past[0]
            self.note(f"{name}: CPU a second", CPU, at_s, (cpu_s - before_cpu_s) / (at_s - before_s) * 1000)
        past.append((at_s, cpu_s))


def thread_names(pid: int) -> list[str]:
    """What the threads of a process are called, as the system has it; those that end meanwhile are left out."""
    names = []
    for thread in Path(f"/proc/{pid}/task").glob("*/comm"):
        with suppress(OSError):
            names.append(thread.read_text().strip())
    return names


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
