"""The streamer notices a worker that is silent, or trouble in a market without one, and has somebody say so."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from kit.alarms.attend import attend_once, calls_for_a_look
from kit.config import load_config
from streamer.timing import Timing
from streamer.watching import Missing, silent_workers, watch_flows
from tests.alarms.folders import put_record, put_streamer, put_well, put_worker, write_market
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
    put_worker(beats, -3600)
    assert silent_workers([each.base_dir for each in (never, silent, beats)]) == [silent.base_dir]


def test_a_market_without_a_worker_calls_for_a_look_until_all_is_told_and_kept(tmp_path: Path) -> None:
    with receiving() as receiver:
        folder = write_market(tmp_path / "m", receiver)
        config = load_config(folder.base_dir)
        put_streamer(folder, -3600, delivering_streams=0)
        assert not calls_for_a_look(config), "no flow has ever worked here"
        put_record(folder, ["AUSDT"])
        put_streamer(folder, -3600)
        assert calls_for_a_look(config)
        attend_once([folder.base_dir])
        assert len(receiver.got) == 2
        assert not calls_for_a_look(config), "it lasts, and has been told"
        put_record(folder)
        assert calls_for_a_look(config), "its end is to be told"
        put_worker(folder, -3600)
        assert not calls_for_a_look(config), "its worker looks itself"


def test_a_market_that_tells_nobody_calls_for_nothing(tmp_path: Path) -> None:
    folder = write_market(tmp_path / "m")
    put_record(folder, ["AUSDT"])
    assert not calls_for_a_look(load_config(folder.base_dir))


@pytest.mark.xdist_group("alarms")
async def test_who_streams_a_market_without_a_worker_has_its_trouble_told_between_the_periods(tmp_path: Path) -> None:
    with receiving() as receiver:
        folder = write_market(tmp_path / "m", receiver)
        put_streamer(folder, -3600)
        put_record(folder, ["AUSDT"])
        timing = Timing(worker_look_s=0.05, unattended_look_s=0.05)
        watching = asyncio.create_task(watch_flows(lambda: [load_config(folder.base_dir)], timing))
        try:
            await asyncio.to_thread(eventually, lambda: len(receiver.got) >= 2, "both are told")
        finally:
            watching.cancel()
            await asyncio.wait({watching})
        titles = [each["body"].get("title") or each["body"]["text"]["content"].splitlines()[0] for each in receiver.got]
        assert titles == ["usdt_perp 1d: period incomplete"] * 2


def test_what_looks_for_the_streamer_brings_nothing_heavy_into_it() -> None:
    heavy = "{'apprise', 'polars', 'pandas', 'prefect', 'requests'} & set(sys.modules)"
    code = f"import sys, streamer.app; sys.exit(str({heavy} or ''))"
    looked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180, check=False)
    assert looked.stderr.strip() == ""


def eventually(true: Callable[[], bool], what: str, within_s: float = 180) -> None:
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
