"""A deployment of one market with periods of 3 s, the worker that does them, and looking at what Prefect shows."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.flows_prefect.conftest import REPOSITORY, STAND_IN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.flows_prefect.conftest import Server

PERIOD = timedelta(seconds=3)
PREFECT_FILE = """
name: bmac-test
deployments:
  - name: {name}
    entrypoint: flows/period.py:period
    parameters: {{base_dir: "{base_dir}"}}
    work_pool: {{name: bmac-live}}
    schedules: [{{interval: {seconds}, anchor_date: "2026-01-01T00:00:00.5+00:00", timezone: UTC}}]
"""


def wait_for(what: str, look: Callable[[], Any], within_sec: float = 180) -> Any:
    """What is at last seen. A look that no answer came to in time has seen nothing yet; all else that fails, fails."""
    deadline = time.monotonic() + within_sec
    while True:
        with contextlib.suppress(TimeoutError):
            if found := look():
                return found
        if time.monotonic() > deadline:
            return pytest.fail(f"not within {within_sec} s: {what}")
        time.sleep(0.25)


def artifacts_of(server: Server, run_id: str) -> dict[str, dict[str, Any]]:
    found = server.ask("/artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run_id]}}})
    return {artifact["key"]: artifact for artifact in found}


def shown_run(server: Server, deployment: str) -> dict[str, Any] | None:
    """A finished run of the deployment that has its artifacts, if there is one."""
    wanted = {
        "deployments": {"name": {"any_": [deployment]}},
        "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}, "name": {"any_": ["Completed"]}}},
    }
    found = server.ask("/flow_runs/filter", wanted | {"limit": 20})
    return next((run for run in found if len(artifacts_of(server, run["id"])) >= 2), None)


def deploy(server: Server, folder: Path, name: str, base_dir: Path, period: timedelta = PERIOD) -> Path:
    file = folder / "prefect.yaml"
    file.write_text(PREFECT_FILE.format(base_dir=base_dir, name=name, seconds=period.seconds))
    deployed = server.run("prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file))
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    return file


@contextlib.contextmanager
def working(server: Server, prefect_file: Path, period: timedelta = PERIOD) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of that file's markets, with short periods and a stand-in for the work."""
    with (prefect_file.parent / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", STAND_IN, "worker", "--prefect-file", str(prefect_file)],
            env=server.env | {"STAND_IN_PERIOD_SEC": str(period.total_seconds())},
            cwd=REPOSITORY,
            stderr=log,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(60)
