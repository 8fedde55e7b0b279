"""What the second exchange answers over REST: decided here from what is listed and true, without any I/O."""

from __future__ import annotations

import random
from typing import Any

from tests.second_exchange.universe import (
    FOREVER_MS,
    INTERVAL_MS,
    PLACEHOLDER_ONBOARD_MS,
    Instrument,
    Row,
    Truth,
)

MAX_LIMIT = {"spot": 1000, "um": 1500, "cm": 1500}
CM_WINDOW_MS = 200 * 86_400_000


class RefusedError(Exception):
    """An error body of the exchange."""

    def __init__(self, status: int, code: int, msg: str) -> None:
        self.status, self.body = status, {"code": code, "msg": msg}


class Answers:
    """Answers in the exchange's words, fields in any order and unknown ones among them."""

    def __init__(
        self, listed: dict[str, dict[str, Instrument]], truth: Truth, rng: random.Random, weight_limit: int
    ) -> None:
        self.listed, self.truth, self.rng, self.weight_limit = listed, truth, rng, weight_limit

    def shuffled(self, fields: dict[str, Any]) -> dict[str, Any]:
        fields["zzNew"] = {"nested": [1, None, "x"]}
        keys = list(fields)
        self.rng.shuffle(keys)
        return {key: fields[key] for key in keys}

    def instrument(self, venue: str, params: dict[str, str], now: int) -> Instrument:
        one = self.listed[venue].get(params.get("symbol", ""))
        if one is None or not one.state(now):
            raise RefusedError(400, -1121, "Invalid symbol.")
        if venue == "um" and one.state(now) in {"SETTLING", "CLOSE", "PENDING_TRADING"}:
            raise RefusedError(400, -1122, "Invalid symbol status.")
        return one

    def klines(self, venue: str, params: dict[str, str], now: int, unit: int) -> list[list[Any]]:
        known = {"symbol", "interval", "startTime", "endTime", "limit"} | ({"timeZone"} if venue == "spot" else set())
        if venue == "spot" and set(params) - known:
            raise RefusedError(400, -1104, "Not all sent parameters were read.")
        one = self.instrument(venue, params, now)
        interval = params.get("interval", "")
        if interval not in INTERVAL_MS or (venue != "spot" and interval == "1s"):
            raise RefusedError(400, -1120, "Invalid interval.")
        limit = int(params.get("limit", "500"))
        if not 1 <= limit <= MAX_LIMIT[venue]:
            raise RefusedError(400, -1130, "Data sent for parameter 'limit' is not valid.")
        length = INTERVAL_MS[interval]
        start, end = (self._moment(params.get(key), unit) for key in ("startTime", "endTime"))
        oldest_first = start is not None and venue != "cm"
        if venue == "cm":
            if start is not None and end is not None and end - start > CM_WINDOW_MS:
                raise RefusedError(400, -1127, "More than 200 days between startTime and endTime.")
            if end is None:
                end = min(now, start + CM_WINDOW_MS) if start is not None else now
        end = now if end is None else min(end, now)
        reach = limit * 3 * length + 200 * length  # holes and late listings never need more in these tests
        first = start if start is not None else end - reach
        if not oldest_first:
            first = max(first, end - reach)
        first += -first % length
        begins: list[int] = []
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
            raise RefusedError(400, -1100, "Illegal characters found in a parameter.")
        value = int(text)
        return value // 1000 if unit == 1000 and value > 10**14 else value

    def _rest_row(self, one: Instrument, interval: str, begin: int, now: int, unit: int) -> list[Any]:
        length = INTERVAL_MS[interval]
        unready = now < begin + length + one.stale_ms
        row: Row = (self.truth.unfinished if unready else self.truth.final)(one, interval, begin)
        closing = (begin + length) * unit - 1
        return [begin * unit, *row[:5], closing, row[5], row[6], row[7], row[8], "0"]

    def exchange_info(self, venue: str, params: dict[str, str], now: int, _unit: int) -> dict[str, Any]:
        known = {"symbol", "symbols", "permissions", "showPermissionSets", "symbolStatus"}
        if venue == "spot" and set(params) - known:
            raise RefusedError(400, -1104, "Not all sent parameters were read.")
        symbols = [self._listing(one, now) for one in self.listed[venue].values() if one.state(now)]
        wanted = params.get("symbolStatus")
        self.rng.shuffle(symbols)
        limits = [
            {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 300_000},
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": self.weight_limit},
            {"rateLimitType": "MOOD", "interval": "FORTNIGHT", "intervalNum": 1, "limit": 7},
        ]
        return self.shuffled({
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
            return self.shuffled(common | permissions | {"status": status})
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
        return self.shuffled(common | more)

    def funding_rate(self, venue: str, params: dict[str, str], now: int, _unit: int) -> list[dict[str, Any]]:
        if venue == "cm" and "symbol" not in params:
            raise RefusedError(400, -1102, "Mandatory parameter 'symbol' was not sent.")
        return []

    def premium_index(self, venue: str, params: dict[str, str], now: int, _unit: int) -> list[dict[str, Any]]:
        return []
