"""What every test gets: a weight budget of its own, never the one of the machine's real services, and the same examples
each time it runs, however slow the machine is.

``--hypothesis-profile default`` draws other examples each time, for who goes looking for what nobody thought of.
"""

from __future__ import annotations

import os
import shutil

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")

OF_THE_USERS_OWN = ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "wss_proxy", "force_color", "clicolor_force")
"""Variables that send what asks loopback to somewhere else, or colour what a test reads."""
for name in [name for name in os.environ if name.lower() in OF_THE_USERS_OWN]:
    del os.environ[name]


@pytest.fixture(autouse=True)
def state_of_its_own(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("BMAC_STATE_DIR", str(tmp_path_factory.mktemp("state")))


@pytest.fixture
def room_on_the_disk(monkeypatch):
    """A machine whose disk is nearly full has an alarm and a warning of its own, which few tests are about."""
    usage = shutil._ntuple_diskusage(1_000 * 10**9, 500 * 10**9, 500 * 10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """xdist 3.8 writes a test's group into ``_nodeid``, which pytest 9.2 no longer reads: groups would do nothing."""
    for item in items:
        named = getattr(item, "_nodeid", None)
        if named is not None:
            item._id = type(item.id).parse(named)
