"""What keeps streamer and worker small from the beginning."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from streamer.stats import MarketStats, RouteStats
from streamer.status import status_record, write_status

ROOT = Path(__file__).parents[2]


def test_a_heartbeat_leaves_nothing_that_only_the_collector_could_free(tmp_path):
    record = status_record(
        started_at="2026-11-22T12:00:00+00:00",
        running=True,
        market=MarketStats(),
        pending=0,
        wanted=1,
        delivering=1,
        silent=[],
        route=RouteStats(),
        phases={"live": 1},
    )
    write_status(tmp_path, record)
    gc.collect()
    gc.disable()
    try:
        write_status(tmp_path, record)
        assert gc.collect() == 0
    finally:
        gc.enable()


@pytest.mark.parametrize("program", ["streamer.__main__", "flows.__main__"])
def test_streamer_and_worker_take_the_systems_allocator_for_their_small_tables(program):
    ask = f"import {program}, pyarrow; print(pyarrow.default_memory_pool().backend_name)"
    unset = {name: value for name, value in os.environ.items() if name != "ARROW_DEFAULT_MEMORY_POOL"}
    told = subprocess.run(
        [sys.executable, "-c", ask], cwd=ROOT, env=unset, capture_output=True, text=True, check=True, timeout=120
    )
    assert told.stdout.strip() == "system"
