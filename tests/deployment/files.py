"""The files of deployments/, as the tests read them."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOYMENTS = ROOT / "deployments"
SYSTEMD, DOCKER, KUBERNETES = DEPLOYMENTS / "systemd", DEPLOYMENTS / "docker", DEPLOYMENTS / "kubernetes"


def documents(path: Path) -> list[dict[str, Any]]:
    """All of a YAML file."""
    return [each for each in yaml.safe_load_all(path.read_text()) if each]


def tool(name: str) -> str | None:
    """A program that pip installed beside this Python."""
    path = Path(sys.executable).with_name(name)
    return str(path) if path.exists() else None


def settings(path: Path) -> dict[str, str]:
    """An env file."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def modules_of(command: str | list[str]) -> list[str]:
    """What a command runs by ``python -m``."""
    text = command if isinstance(command, str) else " ".join(command)
    words = shlex.split(text.replace("$(", "( ").replace("exec ", ""))
    return [
        words[place + 2] for place, word in enumerate(words) if word.endswith("python") and words[place + 1] == "-m"
    ]


def exists(module: str) -> bool:
    """Whether ``python -m`` would find it."""
    return importlib.util.find_spec(module) is not None
