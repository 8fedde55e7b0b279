"""Our programs as processes whose wall clock a test sets as it likes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clock.shifted import write_shift

HOUR = 3_600_000
DAY = 24 * HOUR


@dataclass
class Program:
    """A process of ours. ``shift_ms`` sets its wall clock; its logs are one JSON object a line."""

    process: Process
    shift_file: Path
    log_file: Path

    def shift(self, shift_ms: int) -> None:
        write_shift(self.shift_file, shift_ms)

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = self.log_file.read_text().splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [each for each in found if each["event"] == name]


@contextlib.asynccontextmanager
async def program(place: Path, shift_ms: int, *arguments: str) -> AsyncIterator[Program]:
    """A running program; ended, at the latest killed, with the block. Its state is its own, as on a machine alone."""
    place.mkdir(parents=True, exist_ok=True)
    shift_file, log_file = place / "shift", place / "log"
    write_shift(shift_file, shift_ms)
    environment = {**os.environ, "BMAC_STATE_DIR": str(place / "state")}
    environment.pop("PREFECT_API_URL", None)
    with log_file.open("wb") as log, (place / "out").open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.clock.shifted", str(shift_file), *arguments,
            stdout=out, stderr=log, env=environment, preexec_fn=_interruptible,
        )  # fmt: skip
    try:
        yield Program(process, shift_file, log_file)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 60)
        except TimeoutError:
            process.kill()
            await process.wait()


async def ended(place: Path, shift_ms: int, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Run a program to its end: exit code, what it printed, what it logged."""
    async with program(place, shift_ms, *arguments) as running:
        code = await asyncio.wait_for(running.process.wait(), 200)
    return code, json.loads((place / "out").read_text() or "{}"), (place / "log").read_text()


def configure(base_dir: Path, rest: str, ws: str, **keys: object) -> Path:
    base_dir.mkdir(parents=True, exist_ok=True)
    config = {"endpoints": {"rest": rest, "ws": ws}} | keys
    (base_dir / "config.json").write_text(json.dumps(config))
    return base_dir


async def until(condition: Any, what: str, within_s: float = 150.0) -> None:
    deadline = asyncio.get_running_loop().time() + within_s
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"never: {what}"
        await asyncio.sleep(0.02)


def _interruptible() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
