"""What the streamer tells of its markets and routes."""

from __future__ import annotations

import asyncio
import random
import threading

import pytest

from kit.buffer.slices import SliceWriter
from kit.config import load_config
from kit.dialect.hosts import host_of
from kit.metrics.endpoint import UnansweredError
from kit.words import Interval, Venue
from streamer import metrics as metrics_module
from streamer.app import StreamedMarket, Streamer
from streamer.flusher import Flusher
from streamer.intake import Sink
from streamer.life import Pace
from streamer.metrics import StreamerCollector, samples_of
from streamer.route import Route, RouteKey
from streamer.stats import MarketStats
from streamer.timing import Timing
from tests.builders import folder_in

TIMING = Timing()


def route(url: str = "ws://one/stream") -> Route:
    return Route(RouteKey(url, None, 200), "exchange/stream", TIMING, Pace(5.0, 240), random.Random(1))


def market(path, on: Route) -> StreamedMarket:
    path.mkdir(parents=True)
    (path / "config.json").write_text('{"interval": "1m", "trade_type": "usdt_perp"}')
    folder, stats = folder_in(path), MarketStats()
    writer = SliceWriter(folder)
    flusher = Flusher("market", writer, stats, TIMING)
    sink = Sink(str(path), Interval.M1, writer, flusher.wake, stats)
    return StreamedMarket(load_config(path), folder, host_of(Venue.UM), writer, stats, flusher, sink, on)


def told(*markets: StreamedMarket) -> dict[tuple[str, ...], float]:
    labels = {each.config.base_dir: each.config.base_dir.name for each in markets}
    samples = samples_of(markets, labels, TIMING)
    return {
        (sample.name, *map(sample.labels.get, sorted(sample.labels))): sample.value
        for family in samples
        for sample in family.samples
    }


def test_markets_that_share_a_route_are_told_apart_and_the_route_once(tmp_path):
    shared = route()
    first, second = market(tmp_path / "a", shared), market(tmp_path / "b", shared)
    first.stats.frames, second.stats.frames, shared.stats.frames = 3, 4, 9
    values = told(first, second)
    assert values["bmac_streamer_frames_total", "a"] == 3
    assert values["bmac_streamer_frames_total", "b"] == 4
    assert values["bmac_streamer_messages_total", "exchange/stream"] == 9


def test_two_routes_of_one_name_get_different_labels(tmp_path):
    first, second = market(tmp_path / "a", route()), market(tmp_path / "b", route("ws://two/stream"))
    first.route.stats.lost, second.route.stats.lost = 1, 2
    values = told(first, second)
    assert values["bmac_streamer_reconnects_total", "lost", "exchange/stream"] == 1
    assert values["bmac_streamer_reconnects_total", "lost", "exchange/stream (2)"] == 2


def test_a_disk_that_refuses_and_a_queue_that_waits_are_told(tmp_path):
    one = market(tmp_path / "a", route())
    assert told(one)["bmac_streamer_disk_error", "a"] == 0
    one.stats.disk_error = "ENOSPC"
    assert told(one)["bmac_streamer_disk_error", "a"] == 1


def test_what_never_was_is_not_told_as_zero(tmp_path):
    names = {name for name, *_ in told(market(tmp_path / "a", route()))}
    assert not names & {
        "bmac_streamer_last_run_time_timestamp_seconds",
        "bmac_streamer_last_frame_age_seconds",
        "bmac_streamer_oldest_stream_age_seconds",
        "bmac_streamer_clock_offset_seconds",
    }


def test_an_event_loop_that_hangs_is_a_failed_scrape(monkeypatch):
    monkeypatch.setattr(metrics_module, "ANSWERED_WITHIN_SEC", 0.1)
    loop, free = asyncio.new_event_loop(), threading.Event()
    collector = StreamerCollector(Streamer([]), loop)
    loop.call_soon(free.wait)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        with pytest.raises(UnansweredError):
            list(collector.collect())
        free.set()
        monkeypatch.setattr(metrics_module, "ANSWERED_WITHIN_SEC", 60.0)
        assert list(collector.collect())
    finally:
        free.set()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()
