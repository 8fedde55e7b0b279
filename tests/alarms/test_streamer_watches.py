"""The streamer notices that the worker is silent, and has somebody say so."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from streamer.watching import Missing, silent_workers
from tests.alarms.folders import put_well, put_worker, write_market
from tests.bench.processes import Child
from tests.notify.receiver import receiving

A, B = Path("/a"), Path("/b")


def test_who_is_silent_at_two_looks_is_missed_and_somebody_is_sent_once_a_minute() -> None:
    missing = Missing(60.0)
    assert missing.noticed([A], 0.0) == []
    assert missing.noticed([A, B], 5.0) == [A]
    assert [now for now in range(10, 130, 5) if missing.noticed([A, B], now)] == [65, 125]
    assert missing.noticed([], 190.0) == []
    assert missing.noticed([A], 195.0) == []


def test_a_worker_that_never_ran_is_not_missed(tmp_path: Path) -> None:
    never, silent, beats = (write_market(tmp_path / name) for name in ("never", "silent", "beats"))
    put_worker(silent, 60)
    put_worker(beats)
    assert silent_workers([each.base_dir for each in (never, silent, beats)]) == [silent.base_dir]


def eventually(true: Callable[[], bool], what: str, within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)


@pytest.mark.xdist_group("alarms")
def test_a_streamer_tells_through_a_child_that_the_worker_is_silent_and_stays_light(tmp_path: Path) -> None:
    with receiving() as receiver:
        folder = write_market(tmp_path / "m", receiver)
        put_well(folder)
        put_worker(folder, 60)
        with Child("streamer", ["streamer", str(folder.base_dir)], tmp_path) as streamer:
            eventually(lambda: len(receiver.got) >= 2, "both are told")
            modules = {Path(each.path).name for each in psutil.Process(streamer.pid).memory_maps()}
            assert not any("polars" in name for name in modules)
            assert streamer.stop() == 0
        told = [each["body"].get("title") or each["body"]["text"]["content"].splitlines()[0] for each in receiver.got]
        assert told == ["usdt_perp 1d: worker silent"] * 2
