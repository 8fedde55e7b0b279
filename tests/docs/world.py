"""Where the documents' commands are run: a clone of the programs in a folder of its own, beside an embedded exchange.

A reader's commands are run as they stand, but for what would reach the real exchange or a port that others may have:
each ``config.json`` that a command made gets the embedded exchange as its ``endpoints`` (with what the pages on reading
take for granted: funding rates and a resample), and the ports of Prefect and of the status page are free ones.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from kit.status import market_status
from tests.docs.commands import Kind, Unit, units_of
from tests.docs.pages import ROOT, Block
from tests.ports import free_port

PROGRAMS = ("kit", "streamer", "flows", "deployments", "docs", "prefect.yaml", "Makefile", "pyproject.toml")
TAKEN_FOR_GRANTED = {"funding_rate": True, "resample": {"interval": "1h", "base_offset": "5m"}}
PATIENCE = 240.0
"""Seconds for anything to come about; all of it takes a few on an idle machine."""
CONTROL_IN_PAGES = "http://127.0.0.1:40123"


class DocumentError(Exception):
    """A block does not do what the page says; names its place."""


def interruptible() -> None:
    """What a terminal's child has: SIGINT is not ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass
class Staying:
    """A process that was started and stays, with the file of its output."""

    unit: Unit
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")


