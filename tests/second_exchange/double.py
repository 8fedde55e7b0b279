"""A strict exchange over real sockets: REST of all venues on one port, a WebSocket port for each venue.

Runs in a thread of the test's process, so that a test can read what was asked (`asked`), change what is listed, and
compare with the truth. One port for REST, because USD-M and COIN-M share one weight pool.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Self
from zlib import crc32

from aiohttp import WSMsgType, web

from tests.second_exchange.answers import Answers, RefusedError
from tests.second_exchange.universe import INTERVAL_MS, MINUTE_MS, Instrument, Row, Truth, universe

PREFIX = {"spot": "/api/v3", "um": "/fapi/v1", "cm": "/dapi/v1"}
MESSAGES_A_SECOND = {"spot": 5, "um": 10, "cm": 10}
MAX_STREAMS = 1024
MAX_SUBSCRIBE_BYTES = 4096
HTML = "<html><head><title>404 Not Found</title></head><body>nginx</body></html>"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Asked:
    """One REST request as it arrived and what it got."""

    at_ms: int
    path: str
    params: dict[str, str]
    status: int
    rows: int


@dataclass(eq=False)
class Wire:
    """One WebSocket connection."""

    socket: web.WebSocketResponse
    venue: str
    enveloped: bool
    delivers: bool
    streams: set[str] = field(default_factory=set)
    messages: deque[float] = field(default_factory=deque)


class Double:
    """``asked`` and ``broken_rules`` are what tests read; the flags may be changed while it runs."""

    def __init__(self, closes_ms: tuple[int, int], *, seed: str = "second", weight_limit: int = 900) -> None:
        self.truth = Truth(seed)
        self.listed = universe(now_ms(), closes_ms)
        self.weight_limit = weight_limit
        self.lists_subscriptions = False
        self.clock_shift_ms = 0
        # Its clock stands there until it is asked anything: whoever asks may take long to start.
        self.held_ms: int | None = None
        self.answers_html = False
        self.asked: list[Asked] = []
        self.broken_rules: list[str] = []
        self.subscribed: list[tuple[str, str]] = []
        self.connections: list[tuple[int, str, str]] = []
        self.finals_sent: dict[tuple[str, str, str, int], int] = {}
        self.peak_weight = 0
        self._weight: dict[tuple[str, int], int] = {}
        self._banned_until_ms = 0
        self._wires: set[Wire] = set()
        self._rng = random.Random(seed)
        self.answers = Answers(self.listed, self.truth, self._rng, weight_limit)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runners: list[web.AppRunner] = []
        self._ticker: asyncio.Task[None] | None = None
        self.rest_url = ""
        self.ws_urls: dict[str, str] = {}

    def now(self) -> int:
        """The exchange's clock, which is not ours."""
        return now_ms() + self.clock_shift_ms if self.held_ms is None else self.held_ms

    def _let_go(self) -> None:
        if self.held_ms is not None:
            self.clock_shift_ms, self.held_ms = self.held_ms - now_ms(), None

    # ---- life
    def __enter__(self) -> Self:
        self._thread.start()
        self._await(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._await(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    def _await(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _start(self) -> None:
        rest = web.Application()
        for venue, prefix in PREFIX.items():
            rest.router.add_get(f"{prefix}/{{name}}", self._rest_handler(venue))
        rest.router.add_route("*", "/{tail:.*}", self._not_found)
        self.rest_url = f"http://127.0.0.1:{await self._serve(rest)}"
        for venue in PREFIX:
            app = web.Application()
            app.router.add_get("/{tail:.*}", self._ws_handler(venue))
            self.ws_urls[venue] = f"ws://127.0.0.1:{await self._serve(app)}"
        self._ticker = self._loop.create_task(self._tick_forever())

    async def _serve(self, app: web.Application) -> int:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._runners.append(runner)
        return int(runner.addresses[0][1])

    async def _stop(self) -> None:
        if self._ticker:
            self._ticker.cancel()
        for wire in list(self._wires):
            await wire.socket.close()
        for runner in self._runners:
            await runner.cleanup()

    def drop_connections(self) -> None:
        """Cut every WebSocket without a close frame, as a failing network does."""
        for wire in list(self._wires):
            transport = wire.socket._req.transport if wire.socket._req else None
            if transport:
                self._loop.call_soon_threadsafe(transport.abort)

    # ---- JSON, as untidy as the exchange's
    def _text(self, body: Any) -> str:
        blanks = self._rng.choice([(",", ":"), (", ", ":"), (" ,", " : "), (",\n  ", ":  ")])
        return json.dumps(body, ensure_ascii=self._rng.random() < 0.5, separators=blanks)

    # ---- REST
    async def _not_found(self, request: web.Request) -> web.Response:
        self.broken_rules.append(f"unknown path {request.path}")
        return web.Response(status=404, text=HTML, content_type="text/html")

    def _rest_handler(self, venue: str) -> Any:
        async def handle(request: web.Request) -> web.Response:
            self._let_go()
            now, params, name = self.now(), dict(request.query), request.match_info["name"]
            if self.answers_html:
                return web.Response(text="<html>please wait</html>", content_type="text/html")
            answers = {
                "klines": self.answers.klines,
                "exchangeInfo": self.answers.exchange_info,
                "ping": lambda *_: {},
                "time": lambda *_: {"serverTime": now},
                "fundingRate": self.answers.funding_rate,
                "fundingInfo": lambda *_: [],
                "premiumIndex": self.answers.premium_index,
            }
            if name not in answers or (venue == "spot" and "und" in name):
                return await self._not_found(request)
            headers = {"Date": formatdate(now / 1000, usegmt=True)}
            try:
                headers["X-MBX-USED-WEIGHT-1M"] = str(self._charge(venue, name, params, now))
                micro = venue == "spot" and request.headers.get("X-MBX-TIME-UNIT", "").upper() == "MICROSECOND"
                body: Any = answers[name](venue, params, now, 1000 if micro else 1)
                status = 200
            except RefusedError as refusal:
                status, body = refusal.status, refusal.body
                if status in {418, 429}:
                    self.broken_rules.append(f"{status} for {request.path_qs}")
            rows = len(body) if isinstance(body, list) else 0
            self.asked.append(Asked(now, request.path, params, status, rows))
            return web.Response(
                status=status, text=self._text(body), content_type="application/json", charset="UTF-8", headers=headers
            )

        return handle

    def _charge(self, venue: str, name: str, params: dict[str, str], now: int) -> int:
        """Count the request's weight in its pool's clock minute."""
        if now < self._banned_until_ms:
            raise RefusedError(418, -1003, f"Way too many requests; IP(1.2.3.4) banned until {self._banned_until_ms}.")
        pool = "spot" if venue == "spot" else "futures"
        limit = params.get("limit", "500")
        count = int(limit) if limit.isdigit() else 500
        flat = {"klines": 2, "exchangeInfo": 20, "ping": 1, "time": 1}
        steps = 1 if count < 100 else 2 if count < 500 else 5 if count <= 1000 else 10
        rates = {"klines": steps, "fundingRate": 0 if venue == "um" else 1, "fundingInfo": 0,
                 "premiumIndex": 1 if venue == "um" and "symbol" in params else 10}  # fmt: skip
        key = (pool, now // MINUTE_MS)
        used = self._weight.get(key, 0) + (flat[name] if venue == "spot" else rates.get(name, 1))
        self._weight[key] = used
        self.peak_weight = max(self.peak_weight, used)
        if used > 3 * self.weight_limit:
            self._banned_until_ms = now + 120_000
        if used > self.weight_limit:
            raise RefusedError(429, -1003, "Too many requests; current limit is exceeded.")
        return used

    # ---- WebSocket
    def _ws_handler(self, venue: str) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            parts = request.path.strip("/").split("/")
            routed = venue == "um" and parts[0] in {"market", "public", "private"}
            route, rest = (parts[0], parts[1:]) if routed else ("", parts)
            if not rest or rest[0] not in {"ws", "stream"} or (rest[0] == "stream" and len(rest) > 1):
                return await self._not_found(request)
            delivers = venue != "um" or route == "market"
            socket = web.WebSocketResponse(autoping=False, max_msg_size=1 << 20)
            await socket.prepare(request)
            wire = Wire(socket, venue, rest[0] == "stream", delivers)
            asked = request.query.get("streams", "").split("/") if wire.enveloped else rest[1:]
            wire.streams |= {name for name in asked if name}
            self.subscribed += [(venue, name) for name in wire.streams]
            self.connections.append((self.now(), venue, request.path_qs[:60]))
            self._wires.add(wire)
            try:
                await self._listen(wire)
            finally:
                self._wires.discard(wire)
            return socket

        return handle

    async def _listen(self, wire: Wire) -> None:
        async for message in wire.socket:
            moment = time.monotonic()
            wire.messages.append(moment)
            while wire.messages[0] < moment - 1:
                wire.messages.popleft()
            if len(wire.messages) > MESSAGES_A_SECOND[wire.venue]:
                self.broken_rules.append(f"{wire.venue}: more than {MESSAGES_A_SECOND[wire.venue]} messages a second")
                await wire.socket.close(code=1008, message=b"Too many requests")
            elif message.type is WSMsgType.PING:
                await wire.socket.pong(message.data)
            elif message.type is WSMsgType.BINARY:
                self.broken_rules.append(f"{wire.venue}: a binary frame")
                await wire.socket.close(code=1008, message=b"Invalid request")
            elif message.type is WSMsgType.TEXT:
                await self._control(wire, message.data)

    async def _control(self, wire: Wire, text: str) -> None:
        if len(text.encode()) > MAX_SUBSCRIBE_BYTES:
            self.broken_rules.append(f"{wire.venue}: a message over {MAX_SUBSCRIBE_BYTES} bytes")
            return
        try:
            asked = json.loads(text)
        except ValueError:
            await self._say(wire, {"error": {"code": 3, "msg": "Invalid JSON"}})
            return
        number, method = asked.get("id"), asked.get("method")
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            self.broken_rules.append(f"{wire.venue}: id {number!r}")
            wrong = {"code": 2, "msg": "Invalid request: request ID must be an unsigned integer"}
            await self._say(wire, {"error": wrong, "id": None})
            return
        names = set(asked.get("params") or [])
        if method == "SUBSCRIBE":
            if len(wire.streams | names) > MAX_STREAMS:
                self.broken_rules.append(f"{wire.venue}: more than {MAX_STREAMS} streams")
                return
            wire.streams |= names
            self.subscribed += [(wire.venue, name) for name in names]
        elif method == "UNSUBSCRIBE":
            wire.streams -= names
        elif method != "LIST_SUBSCRIPTIONS" or not self.lists_subscriptions:
            return
        await self._say(wire, {"result": sorted(wire.streams) if method == "LIST_SUBSCRIPTIONS" else None,
                               "id": number})  # fmt: skip

    async def _say(self, wire: Wire, body: Any) -> None:
        try:
            await wire.socket.send_str(self._text(body))
        except (ConnectionError, RuntimeError):
            self._wires.discard(wire)

    async def _tick_forever(self) -> None:
        ticks = 0
        last_ms = self.now()
        while True:
            await asyncio.sleep(0.1)
            now, ticks = self.now(), ticks + 1
            for one in [one for venue in self.listed.values() for one in venue.values()]:
                for interval in ("1m", "1s") if one.venue == "spot" else ("1m",):
                    await self._candle_events(
                        one, interval, last_ms, now, open_too=ticks % 20 == crc32(one.symbol.encode()) % 20
                    )
            if ticks % 200 == 0:
                for wire in list(self._wires):
                    await wire.socket.ping(b"p")
            last_ms = now

    async def _candle_events(self, one: Instrument, interval: str, last: int, now: int, *, open_too: bool) -> None:
        """Send what became due in (last, now]: finals by the symbol's own lateness, open states now and then."""
        name = f"{one.symbol.lower()}@kline_{interval}"
        wires = [w for w in self._wires if w.venue == one.venue and w.delivers and name in w.streams]
        length = INTERVAL_MS[interval]
        lag = one.lag_ms if interval == "1m" else one.lag_ms // 10
        for extra in (0, 400) if one.final == "twice" else (0,):
            close = (now - lag - extra) // length * length
            begin = close - length
            due = last < close + lag + extra <= now and one.final != "never"
            if due and begin + length > one.listed_ms and not one.hole_ms[0] <= begin < one.hole_ms[1]:
                key = (one.venue, one.symbol, interval, begin)
                if wires:
                    self.finals_sent.setdefault(key, now)
                flat: Row = ("1", "1", "1", "1", "0", "0", 0, "0", "0")  # what is pushed after a delisting
                row = self.truth.final(one, interval, begin) if one.has_candle(begin, length) else flat
                await self._push(wires, one, name=name, interval=interval, begin=begin, row=row, closed=True)
        if open_too and wires and one.state(now) == "TRADING":
            begin = now // length * length
            row = self.truth.unfinished(one, interval, begin)
            await self._push(wires, one, name=name, interval=interval, begin=begin, row=row, closed=False)

    async def _push(
        self, wires: list[Wire], one: Instrument, *, name: str, interval: str, begin: int, row: Row, closed: bool
    ) -> None:
        """Send a kline event; and now and then a final one of a symbol that nobody subscribed to."""
        for wire in wires:
            of_candle: dict[str, Any] = {"interval": interval, "begin": begin, "row": row, "closed": closed}
            await self._send_kline(wire, one.symbol, name=name, **of_candle)
            if closed and self._rng.random() < 0.2:
                await self._send_kline(wire, "STRAYUSDT", name=f"strayusdt@kline_{interval}", **of_candle)

    async def _send_kline(
        self, wire: Wire, symbol: str, *, name: str, interval: str, begin: int, row: Row, closed: bool
    ) -> None:
        length = INTERVAL_MS[interval]
        candle = {"t": begin, "T": begin + length - 1, "s": symbol, "i": interval, "f": -1, "L": -1, "o": row[0],
                  "h": row[1], "l": row[2], "c": row[3], "v": row[4], "q": row[5], "n": row[6], "V": row[7],
                  "Q": row[8], "B": "0", "x": closed}  # fmt: skip
        event = self.answers.shuffled(
            {"e": "kline", "E": self.now(), "s": symbol, "st": 1, "k": self.answers.shuffled(candle)}
        )
        await self._say(wire, self.answers.shuffled({"stream": name, "data": event}) if wire.enveloped else event)
