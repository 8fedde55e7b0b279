"""Each test has a weight budget of its own: nobody's real one is touched."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def own_budget(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BMAC_STATE_DIR", str(tmp_path_factory.mktemp("state")))