@dataclass
class World:
    """A reader's machine. ``replaced``: texts of the pages that are something else here. ``done``: what has been run,
    with the state before it. ``staying``: the processes started; ``pages``: those of them that run a page's Python."""

    root: Path
    replaced: dict[str, str] = field(default_factory=dict)
    staying: list[Staying] = field(default_factory=list)
    pages: dict[str, Staying] = field(default_factory=dict)
    done: dict[tuple[str, ...], Unit] = field(default_factory=dict)
    endpoints: dict[str, dict[str, str]] = field(default_factory=dict)

    def build(self) -> None:
        """Copy the programs and start the exchange."""
        self.root.mkdir(parents=True, exist_ok=True)
        for name in PROGRAMS:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, self.root / name, ignore=shutil.ignore_patterns("__pycache__", "pictures"))
            elif source.exists():
                shutil.copy(source, self.root / name)
        (self.root / ".venv").symlink_to(Path(sys.prefix), target_is_directory=True)
        self.prefect_port, self.page_port = free_port(), free_port()
        self.replaced |= {":4200/": f":{self.prefect_port}/"}
        words = "python -m kit.embedded_exchange --symbols 12 --history-days 6 --seed 7"
        exchange = self.start(Unit("the exchange", words), [])
        self.until(exchange, lambda: exchange.output.endswith("}\n"))
        self.endpoints = json.loads(exchange.output.splitlines()[0])

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "BMAC_"))}
        return inherited | {
            "PATH": f"{self.root / '.venv' / 'bin'}:{os.environ['PATH']}",
            "BMAC_STATE_DIR": str(self.root / "state"),
            "PREFECT_HOME": str(self.root / "prefect"),
            "PREFECT_SERVER_API_PORT": str(self.prefect_port),
            "PREFECT_LOGGING_LEVEL": "WARNING",
            "PYTHONPATH": f"{self.root}:{ROOT}",  # the clone before all; tests.docs for pages of Python
            "COLUMNS": "100",
        }

    def run_page(self, blocks: list[Block]) -> None:
        """Run the shell blocks of a page in their order; what an earlier page ran just so is not run again.

        Raises:
            DocumentError: something did not do what the page says.
        """
        state: list[str] = []
        found = [unit for block in blocks for unit in units_of(block.place, block.text)]
        for unit in found:
            if not unit.harmless:
                raise DocumentError(
                    f"{unit.place}: {unit.text}\nis nothing that is run here: mark its block, with a reason"
                )
        for unit in found:
            key = (*state, unit.text)
            if unit.kind is Kind.STATE:
                state.append(self._here(unit.text))
            if key in self.done:
                continue
            self.done[key] = unit
            if unit.kind is Kind.STAYS:
                started = self.start(unit, state)
                self.until(started, lambda started=started: self._works(started))
            elif unit.kind is not Kind.MAKE:
                self._once(unit, state)
            self._connect()

    def start(self, unit: Unit, state: list[str]) -> Staying:
        """Start a process that stays. A second worker takes the place of the first, once no page needs that."""
        if "flows worker" in unit.text:
            for page in self.pages.values():
                page.process.wait(2 * PATIENCE)
            self._end([each for each in self.staying if "flows worker" in each.unit.text])
        log = self.root / f"process-{len(list(self.root.glob('process-*')))}.log"
        words = self._here(unit.text)
        if " kit serve " in words:
            words += f" --port {self.page_port}"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                ["sh", "-c", "\n".join([*state, f"exec {words}"])],
                cwd=self.root,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=interruptible,  # noqa: PLW1509 - no threads have been started yet
            )
        self.staying.append(Staying(unit, process, log))
        return self.staying[-1]

    def until(self, started: Staying, works: Callable[[], bool]) -> None:
        """Wait until a process that stays is seen working; DocumentError when it ends before, or never is."""
        deadline = time.monotonic() + PATIENCE
        while not works():
            if started.process.poll() is not None or time.monotonic() > deadline:
                raise DocumentError(f"{started.unit.place}: {started.unit.text}\n{started.output[-3000:]}")
            time.sleep(0.1)

    def until_complete(self) -> None:
        """Wait until the reader's market was complete once: the pages wait as long as a period takes, not a start."""
        (worker,) = (each for each in self.staying if "flows worker" in each.unit.text)
        folders = [path.parent for path in self.root.glob("data/*/config.json")]
        self.until(worker, lambda: all(market_status(folder)["last_complete"] for folder in folders))

    def python(self, page: str, blocks: list[Block]) -> None:
        """Start the Python blocks of a page."""
        script = self.root / f"page-{len(self.pages)}.json"
        script.write_text(json.dumps([[block.place, block.text] for block in blocks]), encoding="utf-8")
        self.pages[page] = self.start(Unit(page, f"python -m tests.docs.page_process {script}"), [])

    def end(self) -> None:
        """End all that stays, the last started first."""
        self._end(self.staying[::-1])

    def _end(self, ended: list[Staying]) -> None:
        for each in ended:
            with contextlib.suppress(ProcessLookupError):
                each.process.terminate()
        for each in ended:
            try:
                each.process.wait(30)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(each.process.pid, signal.SIGKILL)
                each.process.wait()
        self.staying = [each for each in self.staying if each not in ended]

    def _here(self, text: str) -> str:
        for theirs, ours in self.replaced.items():
            text = text.replace(theirs, ours)
        return text

    def _once(self, unit: Unit, state: list[str]) -> None:
        script = "\n".join([*state, self._here(unit.text)])
        ran = subprocess.run(
            ["sh", "-c", script],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        if ran.returncode not in unit.good_codes:
            raise DocumentError(
                f"{unit.place}: {unit.text}\nexit code {ran.returncode}\n{ran.stdout}\n{ran.stderr[-3000:]}"
            )

    def _connect(self) -> None:
        """Point every market at the embedded exchange that a command has just configured."""
        for path in self.root.glob("data/*/config.json"):
            config = json.loads(path.read_text())
            if "endpoints" not in config:
                venue = "spot" if config["trade_type"].endswith("spot") else "futures"
                path.write_text(json.dumps({**config, **TAKEN_FOR_GRANTED, "endpoints": self.endpoints[venue]}))

    def _works(self, started: Staying) -> bool:
        text = started.unit.text
        if "prefect server start" in text:
            return self._answers(self.prefect_port, "/api/health")
        if "kit serve" in text:
            return self._answers(self.page_port, "/")
        if "streamer" in text:
            return any(beat.get("delivering_streams", 0) > 0 for beat in self._beats("streamer.json"))
        if "flows worker" in text:
            return any(beat.get("running") for beat in self._beats("worker.json"))
        if "embedded_exchange" in text and started.output.endswith("}\n"):
            self.replaced[CONTROL_IN_PAGES] = json.loads(started.output.splitlines()[0])["control"]
            return True
        return "prefect worker start" in text and "started" in started.output.lower()

    def _beats(self, name: str) -> list[dict[str, int]]:
        return [json.loads(path.read_text()) for path in self.root.glob(f"data/*/{name}")]

    @staticmethod
    def _answers(port: int, path: str) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
