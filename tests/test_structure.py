"""Who may import whom: ``flows -> kit <- streamer``, and inside kit the parts that do not know each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("kit", "streamer", "flows", "deployments")

FORBIDDEN = {
    "kit": ("streamer", "flows", "deployments", "tests"),
    "streamer": ("flows", "deployments", "tests", "prefect", "pandas", "polars", "kit.notify", "kit.alarms.look"),
    "flows": ("streamer", "deployments", "tests"),
    "deployments": ("flows", "streamer", "tests"),
    "kit.dialect": ("kit.buffer", "kit.embedded_exchange", "kit.market", "kit.config"),
    "kit.buffer": ("kit.dialect", "kit.embedded_exchange", "kit.budget", "kit.market", "kit.config"),
    "kit.embedded_exchange": ("kit.dialect", "kit.buffer", "kit.budget", "kit.market", "kit.config"),
    "kit.budget": ("kit.dialect", "kit.buffer", "kit.embedded_exchange", "kit.market", "kit.config"),
    "kit.factors": (
        "kit.buffer",
        "kit.dialect",
        "kit.embedded_exchange",
        "kit.budget",
        "kit.market",
        "kit.calculators",
    ),
    "kit.resample": ("kit.dialect", "kit.embedded_exchange", "kit.budget", "kit.market"),
    "kit.serve": ("kit.dialect", "kit.embedded_exchange", "kit.budget"),
    "kit.exchange_clock": ("kit.dialect", "kit.buffer", "kit.embedded_exchange", "kit.budget", "kit.config"),
    "kit.metrics": ("kit.buffer", "kit.dialect", "kit.embedded_exchange", "kit.budget", "kit.market", "kit.config"),
    "kit.words": ("kit.dialect", "kit.buffer", "kit.embedded_exchange", "kit.config"),
    "kit.completeness": ("kit.dialect", "kit.embedded_exchange", "kit.budget"),
}
"""For each part what nothing in it may import. The demo runs the other programs; it imports none of their code."""


def modules() -> Iterator[tuple[str, ast.Module]]:
    for part in PARTS:
        for path in sorted((ROOT / part).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield name.removesuffix(".__init__"), ast.parse(path.read_text())


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute, so that they can be read without knowing where one stands"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.")


@pytest.mark.parametrize("part", FORBIDDEN)
def test_no_import_in_a_forbidden_direction(part):
    wrong = {
        f"{module} imports {name}"
        for module, tree in modules()
        if within(module, part)
        for name in imported(tree)
        if any(within(name, other) for other in FORBIDDEN[part])
    }
    assert not wrong


def test_the_rules_are_about_modules_that_exist():
    names = [module for module, _ in modules()]
    assert len(names) > 50
    for part in FORBIDDEN:
        assert any(within(name, part) for name in names), part
