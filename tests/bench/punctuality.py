"""How punctual the flow's worker is while its Prefect server is healthy, stalled (SIGSTOP) or dead (SIGKILL).

Whole minutes of the machine's clock, because the worker's targets are; seven minutes in all, and so only done when
asked for by name.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING

from kit.market import Market
from kit.words import from_ms
from tests.bench.figures import Figure
from tests.bench.live_market import MINUTE_MS, OFFSET_MS, UNLIMITED_WEIGHT, write_config
from tests.bench.processes import BenchError, Child, sleep_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PERIODS_A_STATE = 2
RECORDED_AFTER_S = 20.0  # after the close: by then the period's record is there
TARGET_MS = 100.0
SERVER_WITHIN_S = 60.0
DEPLOYMENT = """\
name: bench
deployments:
  - name: bench-1m
    entrypoint: flows/period.py:period
    parameters: {{base_dir: {base_dir}}}
    work_pool: {{name: bmac-live}}
    schedules:
      - {{interval: 60, anchor_date: "2026-01-01T00:00:03+00:00", timezone: UTC}}
"""


def measure(scratch: Path) -> list[Figure]:
    """Milliseconds from a period's target to its start, by the ledger. BenchError: a process failed."""
    if find_spec("flows.worker") is None:
        return [
            Figure("flow punctuality", "ms", None, TARGET_MS, note="not there: flows/worker/__init__.py does not exist")
        ]
    scratch.mkdir()
    base_dir = scratch / "market"
    arguments = ["--symbols", "30", "--weight-limit", str(UNLIMITED_WEIGHT), "--skew-ms", "0", "--bursts"]
    with Child("exchange", ["tests.bench.exchange_process", *arguments], scratch) as exchange:
        write_config(base_dir, exchange.line(30), num_candles=60)
        port = _free_port()
        environment = {
            "PREFECT_HOME": str(scratch / "prefect"),
            "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }
        serve = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        with Child("server", serve, scratch, environment) as server:
            _wait_healthy(port)
            _deploy(scratch, base_dir, environment)
            with Child("worker", ["flows", "worker", str(base_dir)], scratch, environment) as worker:
                return _measure_states(base_dir, server, worker)


def _measure_states(base_dir: Path, server: Child, worker: Child) -> list[Figure]:
    states: dict[str, Callable[[], None]] = {
        "healthy": lambda: None,
        "stalled (SIGSTOP)": lambda: os.killpg(server.pid, signal.SIGSTOP),
        "dead (SIGKILL)": lambda: os.killpg(server.pid, signal.SIGKILL),
    }
    sleep_until(_next_run_ms() / 1000 + RECORDED_AFTER_S)  # the first start has all the history to fill
    figures = []
    for state, begin in states.items():
        begin()
        late_ms = []
        for _ in range(PERIODS_A_STATE):
            run_ms = _next_run_ms()
            sleep_until(run_ms / 1000 + RECORDED_AFTER_S)
            worker.usage()  # says so when it has ended
            late_ms.append(_late_ms(base_dir, run_ms))
        known = [value for value in late_ms if value is not None]
        worst = max(known) if len(known) == len(late_ms) else None
        note = f"periods: {', '.join('no record' if value is None else f'{value:.0f} ms' for value in late_ms)}"
        figures.append(Figure(f"flow's start after its target, server {state}", "ms", worst, TARGET_MS, note=note))
    return figures


def _late_ms(base_dir: Path, run_ms: int) -> float | None:
    record = Market(base_dir).ledger(from_ms(run_ms))
    if record is None or record.started_at is None:
        return None
    return record.started_at.timestamp() * 1000 - run_ms - OFFSET_MS


def _next_run_ms() -> int:
    return (time.time_ns() // 1_000_000 // MINUTE_MS + 1) * MINUTE_MS


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_healthy(port: int) -> None:
    deadline = time.monotonic() + SERVER_WITHIN_S
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/api/health")
            if connection.getresponse().status == http.client.OK:
                return
        except OSError:
            time.sleep(0.5)
        finally:
            connection.close()
    raise BenchError(f"the Prefect server was not healthy within {SERVER_WITHIN_S:.0f} s")


def _deploy(scratch: Path, base_dir: Path, environment: dict[str, str]) -> None:
    described = scratch / "prefect.yaml"
    described.write_text(DEPLOYMENT.format(base_dir=base_dir))
    for command in (
        ["work-pool", "create", "bmac-live", "--type", "process"],
        ["--no-prompt", "deploy", "--all", "--prefect-file", str(described)],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "prefect", *command],
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise BenchError(f"prefect {' '.join(command)}: {done.stdout[-800:]}{done.stderr[-800:]}")
