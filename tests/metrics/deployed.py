"""The dashboard and the alert rules as committed, and the expressions in them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

DEPLOYMENTS = Path(__file__).resolve().parents[2] / "deployments"
PROMETHEUS = DEPLOYMENTS / "prometheus" / "prometheus.yml"
ALERTS = DEPLOYMENTS / "prometheus" / "alerts.yml"
ALERT_TESTS = DEPLOYMENTS / "prometheus" / "alerts.test.yml"
DASHBOARD = DEPLOYMENTS / "grafana" / "bmac.json"

_NAME = re.compile(r"\b(?:bmac|process)_[a-z_]+\b")


def rules() -> list[dict]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def dashboard() -> dict:
    return json.loads(DASHBOARD.read_text())


def panels() -> list[dict]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> list[tuple[str, str]]:
    """Each panel's title with one of its expressions."""
    return [(panel["title"], target["expr"]) for panel in panels() for target in panel["targets"]]


def names_in(expression: str) -> set[str]:
    """The metrics that an expression asks for; label values do not count."""
    return set(_NAME.findall(re.sub(r'"[^"]*"', '""', expression)))
