"""Writers in processes of their own, and what the one who kills them has to know of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

REPOSITORY = Path(__file__).parents[2]


@dataclass
class Writer:
    """A process at work. ``lines`` are what it said so far, whole lines only."""

    pid: int
    role: str
    says: Path
    zygote: Zygote

    @property
    def lines(self) -> list[dict[str, Any]]:
        text = self.says.read_bytes() if self.says.exists() else b""
        return [json.loads(line) for line in text.split(b"\n")[:-1]]

    @property
    def log(self) -> str:
        return Path(f"{self.says}.log").read_text(errors="replace")

    def send(self, number: int) -> None:
        os.kill(self.pid, number)  # the zygote has not reaped it: the pid is still this process's

    def wait(self) -> int:
        """Its exit code, negative after a signal."""
        return os.waitstatus_to_exitcode(self.zygote.ask(wait=self.pid)["status"])

    def kill(self) -> None:
        """AssertionError when it had ended before by an error of its own."""
        self.send(signal.SIGKILL)
        code = self.wait()
        assert code in (-signal.SIGKILL, 0), f"{self.role} ended by itself with {code}: {self.log[-3000:]}"


class Zygote:
    """Forks writers from a process that has everything imported; all of them end with the ``with`` block."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        scratch.mkdir(parents=True, exist_ok=True)
        self._started = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.kills.zygote"],
            cwd=REPOSITORY,
            env=os.environ | {"BMAC_STATE_DIR": str(scratch / "state"), "POLARS_MAX_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        if error is not None:
            self._process.kill()  # it may be waiting for a writer that does not end
        self._process.wait(30)
        self._process.stdout.close()

    def ask(self, **order: Any) -> dict[str, Any]:
        """One order, one answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def start(self, role: str, *arguments: object) -> Writer:
        """A writer of that role."""
        self._started += 1
        says = self._scratch / f"{role}-{self._started}"
        plain = [str(each) if isinstance(each, Path) else each for each in arguments]
        return Writer(self.ask(start=role, arguments=plain, says=str(says))["pid"], role, says, self)
