"""One WebSocket connection: its messages in, its streams, its end. The frames of its streams come from the hub's
pump.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, web

from kit.embedded_exchange.control import MAX_STREAMS, Change, decide
from kit.embedded_exchange.frames import framed, wrapped
from kit.words import Venue

if TYPE_CHECKING:
    from kit.embedded_exchange.port import Port

_POLICY_VIOLATION = 1008
_LONGEST_MESSAGE = 1 << 20
_LARGEST_BACKLOG = 16 << 20  # bytes; a client that reads more slowly than that is dropped, as the real exchange does
_COUNTED_S = 1.0  # the window in which client messages are counted


@dataclass(frozen=True)
class Rules:
    """What differs between the ports."""

    string_ids: bool
    messages_per_s: int
    ping_s: float
    pong_timeout_s: float
    life_s: float


@dataclass(frozen=True)
class Route:
    """What the path of the connection says. ``category``: ``market``, ``public``, ``private`` or empty (no route)."""

    category: str
    combined: bool
    streams: tuple[str, ...]

    def delivers(self, venue: Venue) -> bool:
        """Klines of USD-M exist only under /market since 2026-04-23; those of COIN-M also without a route."""
        if venue is Venue.SPOT:
            return True
        return self.category == "market" or (venue is Venue.CM and self.category == "")


class Connection:
    """``streams``: everything the client asked for, delivered or not, in order. Hashable by identity."""

    def __init__(self, port: Port, route: Route, rules: Rules, address: str) -> None:
        self.route = route
        self.address = address
        self.streams: dict[str, None] = {}
        self.number = port.next_number()
        self.opened_at = datetime.now(UTC)
        self.muted = self.frozen = False  # by a fault: nothing is sent, and nothing is read either
        self._port = port
        self._rules = rules
        self._socket = web.WebSocketResponse(
            autoping=False, compress=False, max_msg_size=_LONGEST_MESSAGE, timeout=1.0, writer_limit=_LARGEST_BACKLOG
        )
        self._transport: asyncio.Transport | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._messages: deque[float] = deque(maxlen=rules.messages_per_s)
        self.opened = self._pinged = time.monotonic()
        self._ping_payload: bytes | None = None
        self._ping_sent = 0.0

    async def run(self, request: web.Request) -> web.WebSocketResponse:
        """Serves the connection until either side ends it."""
        await self._socket.prepare(request)
        transport = request.transport
        self._transport = transport if isinstance(transport, asyncio.Transport) else None
        if len(self.route.streams) > MAX_STREAMS:
            await self._socket.close(code=_POLICY_VIOLATION, message=b"Too many streams")
            return self._socket
        self._port.opened(self)
        try:
            self._add(self.route.streams)
            await self._listen()
        finally:
            for task in self._tasks:
                task.cancel()
            self._remove(tuple(self.streams))
            self._port.closed(self)
        return self._socket

    def send(self, frames: list[bytes]) -> None:
        """Writes ready-made frames at once; the event loop sends what the socket does not take now."""
        if self.muted or self._transport is None or self._transport.is_closing() or self._socket.closed:
            return
        self._transport.write(b"".join(frames))
        if self._transport.get_write_buffer_size() > _LARGEST_BACKLOG:
            self.abort()

    def abort(self) -> None:
        """Cuts the connection without a close frame, as a broken line does."""
        if self._transport is not None:
            self._transport.abort()

    async def close(self, code: int, reason: str) -> None:
        """Ends it with a close frame."""
        await self._socket.close(code=code, message=reason.encode())

    @property
    def venue(self) -> Venue:
        """The venue of its first stream that exists; without one the port's own."""
        return self._port.venue_of(self)

    @property
    def symbols(self) -> list[str]:
        """The symbols of its streams."""
        return [instrument.symbol for instrument in self._port.instruments_of(self)]

    @property
    def age_s(self) -> float:
        """Seconds since it was opened."""
        return time.monotonic() - self.opened

    def disturb(self, *, muted: bool, frozen: bool) -> None:
        """What faults want of it now. A frozen one leaves even TCP's data unread."""
        if frozen != self.frozen and self._transport is not None and not self._transport.is_closing():
            self._ping_payload = None  # nobody could have answered while it was frozen
            (self._transport.pause_reading if frozen else self._transport.resume_reading)()
        self.muted, self.frozen = muted, frozen

    async def live_out(self) -> None:
        """Ends it as at the end of its life."""
        await self.close(1000, "Connection lifetime exceeded")

    def announce_shutdown(self, now_ms: int) -> None:
        """Tells the client that the server is about to end (documented for spot since 2026-05)."""
        event = b'{"e":"serverShutdown","E":%d}' % now_ms
        self.send([framed(wrapped("!serverShutdown", event) if self.route.combined else event)])

    async def keep_alive(self) -> None:
        """Called every second or so: pings, and drops who does not pong or has lived too long."""
        if self.muted:
            return
        now = time.monotonic()
        if now - self.opened >= self._rules.life_s:
            await self.live_out()
        elif self._ping_payload is not None and now - self._ping_sent >= self._rules.pong_timeout_s:
            self.abort()
        elif now - self._pinged >= self._rules.ping_s and not self._socket.closed:
            self._pinged = now
            if self._ping_payload is None:
                self._ping_payload, self._ping_sent = str(time.time_ns() // 1_000_000).encode(), now
            await self._socket.ping(self._ping_payload)

    async def _listen(self) -> None:
        async for message in self._socket:
            if message.type is WSMsgType.PONG and bytes(message.data) == self._ping_payload:
                self._ping_payload = None
            if self._too_fast():
                self._port.too_fast()
                await self.close(_POLICY_VIOLATION, "Too many requests")
            elif message.type is WSMsgType.PING:
                await self._socket.pong(message.data)
            elif message.type is WSMsgType.BINARY:
                await self.close(_POLICY_VIOLATION, "Invalid request")
            elif message.type is WSMsgType.TEXT:
                await self._obey(message.data)

    def _too_fast(self) -> bool:
        """Pings, pongs and JSON all count."""
        now = time.monotonic()
        full = len(self._messages) == self._messages.maxlen
        too_fast = full and now - self._messages[0] < _COUNTED_S
        self._messages.append(now)
        return too_fast

    async def _obey(self, text: str) -> None:
        change = decide(text, list(self.streams), string_ids=self._rules.string_ids)
        if change is None:
            return
        change, late_ms = self._port.disturbed(self, change)
        if late_ms:
            self._later(late_ms, change)
        else:
            await self._carry_out(change)

    def _later(self, late_ms: int, change: Change) -> None:
        async def carry_out() -> None:
            await asyncio.sleep(late_ms / 1000)
            with contextlib.suppress(ConnectionError):  # it may have ended meanwhile
                await self._carry_out(change)

        task = asyncio.create_task(carry_out())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry_out(self, change: Change) -> None:
        if self._socket.closed:
            return
        if not self.muted:
            await self._socket.send_str(change.reply)
        self._add(change.subscribe)
        self._remove(change.unsubscribe)

    def _add(self, names: tuple[str, ...]) -> None:
        for name in names:
            if name not in self.streams:
                self.streams[name] = None
                self._port.subscribe(self, name)

    def _remove(self, names: tuple[str, ...]) -> None:
        for name in names:
            if name in self.streams:
                del self.streams[name]
                self._port.unsubscribe(self, name)
