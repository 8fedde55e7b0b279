"""The exchange's WebSocket side as a model in memory: it keeps the documents' limits, and misbehaves when told to.

Its sockets have what ``streamer.connection`` uses of a real one. The same behaviour over real sockets is tested in
``tests/streamer``; here the clock is virtual, so that every order of events can be played.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass, field
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, ClassVar

from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.http11 import Response

from streamer.timing import Timing
from tests.models.virtual_time import VirtualLoop, VirtualTime
from tests.streamer.exchange_double import MINUTE, frame

ATTEMPTS_IN_FIVE_MINUTES = 300
MESSAGES_A_SECOND = 5  # spot; futures allow 10
MESSAGE_BYTES = 4096  # more meets silence


@dataclass(eq=False)
class Session:
    """One socket. The switches say how the exchange treats it."""

    SERIAL: ClassVar[int] = 0

    exchange: StreamExchange
    opened_at: float
    subscribed: set[str] = field(default_factory=set)
    mute: bool = False  # acknowledges, and sends no frame
    unanswering: bool = False  # obeys control messages, and answers none
    forgets: bool = False  # acknowledges every second stream without subscribing it
    refusing: bool = False  # answers control messages with an error and does not obey
    closed: bool = False
    last_frame: dict[str, float] = field(default_factory=dict)
    sent_at: deque[float] = field(default_factory=lambda: deque(maxlen=MESSAGES_A_SECOND + 1))

    def __post_init__(self) -> None:
        self._inbox: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.transport = SimpleNamespace(abort=self._left)

    # What the streamer calls.

    async def send(self, text: str) -> None:
        if self.closed:
            raise ConnectionClosedError(None, None)
        self._keep_limits(text)
        message = json.loads(text)
        answer: dict[str, Any] = {"result": None, "id": message["id"]}
        if self.refusing:
            answer = {"error": {"code": 3, "msg": "Invalid JSON"}, "id": message["id"]}
        elif message["method"] == "SUBSCRIBE":
            self.subscribed |= set(message["params"][:: 2 if self.forgets else 1])
            assert len(self.subscribed) <= self.exchange.max_streams, "more streams than a connection may carry"
        elif message["method"] == "UNSUBSCRIBE":
            self.subscribed -= set(message["params"])
        else:
            answer["result"] = sorted(self.subscribed)
        if not self.unanswering:
            self.push(json.dumps(answer, ensure_ascii=False))

    async def recv(self, *, decode: bool) -> bytes:
        assert not decode
        raw = await self._inbox.get()
        if raw is None:
            raise ConnectionClosedError(None, None)
        return raw

    async def close(self) -> None:
        self._left()

    # What the exchange does.

    def push(self, text: str) -> None:
        if not self.closed:
            self._inbox.put_nowait(text.encode())

    def cut(self) -> None:
        """The exchange, or the network, ends it."""
        if not self.closed:
            self.closed = True
            self._inbox.put_nowait(None)

    def _left(self) -> None:
        if not self.closed:
            self.exchange.left(self)
            self.cut()

    def _keep_limits(self, text: str) -> None:
        now = self.exchange.loop.seconds
        self.sent_at.append(now)
        assert len(text.encode()) <= MESSAGE_BYTES, "a message that meets silence"
        if len(self.sent_at) > MESSAGES_A_SECOND:
            assert now - self.sent_at[0] >= 1.0 - 1e-6, "messages faster than the exchange allows"


class StreamExchange:
    """``open`` stands in for ``streamer.connection.open_socket``."""

    def __init__(self, loop: VirtualLoop, max_streams: int = 1024) -> None:
        self.loop = loop
        self.time = VirtualTime(loop)
        self.max_streams = max_streams
        self.sessions: list[Session] = []
        self.attempts: deque[float] = deque(maxlen=ATTEMPTS_IN_FIVE_MINUTES + 1)
        self.opening = 0
        self.manner = "sound"  # of the sessions to come: a switch's name, a status to refuse with, or "hang"
        self.silent_streams: set[str] = set()  # nobody trades them
        self.abandoned: list[Session] = []  # sound sessions left while nobody else delivered what they did

    @property
    def live(self) -> list[Session]:
        return [session for session in self.sessions if not session.closed]

    async def open(self, _url: str, _proxy: str | None, timing: Timing) -> Session:
        now = self.loop.seconds
        self.attempts.append(now)
        if len(self.attempts) > ATTEMPTS_IN_FIVE_MINUTES:
            assert now - self.attempts[0] >= 300.0 - 1e-6, "more attempts than the exchange allows"
        self.opening += 1
        try:
            if self.manner == "hang":
                await asyncio.sleep(timing.open_within_s)
                raise TimeoutError("no answer")
            await asyncio.sleep(0.05)
        finally:
            self.opening -= 1
        if self.manner.isdigit():
            raise InvalidStatus(Response(int(self.manner), HTTPStatus(int(self.manner)).phrase, Headers()))
        session = Session(self, self.loop.seconds)
        if self.manner != "sound":
            setattr(session, self.manner, True)
        self.sessions = [*self.live, session]
        return session

    def chatter(self) -> None:
        """An open candle of every stream that is subscribed and traded."""
        begin_ms = self.time.time_ns() // 1_000_000 // MINUTE * MINUTE
        for session in self.live:
            for stream in () if session.mute else session.subscribed - self.silent_streams:
                session.push(frame(_symbol(stream), begin_ms, closed=False, event_ms=self.time.time_ns() // 1_000_000))
                session.last_frame[stream] = self.loop.seconds

    def finals(self) -> set[tuple[str, int]]:
        """The candle that closed last, to everybody who subscribed it; returns what was sent to anybody."""
        event_ms = self.time.time_ns() // 1_000_000
        begin_ms = event_ms // MINUTE * MINUTE - MINUTE
        sent = set()
        for session in self.live:
            for stream in () if session.mute else session.subscribed - self.silent_streams:
                session.push(frame(_symbol(stream), begin_ms, closed=True, event_ms=event_ms))
                session.last_frame[stream] = self.loop.seconds
                sent.add((stream, begin_ms))
        return sent

    def left(self, session: Session) -> None:
        """The streamer closes a socket: nobody may then lack what came over it until now."""
        now = self.loop.seconds
        fresh = {stream for stream, at in session.last_frame.items() if now - at < 5.0} & session.subscribed
        others = {stream for other in self.live if other is not session for stream in other.last_frame}
        if len(fresh & others) < 0.98 * len(fresh):
            self.abandoned.append(session)


def _symbol(stream: str) -> str:
    return stream.partition("@")[0].upper()
