"""Dashboard and alert rules: they ask for what exists, and are what Grafana and Prometheus take.

Grafana itself is not run: its dashboard is judged by its structure, and each query by a real Prometheus
(test_programs.py).
"""

from __future__ import annotations

import shutil
import subprocess

import pytest
import yaml

from kit.alarms.conditions import Kind as Alarm
from kit.metrics.table import METRICS, PROCESS
from tests.metrics import deployed

KNOWN = {name for row in METRICS.values() for name in row.series} | set(PROCESS)
OURS = {"step-failing", "period-late", "delay-high", "prefect-backlog", "weight-high"}
"""Sections of the runbook about what only Prometheus tells; the others are those of the alarms' kinds."""

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (prometheus)")


def promtool(*arguments: str) -> str:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("rule", deployed.rules(), ids=lambda rule: rule["alert"])
def test_a_rule_asks_for_metrics_that_exist_and_says_what_to_do(rule):
    assert deployed.names_in(rule["expr"]) <= KNOWN
    assert deployed.names_in(rule["expr"]) or "up{" in rule["expr"]
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"]
    page, _, section = rule["annotations"]["runbook"].partition("#")
    assert page == "docs/runbook.md"
    assert section in OURS | {kind.value.replace("_", "-") for kind in Alarm}


def test_each_alert_is_raised_by_a_test_of_the_rules():
    tested = deployed.ALERT_TESTS.read_text()
    assert [rule["alert"] for rule in deployed.rules() if f'"{rule["alert"]}"' not in tested] == []


@needs_promtool
def test_promtool_takes_the_rules_and_their_tests_pass():
    promtool("check", "config", str(deployed.PROMETHEUS))
    assert "SUCCESS" in promtool("test", "rules", str(deployed.ALERT_TESTS))


def test_the_jobs_that_rules_and_dashboard_name_are_scraped():
    jobs = {job["job_name"] for job in yaml.safe_load(deployed.PROMETHEUS.read_text())["scrape_configs"]}
    assert jobs == {"bmac-streamer", "bmac-worker"}
    for rule in deployed.rules():
        named = [part.split('"')[0] for part in rule["expr"].split('job="')[1:]]
        assert set(named) <= jobs


@pytest.mark.parametrize(("title", "expression"), deployed.queries())
def test_a_panel_asks_for_metrics_that_exist(title, expression):
    names = deployed.names_in(expression)
    assert names <= KNOWN
    assert names or expression.startswith("up{")


def test_every_metric_is_drawn_or_watched_but_for_some():
    """What nobody looks at need not be told."""
    asked = {name for _, expression in deployed.queries() for name in deployed.names_in(expression)}
    asked |= {name for rule in deployed.rules() for name in deployed.names_in(rule["expr"])}
    unseen = {row.name for row in METRICS.values() if not asked & set(row.series)}
    assert unseen == {
        "bmac_streamer_market_info",  # for people's own joins
        "bmac_worker_market_info",
        "bmac_streamer_messages_total",
        "bmac_streamer_connections_opened_total",
        "bmac_streamer_finals_duplicate_total",
        "bmac_streamer_pending_candles_limit",
        "bmac_streamer_written_candles_total",
        "bmac_streamer_flushes_total",
        "bmac_worker_candles_total",
        "bmac_worker_due_timestamp_seconds",
        "bmac_worker_expected_candles",
        "bmac_worker_window_run_times",
        "bmac_rest_weight_reserved",
        "bmac_clock_error_seconds",
    }


def test_panels_have_names_and_places_of_their_own():
    shown = deployed.dashboard()["panels"]
    assert len({panel["id"] for panel in shown}) == len({panel["title"] for panel in shown}) == len(shown)
    taken: set[tuple[int, int]] = set()
    for panel in shown:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells


def test_panels_are_of_known_kinds_and_ask_the_chosen_prometheus():
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for panel in deployed.panels():
        assert panel["type"] in ("stat", "timeseries")
        assert panel["datasource"] == chosen
        assert panel["fieldConfig"]["defaults"]["unit"] in ("none", "s", "bytes", "percentunit")
        assert [target["refId"] for target in panel["targets"]] == [*"ABCDEF"][: len(panel["targets"])]
        for target in panel["targets"]:
            assert target["datasource"] == chosen
            assert target["legendFormat"]


def test_the_dashboard_asks_for_no_variable_that_it_does_not_have():
    variables = {variable["name"]: variable for variable in deployed.dashboard()["templating"]["list"]}
    assert variables.keys() == {"datasource", "market"}
    for _, expression in deployed.queries():
        assert "$" not in expression.replace("$market", "").replace("$__rate_interval", "")
    assert "bmac_(streamer|worker)_interval_seconds" in variables["market"]["query"]["query"]
    assert {"bmac_streamer_interval_seconds", "bmac_worker_interval_seconds"} <= METRICS.keys()
