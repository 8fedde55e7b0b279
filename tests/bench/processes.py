"""The processes that a benchmark measures: started, talked to in JSON lines, metered, and ended for sure."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import psutil

from kit.budget.place import STATE_DIR_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

LEAVES_WITHIN_S = 30.0

LAUNCH = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, "-m", *sys.argv[1:]])
"""
"""Before the child's own code: it dies with its parent (PR_SET_PDEATHSIG, which Linux alone has), and SIGINT reaches it
also where a shell had it ignored. Not by ``preexec_fn``, which is unsafe once threads run."""


class BenchError(Exception):
    """A process of the benchmark did not do its part; the message carries the end of its log."""


@dataclass(frozen=True)
class Usage:
    """What a process had used by a moment: CPU seconds (user and system), resident bytes, bytes sent to the disk."""

    cpu_s: float
    rss: int
    written: int
    at: float


class Child:
    """``python -m ...`` as a child. What it prints are JSON lines; its stderr goes to a log in ``scratch``."""

    def __init__(
        self, name: str, arguments: Sequence[str], scratch: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._log_path = scratch / f"{name}.log"
        self._log = self._log_path.open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, STATE_DIR_VARIABLE: str(scratch / "state"), **(environment or {})},
            start_new_session=True,  # its own process group: nothing that it started stays behind
        )
        self._meter = psutil.Process(self._process.pid)
        self._lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def send(self, message: dict[str, Any]) -> None:
        """One line to its stdin."""
        if self._process.stdin is not None:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def line(self, timeout: float) -> dict[str, Any]:
        """The next line of its stdout. BenchError: none in ``timeout`` seconds, or it has ended."""
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            raise BenchError(f"{self.name} said nothing in {timeout:.0f} s\n{self._end_of_log()}") from None
        if not line:
            raise BenchError(f"{self.name} ended with exit code {self._process.wait()}\n{self._end_of_log()}")
        message: dict[str, Any] = json.loads(line)
        return message

    def lines(self) -> list[dict[str, Any]]:
        """The lines of its stdout that nobody has taken yet; at once. BenchError: it has ended."""
        return [self.line(0.0) for _ in range(self._lines.qsize())]

    def usage(self) -> Usage:
        """What it has used so far. BenchError: it has ended."""
        try:
            with self._meter.oneshot():
                cpu, io = self._meter.cpu_times(), self._meter.io_counters()
                return Usage(cpu.user + cpu.system, self._meter.memory_info().rss, io.write_bytes, time.time())
        except psutil.Error as error:
            raise BenchError(f"{self.name} has ended ({error})\n{self._end_of_log()}") from error

    def ended(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll()

    def stop(self) -> int:
        """SIGTERM, after a while SIGKILL; the exit code."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(LEAVES_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._log.close()
        return self._process.wait()

    def _read(self) -> None:
        if self._process.stdout is not None:
            with self._process.stdout as lines:
                for line in lines:
                    self._lines.put(line)
        self._lines.put(b"")

    def _end_of_log(self) -> str:
        return self._log_path.read_text(errors="replace")[-2000:]


def sleep_until(moment: float) -> None:
    """Until a moment of the local clock, in seconds since the epoch."""
    while (left := moment - time.time()) > 0:
        time.sleep(min(left, 1.0))
