"""The REST side of one port as a decision: from a request's words to status, headers and body. No I/O."""

from __future__ import annotations

from dataclasses import replace
from email.utils import formatdate
from typing import TYPE_CHECKING, NamedTuple

from kit.embedded_exchange.answers import Answer, no_such_path, too_much
from kit.embedded_exchange.clock import Clock
from kit.embedded_exchange.faults.active import Faults
from kit.embedded_exchange.faults.answers import spoiled, struck
from kit.embedded_exchange.faults.fault import Fault
from kit.embedded_exchange.ledger import Ledger
from kit.embedded_exchange.rest import ENDPOINTS, Endpoint, Request, serve
from kit.embedded_exchange.weights import Decision, Verdict, WeightPool
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
    """What is sent back, the weight it cost, and how it is to be delivered (see :class:`Answer`)."""

    status: int
    headers: dict[str, str]
    body: bytes
    weight: int
    delivery: str = "whole"
    late_ms: int = 0


class Front:
    """Weighs each request and passes those that may be served to their endpoint. State: the weight pool."""

    def __init__(
        self,
        market: Market,
        settings: Settings,
        *,
        spot: bool,
        faults: Faults | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self._faults = Faults(Clock(), settings.seed) if faults is None else faults
        self._ledger = ledger_of(settings) if ledger is None else ledger
        self._market = market
        self._spot = spot
        self._venues = (Venue.SPOT,) if spot else (Venue.UM, Venue.CM)
        self._info: dict[str, tuple[tuple[int, int] | None, Answer | None]] = {}
        self._pool_name = "spot" if spot else "futures"
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
        self._ledger.weighed(self._pool_name, asked.address, decision, now_ms)
        fault = None
        if decision.verdict is Verdict.SERVED:
            micro = self._spot and asked.time_unit.upper() == "MICROSECOND"
            limit = self._pool.limit
            request = Request(venue, self._market, asked.params, now_ms, limit, self._faults, microseconds=micro)

            def honest() -> Answer:
                return self._remembered(asked, now_ms) or self._served(endpoint, request, asked)

            fault = struck(self._faults, venue, asked.path, asked.params) if self._faults else None
            if fault is None:
                answer = honest()
            else:
                refusal = self._refusal(fault.fault, venue, asked, decision.used, now_ms)
                answer = refusal or spoiled(fault, honest)
        else:
            answer = too_much(venue, decision, self._pool.limit, asked.address, now_ms)
        self._ledger.answered(asked.path, answer.status, by_fault=fault is not None)
        if answer.status == Verdict.LIMITED.value and answer.retry_after_s is not None:
            self._ledger.told_to_wait(self._pool_name, asked.address, now_ms + answer.retry_after_s * 1000)
        return self._sent(answer, weight, decision.used, now_ms)

    def _refusal(self, fault: Fault, venue: Venue, asked: Asked, used: int, now_ms: int) -> Answer | None:
        """A refusal for weight that a fault wants, brought about as the honest ones are; None: it wants another."""
        if fault.name == "rest_418":
            decision = self._pool.ban(asked.address, int(fault.number("ban_s") * 1000), now_ms)
        elif fault.name == "rest_429":
            decision = Decision(Verdict.LIMITED, used, (now_ms // 60_000 + 1) * 60_000)
        else:
            return None
        answer = too_much(venue, decision, self._pool.limit, asked.address, now_ms)
        wait_s = fault.own.get("retry_after_s")
        return replace(answer, retry_after_s=wait_s) if isinstance(wait_s, int) else answer

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
        headers |= answer.headers
        return Reply(answer.status, headers, answer.body, weight, answer.delivery, answer.late_ms)


def ledger_of(settings: Settings) -> Ledger:
    """An empty ledger that knows the weight limits."""
    return Ledger({"spot": settings.spot_weight_limit, "futures": settings.futures_weight_limit})
