"""``python -m flows``, as a process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from flows.markets import REPOSITORY, live_base_dirs, served_market
from kit.errors import ConfigError
from tests.flows_prefect.conftest import STAND_IN, write_market
from tests.flows_prefect.stand_in import FAIL


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", STAND_IN, *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def base_dir(tmp_path: Path) -> Path:
    return write_market(tmp_path)


def test_a_complete_period_prints_its_record_alone_on_stdout_and_leaves_with_0(base_dir: Path) -> None:
    done = run("period", str(base_dir), "--run-time", "2026-11-22T07:05:00Z")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["run_time"] == "2026-11-22T07:05:00Z"
    assert record["complete"] is True
    assert record["missing"] == []


def test_an_exchange_that_cannot_be_reached_leaves_with_3_and_says_why(base_dir: Path) -> None:
    (base_dir / FAIL).touch()
    done = run("period", str(base_dir), "--run-time", "2026-11-22T07:05:00Z")
    assert done.returncode == 3
    record = json.loads(done.stdout)
    assert record["complete"] is False
    assert record["run_time"] == "2026-11-22T07:05:00Z"
    assert "nobody answers" in record["error"]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("run_time", "words"),
    [
        ("2026-11-22T07:05:00", "time zone"),
        ("2026-11-22T07:05:01Z", "no multiple"),
        ("2196-11-22T07:05:00Z", "in the future"),
        ("yesterday", "yesterday"),
    ],
)
def test_a_run_time_that_makes_no_sense_leaves_with_2_and_one_message(
    base_dir: Path, run_time: str, words: str
) -> None:
    refused = run("period", str(base_dir), "--run-time", run_time)
    assert refused.returncode == 2
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr
    assert refused.stdout == ""


@pytest.mark.parametrize("command", ["period", "worker"])
def test_a_bad_config_leaves_with_2_and_names_the_key(tmp_path: Path, command: str) -> None:
    refused = run(command, str(write_market(tmp_path, interval="7m")))
    assert refused.returncode == 2
    assert "interval" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_period_command_never_imports_prefect() -> None:
    code = "import flows.__main__, flows.steps, sys; sys.exit('prefect' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, timeout=120, check=False).returncode == 0


def test_the_live_markets_are_those_of_the_live_pool() -> None:
    folders = live_base_dirs(REPOSITORY / "prefect.yaml")
    assert folders == [REPOSITORY / "data" / "usdt_perp_1m", REPOSITORY / "data" / "usdt_perp_5m"]


def test_a_prefect_file_without_live_deployments_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "prefect.yaml"
    path.write_text("deployments: [{name: a, work_pool: {name: other}, parameters: {base_dir: a}}]")
    with pytest.raises(ConfigError, match="bmac-live"):
        live_base_dirs(path)


def test_every_deployment_has_an_example_config_whose_pace_is_that_of_its_schedule() -> None:
    deployments = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())["deployments"]
    assert len(deployments) == 4
    for deployment in deployments:
        folder = Path(deployment["parameters"]["base_dir"]).name
        pace = served_market(REPOSITORY / "deployments" / "configs" / folder).pace
        (schedule,) = deployment["schedules"]
        assert schedule["interval"] == pace.interval.total_seconds()
        assert schedule["anchor_date"] == f"2026-01-01T00:00:{pace.offset.total_seconds():02.0f}+00:00"
        assert schedule["timezone"] == "UTC"
