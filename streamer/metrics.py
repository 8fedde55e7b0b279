"""What the streamer tells Prometheus: its counters as they stand, read in its event loop when somebody asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from kit.buffer.layout import Folder
from kit.config import MarketConfig
from kit.metrics import Address, Histogram
from kit.metrics.endpoint import UnansweredError, serving
from kit.metrics.exposition import Samples, at_most
from kit.metrics.labels import market_labels
from kit.metrics.table import Part
from streamer.app import StreamedMarket, Streamer
from streamer.intake import REFUSALS
from streamer.life import Phase
from streamer.route import Route
from streamer.stats import LATENESS_MS, MarketStats
from streamer.timing import Timing

ANSWERED_WITHIN_SEC = 2.0
"""The loop is never away for so long; if it is, the failed scrape tells."""


@contextmanager
def serving_metrics(streamer: Streamer, address: Address) -> Iterator[Address]:
    """Serve the streamer's metrics while its event loop, the running one, runs; where.

    Raises:
        MetricsError: the address cannot be listened on.
    """
    with serving(address, StreamerCollector(streamer, asyncio.get_running_loop())) as bound:
        yield bound


class StreamerCollector(Collector):
    """Asks the streamer's loop; called from other threads."""

    def __init__(self, streamer: Streamer, loop: asyncio.AbstractEventLoop) -> None:
        self._streamer = streamer
        self._loop = loop

    def collect(self) -> Iterator[Metric]:
        """All of it, as it is at one moment."""
        reading = asyncio.run_coroutine_threadsafe(self._read(), self._loop)
        try:
            yield from reading.result(ANSWERED_WITHIN_SEC)
        except TimeoutError:
            reading.cancel()
            raise UnansweredError(f"the event loop did not answer in {ANSWERED_WITHIN_SEC:.0f} s") from None

    async def _read(self) -> Samples:
        streamer = self._streamer
        names = {config.base_dir: _folder_name(config) for config in streamer.configs}
        names |= {market.config.base_dir: market.folder.candles.name for market in streamer.markets}
        return samples_of(streamer.markets, market_labels(names), streamer.timing)


def samples_of(markets: Sequence[StreamedMarket], labels: Mapping[Path, str], timing: Timing) -> Samples:
    """What is told of these markets and their routes."""
    samples = Samples(Part.STREAMER)
    routes: dict[str, Route] = {}
    for market in markets:
        label, route = labels[market.config.base_dir], _label_of(market.route, routes)
        venue = market.config.trade_type.venue
        samples.put("bmac_streamer_market_info", 1, market=label, venue=venue, route=route)
        samples.put("bmac_streamer_interval_seconds", market.config.interval.ms / 1000, market=label)
        _tell_streams(samples, label, market)
        _tell_finals(samples, label, market.stats)
        _tell_disk(samples, label, market.stats)
        samples.put("bmac_streamer_pending_candles", market.writer.pending, market=label)
        samples.put("bmac_streamer_pending_candles_limit", timing.max_pending, market=label)
    for name, each in routes.items():
        _tell_route(samples, name, each)
    return samples


def _tell_streams(samples: Samples, label: str, market: StreamedMarket) -> None:
    wanted, delivering = market.route.delivering(market.sink.name)
    samples.put("bmac_streamer_streams", wanted, market=label, state="wanted")
    samples.put("bmac_streamer_streams", delivering, market=label, state="delivering")
    quiet_s = market.route.quiet_for(market.sink.name)
    if quiet_s is not None:
        samples.put("bmac_streamer_oldest_stream_age_seconds", quiet_s, market=label)


def _tell_finals(samples: Samples, label: str, stats: MarketStats) -> None:
    samples.put("bmac_streamer_frames_total", stats.frames, market=label)
    samples.put("bmac_streamer_finals_total", stats.finals, market=label)
    samples.put("bmac_streamer_finals_late_total", stats.late, market=label)
    samples.put("bmac_streamer_finals_duplicate_total", stats.duplicates, market=label)
    samples.put("bmac_streamer_finals_dropped_total", stats.dropped, market=label)
    for reason, count in at_most([*dict.fromkeys(REFUSALS, 0).items(), *stats.refused.items()]).items():
        samples.put("bmac_streamer_finals_refused_total", count, market=label, reason=reason)
    arrival = Histogram([bound / 1000 for bound in LATENESS_MS])
    arrival.counts, arrival.total = stats.lateness, stats.lateness_total_ms / 1000
    samples.put_histogram("bmac_streamer_arrival_seconds", arrival, market=label)
    samples.put_histogram("bmac_streamer_readable_delay_seconds", stats.readable_delay, market=label)
    if stats.last_run_ms:
        samples.put("bmac_streamer_last_run_time_timestamp_seconds", stats.last_run_ms / 1000, market=label)


def _tell_disk(samples: Samples, label: str, stats: MarketStats) -> None:
    samples.put("bmac_streamer_written_candles_total", stats.rows_written, market=label)
    samples.put("bmac_streamer_written_bytes_total", stats.bytes_written, market=label)
    samples.put("bmac_streamer_flushes_total", stats.flushes, market=label)
    samples.put("bmac_streamer_disk_error", stats.disk_error is not None, market=label)


def _tell_route(samples: Samples, name: str, route: Route) -> None:
    stats, phases = route.stats, route.phases()
    samples.put("bmac_streamer_messages_total", stats.frames, route=name)
    refusals = {"garbage": stats.garbage, "unwanted": stats.unwanted, "unknown": stats.unknown_events.total()}
    for reason, count in refusals.items():
        samples.put("bmac_streamer_messages_refused_total", count, route=name, reason=reason)
    for phase in Phase:
        samples.put("bmac_streamer_connections", phases.get(phase.value, 0), route=name, phase=phase.value)
    samples.put("bmac_streamer_connections_opened_total", stats.opened, route=name)
    for reason, count in {"lost": stats.lost, "refused": stats.refused, "rotated": stats.rotated}.items():
        samples.put("bmac_streamer_reconnects_total", count, route=name, reason=reason)
    if stats.last_frame is not None:
        samples.put("bmac_streamer_last_frame_age_seconds", time.monotonic() - stats.last_frame, route=name)
    if stats.clock_offset_ms is not None:
        samples.put("bmac_streamer_clock_offset_seconds", stats.clock_offset_ms / 1000, route=name)


def _label_of(route: Route, known: dict[str, Route]) -> str:
    """The route's name; another route of that name (another port or proxy) got it first: a number with it."""
    number = 1
    while (name := route.name if number == 1 else f"{route.name} ({number})") in known and known[name] is not route:
        number += 1
    known[name] = route
    return name


def _folder_name(config: MarketConfig) -> str:
    return Folder(config.base_dir, config.trade_type, config.interval).candles.name
