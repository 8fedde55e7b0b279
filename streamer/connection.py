"""One WebSocket from opening to end: the shell around ``life`` and ``subscription``, which decide."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from kit.dialect.klines import (
    ClosedKline,
    Control,
    ControlKind,
    FrameError,
    decode_frame,
    stamp_of_frame,
    stream_of_frame,
)
from kit.logs import redact
from streamer.life import Ended, EndKind, Life, Phase
from streamer.stats import Hushed, RouteStats
from streamer.subscription import Subscription, Wish
from streamer.wire import open_socket

if TYPE_CHECKING:
    from collections.abc import Mapping

    from websockets.asyncio.client import ClientConnection

    from streamer.intake import Intake
    from streamer.timing import Timing

SHOWN = 10  # stream names in a log event; the rest is a number

logger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True)
class Door:
    """Where connections of one kind lead, and what they share. ``url`` and ``proxy`` may not be logged as they are."""

    url: str
    proxy: str | None
    timing: Timing
    intake: Intake
    stats: RouteStats
    hushed: Hushed = field(default_factory=lambda: Hushed(per_minute=10))


class Connection:
    """One connection. ``run`` it once; ``carry`` changes its streams at any time, before it is open too."""

    def __init__(
        self,
        door: Door,
        name: str,
        generation: int,
        streams: Mapping[str, Wish],
        *,
        rotate_after_s: float,
        strikes: int,
    ) -> None:
        self.name = name
        self.generation = generation
        self.subscription = Subscription(door.timing)
        self.exhausted: set[str] = set()  # streams that should be tried on another connection
        self.opened_at: float | None = None
        self.asked_all_at: float | None = None
        self._door = door
        self._life: Life | None = None
        self._rotate_after_s = rotate_after_s
        self._strikes = strikes
        self._draining = False
        self._log = logger.bind(connection=name, generation=generation)
        self.carry(streams)

    def carry(self, streams: Mapping[str, Wish]) -> None:
        """Make these its streams."""
        self.subscription.want(streams)
        self.exhausted &= streams.keys()

    def drain(self) -> None:
        """Close it when convenient: a replacement delivers."""
        self._draining = True
        if self._life is not None:
            self._life.leave()

    def phase(self, now: float) -> Phase:
        """Where it is in its life."""
        return Phase.CONNECTING if self._life is None else self._life.phase(now)

    def replacement_due(self, now: float) -> bool:
        """Whether a replacement should be opened beside it."""
        return self._life is not None and self._life.replacement_due(now)

    @property
    def silent_since(self) -> float | None:
        """When its last frame came (monotonic seconds), or when it was opened, or None."""
        return (self._life.last_frame if self._life else None) or self.opened_at

    async def run(self) -> Ended:
        """Open it, keep it subscribed, read it to its end. Raises nothing but cancellation."""
        try:
            socket = await open_socket(self._door.url, self._door.proxy, self._door.timing)
        except (OSError, WebSocketException) as error:
            return _refusal(error)
        now = time.monotonic()
        self.opened_at = now
        self._life = Life(self._door.timing, now, rotate_at=now + self._rotate_after_s, strikes=self._strikes)
        self._door.stats.opened += 1
        self._log.info("connection.open", streams=len(self.subscription.states))
        reader = asyncio.create_task(self._read(socket, self._life))
        try:
            kind, reason = await self._watch(socket, self._life, reader)
        finally:
            await self._leave(socket, reader)
        now = time.monotonic()
        life = self._life
        return Ended(kind, reason, now - self.opened_at, delivered=life.delivered, calm=life.calm(now))

    async def _watch(self, socket: ClientConnection, life: Life, reader: asyncio.Task[str]) -> tuple[EndKind, str]:
        """Until the end: send what is to be sent, look after the streams. Returns why it ended."""
        looked_at = time.monotonic()
        while True:
            now = time.monotonic()
            if self._draining:
                return EndKind.DRAINED, "replaced"
            # After a pause of our own (a stopped process, a busy machine) frames wait to be read: no verdict yet.
            if now - looked_at <= self._door.timing.own_pause_s:
                if life.phase(now) is Phase.STALE and not self.subscription.may_be_silent:
                    return EndKind.SILENT, f"no frame for {life.silent_for(now):.0f} s"
                self._review(now)
            looked_at = now
            if not await self._send_due(socket, life):
                return EndKind.LOST, "it takes no more messages"
            done, _ = await asyncio.wait({reader}, timeout=self._door.timing.tick_s)
            if done:
                return (EndKind.DRAINED if self._draining else EndKind.LOST), reader.result()

    async def _leave(self, socket: ClientConnection, reader: asyncio.Task[str]) -> None:
        """Close; the reader goes on until the other side has closed too, so frames under way are still taken."""
        try:
            await socket.close()
            await asyncio.wait({reader}, timeout=self._door.timing.close_within_s)
        finally:
            reader.cancel()
            socket.transport.abort()

    async def _send_due(self, socket: ClientConnection, life: Life) -> bool:
        subscription = self.subscription
        while (message := subscription.next_message(time.monotonic())) is not None:
            try:
                async with asyncio.timeout(self._door.timing.answer_within_s):
                    await socket.send(message)
            except (TimeoutError, ConnectionClosed):
                return False
            life.asked(time.monotonic())
        if self.asked_all_at is None and subscription.asked:
            self.asked_all_at = time.monotonic()
        return True

    def _review(self, now: float) -> None:
        review = self.subscription.review(now)
        if review.stale:
            self._log.warning("stream.stale", count=len(review.stale), streams=review.stale[:SHOWN])
        if review.recovered:
            self._log.info("stream.recovered", count=len(review.recovered), streams=review.recovered[:SHOWN])
        self.exhausted.update(review.exhausted)

    async def _read(self, socket: ClientConnection, life: Life) -> str:
        """Take every message until the connection ends; returns how it ended."""
        try:
            while True:
                self._take(await socket.recv(decode=False), life)
        except ConnectionClosed as error:
            return str(error)

    def _take(self, raw: bytes, life: Life) -> None:
        """One message. Called thousands of times a second: an open candle leaves it at the first return."""
        self._door.stats.frames += 1
        stream = stream_of_frame(raw)
        if stream is not None:
            now = time.monotonic()
            if self.subscription.frame(stream, now):
                life.frame(now)
                self._door.stats.last_frame = now
                self._door.intake.frame(stream)
            if self._door.intake.clock.wants(now):
                self._hear(raw)
        try:
            message = decode_frame(raw)
        except FrameError as error:
            self._door.stats.garbage += 1
            if self._door.hushed.allows("frame.garbage", time.monotonic()):
                self._log.warning("frame.garbage", error=str(error))
            return
        if message is None:
            return
        if isinstance(message, ClosedKline):
            if not self._door.intake.closed(message, stream, self.subscription.states):
                self._door.stats.unwanted += 1
        else:
            self._obey(message, life)

    def _hear(self, raw: bytes) -> None:
        stamp_ms = stamp_of_frame(raw)
        if stamp_ms is not None:
            self._door.stats.clock_offset_ms = self._door.intake.hear(stamp_ms)

    def _obey(self, control: Control, life: Life) -> None:
        now = time.monotonic()
        request_id = control.id if isinstance(control.id, int) else None
        if control.kind is ControlKind.SHUTDOWN:
            self._log.warning("connection.shutdown_announced")
            life.shutdown_announced = True
        elif control.kind is ControlKind.SUBSCRIPTIONS:
            lacking = self.subscription.listed(request_id, control.streams, now)
            if lacking:
                self._log.warning("stream.not_listed", count=len(lacking), streams=lacking[:SHOWN])
        elif control.kind is ControlKind.ACK:
            self.subscription.answered(request_id, refused=False, now=now)
        elif control.kind is ControlKind.ERROR:
            self.subscription.answered(request_id, refused=True, now=now)
            self._log.warning("connection.refused_message", code=control.code, message=control.message)
        else:
            self._door.stats.unknown_event(control.event)


def _refusal(error: OSError | WebSocketException) -> Ended:
    status = error.response.status_code if isinstance(error, InvalidStatus) else None
    reason = redact(f"{type(error).__name__}: {error}")
    return Ended(EndKind.REFUSED, reason, http_status=status)
