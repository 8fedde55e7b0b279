"""Several markets in one streamer: what is wrong with the disk of one is nobody else's matter."""

from __future__ import annotations

import asyncio
import errno
import threading
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from kit.alarms.signs import STREAMER_NAME
from kit.config import load_config
from streamer import app
from streamer.app import Streamer
from streamer.timing import Timing
from tests.streamer.exchange_double import eventually
from tests.streamer.test_standing_by import market

if TYPE_CHECKING:
    from pathlib import Path

QUICK = Timing(status_every_s=0.02)


@pytest.mark.parametrize("ill", ["hangs", "refuses"])
async def test_a_disk_that_fails_under_one_market_leaves_the_heartbeat_of_the_other_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ill: str
) -> None:
    bad, good = (market(tmp_path / name).base_dir for name in ("bad", "good"))
    goes_on, written = threading.Event(), {bad: 0, good: 0}
    real = app.write_status

    def write(base_dir: Path, record: dict[str, object]) -> None:
        written[base_dir] += 1
        if base_dir == bad and ill == "hangs":
            goes_on.wait(120)
        if base_dir == bad and ill == "refuses":
            raise OSError(errno.EROFS, "Read-only file system")
        real(base_dir, record)

    monkeypatch.setattr(app, "write_status", write)
    streamer, stop = Streamer([load_config(bad), load_config(good)], QUICK), asyncio.Event()
    with capture_logs() as logged:
        running = asyncio.create_task(streamer.run(stop))
        try:
            await eventually(lambda: running.done() or written[good] > 5)
            assert written[bad] == 1 or ill == "refuses"
            assert (good / STREAMER_NAME).exists()
            assert streamer.slowest_write_s() > 0 or ill == "refuses"
        finally:
            goes_on.set()
            stop.set()
            await running
    told = [each["market"] for each in logged if each["event"] == "status.unwritable"]
    assert told == ([str(bad / "usdt_perp_1m")] if ill == "refuses" else [])
