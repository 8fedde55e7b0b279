"""The embedded exchange, a streamer, a worker and a Prometheus as processes of a test: one market of 1 s candles."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.metrics import deployed
from tests.ports import free_port

REPOSITORY = deployed.DEPLOYMENTS.parent
SCRAPE_EVERY = "2s"
SYMBOLS = 12
MARKET = "usdt_spot_1s"

LAUNCH = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""Before the child's own code: it dies with its parent (PR_SET_PDEATHSIG), and SIGINT reaches it."""


@dataclass
class Program:
    """A process with its log. ``port``: of its metrics."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int = 0

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [each for each in found if each.get("event") == name]

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(60)


def until(condition: Callable[[], Any], what: str, within_s: float = 180.0) -> Any:
    """Wait until it is true; what it then is."""
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)
    return found


def environment(place: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "BMAC_"))}
    return {**inherited, "BMAC_STATE_DIR": str(place / "state"), "PREFECT_HOME": str(place / "prefect")}


@contextlib.contextmanager
def program(place: Path, name: str, *command: str, **variables: str) -> Iterator[Program]:
    """A running program, gone with the block at the latest."""
    log = place / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            (sys.executable, "-c", LAUNCH, *command),
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(place) | variables,
            cwd=REPOSITORY,
        )
    try:
        yield Program(process, log)
    finally:
        process.kill()
        process.wait(60)


@contextlib.contextmanager
def measured(place: Path, name: str, *arguments: str, **variables: str) -> Iterator[Program]:
    """A program of ours that serves its metrics on a port that it finds itself."""
    command = (sys.executable, "-m", *arguments)
    with program(place, name, *command, **({"BMAC_METRICS": "0"} | variables)) as running:
        (serving, *_) = until(lambda: running.events("metrics.serving"), f"{name} serves metrics")
        running.port = urllib.parse.urlsplit(serving["url"]).port or 0
        yield running


@contextlib.contextmanager
def market(place: Path) -> Iterator[Path]:
    """A base directory whose exchange runs."""
    options = ["--symbols", str(SYMBOLS), "--history-days", "1", "--finals", "spread:0.2", "--illiquid-share", "0"]
    with program(place, "exchange", sys.executable, "-m", "kit.embedded_exchange", *options) as exchange:
        spot = json.loads(until(lambda: _whole_line(exchange.log), "the exchange tells where it is"))["spot"]
        config = {
            "interval": "1s",
            "trade_type": "usdt_spot",
            "num_candles": 60,
            "offset_sec": 0.3,
            "candle_close_timeout_sec": 2,
            "endpoints": {"rest": spot["rest"], "ws": spot["ws"]},
            "factors": [["PctChg", 10]],
        }
        base_dir = place / "market"
        base_dir.mkdir()
        (base_dir / "config.json").write_text(json.dumps(config))
        yield base_dir


@dataclass
class Prometheus:
    """A running Prometheus."""

    port: int

    def get(self, path: str, **query: str) -> Any:
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            told = json.load(answer)
        assert told["status"] == "success", told
        return told["data"]

    def samples(self, expression: str) -> list[dict[str, Any]]:
        """What an expression is now; HTTPError when Prometheus does not understand it."""
        return self.get("query", query=expression)["result"]

    def value(self, series: str) -> float | None:
        """Its newest value; a busy machine misses a scrape, which leaves a hole of one."""
        found = self.samples(f"last_over_time({series}[2m])")
        return float(found[0]["value"][1]) if found else None

    def ready(self) -> bool:
        try:
            return bool(self.get("targets")["activeTargets"])
        except OSError:
            return False


@contextlib.contextmanager
def prometheus(place: Path, **ports: int) -> Iterator[Prometheus]:
    """Our configuration as committed, but quick, and with the ports of these jobs."""
    config = yaml.safe_load(deployed.PROMETHEUS.read_text())
    config["global"] |= dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), SCRAPE_EVERY)
    config["rule_files"] = [str(deployed.PROMETHEUS.parent / name) for name in config["rule_files"]]
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [f"127.0.0.1:{ports[job['job_name'].removeprefix('bmac-')]}"]}]
    (place / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    command = [
        "prometheus",
        f"--config.file={place / 'prometheus.yml'}",
        f"--storage.tsdb.path={place / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with program(place, "prometheus", *command):
        running = Prometheus(port)
        until(running.ready, "Prometheus answers")
        yield running


def _whole_line(log: Path) -> str | None:
    return next((line for line in log.read_text().splitlines(keepends=True) if line.endswith("}\n")), None)
