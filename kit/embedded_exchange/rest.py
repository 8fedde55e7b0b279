"""The REST endpoints: each a function from parameters and time to an answer or a refusal, without I/O."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kit.embedded_exchange import funding, klines
from kit.embedded_exchange.answers import Answer, RefusedError, answer, illegal, missing, refused
from kit.embedded_exchange.faults.active import Faults
from kit.embedded_exchange.faults.rest_tape import rest_tape
from kit.embedded_exchange.weights import futures_klines_weight
from kit.errors import UnknownWordError
from kit.words import Interval, Venue, parse_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kit.embedded_exchange.instrument import Instrument
    from kit.embedded_exchange.market import Market

_FUNDING_DEFAULT_LIMIT, _FUNDING_MAX_LIMIT = 100, 1000
_FUNDING_WITHOUT_TIMES = 200  # "most recent 200" when no times are given
_MICROSECONDS_FROM = 10**14  # spot accepts times in both units


@dataclass(frozen=True)
class Request:
    """What an endpoint gets to see."""

    venue: Venue
    market: Market
    params: Mapping[str, str]
    now_ms: int
    weight_limit: int
    faults: Faults
    microseconds: bool = False

    def number(self, name: str) -> int | None:
        """A whole-number parameter, or None where it was not sent.

        Raises:
            RefusedError: it is something else.
        """
        text = self.params.get(name)
        if text is None:
            return None
        if not (text.isascii() and text.isdigit()):
            raise illegal(name)
        return int(text)

    def time(self, name: str) -> int | None:
        """A time in milliseconds; spot takes microseconds as well."""
        value = self.number(name)
        if value is not None and value >= _MICROSECONDS_FROM and self.venue is Venue.SPOT:
            return value // 1000
        return value


@dataclass(frozen=True)
class Endpoint:
    """``weigh`` tells the request weight from the parameters; ``funding``: counts in the five-minute bucket too."""

    serve: Callable[[Request], Answer]
    weigh: Callable[[Mapping[str, str]], int]
    funding: bool = False


def _flat(weight: int) -> Callable[[Mapping[str, str]], int]:
    return lambda _: weight


def _klines_weight(params: Mapping[str, str]) -> int:
    limit = params.get("limit", str(klines.DEFAULT_LIMIT))
    return futures_klines_weight(int(limit)) if limit.isascii() and limit.isdigit() else 1


def ping(_: Request) -> Answer:
    """``{}``"""
    return answer({})


def server_time(request: Request) -> Answer:
    """``{"serverTime": ...}``"""
    return answer({"serverTime": request.now_ms * (1000 if request.microseconds else 1)})


def candles(request: Request) -> Answer:
    """``klines``: rows of twelve, ascending; the last one may still be open."""
    instrument = _asked_instrument(request)
    interval = _asked_interval(request)
    window = klines.window_of(request.venue, _ask(request, interval), request.now_ms)
    if instrument.refuses_klines:
        raise refused("status")
    if not instrument.has_klines:
        return answer([])
    tape = request.market.tape(instrument)
    if request.faults:
        tape = rest_tape(request.faults, instrument, tape, request.now_ms)
    bars = klines.rows_in(tape, window, interval.ms, request.now_ms)
    body = klines.page_json(bars, instrument.scales, interval.ms, microseconds=request.microseconds)
    return Answer(200, body)


def _asked_instrument(request: Request) -> Instrument:
    symbol = request.params.get("symbol")
    if not symbol:
        raise missing("symbol")
    instrument = request.market.get(request.venue, symbol)
    if instrument is None:
        raise refused("symbol")
    return instrument


def _asked_interval(request: Request) -> Interval:
    if not request.params.get("interval"):
        raise missing("interval")
    try:
        interval = parse_interval(request.params["interval"])
    except UnknownWordError:
        raise refused("interval") from None
    if interval is Interval.S1 and request.venue is not Venue.SPOT:
        raise refused("interval")
    return interval


def _ask(request: Request, interval: Interval) -> klines.Ask:
    limit = request.number("limit")
    most = klines.MAX_LIMITS[request.venue]
    if limit is not None and (limit < 1 or (limit > most and request.venue is not Venue.SPOT)):
        raise refused("limit")
    # Spot cuts a larger limit down in silence, futures refuse it.
    rows = min(limit or klines.DEFAULT_LIMIT, most)
    return klines.Ask(interval.ms, request.time("startTime"), request.time("endTime"), rows)


def exchange_info(request: Request) -> Answer:
    """Every symbol with its record; spot can be asked for a few, or without the long permission sets."""
    listed = request.market.instruments(request.venue)
    if request.venue is Venue.SPOT:
        listed = _spot_choice(request, listed)
    records = [dict(one.record) for one in listed]
    if request.params.get("showPermissionSets") == "false":
        records = [{**record, "permissionSets": []} for record in records]
    head = {"timezone": "UTC", "serverTime": request.now_ms * (1000 if request.microseconds else 1)}
    head |= {"exchangeFilters": [], **request.market.headers[request.venue]}
    if request.venue is Venue.UM:
        head = {"futuresType": "U_MARGINED", "assets": _assets(), **head}
    return answer({**head, "rateLimits": _rate_limits(request), "symbols": records})


def _spot_choice(request: Request, listed: list[Instrument]) -> list[Instrument]:
    names = [request.params["symbol"]] if "symbol" in request.params else None
    if "symbols" in request.params:
        try:
            names = json.loads(request.params["symbols"])
        except json.JSONDecodeError:
            raise illegal("symbols") from None
    if names is not None:
        known = {one.symbol: one for one in listed}
        if not all(name in known for name in names):
            raise refused("symbol")
        return [known[name] for name in names]
    status = request.params.get("symbolStatus")
    return [one for one in listed if status in (None, one.status)]


def _rate_limits(request: Request) -> list[dict[str, Any]]:
    def limit(kind: str, interval: str, number: int, most: int) -> dict[str, Any]:
        return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": most}

    weight = limit("REQUEST_WEIGHT", "MINUTE", 1, request.weight_limit)
    if request.venue is not Venue.SPOT:
        return [weight, limit("ORDERS", "MINUTE", 1, 1200)]
    orders = [limit("ORDERS", "SECOND", 10, 100), limit("ORDERS", "DAY", 1, 200_000)]
    return [weight, *orders, limit("RAW_REQUESTS", "MINUTE", 5, 300_000)]


def _assets() -> list[dict[str, Any]]:
    return [{"asset": name, "marginAvailable": True, "autoAssetExchange": "-10000"} for name in ("USDT", "USDC", "BTC")]


def premium_index(request: Request) -> Answer:
    """UM: an object for one symbol, an array for all; CM: always an array, also by ``pair``."""
    listed = [one for one in request.market.instruments(request.venue) if one.has_klines]
    symbol, pair = request.params.get("symbol"), request.params.get("pair")
    if symbol:
        listed = [one for one in listed if one.symbol == symbol]
        if not listed:
            raise refused("symbol")
    elif pair and request.venue is Venue.CM:
        listed = [one for one in listed if one.record["pair"] == pair]
    rows = [funding.premium(one, request.market.tape(one), request.now_ms) for one in listed]
    return answer(rows[0] if symbol and request.venue is Venue.UM else rows)


def funding_rates(request: Request) -> Answer:
    """Settlements, ascending. Without times the newest 200 (UM); with a start the oldest ``limit`` from there."""
    symbol = request.params.get("symbol")
    if not symbol and request.venue is Venue.CM:
        raise missing("symbol")
    limit = request.number("limit")
    if limit is not None and not 1 <= limit <= _FUNDING_MAX_LIMIT:
        raise refused("limit")
    start_ms, end_ms = request.time("startTime"), request.time("endTime")
    listed = [one for one in request.market.instruments(request.venue) if symbol in (None, one.symbol)]
    if not listed:
        raise refused("symbol")
    until_ms = request.now_ms if end_ms is None else min(end_ms, request.now_ms)
    count = (
        _FUNDING_WITHOUT_TIMES
        if limit is None and start_ms is None and end_ms is None
        else limit or _FUNDING_DEFAULT_LIMIT
    )
    # Far enough for `count` rows at the longest step, though only some of the symbols may settle at all.
    settling = max(1, sum(map(funding.has_funding, listed)))
    back_ms = (count // settling + 2) * 8 * funding.HOUR_MS
    from_ms = until_ms - back_ms if start_ms is None else start_ms
    until_ms = min(until_ms, from_ms + back_ms)
    rows = [row for one in listed for row in funding.settlements(one, request.market.tape(one), from_ms, until_ms)]
    rows.sort(key=lambda row: int(row["fundingTime"]))
    return answer(rows[-count:] if start_ms is None else rows[:count])


def funding_infos(request: Request) -> Answer:
    """Funding interval, cap and floor of every perpetual."""
    listed = [one for one in request.market.instruments(request.venue) if funding.has_funding(one)]
    return answer([funding.funding_info(one) for one in listed])


def _futures(prefix: str, *, um: bool) -> dict[str, Endpoint]:
    return {
        f"{prefix}/ping": Endpoint(ping, _flat(1)),
        f"{prefix}/time": Endpoint(server_time, _flat(1)),
        f"{prefix}/exchangeInfo": Endpoint(exchange_info, _flat(1)),
        f"{prefix}/klines": Endpoint(candles, _klines_weight),
        f"{prefix}/premiumIndex": Endpoint(
            premium_index, (lambda params: 1 if params.get("symbol") else 10) if um else _flat(10)
        ),
        f"{prefix}/fundingRate": Endpoint(funding_rates, _flat(0 if um else 1), funding=um),
        f"{prefix}/fundingInfo": Endpoint(funding_infos, _flat(0 if um else 1), funding=um),
    }


ENDPOINTS: dict[Venue, dict[str, Endpoint]] = {
    Venue.SPOT: {
        "/api/v3/ping": Endpoint(ping, _flat(1)),
        "/api/v3/time": Endpoint(server_time, _flat(1)),
        "/api/v3/exchangeInfo": Endpoint(exchange_info, _flat(20)),
        "/api/v3/klines": Endpoint(candles, _flat(2)),
    },
    Venue.UM: _futures("/fapi/v1", um=True),
    Venue.CM: _futures("/dapi/v1", um=False),
}


def serve(endpoint: Endpoint, request: Request) -> Answer:
    """The endpoint's answer, a refusal included."""
    try:
        return endpoint.serve(request)
    except RefusedError as no:
        return no.refusal
