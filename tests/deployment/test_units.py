"""The systemd units, looked at by systemd itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from tests.deployment.files import DEPLOYMENTS, DOCKER, ROOT, SYSTEMD, exists, modules_of, settings

UNITS = ["bmac-prefect.service", "bmac-process-worker.service", "bmac-streamer@main.service"]
UNITS += ["bmac-worker@main.service", "bmac-page@main.service", "bmac-watch@main.service", "bmac-watch@main.timer"]
HIGHEST_EXPOSURE = 2.5  # of 10, which a unit without any hardening has

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed (apt)")


@pytest.fixture
def analyze(tmp_path):
    """systemd-analyze with our units installed where it looks, and this checkout where they expect it."""
    for path in [*SYSTEMD.glob("*.service"), *SYSTEMD.glob("*.timer"), *SYSTEMD.glob("*.d/*.conf")]:
        copy = tmp_path / path.relative_to(SYSTEMD)
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(path.read_text().replace("/opt/bmac", str(ROOT)))

    def run(*arguments):
        environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:", "SYSTEMD_COLORS": "0"}
        command = ["systemd-analyze", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)

    return run


@needs_systemd
def test_systemd_finds_nothing_to_say_about_the_units(analyze):
    done = analyze("verify", *UNITS)
    ours = [line for line in done.stderr.splitlines() if "bmac" in line]
    assert (done.returncode, ours) == (0, [])


@needs_systemd
def test_a_mistake_in_a_unit_would_be_found(analyze, tmp_path):
    unit = tmp_path / "bmac-prefect.service"
    unit.write_text(unit.read_text().replace("RestartSec=5", "RestartSecs=5"))
    assert "RestartSecs" in analyze("verify", "bmac-prefect.service").stderr


@needs_systemd
@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.endswith(".service")])
def test_every_unit_is_hardened_by_the_common_drop_in(analyze, unit):
    done = analyze("security", "--offline=true", "--no-pager", unit)
    found = re.search(r"Overall exposure level for .*: ([\d.]+)", done.stdout)
    assert found is not None, done.stderr
    assert float(found[1]) <= HIGHEST_EXPOSURE


def test_every_unit_runs_something_that_exists():
    for path in SYSTEMD.glob("*.service"):
        (command,) = re.findall(r"^ExecStart=(.*)$", path.read_text(), re.MULTILINE)
        modules = modules_of(command)
        assert modules or "/prefect " in command, path.name
        assert all(map(exists, modules)), path.name


def test_the_streamer_is_watched_and_never_given_up():
    text = (SYSTEMD / "bmac-streamer@.service").read_text()
    for line in ("Type=notify", "WatchdogSec=60", "Restart=always", "StartLimitIntervalSec=0"):
        assert f"\n{line}\n" in text


def test_prefects_server_makes_its_pages_where_it_can_write():
    """Its own installation is read only there, and without them it serves none, with one line in its log."""
    assert "\nEnvironment=PREFECT_UI_STATIC_DIRECTORY=/var/lib/bmac/" in (SYSTEMD / "bmac-prefect.service").read_text()
    assert "PREFECT_UI_STATIC_DIRECTORY=/opt/bmac/state/" in (DOCKER / "Dockerfile").read_text()


def test_the_example_settings_name_markets_that_there_are_examples_of():
    markets = settings(SYSTEMD / "bmac.env.example")["BMAC_MARKETS"].split()
    assert markets
    for market in markets:
        assert (DEPLOYMENTS / "configs" / market.rpartition("/")[2] / "config.json").exists()


def test_the_servers_settings_can_be_read_by_a_shell_by_systemd_and_by_compose_alike():
    for value in settings(DEPLOYMENTS / "prefect.env").values():
        assert re.fullmatch(r"[\w.,:/-]+", value)
