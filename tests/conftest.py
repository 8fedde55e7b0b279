"""What every test gets: a weight budget of its own, never the one of the machine's real services."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def state_of_its_own(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("BMAC_STATE_DIR", str(tmp_path_factory.mktemp("state")))
