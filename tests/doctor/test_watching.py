"""``python -m kit status --watch`` in a terminal of its own."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import signal
import struct
import sys
import termios
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

from kit.buffer.layout import Folder
from kit.buffer.ledger import Ledger, LedgerRecord
from kit.watching import drawn
from kit.words import Interval, TradeType, from_ms, newest_run_time_ms, to_ms, utc_now
from tests.streamer.exchange_double import eventually

ROWS, COLUMNS = 24, 80
LEAVES_THE_SCREEN = b"\x1b[?1049l"
SHOWS_THE_CURSOR = b"\x1b[?25h"


@pytest.fixture
def market(configure):
    base_dir = configure()
    folder = Folder(base_dir, TradeType.USDT_PERP, Interval.M1)
    folder.open_for_writing()
    return folder


def newest_period(**changes):
    run_time = from_ms(newest_run_time_ms(to_ms(utc_now()), Interval.M1))
    usual = {"run_time": run_time, "expected": 20, "by_stream": 20, "by_rest": 0, "missing": [], "excused": {}}
    return LedgerRecord(**{**usual, "complete": True, "seconds_to_complete": 2.5, **changes})


@contextlib.asynccontextmanager
async def watching(*base_dirs):
    """The process, and what its terminal has shown so far."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    shown = bytearray()
    loop = asyncio.get_running_loop()

    def read():
        try:
            shown.extend(os.read(ours, 65_536))
        except OSError:  # the process has ended
            loop.remove_reader(ours)

    loop.add_reader(ours, read)
    command = [sys.executable, "-m", "kit", "status", "--watch", *map(str, base_dirs)]
    environment = {**os.environ, "TERM": "xterm-256color"}
    process = await asyncio.create_subprocess_exec(*command, stdin=its, stdout=its, stderr=its, env=environment)
    os.close(its)
    try:
        yield process, shown
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        loop.remove_reader(ours)
        os.close(ours)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_period_appears_when_it_is_written_and_the_terminal_is_given_back(market, number):
    async with watching(market.base_dir) as (process, shown):
        await eventually(lambda: b"Ctrl-C ends" in shown, within_s=120)
        assert b" 17 " not in shown
        Ledger(market).put([newest_period(by_stream=17, by_rest=3)])
        await eventually(lambda: b" 17 " in shown, within_s=120)
        process.send_signal(number)
        assert await asyncio.wait_for(process.wait(), 120) == 0
        await eventually(lambda: LEAVES_THE_SCREEN in shown and SHOWS_THE_CURSOR in shown, within_s=120)


async def test_what_cannot_be_read_at_the_beginning_is_an_error(tmp_path):
    async with watching(tmp_path) as (process, shown):
        assert await asyncio.wait_for(process.wait(), 120) == 2
        await eventually(lambda: b"there is no such file" in shown, within_s=120)


def lines_of(base_dirs, periods):
    console = Console(width=COLUMNS, height=ROWS, force_terminal=False)
    with console.capture() as captured:
        console.print(drawn(base_dirs, periods, console))
    return captured.get().splitlines()


def test_two_markets_fit_into_a_small_terminal_whatever_their_paths(market):
    first = newest_period()
    Ledger(market).put(newest_period(run_time=first.run_time - timedelta(minutes=ago)) for ago in range(30))
    far = market.base_dir / Path(*[".."] * 30) / market.base_dir.relative_to("/")
    lines = lines_of([market.base_dir, far], 30)
    assert len(lines) <= ROWS
    assert sum("2.50 s" in line for line in lines) >= 2


def test_a_config_that_breaks_meanwhile_is_shown_instead(market):
    (market.base_dir / "config.json").write_text("{")
    assert "config.json" in "".join(lines_of([market.base_dir], 10))
