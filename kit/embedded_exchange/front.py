"""The REST side of one port as a decision: from a request's words to status, headers and body. No I/O."""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING, NamedTuple

from kit.embedded_exchange.answers import Answer, no_such_path, too_much
from kit.embedded_exchange.rest import ENDPOINTS, Endpoint, Request, serve
from kit.embedded_exchange.weights import Verdict, WeightPool
from kit.words import Venue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kit.embedded_exchange.market import Market
    from kit.embedded_exchange.settings import Settings

TIME_UNIT_HEADER = "X-MBX-TIME-UNIT"  # spot only: MICROSECOND


class Asked(NamedTuple):
    """A GET request: decoded path and parameters, the client's address, and the time unit it wants."""

    path: str
    params: Mapping[str, str]
    address: str = "127.0.0.1"
    time_unit: str = ""


class Reply(NamedTuple):
    """What is sent back, and the weight it cost."""

    status: int
    headers: dict[str, str]
    body: bytes
    weight: int


class Front:
    """Weighs each request and passes those that may be served to their endpoint. State: the weight pool."""

    def __init__(self, market: Market, settings: Settings, *, spot: bool) -> None:
        self._market = market
        self._spot = spot
        self._venues = (Venue.SPOT,) if spot else (Venue.UM, Venue.CM)
        self._info: dict[str, tuple[tuple[int, int] | None, Answer | None]] = {}
        self._pool = WeightPool(
            settings.spot_weight_limit if spot else settings.futures_weight_limit,
            funding_limit=settings.funding_limit,
            ban_after=settings.ban_after,
            ban_s=settings.ban_s,
        )

    def reply(self, asked: Asked, now_ms: int) -> Reply:
        """The answer, a 404, or a 429 / 418 in place of an answer."""
        venue = next((one for one in self._venues if asked.path in ENDPOINTS[one]), None)
        if venue is None:
            return self._sent(no_such_path(self._venues[0], asked.path), 0, None, now_ms)
        endpoint = ENDPOINTS[venue][asked.path]
        weight = endpoint.weigh(asked.params)
        decision = self._pool.take(asked.address, weight, now_ms, funding=endpoint.funding)
        if decision.verdict is Verdict.SERVED:
            micro = self._spot and asked.time_unit.upper() == "MICROSECOND"
            request = Request(venue, self._market, asked.params, now_ms, self._pool.limit, microseconds=micro)
            answer = self._remembered(asked, now_ms) or self._served(endpoint, request, asked)
        else:
            answer = too_much(venue, decision, self._pool.limit, asked.address, now_ms)
        return self._sent(answer, weight, decision.used, now_ms)

    def _remembered(self, asked: Asked, now_ms: int) -> Answer | None:
        """Futures exchange info of this minute: large, and rarely changed (its ``serverTime`` is stale there, too)."""
        key, answer = self._info.get(asked.path, (None, None))
        return answer if key == self._info_key(now_ms) else None

    def _served(self, endpoint: Endpoint, request: Request, asked: Asked) -> Answer:
        answer = serve(endpoint, request)
        if not self._spot and asked.path.endswith("/exchangeInfo"):
            self._info[asked.path] = (self._info_key(request.now_ms), answer)
        return answer

    def _info_key(self, now_ms: int) -> tuple[int, int]:
        return self._market.revision, now_ms // 60_000

    def _sent(self, answer: Answer, weight: int, used: int | None, now_ms: int) -> Reply:
        html = answer.body.startswith(b"<")
        headers = {
            "Date": formatdate(now_ms / 1000, usegmt=True),
            "Content-Type": "text/html" if html else "application/json;charset=UTF-8",
        }
        if used is not None:
            headers["X-MBX-USED-WEIGHT-1M"] = str(used)
            if self._spot:
                headers["X-MBX-USED-WEIGHT"] = str(used)
        if answer.retry_after_s is not None:
            headers["Retry-After"] = str(answer.retry_after_s)
        return Reply(answer.status, headers, answer.body, weight)
