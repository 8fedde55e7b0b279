"""Where recorded payloads of the real exchange lie, when they do; tests of them skip otherwise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

REAL = Path(__file__).parents[2].parent / "shared" / "real"


def recorded(name: str) -> bytes:
    path = REAL / name
    if not path.exists():
        pytest.skip("recorded payloads are not here")
    return path.read_bytes()


def recorded_lines(name: str) -> list[dict]:
    return [json.loads(line) for line in recorded(name).splitlines() if line.strip()]
