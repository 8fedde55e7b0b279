"""The control endpoint: JSON over HTTP on a port of its own, so that the exchange's ports stay pure dialect."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from kit.embedded_exchange.faults.conductor import HOWS
from kit.embedded_exchange.faults.fault import fault_of, unknown
from kit.embedded_exchange.faults.life import delist, halt, list_like, relist, resume, settle, symbols_of
from kit.embedded_exchange.faults.listing import known_faults
from kit.embedded_exchange.faults.parameters import FaultError
from kit.errors import UnknownWordError
from kit.words import Interval, Venue, parse_interval

if TYPE_CHECKING:
    from kit.embedded_exchange.exchange import EmbeddedExchange

Keys = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ControlEndpoint:
    """Serves one exchange. Wrong input is answered 400 with ``error``: what is wrong, and what is allowed."""

    def __init__(self, exchange: EmbeddedExchange) -> None:
        self._exchange = exchange
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> str:
        """Listens. Returns: its URL.

        Raises:
            OSError: the port is taken.
        """
        app = web.Application(middlewares=[_complaining])
        app.add_routes(
            [
                web.get("/faults", self._faults),
                web.post("/faults", self._switch_on),
                web.delete("/faults", self._clear),
                web.delete("/faults/{number}", self._switch_off),
                web.post("/market/{what}", self._market),
                web.post("/clock", self._clock),
                web.get("/connections", self._connections),
                web.post("/connections/end", self._end),
                web.get("/truth", self._truth),
                web.get("/truth/symbols", self._symbols),
                web.get("/ledger", self._ledger),
                web.delete("/ledger", self._reset_ledger),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        host, actual = self._runner.addresses[0][:2]
        return f"http://{host}:{actual}"

    async def stop(self) -> None:
        """Stops listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _faults(self, _: web.Request) -> web.Response:
        faults = self._exchange.faults
        active = [one.as_json() for one in faults.active()]
        return _json({"known": known_faults(), "active": active, "ended": [one.as_json() for one in faults.ended]})

    async def _switch_on(self, request: web.Request) -> web.Response:
        return _json({"id": self._exchange.faults.switch_on(fault_of(await _keys_of(request)))})

    async def _switch_off(self, request: web.Request) -> web.Response:
        number = request.match_info["number"]
        if not number.isdigit():
            raise FaultError(f"{number!r} is no fault's id (allowed: whole numbers)")
        self._exchange.faults.switch_off(int(number))
        return _json({})

    async def _clear(self, _: web.Request) -> web.Response:
        self._exchange.faults.clear()
        return _json({})

    async def _market(self, request: web.Request) -> web.Response:
        what = request.match_info["what"]
        if what not in _LIFE:
            raise FaultError(f"/market/{what}: {unknown(what, _LIFE)}")
        act, needed, optional = _LIFE[what]
        keys = _known(await _keys_of(request), needed, optional)
        checked = {key: _CHECKS[key](key, value) for key, value in keys.items() if key != "venue"}
        return _json(act(self._exchange, _venue(keys["venue"]), **checked))

    async def _clock(self, request: web.Request) -> web.Response:
        keys = _known(await _keys_of(request), (), ("skew_ms", "jump_ms"))
        if len(keys) != 1:
            raise FaultError("one key is needed (allowed: skew_ms, jump_ms)")
        ((key, value),) = keys.items()
        clock = self._exchange.clock
        clock.skew_ms = _whole(key, value) + (clock.skew_ms if key == "jump_ms" else 0)
        self._exchange.conductor.renew()
        return _json({"skew_ms": clock.skew_ms, "now_ms": clock.now_ms()})

    async def _connections(self, _: web.Request) -> web.Response:
        return _json(
            [
                {
                    "venue": one.venue,
                    "route": one.route.category,
                    "streams": len(one.streams),
                    "opened_at": one.opened_at.isoformat(timespec="milliseconds"),
                    "age_s": round(one.age_s, 3),
                }
                for one in self._exchange.connections
            ]
        )

    async def _end(self, request: web.Request) -> web.Response:
        keys = _known(await _keys_of(request), ("how",), ("code", "venue", "share"))
        if keys["how"] not in HOWS:
            raise FaultError(f"how: {unknown(keys['how'], HOWS)}")
        code, venue, share = keys.get("code"), keys.get("venue"), keys.get("share", 1.0)
        if not isinstance(share, int | float) or not 0 <= share <= 1:
            raise FaultError(f"share: {share!r} is wrong (allowed: number from 0 to 1)")
        ended = self._exchange.conductor.end(
            keys["how"],
            code=None if code is None else _whole("code", code),
            venue=None if venue is None else _venue(venue),
            share=share,
        )
        return _json({"ended": ended})

    async def _truth(self, request: web.Request) -> web.Response:
        needed = ("venue", "symbol", "interval", "first_ms", "last_ms")
        keys = _known(dict(request.query), needed, ())
        interval: Interval = parse_interval(keys["interval"])
        first_ms, last_ms = (_whole(key, keys[key]) for key in ("first_ms", "last_ms"))
        rows = self._exchange.candles(_venue(keys["venue"]), keys["symbol"], interval, first_ms, last_ms)
        return _json([(*row[:6], *row[7:11]) for row in rows])

    async def _symbols(self, request: web.Request) -> web.Response:
        keys = _known(dict(request.query), ("venue",), ())
        return _json(symbols_of(self._exchange.market, _venue(keys["venue"])))

    async def _ledger(self, _: web.Request) -> web.Response:
        return _json(self._exchange.ledger.as_json())

    async def _reset_ledger(self, _: web.Request) -> web.Response:
        self._exchange.ledger.reset()
        return _json({})


