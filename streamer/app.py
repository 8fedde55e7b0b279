"""The streamer put together: markets, the routes they share, the flushers, the heartbeat; and its orderly end."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog

from kit.buffer.layout import Folder
from kit.buffer.locks import hold, hold_when_free
from kit.buffer.slices import SliceWriter
from kit.config import load_config
from kit.dialect.hosts import Endpoints, Host, host_of
from kit.errors import ConfigError, FolderError
from kit.words import utc_now
from streamer.flusher import Flusher
from streamer.intake import Sink
from streamer.life import Pace
from streamer.route import Route, RouteKey
from streamer.stats import MarketStats
from streamer.status import MOST_SILENT, contradicted_before, status_record, write_status
from streamer.timing import Timing
from streamer.universe import FirstExchangeInfo, fetch_exchange_info, follow
from streamer.watching import watch_flows

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from kit.config import MarketConfig
    from kit.errors import FolderBusyError

logger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True)
class StreamedMarket:
    """A market with all that works for it."""

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
        self._pace = Pace(self._timing.opens_per_second, self._timing.opens_in_five_minutes)
        self._first = FirstExchangeInfo(fetch_exchange_info)
        self._markets: list[StreamedMarket] = []
        self._routes: dict[RouteKey, Route] = {}
        self._works: set[asyncio.Task[None]] = set()
        self._started_at = utc_now().isoformat()
        self._status_problem: dict[str, str] = {}
        self._status_began: dict[str, float] = {}
        self.begun = asyncio.Event()
        """Set once all folders are held, or stood by for."""

    @property
    def timing(self) -> Timing:
        """What it goes by."""
        return self._timing

    @property
    def configs(self) -> Sequence[MarketConfig]:
        """Of all markets, also of those that are stood by for."""
        return self._configs

    @property
    def markets(self) -> Sequence[StreamedMarket]:
        """Those that are streamed by now. To be read in the event loop."""
        return self._markets

    def slowest_write_s(self) -> float:
        """Seconds that the oldest write under way has taken so far; 0.0 while the disk has nothing to do."""
        flushes = (market.flusher.began for market in self._markets)
        began = [each for each in (*self._status_began.values(), *flushes) if each]
        return time.monotonic() - min(began) if began else 0.0

    async def run(self, stop: asyncio.Event, *, standby: bool = False) -> None:
        """Stream until ``stop`` is set, then write what is pending.

        With ``standby`` a folder that another streamer holds is waited for, without a connection, and taken over when
        that one ends: folder by folder, so that none waits for a streamer that is not its own, or that cannot be used.

        Raises:
            ConfigError: an address in a config cannot be used.
            FolderError: a folder is in use (but with ``standby``), of another version, or cannot be written.
        """
        async with AsyncExitStack() as locks:
            if standby:
                for config in self._configs:
                    _folder_of(config).open_for_writing()  # what is wrong with it is told now, not at the takeover
                self._begin(*(self._stand_by(config, locks) for config in self._configs))
            else:
                for config in self._configs:
                    locks.enter_context(hold(_folder_of(config), "streamer"))
                for config in self._configs:
                    self._stream(config)
            watching = watch_flows(lambda: [market.config for market in self._markets], self._timing)
            self._begin(watching)
            self.begun.set()
            try:
                await _until(stop, self._works)
            finally:
                await self._finish()

    async def _stand_by(self, config: MarketConfig, locks: AsyncExitStack) -> None:
        """Wait for the folder, then stream its market. What is wrong with it then is told, and tried again: it must
        not end the streams of the others."""
        problem = ""
        while True:
            try:
                async with AsyncExitStack() as own:
                    await self._take_over(config, own)
                    locks.push_async_exit(own.pop_all())
                    return
            except (ConfigError, FolderError, OSError) as error:
                if str(error) != problem:
                    logger.error("streamer.cannot_take_over", market=str(config.base_dir), error=str(error))  # noqa: TRY400 - foreseen
                problem = str(error)
            await asyncio.sleep(self._timing.disk_retry_cap_s)

    async def _take_over(self, config: MarketConfig, lock: AsyncExitStack) -> None:
        """Wait for the folder, then stream its market by the config as it is then."""
        log = logger.bind(market=str(config.base_dir))
        since = time.monotonic()

        def tell(busy: FolderBusyError) -> None:
            log.info("streamer.standing_by", reason=str(busy))

        waiting = hold_when_free(_folder_of(config), "streamer", look_every_s=self._timing.standby_look_s, on_wait=tell)
        await lock.enter_async_context(waiting)
        try:
            config = load_config(config.base_dir)
        except ConfigError as error:
            log.error("config.unusable", error=str(error), using="as it was at the start")  # noqa: TRY400 - foreseen
        self._stream(config)
        log.info("streamer.takes_over", waited_s=round(time.monotonic() - since, 1))

    def _stream(self, config: MarketConfig) -> None:
        """Begin with a market whose folder is held."""
        endpoints = Endpoints(rest=config.endpoints.rest, ws=config.endpoints.ws)
        host = host_of(config.trade_type.venue, endpoints, proxy=config.proxy)
        folder = _folder_of(config)
        folder.open_for_writing()
        writer, stats = SliceWriter(folder), MarketStats()
        stats.contradicted.extend(contradicted_before(config.base_dir))
        name = str(config.base_dir / folder.candles.name)
        flusher = Flusher(folder.candles.name, writer, stats, self._timing)
        sink = Sink(name, config.interval, writer, flusher.wake, stats)
        market = StreamedMarket(config, folder, host, writer, stats, flusher, sink, self._route_to(host, config.proxy))
        self._markets.append(market)
        self._begin(self._follow(market), flusher.run(), self._beat(market))
        logger.info("streamer.started", market=name)

    def _begin(self, *works: Coroutine[Any, Any, None]) -> None:
        self._works |= {asyncio.create_task(work) for work in works}

    def _route_to(self, host: Host, proxy: str | None) -> Route:
        key = RouteKey(host.stream_url, proxy, host.max_streams)
        if key not in self._routes:
            name = f"{urlsplit(host.stream_url).hostname}{host.stream_path}"
            self._routes[key] = Route(key, name, self._timing, self._pace, self._chance)
            self._begin(self._routes[key].run())
        return self._routes[key]

    async def _follow(self, market: StreamedMarket) -> None:
        def tell(symbols: frozenset[str], leaving: frozenset[str]) -> None:
            market.route.want(market.sink, symbols, listeners=market.config.num_socket_listeners, leaving=leaving)

        await follow(
            market.config,
            market.host,
            market.folder,
            first=self._first,
            tell=tell,
            now_ms=market.route.exchange_ms,
            timing=self._timing,
        )

    async def _beat(self, market: StreamedMarket) -> None:
        """For each market by itself: a disk that hangs under one must not make the others look dead."""
        while True:
            await asyncio.sleep(self._timing.status_every_s)
            await self._write_status(market, running=True)

    async def _write_status(self, market: StreamedMarket, *, running: bool) -> None:
        name = market.sink.name
        wanted, delivering = market.route.delivering(name)
        record = status_record(
            started_at=self._started_at,
            running=running,
            market=market.stats,
            pending=market.writer.pending,
            wanted=wanted,
            delivering=delivering,
            silent=market.route.silent(name, MOST_SILENT) if delivering < wanted else (),
            route=market.route.stats,
            phases=market.route.phases() if running else {},
        )
        self._status_began[name] = time.monotonic()
        try:
            await asyncio.to_thread(write_status, market.config.base_dir, record)
            problem = ""
        except OSError as error:
            problem = str(error)
        finally:
            del self._status_began[name]
        if problem and problem != self._status_problem.get(name):
            logger.error("status.unwritable", market=name, error=problem)
        self._status_problem[name] = problem

    async def _finish(self) -> None:
        """Write what is pending, say goodbye in the status files; bounded in time, the disk may hang."""
        unwritten = await asyncio.gather(*(market.flusher.finish() for market in self._markets))
        if any(unwritten):
            logger.error("candles.unwritten", count=sum(unwritten))
        try:
            async with asyncio.timeout(self._timing.leave_within_s / 2):
                await asyncio.gather(*(self._write_status(market, running=False) for market in self._markets))
        except TimeoutError:
            logger.error("status.unwritable", error="the disk does not answer")  # noqa: TRY400 - no trace worth reading
        logger.info("streamer.stopped", cpu_seconds=round(time.process_time(), 2))


def _folder_of(config: MarketConfig) -> Folder:
    return Folder(config.base_dir, config.trade_type, config.interval, config.save_type)


async def _until(stop: asyncio.Event, works: set[asyncio.Task[None]]) -> None:
    """Do all works until ``stop`` is set, or one fails: its error is raised after the others have ended.

    A work may add others before it ends.
    """
    stopping = asyncio.create_task(stop.wait())
    try:
        while not stopping.done():
            done, _ = await asyncio.wait({stopping, *works}, return_when=asyncio.FIRST_COMPLETED)
            for work in works & done:
                works.remove(work)
                work.result()
    finally:
        for task in (stopping, *works):
            task.cancel()
        await asyncio.wait({stopping, *works}, timeout=1.5)
