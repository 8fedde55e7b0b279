"""A small WebSocket server that can misbehave in the ways the real exchange has: the other end of these tests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

if TYPE_CHECKING:
    from websockets.http11 import Request, Response

MINUTE = 60_000


def frame(
    symbol: str, begin_ms: int, *, closed: bool, event_ms: int | None = None, interval: str = "1m", **changes: Any
) -> str:
    """A kline event in the combined envelope; by default an event of now."""
    now = int(time.time() * 1000) if event_ms is None else event_ms
    kline = {
        "t": begin_ms,
        "T": begin_ms + MINUTE - 1,
        "s": symbol,
        "i": interval,
        "f": 1,
        "L": 2,
        "o": "1.0",
        "c": "1.5",
    }
    kline |= {
        "h": "2.0",
        "l": "0.5",
        "v": "10",
        "n": 2,
        "x": closed,
        "q": "15",
        "V": "5",
        "Q": "7.5",
        "B": "0",
    } | changes
    event = {"e": "kline", "E": now, "s": symbol, "k": kline}
    return json.dumps({"stream": f"{symbol.lower()}@kline_{interval}", "data": event}, ensure_ascii=False)


@dataclass
class Session:
    """One connection as the server sees it."""

    socket: ServerConnection
    subscribed: set[str] = field(default_factory=set)
    messages: list[dict[str, Any]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)


class ExchangeDouble:
    """``async with ExchangeDouble() as exchange``; the switches may be changed while it runs."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []  # all that ever were
        self.acknowledge = True
        self.list_answers = True
        self.forget: set[str] = set()  # streams that are acknowledged and not subscribed
        self.refuse_status: int | None = None
        self.attempts = 0
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None
        port = next(iter(self._server.sockets)).getsockname()[1]
        return f"ws://127.0.0.1:{port}/stream"

    @property
    def open(self) -> list[Session]:
        """The sessions that are open now."""
        return [session for session in self.sessions if session.socket.state.name == "OPEN"]

    @property
    def subscribed(self) -> list[str]:
        """Every stream of every open session, doubled ones twice."""
        return sorted(name for session in self.open for name in session.subscribed)

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._serve, "127.0.0.1", 0, process_request=self._admit, compression=None, ping_interval=None
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def publish(
        self, symbol: str, begin_ms: int, *, closed: bool = True, only: Session | None = None, **changes: Any
    ) -> int:
        """Send a kline to everyone who subscribed it; returns to how many."""
        text = frame(symbol, begin_ms, closed=closed, **changes)
        name = json.loads(text)["stream"]
        heard = [session for session in self.open if name in session.subscribed and only in (None, session)]
        for session in heard:
            await self.send(session, text)
        return len(heard)

    async def send(self, session: Session, text: str) -> None:
        """Send any text."""
        with contextlib.suppress(ConnectionClosed):
            await session.socket.send(text)

    def _admit(self, connection: ServerConnection, _request: Request) -> Response | None:
        self.attempts += 1
        if self.refuse_status is None:
            return None
        return connection.respond(self.refuse_status, "no\n")  # type: ignore[arg-type]  # a plain status number is enough

    async def _serve(self, socket: ServerConnection) -> None:
        session = Session(socket)
        self.sessions.append(session)
        with contextlib.suppress(ConnectionClosed):
            while True:
                text = await socket.recv()
                session.sizes.append(len(text.encode() if isinstance(text, str) else text))
                await self._answer(session, json.loads(text))

    async def _answer(self, session: Session, message: dict[str, Any]) -> None:
        session.messages.append(message)
        result: list[str] | None = None
        if message["method"] == "SUBSCRIBE":
            session.subscribed |= set(message["params"]) - self.forget
        elif message["method"] == "UNSUBSCRIBE":
            session.subscribed -= set(message["params"])
        elif not self.list_answers:
            return
        else:
            result = sorted(session.subscribed)
        if self.acknowledge:
            await self.send(session, json.dumps({"result": result, "id": message["id"]}))


async def eventually(condition: Any, *, within_s: float = 120.0) -> None:
    """Wait until ``condition()`` is true; fails loudly when it never is."""
    deadline = asyncio.get_running_loop().time() + within_s
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it never happened"
        await asyncio.sleep(0.01)
