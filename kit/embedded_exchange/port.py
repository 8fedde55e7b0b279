"""One listening port (spot, or both futures venues): REST and WebSocket in front of the pure parts."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import web

from kit.embedded_exchange.connection import Connection, Route, Rules
from kit.embedded_exchange.control import Change
from kit.embedded_exchange.faults.active import Faults
from kit.embedded_exchange.faults.lines import disturbed, refusal
from kit.embedded_exchange.feeds import Hub
from kit.embedded_exchange.front import TIME_UNIT_HEADER, Asked, Front, Reply
from kit.embedded_exchange.ledger import Ledger
from kit.words import Venue

if TYPE_CHECKING:
    from collections import deque

    from kit.embedded_exchange.clock import Clock
    from kit.embedded_exchange.feeds import Outbox
    from kit.embedded_exchange.instrument import Instrument
    from kit.embedded_exchange.market import Market
    from kit.embedded_exchange.settings import Settings

_CATEGORIES = ("market", "public", "private")
_LONGEST_LINE = 8190  # bytes of a URL; the real exchange took about 8000
_LOOK_S = 0.1  # how often it is looked whether a client that gets no answer is still there
_HALF_ARRIVES_S = 0.02  # a reset throws away what the client has not read yet
_KEEP_ALIVE_S = 0.25  # how often connections are looked at for pings and ages


class RequestRecord(NamedTuple):
    """One REST request as it was answered."""

    path: str
    params: dict[str, str]
    weight: int
    status: int


class Port:
    """A server on one port. ``rest`` and ``ws`` are its base URLs once it is started."""

    def __init__(
        self,
        settings: Settings,
        market: Market,
        clock: Clock,
        requests: deque[RequestRecord],
        *,
        spot: bool,
        faults: Faults,
        ledger: Ledger,
    ) -> None:
        self.rest = ""
        self.ws = ""
        self.connections: list[Connection] = []
        self._settings = settings
        self._market = market
        self._clock = clock
        self._requests = requests
        self._spot = spot
        self._faults = faults
        self._ledger = ledger
        self._pool_name = "spot" if spot else "futures"
        self._numbers = itertools.count(1 if spot else 2, 2)  # unique over both ports
        self._front = Front(market, settings, spot=spot, faults=faults, ledger=ledger)
        self._rules = Rules(
            string_ids=spot or settings.futures_string_ids,
            messages_per_s=5 if spot else 10,
            ping_s=settings.spot_ping_s if spot else settings.futures_ping_s,
            pong_timeout_s=settings.spot_pong_timeout_s if spot else settings.futures_pong_timeout_s,
            life_s=settings.connection_life_s,
        )
        self._hub: Hub[Connection] = Hub(
            market, settings, lambda connection, venue: connection.route.delivers(venue), spot=spot, faults=faults
        )
        self._runner: web.AppRunner | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Listens; afterwards ``rest`` and ``ws`` are known.

        Raises:
            OSError: the port is taken.
        """
        app = web.Application()
        app.router.add_get("/{path:.*}", self._handle)
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=0.2, max_line_size=_LONGEST_LINE
        )
        await self._runner.setup()
        port = self._settings.spot_port if self._spot else self._settings.futures_port
        site = web.TCPSite(self._runner, self._settings.host, port, backlog=1024)
        await site.start()
        host, actual = self._runner.addresses[0][:2]
        self.rest, self.ws = f"http://{host}:{actual}", f"ws://{host}:{actual}"
        self._tasks = [asyncio.create_task(self._pump()), asyncio.create_task(self._keep_alive())]

    async def stop(self) -> None:
        """Cuts every connection and stops listening."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in list(self.connections):
            connection.abort()
        if self._runner is not None:
            await self._runner.cleanup()

    def wake(self) -> None:
        """The market or the clock changed: streams that were asked for before their symbol existed begin, others
        follow theirs.
        """
        self._hub.wake(self._clock.now_ms())
        self._hub.renew(self._clock.now_ms())

    def next_number(self) -> int:
        """For a new connection."""
        return next(self._numbers)

    def venue_of(self, connection: Connection) -> Venue:
        """The venue of a connection's first stream that exists; without one, what its route is for."""
        if self._spot:
            return Venue.SPOT
        first = next(self.instruments_of(connection), None)
        if first is not None:
            return first.venue
        return Venue.UM if connection.route.category else Venue.CM

    def instruments_of(self, connection: Connection) -> Iterator[Instrument]:
        """What its streams are about."""
        for name in connection.streams:
            found = self._market.by_stream_name(name.partition("@")[0], spot=self._spot)
            if found is not None:
                yield found

    def disturbed(self, connection: Connection, change: Change) -> tuple[Change, int]:
        """What faults make of a control message, and by how many ms its effect is late."""
        return disturbed(self._faults, self.venue_of(connection), change) if self._faults else (change, 0)

    def too_fast(self) -> None:
        """A client sent too many messages."""
        self._ledger.too_fast()

    def opened(self, connection: Connection) -> None:
        """A WebSocket connection is up."""
        self._ledger.opened()
        self.connections.append(connection)

    def closed(self, connection: Connection) -> None:
        """It is gone."""
        self.connections.remove(connection)

    def subscribe(self, connection: Connection, name: str) -> None:
        """That connection asked for that stream."""
        self._hub.subscribe(connection, name, self._clock.now_ms(), combined=connection.route.combined)

    def unsubscribe(self, connection: Connection, name: str) -> None:
        """It no longer wants it."""
        self._hub.unsubscribe(connection, name)

    async def _pump(self) -> None:
        """Sends what is due, every few milliseconds; all frames of one moment and one client in one write."""
        step_s = self._hub.STEP_MS / 1000
        last = time.monotonic()
        while True:
            await asyncio.sleep(step_s)
            steps = int((time.monotonic() - last) / step_s)
            last += steps * step_s
            while self._hub.finals_due(self._clock.now_ms()):
                _deliver(self._hub.finals(self._clock.now_ms()))
            _deliver(self._hub.updates(steps, self._clock.now_ms()))

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(_KEEP_ALIVE_S)
            await asyncio.gather(*(_kept_alive(connection) for connection in self.connections))

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        route = route_of(request.path, request.query.get("streams", ""), spot=self._spot)
        if route is not None:
            return await self._connect(request, route)
        return await self._rest(request)

    async def _connect(self, request: web.Request, route: Route) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return web.Response(status=400, text="This is a WebSocket endpoint")
        self._ledger.attempt(self._pool_name)
        venues = (Venue.SPOT,) if self._spot else (Venue.UM, Venue.CM)
        how = refusal(self._faults, venues) if self._faults else None
        if how == "http":
            return web.Response(status=503, text="Service Unavailable")
        if how == "reset":
            _cut(request)
            return web.Response(status=503)  # goes nowhere
        return await Connection(self, route, self._rules, request.remote or "").run(request)

    async def _rest(self, request: web.Request) -> web.StreamResponse:
        params = dict(request.query)
        asked = Asked(request.path, params, request.remote or "", request.headers.get(TIME_UNIT_HEADER, ""))
        reply = self._front.reply(asked, self._clock.now_ms())
        self._requests.append(RequestRecord(request.path, params, reply.weight, reply.status))
        if reply.delivery == "late":
            await _while_open(request, reply.late_ms / 1000)
        if reply.delivery == "torn":
            return await _send_half(request, reply)
        return web.Response(status=reply.status, body=reply.body, headers=reply.headers)


