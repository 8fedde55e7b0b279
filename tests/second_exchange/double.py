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
from typing import Any

from aiohttp import WSMsgType, web

from tests.second_exchange.universe import (
    FOREVER_MS,
    INTERVAL_MS,
    MINUTE_MS,
    PLACEHOLDER_ONBOARD_MS,
    Instrument,
    Row,
    Truth,
    universe,
)

PREFIX = {"spot": "/api/v3", "um": "/fapi/v1", "cm": "/dapi/v1"}
MAX_LIMIT = {"spot": 1000, "um": 1500, "cm": 1500}
CM_WINDOW_MS = 200 * 86_400_000
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


class Refusal(Exception):
    """An error body of the exchange."""

    def __init__(self, status: int, code: int, msg: str) -> None:
        self.status, self.body = status, {"code": code, "msg": msg}


class Double:
    """``asked`` and ``broken_rules`` are what tests read; the flags may be changed while it runs."""

    def __init__(self, closes_ms: tuple[int, int], *, seed: str = "second", weight_limit: int = 900) -> None:
        self.truth = Truth(seed)
        self.listed = universe(now_ms(), closes_ms)
        self.weight_limit = weight_limit
        self.lists_subscriptions = False
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
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runners: list[web.AppRunner] = []
        self._ticker: asyncio.Task[None] | None = None
        self.rest_url = ""
        self.ws_urls: dict[str, str] = {}

    # ---- life
    def __enter__(self) -> Double:
        self._thread.start()
        self._await(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._await(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _await(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

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
    def _shuffled(self, fields: dict[str, Any]) -> dict[str, Any]:
        fields["zzNew"] = {"nested": [1, None, "x"]}
        keys = list(fields)
        self._rng.shuffle(keys)
        return {key: fields[key] for key in keys}

    def _text(self, body: Any) -> str:
        blanks = self._rng.choice([(",", ":"), (", ", ":"), (" ,", " : "), (",\n  ", ":  ")])
        return json.dumps(body, ensure_ascii=self._rng.random() < 0.5, separators=blanks)

    # ---- REST
    async def _not_found(self, request: web.Request) -> web.Response:
        self.broken_rules.append(f"unknown path {request.path}")
        return web.Response(status=404, text=HTML, content_type="text/html")

    def _rest_handler(self, venue: str) -> Any:
        async def handle(request: web.Request) -> web.Response:
            now, params, name = now_ms(), dict(request.query), request.match_info["name"]
            if self.answers_html:
                return web.Response(text="<html>please wait</html>", content_type="text/html")
            answers = {
                "klines": self._klines,
                "exchangeInfo": self._exchange_info,
                "ping": lambda *_: {},
                "time": lambda *_: {"serverTime": now},
                "fundingRate": self._funding_rate,
                "fundingInfo": lambda *_: [],
                "premiumIndex": self._premium_index,
            }
            if name not in answers or (venue == "spot" and "und" in name):
                return await self._not_found(request)
            headers: dict[str, str] = {}
            try:
                headers["X-MBX-USED-WEIGHT-1M"] = str(self._charge(venue, name, params, now))
                micro = venue == "spot" and request.headers.get("X-MBX-TIME-UNIT", "").upper() == "MICROSECOND"
                body: Any = answers[name](venue, params, now, 1000 if micro else 1)  # type: ignore[operator]
                status = 200
            except Refusal as refusal:
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
            raise Refusal(418, -1003, f"Way too many requests; IP(1.2.3.4) banned until {self._banned_until_ms}.")
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
            raise Refusal(429, -1003, "Too many requests; current limit is exceeded.")
        return used

    def _instrument(self, venue: str, params: dict[str, str], now: int) -> Instrument:
        one = self.listed[venue].get(params.get("symbol", ""))
        if one is None or not one.state(now):
            raise Refusal(400, -1121, "Invalid symbol.")
        if venue == "um" and one.state(now) in {"SETTLING", "CLOSE", "PENDING_TRADING"}:
            raise Refusal(400, -1122, "Invalid symbol status.")
        return one

    def _klines(self, venue: str, params: dict[str, str], now: int, unit: int) -> list[list[Any]]:
        known = {"symbol", "interval", "startTime", "endTime", "limit"} | ({"timeZone"} if venue == "spot" else set())
        if venue == "spot" and set(params) - known:
            raise Refusal(400, -1104, "Not all sent parameters were read.")
        one = self._instrument(venue, params, now)
        interval = params.get("interval", "")
        if interval not in INTERVAL_MS or (venue != "spot" and interval == "1s"):
            raise Refusal(400, -1120, "Invalid interval.")
        limit = int(params.get("limit", "500"))
        if not 1 <= limit <= MAX_LIMIT[venue]:
            raise Refusal(400, -1130, "Data sent for parameter 'limit' is not valid.")
        length = INTERVAL_MS[interval]
        start, end = (self._moment(params.get(key), unit) for key in ("startTime", "endTime"))
        oldest_first = start is not None and venue != "cm"
        if venue == "cm":
            if start is not None and end is not None and end - start > CM_WINDOW_MS:
                raise Refusal(400, -1127, "More than 200 days between startTime and endTime.")
            if end is None:
                end = min(now, start + CM_WINDOW_MS) if start is not None else now
        end = now if end is None else min(end, now)
        reach = limit * 3 * length + 200 * length  # holes and late listings never need more in these tests
        first = start if start is not None else end - reach
        if not oldest_first:
            first = max(first, end - reach)
        first += -first % length
        begins = []
        begin = max(first, (one.listed_ms - length) // length * length) if one.listed_ms else first
        while begin <= end and (not oldest_first or len(begins) < limit):
            if one.has_candle(begin, length):
                begins.append(begin)
            begin += length
        chosen = begins[:limit] if oldest_first else begins[-limit:]
        return [self._rest_row(one, interval, begin, now, unit) for begin in chosen]

    @staticmethod
    def _moment(text: str | None, unit: int) -> int | None:
        if text is None:
            return None
        if not text.isdigit():
            raise Refusal(400, -1100, "Illegal characters found in a parameter.")
        value = int(text)
        return value // 1000 if unit == 1000 and value > 10**14 else value

    def _rest_row(self, one: Instrument, interval: str, begin: int, now: int, unit: int) -> list[Any]:
        length = INTERVAL_MS[interval]
        unready = now < begin + length + one.stale_ms
        row: Row = (self.truth.unfinished if unready else self.truth.final)(one, interval, begin)
        closing = (begin + length) * unit - 1
        return [begin * unit, *row[:5], closing, row[5], row[6], row[7], row[8], "0"]

    def _exchange_info(self, venue: str, params: dict[str, str], now: int, _unit: int) -> dict[str, Any]:
        known = {"symbol", "symbols", "permissions", "showPermissionSets", "symbolStatus"}
        if venue == "spot" and set(params) - known:
            raise Refusal(400, -1104, "Not all sent parameters were read.")
        symbols = [self._listing(one, now) for one in self.listed[venue].values() if one.state(now)]
        wanted = params.get("symbolStatus")
        self._rng.shuffle(symbols)
        limits = [
            {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 300_000},
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": self.weight_limit},
            {"rateLimitType": "MOOD", "interval": "FORTNIGHT", "intervalNum": 1, "limit": 7},
        ]
        return self._shuffled({
            "timezone": "UTC",
            "serverTime": now - 3_600_000,  # futures: cached, "please ignore"
            "rateLimits": limits,
            "exchangeFilters": [],
            "symbols": [s for s in symbols if wanted in {None, s.get("status")}],
        })  # fmt: skip

    def _listing(self, one: Instrument, now: int) -> dict[str, Any]:
        status = one.state(now)
        common: dict[str, Any] = {
            "symbol": one.symbol,
            "baseAsset": one.base,
            "quoteAsset": one.quote,
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
                {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
                {"filterType": "BRAND_NEW", "colour": "red"},
            ],
        }
        if one.venue == "spot":
            permissions = {"permissions": [], "permissionSets": [["SPOT", "TRD_GRP_004"]], "isSpotTradingAllowed": True}
            return self._shuffled(common | permissions | {"status": status})
        gone = one.delisted_ms if one.delisted_ms < FOREVER_MS else FOREVER_MS + 2000
        onboard = one.onboard_ms or one.listed_ms or PLACEHOLDER_ONBOARD_MS
        margin = one.base if one.venue == "cm" else one.quote
        more = {
            "pair": f"{one.base}{one.quote}",
            "contractType": one.contract_type,
            "deliveryDate": gone,
            "onboardDate": onboard,
            "marginAsset": margin,
            "underlyingType": one.underlying,
            "underlyingSubType": ["TradFi"],
            "permissionSets": ["GRID", "COPY"],
            "contractStatus" if one.venue == "cm" else "status": status,
        }
        if one.venue == "cm":
            more["contractSize"] = 100 if one.base == "BTC" else 10
        return self._shuffled(common | more)

    def _funding_rate(self, venue: str, params: dict[str, str], now: int, _unit: int) -> list[dict[str, Any]]:
        if venue == "cm" and "symbol" not in params:
            raise Refusal(400, -1102, "Mandatory parameter 'symbol' was not sent.")
        return []

    def _premium_index(self, venue: str, params: dict[str, str], now: int, _unit: int) -> list[dict[str, Any]]:
        return []

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
            self.connections.append((now_ms(), venue, request.path_qs[:60]))
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
        last_ms = now_ms()
        while True:
            await asyncio.sleep(0.1)
            now, ticks = now_ms(), ticks + 1
            for one in [one for venue in self.listed.values() for one in venue.values()]:
                for interval in ("1m", "1s") if one.venue == "spot" else ("1m",):
                    await self._candle_events(one, interval, last_ms, now, open_too=ticks % 20 == hash(one.symbol) % 20)
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
                await self._push(wires, one, name, interval, begin, row, closed=True)
        if open_too and wires and one.state(now) == "TRADING":
            begin = now // length * length
            row = self.truth.unfinished(one, interval, begin)
            await self._push(wires, one, name, interval, begin, row, closed=False)

    async def _push(
        self, wires: list[Wire], one: Instrument, name: str, interval: str, begin: int, row: Row, *, closed: bool
    ) -> None:
        """Send a kline event; and now and then a final one of a symbol that nobody subscribed to."""
        for wire in wires:
            await self._send_kline(wire, one.symbol, name, interval, begin, row, closed)
            if closed and self._rng.random() < 0.2:
                await self._send_kline(wire, "STRAYUSDT", f"strayusdt@kline_{interval}", interval, begin, row, closed)

    async def _send_kline(
        self, wire: Wire, symbol: str, name: str, interval: str, begin: int, row: Row, closed: bool
    ) -> None:
        length = INTERVAL_MS[interval]
        candle = {"t": begin, "T": begin + length - 1, "s": symbol, "i": interval, "f": -1, "L": -1, "o": row[0],
                  "h": row[1], "l": row[2], "c": row[3], "v": row[4], "q": row[5], "n": row[6], "V": row[7],
                  "Q": row[8], "B": "0", "x": closed}  # fmt: skip
        event = self._shuffled({"e": "kline", "E": now_ms(), "s": symbol, "st": 1, "k": self._shuffled(candle)})
        await self._say(wire, self._shuffled({"stream": name, "data": event}) if wire.enveloped else event)
