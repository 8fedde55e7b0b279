"""The product as its user meets it: base directories and commands, nothing of its inside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

LEAVES_WITHIN_S = 25  # five times what is promised to whom it gets a processor
REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def record(self) -> dict[str, Any]:
        return dict(json.loads(self.out))


@dataclass(frozen=True)
class Product:
    """A folder for base directories and one state directory. What was started ends with its ``with`` block."""

    root: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.started:
            process.kill()
            process.wait()

    def base(self, name: str, **config: Any) -> Path:
        base = self.root / name
        base.mkdir(parents=True, exist_ok=True)
        (base / "config.json").write_text(json.dumps(config), "utf-8")
        return base

    def start(self, *words: str | Path, prefix: Iterable[str] = ()) -> subprocess.Popen[str]:
        """A command in the background; its streams go to files beside the base directories."""
        log = self.root / "logs"
        log.mkdir(exist_ok=True)
        stem = log / f"{len(list(log.iterdir())):03d}_{words[0]}"
        command = [*prefix, sys.executable, "-m", *map(str, words)]
        environment = os.environ | {"BMAC_STATE_DIR": str(self.root / "state")}
        with Path(f"{stem}.out").open("w") as out, Path(f"{stem}.err").open("w") as err:
            process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=out, stderr=err, text=True)
        self.started.append(process)
        process.stem = str(stem)  # type: ignore[attr-defined]  # the logs travel with the process
        return process

    def outcome(self, process: subprocess.Popen[str], timeout: float = 250) -> Outcome:
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        stem = process.stem  # type: ignore[attr-defined]
        return Outcome(code, Path(f"{stem}.out").read_text("utf-8"), Path(f"{stem}.err").read_text("utf-8"))

    def run(self, *words: str | Path, prefix: Iterable[str] = (), timeout: float = 250) -> Outcome:
        return self.outcome(self.start(*words, prefix=prefix), timeout)

    def period(self, base: Path, *more: str) -> Outcome:
        return self.run("flows", "period", base, *more)

    def log(self, process: subprocess.Popen[str]) -> str:
        return Path(process.stem + ".err").read_text("utf-8")  # type: ignore[attr-defined]

    def until(self, process: subprocess.Popen[str], text: str, timeout: float = 250) -> None:
        """Wait until the command's log holds that text."""
        give_up = time.monotonic() + timeout
        while text not in self.log(process):
            assert time.monotonic() < give_up, f"{text!r} not logged: {self.log(process)[-2000:]}"
            assert process.poll() is None, f"ended: {self.log(process)[-2000:]}"
            time.sleep(0.05)
