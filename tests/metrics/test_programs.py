"""A real streamer and worker tell a real Prometheus all that the table promises, and it understands all that we ask.

Whatever a query of the dashboard or an alert rule asks for is asked here.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from kit.metrics.table import METRICS, PROCESS
from tests.metrics import deployed
from tests.metrics.stage import MARKET, SYMBOLS, Program, Prometheus, environment, market, measured, prometheus, until

pytestmark = [
    pytest.mark.xdist_group("metrics"),
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed"),
]

ALWAYS_SILENT = {
    "bmac_worker_excused_candles",  # nobody is excused here
    "bmac_worker_prefect_database_bytes",  # there is no Prefect server
}
MAYBE_EMPTY = {"Failed steps, an hour", "Refused, an hour", "Prefect's database"}
"""Panels that show only what is wrong, or what is not everywhere."""
MAYBE_EMPTY_EXPRESSIONS = ("bmac_worker_excused_candles", "bmac_worker_periods_skipped_total")


@dataclass
class Stage:
    base_dir: Path
    streamer: Program
    worker: Program
    prometheus: Prometheus

    def names(self) -> set[str]:
        return set(self.prometheus.get("label/__name__/values"))


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    place = tmp_path_factory.mktemp("metrics")
    with (
        market(place) as base_dir,
        measured(place, "streamer", "streamer", str(base_dir), "--log-format", "json") as streamer,
        measured(place, "worker", "flows", "worker", str(base_dir), "--logs", "json") as worker,
        prometheus(place, streamer=streamer.port, worker=worker.port) as running,
    ):
        staged = Stage(base_dir, streamer, worker, running)
        # Two scrapes with periods between them, so that there are rates.
        grown = f'increase(bmac_worker_periods_total{{market="{MARKET}", verdict="Completed"}}[1m]) > 2'
        until(lambda: running.samples(grown), "periods are complete and counted")
        until(lambda: running.samples('sum(up{job=~"bmac-.*"}) == 2'), "both are up")
        yield staged


def filled_in(expression: str) -> str:
    return expression.replace("$__rate_interval", "1m").replace("$market", ".*")


def test_prometheus_has_every_metric_of_the_table(stage):
    promised = {name for row in METRICS.values() for name in row.series} | set(PROCESS)
    until(lambda: promised - ALWAYS_SILENT <= stage.names(), f"all of {promised - stage.names() - ALWAYS_SILENT}")


def test_nothing_is_told_that_the_table_does_not_have(stage):
    known = {name for row in METRICS.values() for name in row.series}
    assert {name for name in stage.names() if name.startswith("bmac_")} <= known


def test_what_is_told_is_what_the_market_did(stage):
    def value(name: str, **labels: str) -> float | None:
        wanted = ", ".join(f'{label}="{value}"' for label, value in {"market": MARKET, **labels}.items())
        return stage.prometheus.value(f"{name}{{{wanted}}}")

    until(lambda: value("bmac_worker_complete") == 1, "the market is complete")
    until(lambda: value("bmac_worker_window_run_times", state="complete") == 60, "so is its window")
    until(lambda: value("bmac_streamer_streams", state="delivering") == SYMBOLS, "all streams deliver")
    assert value("bmac_worker_interval_seconds") == value("bmac_streamer_interval_seconds") == 1
    finals = value("bmac_streamer_finals_total")
    assert finals
    assert value("bmac_streamer_frames_total") > finals
    until(lambda: (value("bmac_streamer_readable_delay_seconds_count") or 0) >= finals, "all of them get readable")
    until(lambda: (value("bmac_worker_step_seconds_count", step="factors") or 0) > 2, "factors are computed")
    assert value("bmac_streamer_disk_error") == 0
    assert stage.prometheus.value("bmac_rest_weight_used") < stage.prometheus.value("bmac_rest_weight_limit") == 6000
    beyond = "abs(bmac_clock_offset_seconds) - bmac_clock_error_seconds < 0.05"  # the same machine's is none
    until(lambda: stage.prometheus.samples(beyond), "the clock is as far off as it may be")


@pytest.mark.parametrize(("title", "expression"), deployed.queries())
def test_a_panels_query_is_understood_and_has_data(stage, title, expression):
    def found():
        return stage.prometheus.samples(filled_in(expression))

    if title in MAYBE_EMPTY or any(name in expression for name in MAYBE_EMPTY_EXPRESSIONS):
        found()
    else:
        until(found, f"{title} has data")


def test_prometheus_takes_every_rule_and_evaluates_it(stage):
    def judged():
        groups = stage.prometheus.get("rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return rules if all(rule["health"] != "unknown" for rule in rules) else None

    rules = until(judged, "all rules are evaluated")
    assert {rule["name"] for rule in rules} == {rule["alert"] for rule in deployed.rules()}
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []


def test_who_asks_without_end_or_says_nothing_disturbs_neither(stage):
    """Idle connections and as many scrapes as come: the streamer goes on, the periods stay complete."""
    ports = [stage.streamer.port, stage.worker.port]
    stop = threading.Event()

    def hammer(port: int) -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60):
                pass

    finals = "bmac_streamer_finals_total"
    done = 'bmac_worker_periods_total{verdict="Completed"}'
    before = {name: stage.prometheus.value(name) or 0 for name in (finals, done)}
    hammers = [threading.Thread(target=hammer, args=(port,)) for port in ports]
    with contextlib.ExitStack() as stack:
        for port in ports * 20:
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        for thread in hammers:
            thread.start()
        try:
            until(lambda: (stage.prometheus.value(finals) or 0) >= before[finals] + 4 * SYMBOLS, "finals go on")
            until(lambda: (stage.prometheus.value(done) or 0) >= before[done] + 3, "periods go on")
        finally:
            stop.set()
            for thread in hammers:
                thread.join(60)
    assert stage.prometheus.value("bmac_streamer_finals_dropped_total") == 0


def test_a_port_in_use_ends_the_program_with_exit_code_2(stage, tmp_path):
    for arguments in (["streamer"], ["flows", "worker"]):
        code, told = refused(tmp_path, *arguments, str(stage.base_dir), "--metrics", str(stage.streamer.port))
        assert code == 2, told
        assert f"127.0.0.1:{stage.streamer.port}" in told
        assert "Traceback" not in told


def test_what_is_no_address_ends_the_program_with_exit_code_2(stage, tmp_path):
    for arguments in (["streamer"], ["flows", "worker"]):
        code, told = refused(tmp_path, *arguments, str(stage.base_dir), "--metrics", "loud")
        assert code == 2, told
        assert "'loud'" in told


def test_a_streamer_that_ends_is_told_and_a_rule_sees_it(stage):
    """The last one: it ends the streamer of this stage."""
    assert stage.streamer.end() == 0
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{stage.streamer.port}/metrics", timeout=30)
    until(
        lambda: (
            "BmacStreamerSilent" in {alert["labels"]["alertname"] for alert in stage.prometheus.get("alerts")["alerts"]}
        ),
        "the alert is pending",
    )


def refused(place: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        env=environment(place),
        cwd=deployed.DEPLOYMENTS.parent,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    return done.returncode, done.stderr
