"""What systemd hears of the streamer: a real datagram socket, the real process, and what starves the watchdog."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from asyncio.subprocess import PIPE

import psutil
import pytest

from kit.config import load_config
from kit.embedded_exchange import EmbeddedExchange, Settings
from streamer.app import Streamer
from streamer.systemd import HUNG_SHARE, Manager, manager_of, report
from tests.streamer.exchange_double import eventually

pytestmark = [pytest.mark.xdist_group("deployment"), pytest.mark.timeout(600)]

WATCHDOG_S = 1.0
WITHIN_S = 120.0
"""For what takes a second on an idle machine, the start of a process included."""


class Listener:
    """Stands for systemd: every datagram as a dict of its fields."""

    def __init__(self, path) -> None:
        self.heard: list[dict[str, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self._socket, self.read)

    def read(self) -> None:
        """Hear all that was sent."""
        with contextlib.suppress(BlockingIOError):
            while True:
                text = self._socket.recv(65_536).decode()
                self.heard.append(dict(line.split("=", 1) for line in text.splitlines()))

    async def hears_nothing(self, seconds: float) -> None:
        """Fails if anything is sent from now on; what was sent before is heard first."""
        self.read()
        heard = len(self.heard)
        await asyncio.sleep(seconds)
        self.read()
        assert len(self.heard) == heard

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    @property
    def pings(self) -> int:
        return sum("WATCHDOG" in each for each in self.heard)

    async def more_pings(self, count: int = 2) -> None:
        before = self.pings
        await eventually(lambda: self.pings >= before + count, within_s=WITHIN_S)


@pytest.fixture
async def systemd(tmp_path):
    listener = Listener(tmp_path / "notify")
    yield listener
    listener.close()


@pytest.fixture
async def base_dir(tmp_path):
    async with EmbeddedExchange(Settings(symbols=4, spot_update_ms=250, illiquid_share=0.0)) as exchange:
        folder = tmp_path / "market"
        folder.mkdir()
        endpoints = {"rest": exchange.spot.rest, "ws": exchange.spot.ws}
        config = {"interval": "1s", "trade_type": "usdt_spot", "endpoints": endpoints}
        (folder / "config.json").write_text(json.dumps(config))
        yield folder


@contextlib.asynccontextmanager
async def started_by(notify, base_dir, *options):
    environment = {
        **os.environ,
        "NOTIFY_SOCKET": str(notify),
        "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6)),
        "BMAC_STATE_DIR": str(base_dir / "state"),
    }
    command = [sys.executable, "-m", "streamer", *options, str(base_dir)]
    process = await asyncio.create_subprocess_exec(*command, stderr=PIPE, env=environment)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@contextlib.asynccontextmanager
async def streaming_here(base_dir, manager):
    """The streamer and its reports in this process's loop."""
    stop = asyncio.Event()
    streamer = Streamer([load_config(base_dir)])
    tasks = [asyncio.create_task(report(manager, streamer, stop)), asyncio.create_task(streamer.run(stop))]
    await streamer.begun.wait()
    try:
        yield streamer
    finally:
        stop.set()
        await asyncio.wait_for(asyncio.gather(*tasks), WITHIN_S)


async def test_it_is_ready_then_alive_then_stopping_and_a_stopped_process_is_silent(systemd, base_dir, tmp_path):
    async with started_by(tmp_path / "notify", base_dir) as process:
        await eventually(lambda: any("READY" in each for each in systemd.heard), within_s=WITHIN_S)
        assert "READY" in systemd.heard[0]
        all_deliver = "usdt_spot_1s: 4 of 4 streams deliver"
        await eventually(lambda: systemd.heard[-1]["STATUS"].startswith(all_deliver), within_s=WITHIN_S)
        await systemd.more_pings()

        process.send_signal(signal.SIGSTOP)
        await eventually(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED, within_s=WITHIN_S)
        await systemd.hears_nothing(WATCHDOG_S)
        process.send_signal(signal.SIGCONT)
        await systemd.more_pings()

        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), WITHIN_S) == 0
        await eventually(lambda: systemd.heard[-1].get("STOPPING") == "1", within_s=WITHIN_S)


