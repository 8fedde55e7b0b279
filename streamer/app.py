"""The streamer put together: markets, the routes they share, the flushers, the heartbeat; and its orderly end."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog

from kit.buffer.layout import Folder
from kit.buffer.locks import hold
from kit.buffer.slices import SliceWriter
from kit.dialect.hosts import Endpoints, Host, host_of
from kit.words import utc_now
from streamer.flusher import Flusher
from streamer.intake import Sink
from streamer.life import Pace
from streamer.route import Route, RouteKey
from streamer.stats import MarketStats
from streamer.status import status_record, write_status
from streamer.timing import Timing
from streamer.universe import FirstExchangeInfo, fetch_exchange_info, follow

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from kit.config import MarketConfig

logger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True)
class _Market:
    config: MarketConfig
    folder: Folder
    host: Host
    writer: SliceWriter
    stats: MarketStats
    flusher: Flusher
    sink: Sink
    route: Route


class Streamer:
    """All markets of one process."""

    def __init__(self, configs: Sequence[MarketConfig], timing: Timing | None = None) -> None:
        self._configs = configs
        self._timing = timing or Timing()
        self._chance = random.Random()
        self._pace = Pace(self._timing.opens_per_second)
        self._routes: dict[RouteKey, Route] = {}
        self._started_at = utc_now().isoformat()
        self._status_problem = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Stream until ``stop`` is set, then write what is pending.

        Raises:
            ConfigError: an address in a config cannot be used.
            FolderError: a folder is in use, of another version, or cannot be written.
        """
        with ExitStack() as locks:
            markets = [self._open(config, locks) for config in self._configs]
            first = FirstExchangeInfo(fetch_exchange_info)
            sources: list[Coroutine[Any, Any, None]] = [self._follow(market, first) for market in markets]
            sources += [route.run() for route in self._routes.values()]
            writers = [market.flusher.run() for market in markets]
            logger.info("streamer.started", markets=[market.sink.name for market in markets])
            try:
                await _until(stop, [*sources, *writers, self._beat(markets)])
            finally:
                await self._finish(markets)

    def _open(self, config: MarketConfig, locks: ExitStack) -> _Market:
        endpoints = Endpoints(rest=config.endpoints.rest, ws=config.endpoints.ws)
        host = host_of(config.trade_type.venue, endpoints, proxy=config.proxy)
        folder = Folder(config.base_dir, config.trade_type, config.interval, config.save_type)
        folder.open_for_writing()
        locks.enter_context(hold(folder, "streamer"))
        writer, stats = SliceWriter(folder), MarketStats()
        name = str(config.base_dir / folder.candles.name)
        flusher = Flusher(folder.candles.name, writer, stats, self._timing)
        sink = Sink(name, config.interval, writer, flusher.wake, stats)
        return _Market(config, folder, host, writer, stats, flusher, sink, self._route_to(host, config.proxy))

    def _route_to(self, host: Host, proxy: str | None) -> Route:
        key = RouteKey(host.stream_url, proxy, host.max_streams)
        if key not in self._routes:
            name = f"{urlsplit(host.stream_url).hostname}{host.stream_path}"
            self._routes[key] = Route(key, name, self._timing, self._pace, self._chance)
        return self._routes[key]

    async def _follow(self, market: _Market, first: FirstExchangeInfo) -> None:
        def tell(symbols: frozenset[str]) -> None:
            market.route.want(market.sink, symbols, listeners=market.config.num_socket_listeners)

        await follow(market.config, market.host, market.folder, first=first, tell=tell, timing=self._timing)

    async def _beat(self, markets: Sequence[_Market]) -> None:
        while True:
            await asyncio.sleep(self._timing.status_every_s)
            await self._write_status(markets, running=True)

    async def _write_status(self, markets: Sequence[_Market], *, running: bool) -> None:
        for market in markets:
            wanted, delivering = market.route.delivering(market.sink.name)
            record = status_record(
                started_at=self._started_at,
                running=running,
                market=market.stats,
                pending=market.writer.pending,
                wanted=wanted,
                delivering=delivering,
                route=market.route.stats,
                phases=market.route.phases() if running else {},
            )
            try:
                await asyncio.to_thread(write_status, market.config.base_dir, record)
                problem = ""
            except OSError as error:
                problem = str(error)
            if problem and problem != self._status_problem:
                logger.error("status.unwritable", market=market.sink.name, error=problem)
            self._status_problem = problem

    async def _finish(self, markets: Sequence[_Market]) -> None:
        """Write what is pending, say goodbye in the status files; bounded in time, the disk may hang."""
        unwritten = await asyncio.gather(*(market.flusher.finish() for market in markets))
        if any(unwritten):
            logger.error("candles.unwritten", count=sum(unwritten))
        try:
            async with asyncio.timeout(self._timing.leave_within_s / 2):
                await self._write_status(markets, running=False)
        except TimeoutError:
            logger.error("status.unwritable", error="the disk does not answer")  # noqa: TRY400 - no trace worth reading
        logger.info("streamer.stopped", cpu_seconds=round(time.process_time(), 2))


async def _until(stop: asyncio.Event, works: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Do all works until ``stop`` is set, or one of them fails: its error is raised after the others have ended."""
    tasks = [asyncio.create_task(work) for work in works]
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        failed = [task for task in tasks if task.done()]
    finally:
        for task in (stopping, *tasks):
            task.cancel()
        await asyncio.wait({stopping, *tasks}, timeout=1.5)
    for task in failed:
        task.result()
