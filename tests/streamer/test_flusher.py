"""Candles reach the disk soon, in few writes, and none is lost while the disk refuses."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from dataclasses import replace

import pytest
import structlog.testing

from kit.words import Candle
from streamer.flusher import Flusher, pause_after
from streamer.stats import MarketStats
from streamer.timing import Timing
from tests.streamer.exchange_double import eventually
from tests.streamer.keeping_writer import KeepingWriter

TIMING = Timing(disk_retry_first_s=0.01, disk_retry_cap_s=0.02, leave_within_s=60.0)


def candle(number: int) -> Candle:
    return Candle("BTCUSDT", number * 60_000, 1.0, 2.0, 0.5, 1.5, 10.0, 15.0, 2, 5.0, 7.5)


@contextlib.asynccontextmanager
async def running(writer: KeepingWriter, stats: MarketStats):
    flusher = Flusher("market", writer, stats, TIMING)
    task = asyncio.create_task(flusher.run())
    try:
        yield flusher
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_finals_that_come_together_are_written_together():
    writer, stats = KeepingWriter(), MarketStats()
    async with running(writer, stats) as flusher:
        for number in range(100):
            writer.add(candle(number), 0, 0)
            flusher.wake()
        await eventually(lambda: stats.flushes > 0)  # counted after the write, by the loop
    assert [len(batch) for batch in writer.written] == [100]
    assert (stats.flushes, stats.rows_written) == (1, 100)


async def test_a_full_disk_is_told_once_and_everything_is_written_when_space_returns():
    writer, stats = KeepingWriter(refuse=OSError(errno.ENOSPC, "No space left on device")), MarketStats()
    with structlog.testing.capture_logs() as logs:
        async with running(writer, stats) as flusher:
            for number in range(20):
                writer.add(candle(number), 0, 0)
                flusher.wake()
                await asyncio.sleep(0.01)
            await eventually(lambda: stats.disk_error == "ENOSPC")
            writer.refuse = OSError(errno.EACCES, "Permission denied")
            await eventually(lambda: stats.disk_error == "EACCES")
            writer.refuse = None
            await eventually(lambda: writer.pending == 0 and stats.disk_error is None)
    assert sum(len(batch) for batch in writer.written) == 20
    assert stats.disk_error is None
    assert [entry["event"] for entry in logs] == ["disk.refuses", "disk.refuses", "disk.writable_again"]


async def test_the_end_writes_what_is_pending():
    writer, stats = KeepingWriter(), MarketStats()
    flusher = Flusher("market", writer, stats, TIMING)
    writer.add(candle(1), 0, 0)
    assert await flusher.finish() == 0
    assert writer.written == [[candle(1)]]


async def test_the_end_does_not_wait_for_a_disk_that_goes_on_refusing():
    writer, stats = KeepingWriter(refuse=OSError(errno.ENOSPC, "full")), MarketStats()
    flusher = Flusher("market", writer, stats, replace(TIMING, leave_within_s=0.2))
    writer.add(candle(1), 0, 0)
    assert await flusher.finish() == 1


@pytest.mark.parametrize(("flush_s", "pause_s"), [(0.001, 0.035), (0.2, 0.4), (5.0, 1.0)])
def test_a_slow_disk_gets_fewer_writes(flush_s, pause_s):
    assert pause_after(flush_s, Timing()) == pytest.approx(pause_s)