async def test_one_that_stands_by_is_ready_and_says_so(systemd, base_dir, tmp_path):
    first = streaming_here(base_dir, Manager(str(tmp_path / "nobody")))
    async with first, started_by(tmp_path / "notify", base_dir, "--standby"):
        await systemd.more_pings()
    assert "READY" in systemd.heard[0]
    assert systemd.heard[0]["STATUS"] == "standing by"


async def test_a_folder_that_cannot_be_used_is_never_ready(systemd, base_dir, tmp_path):
    first = streaming_here(base_dir, Manager(str(tmp_path / "nobody")))
    async with first, started_by(tmp_path / "notify", base_dir) as refused:
        await asyncio.wait_for(refused.communicate(), WITHIN_S)
    assert refused.returncode == 2
    assert not systemd.heard


async def test_a_loop_that_blocks_starves_the_watchdog(systemd, base_dir, tmp_path):
    loops = []

    async def stream_in_a_loop_of_its_own():
        loops.append(asyncio.get_running_loop())
        async with streaming_here(base_dir, Manager(str(tmp_path / "notify"), WATCHDOG_S)):
            await asyncio.to_thread(ending.wait, 4 * WITHIN_S)

    ending, goes_on = threading.Event(), threading.Event()
    thread = threading.Thread(target=asyncio.run, args=(stream_in_a_loop_of_its_own(),))
    thread.start()
    try:
        await systemd.more_pings()
        blocked = threading.Event()
        loops[0].call_soon_threadsafe(lambda: (blocked.set(), goes_on.wait(4 * WITHIN_S)))
        assert await asyncio.to_thread(blocked.wait, WITHIN_S)
        await systemd.hears_nothing(WATCHDOG_S)
        goes_on.set()
        await systemd.more_pings()
    finally:
        goes_on.set()
        ending.set()
        await asyncio.to_thread(thread.join, WITHIN_S)


@pytest.mark.parametrize("hanging", ["flush", "heartbeat"])
async def test_a_write_that_hangs_starves_the_watchdog_and_one_that_is_refused_does_not(
    systemd, base_dir, tmp_path, monkeypatch, hanging
):
    goes_on = threading.Event()
    async with streaming_here(base_dir, Manager(str(tmp_path / "notify"), WATCHDOG_S)) as streamer:
        await systemd.more_pings()
        writer = streamer.markets[0].writer
        flush = writer.flush

        def refused():
            raise OSError(28, "No space left on device")

        began: list[float] = []

        def hangs(*_):
            began.append(time.monotonic())
            goes_on.wait(4 * WITHIN_S)

        def flush_that_hangs():
            hangs()
            return flush()

        def hung() -> bool:  # this write, and not one before it that was only slow
            return bool(began) and time.monotonic() - began[0] > WATCHDOG_S * HUNG_SHARE

        monkeypatch.setattr(writer, "flush", refused)
        await eventually(lambda: "refuses (ENOSPC)" in systemd.heard[-1]["STATUS"], within_s=WITHIN_S)
        await systemd.more_pings()
        monkeypatch.setattr(writer, "flush", flush)
        if hanging == "flush":
            monkeypatch.setattr(writer, "flush", flush_that_hangs)
        else:
            monkeypatch.setattr("streamer.app.write_status", hangs)
        await eventually(hung, within_s=WITHIN_S)
        assert streamer.slowest_write_s() > WATCHDOG_S * HUNG_SHARE
        systemd.read()
        told, pings = len(systemd.heard), systemd.pings
        await eventually(lambda: len(systemd.heard) >= told + 4, within_s=WITHIN_S)
        assert systemd.pings == pings
        goes_on.set()
        await systemd.more_pings()


def test_only_the_process_that_is_meant_is_watched():
    environment = {"NOTIFY_SOCKET": "/run/systemd/notify", "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "7"}
    assert manager_of(environment, 7) == Manager("/run/systemd/notify", 60.0)
    assert manager_of(environment, 8) == Manager("/run/systemd/notify", None)
    assert manager_of({"NOTIFY_SOCKET": "@abstract"}, 7) == Manager("\0abstract", None)
    assert manager_of({"NOTIFY_SOCKET": "vsock:2:1"}, 7) is None
    assert manager_of({}, 7) is None