_LIFE: dict[str, tuple[Callable[..., Any], tuple[str, ...], tuple[str, ...]]] = {
    "list": (list_like, ("venue", "symbol", "like"), ("at_ms",)),
    "delist": (delist, ("venue", "symbol"), ()),
    "settle": (settle, ("venue", "symbol"), ()),
    "halt": (halt, ("venue", "symbol"), ()),
    "resume": (resume, ("venue", "symbol"), ()),
    "relist": (relist, ("venue", "symbol", "seed"), ()),
}
"""What can happen to a symbol: the function, the keys that have to be given, those that may be."""


@web.middleware
async def _complaining(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except (FaultError, UnknownWordError, ValueError) as wrong:
        return _json({"error": str(wrong)}, 400)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as wrong:
        routes = sorted({f"{route.method} {route.resource.canonical}" for route in request.app.router.routes()
                         if route.resource is not None and route.method != "HEAD"})  # fmt: skip
        return _json({"error": f"{request.method} {request.path} (allowed: {', '.join(routes)})"}, wrong.status)


async def _keys_of(request: web.Request) -> Keys:
    try:
        keys = json.loads(await request.text())
    except json.JSONDecodeError as wrong:
        raise FaultError(f"the body is not JSON: {wrong} (allowed: an object)") from None
    if not isinstance(keys, dict):
        raise FaultError("the body is no object (allowed: an object)")
    return keys


def _known(keys: Keys, needed: tuple[str, ...], optional: tuple[str, ...]) -> Keys:
    for key in keys:
        if key not in (*needed, *optional):
            raise FaultError(f"key {unknown(key, (*needed, *optional))}")
    for key in needed:
        if key not in keys:
            raise FaultError(f"{key} is needed (allowed: {', '.join((*needed, *optional))})")
    return keys


def _venue(name: Any) -> Venue:
    names = [venue.value for venue in Venue]
    if name not in names:
        raise FaultError(f"venue {unknown(name, names)}")
    return Venue(name)


def _whole(key: str, value: Any) -> int:
    text = str(value)
    if isinstance(value, bool) or not text.removeprefix("-").isdigit():
        raise FaultError(f"{key}: {value!r} is wrong (allowed: whole number)")
    return int(text)


def _name(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise FaultError(f"{key}: {value!r} is wrong (allowed: a symbol)")
    return value


_CHECKS: dict[str, Callable[[str, Any], Any]] = {"symbol": _name, "like": _name, "at_ms": _whole, "seed": _whole}


def _json(value: Any, status: int = 200) -> web.Response:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return web.Response(status=status, text=text, content_type="application/json")