def _cut(request: web.Request) -> None:
    """Ends the TCP connection without a word."""
    if request.transport is not None:
        request.transport.abort()


async def _while_open(request: web.Request, seconds: float) -> None:
    """Waits until the client gives up, at most that long."""
    until = time.monotonic() + seconds
    while request.transport is not None and time.monotonic() < until:  # noqa: ASYNC110  # aiohttp has no event for it
        await asyncio.sleep(min(_LOOK_S, seconds))


async def _send_half(request: web.Request, reply: Reply) -> web.StreamResponse:
    """Half of the body and then the end of the connection."""
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    response.content_length = len(reply.body)
    await response.prepare(request)
    await response.write(reply.body[: len(reply.body) // 2])
    await asyncio.sleep(_HALF_ARRIVES_S)
    _cut(request)
    return response


async def _kept_alive(connection: Connection) -> None:
    with contextlib.suppress(ConnectionError):  # it went away by itself meanwhile
        await connection.keep_alive()


def _deliver(outbox: Outbox[Connection]) -> None:
    for connection, frames in outbox.items():
        connection.send(frames)


def route_of(path: str, streams: str, *, spot: bool) -> Route | None:
    """What a WebSocket path means, or None where it is none: ``/ws[/s...]``, ``/stream?streams=``, on futures after a
    category.
    """
    category, rest = "", path.removeprefix("/")
    head, _, tail = rest.partition("/")
    if not spot and head in _CATEGORIES:
        category, rest = head, tail
        head, _, tail = rest.partition("/")
    if head == "stream" and not tail:
        return Route(category, combined=True, streams=tuple(name for name in streams.split("/") if name))
    if head == "ws":
        return Route(category, combined=False, streams=tuple(name for name in tail.split("/") if name))
    return None
