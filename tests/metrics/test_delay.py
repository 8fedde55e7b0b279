"""The delay from the exchange's stamp to a readable candle: of each final once, when its file has its name."""

from __future__ import annotations

import asyncio
import contextlib
import errno

import pytest

from kit.buffer.slices import SliceWriter
from kit.exchange_clock import steady_ms
from streamer.flusher import Flusher
from streamer.stats import MarketStats
from streamer.timing import Timing
from tests.builders import MINUTE, NOON, candle, folder_in
from tests.streamer.exchange_double import eventually
from tests.streamer.keeping_writer import KeepingWriter

TIMING = Timing(disk_retry_first_s=0.01, disk_retry_cap_s=0.02, leave_within_s=1.0)
RUN_MS = NOON + MINUTE


def delays(stats: MarketStats) -> int:
    return sum(stats.readable_delay.counts)


def observed_above(stats: MarketStats, bound: float) -> int:
    return sum(stats.readable_delay.counts[stats.readable_delay.bounds.index(bound) + 1 :])


@contextlib.asynccontextmanager
async def running(writer, stats: MarketStats):
    flusher = Flusher("market", writer, stats, TIMING)
    task = asyncio.create_task(flusher.run())
    try:
        yield flusher
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_it_begins_with_the_exchanges_stamp_and_ends_when_the_file_is_there(tmp_path):
    stats, folder = MarketStats(), folder_in(tmp_path)
    writer = SliceWriter(folder)
    began = steady_ms()
    async with running(writer, stats) as flusher:
        for symbol in ("BTCUSDT", "ETHUSDT"):
            assert writer.add(candle(symbol), RUN_MS + 50, RUN_MS + 450)  # the frame took 0.4 s
            stats.final(RUN_MS, RUN_MS + 50, RUN_MS + 450)
        assert delays(stats) == 0
        flusher.wake()
        await eventually(lambda: stats.flushes > 0, within_s=60)
    here_s = (steady_ms() - began) / 1000
    assert len(folder.list_candle_files()) == 1
    assert (delays(stats), observed_above(stats, 0.3)) == (2, 2)
    assert 2 * 0.4 <= stats.readable_delay.total <= 2 * (0.4 + here_s) + 1e-9  # sums of the same milliseconds


async def test_while_the_disk_refuses_nothing_is_readable_and_the_wait_counts():
    stats = MarketStats()
    writer = KeepingWriter(refuse=OSError(errno.ENOSPC, "No space left on device"))
    async with running(writer, stats) as flusher:
        writer.add(candle(), RUN_MS, RUN_MS)
        stats.final(RUN_MS, RUN_MS, RUN_MS)
        flusher.wake()
        await eventually(lambda: stats.disk_error is not None, within_s=60)
        await asyncio.sleep(0.12)
        assert delays(stats) == 0
        writer.refuse = None
        await eventually(lambda: delays(stats) == 1, within_s=60)
    assert observed_above(stats, 0.1) == 1


def test_what_came_during_a_flush_waits_for_the_next_one():
    stats = MarketStats()
    for _ in range(5):
        stats.final(RUN_MS, RUN_MS, RUN_MS)
    stats.readable(steady_ms(), pending=2, given_up=0)
    assert delays(stats) == 3
    stats.readable(steady_ms() + 60_000, pending=0, given_up=0)
    assert (delays(stats), observed_above(stats, 30.0)) == (5, 2)


def test_what_was_given_up_is_no_delay():
    stats = MarketStats()
    for _ in range(5):
        stats.final(RUN_MS, RUN_MS, RUN_MS)
    stats.readable(steady_ms(), pending=1, given_up=3)
    assert delays(stats) == 1


@pytest.mark.parametrize("ahead_ms", [0, 3_600_000])
def test_a_stamp_that_is_ahead_of_our_clock_is_no_negative_delay(ahead_ms):
    stats = MarketStats()
    stats.final(RUN_MS, RUN_MS + ahead_ms, RUN_MS)
    stats.readable(steady_ms(), pending=0, given_up=0)
    assert stats.readable_delay.counts[0] == 1
    assert stats.readable_delay.total >= 0
