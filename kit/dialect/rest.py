"""The exchange's REST endpoints, each with its weight: one client for one venue.

Nothing is tried again in here: an error says by ``transient`` whether that can help, and the caller knows how long it
has. Errors of foreign libraries end here and become those of kit.errors.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Self
from urllib.parse import urlencode, urlsplit

import aiohttp
import msgspec
import structlog

from kit.budget import Urgency, WeightBudget
from kit.dialect.answers import Answer, judge
from kit.dialect.connector import SOCKS_ERRORS, open_session
from kit.dialect.funding import (
    FundingInfo,
    FundingRate,
    PremiumIndex,
    decode_funding_info,
    decode_funding_rates,
    decode_premium_index,
)
from kit.dialect.klines import Page, decode_rows
from kit.dialect.symbols import ExchangeInfo, decode_exchange_info
from kit.errors import (
    BadAnswerError,
    BannedError,
    ExchangeError,
    ForbiddenError,
    RefusedRequestError,
    StopError,
    UnreachableError,
)
from kit.exchange_clock import Local, read_local
from kit.outside import MEGABYTE, UNREADABLE
from kit.words import LAST_MS, Candle, Interval, Venue

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from kit.dialect.hosts import Host

# Spot's exchangeInfo has 6 MB without permission sets and 20 with them.
MAX_EXCHANGE_INFO_BYTES = 64 * MEGABYTE
# 1500 rows have 0.2 MB, a premiumIndex of all symbols 0.3.
MAX_BYTES = 8 * MEGABYTE
# The exchange allows 500 requests in any 5 minutes; whether it counts by the clock is not said, and two halves in two
# neighbouring windows of ours are never more.
FUNDING_REQUESTS = 250
FUNDING_WINDOW = timedelta(minutes=5)
MAX_FUNDING_RATES = 1000
# The clock that was known before serves when the exchange has told us to wait: nobody waits for weight to ask it,
# but for the turn of a minute, which the budget guards a little longer (1.3 s) while the clock is not known; the rest
# is for a process that wakes up late.
TIME_WAITS_MS = 3_000
EXCHANGE_INFO_WEIGHT = {Venue.SPOT: 20, Venue.UM: 1, Venue.CM: 1}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """The exchange's clock minus this machine's wall clock, in milliseconds, as all that is known of it now says."""

    offset_ms: int
    round_trip_ms: int


@dataclass(frozen=True, slots=True)
class _Request:
    name: str
    weight: int
    params: Mapping[str, str | int]
    urgency: Urgency
    deadline_ms: int | None = None
    max_bytes: int = MAX_BYTES
    funding: bool = False  # counts into the bucket of the funding endpoints instead


@dataclass(frozen=True, slots=True)
class _Exchange:
    """An answer with this machine's clocks before sending and after receiving."""

    answer: Answer
    sent: Local
    received: Local


class _Time(msgspec.Struct, rename="camel"):
    server_time: Annotated[int, msgspec.Meta(ge=0, le=LAST_MS)]


def budget_of(host: Host, folder: Path | None = None) -> WeightBudget:
    """The weight budget of a host's pool, to give to every client of that pool in this process."""
    return WeightBudget(host.pool, folder, limit=host.default_weight_limit)


class RestClient:
    """A venue's REST endpoints: ``async with RestClient(host, budget_of(host)) as client``.

    At most ``fetchers`` requests are under way at once. ``timeout`` bounds connecting, and each pause within an
    answer; four times as much bounds the whole. ``proxy`` is an http, https, socks4, socks5 or socks5h URL.

    Every method reserves its weight before it sends and raises of kit.errors: UnreachableError, BadAnswerError,
    MaintenanceError, RateLimitedError, BannedError, ForbiddenError, SymbolRefusedError, RefusedRequestError, and
    FolderNotWritableError where the budget cannot be kept. ``deadline_ms`` (the exchange's clock) ends the waiting for
    weight, not the request.
    """

    def __init__(
        self,
        host: Host,
        budget: WeightBudget,
        *,
        proxy: str | None = None,
        timeout: timedelta = timedelta(seconds=5),
        fetchers: int = 8,
    ) -> None:
        self.host = host
        self.budget = budget
        self._proxy = proxy
        self._timeout = timeout
        self._slots = asyncio.Semaphore(fetchers)
        # HISTORY that waits for weight must not keep NEWEST from asking for it.
        self._queues = {urgency: asyncio.Semaphore(fetchers) for urgency in Urgency}
        self._funding_budget: WeightBudget | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = open_session(self._proxy, self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        if self._funding_budget is not None:
            self._funding_budget.close()
            self._funding_budget = None

    async def server_time(self) -> int:
        """The exchange's clock, UTC milliseconds."""
        return _server_time((await self._ask_time()).answer)

    async def clock_offset(self, samples: int = 3) -> ClockOffset:
        """Ask for the time so often and tell the budgets; the difference of the clocks with the shortest round trip."""
        round_trips = []
        for _ in range(samples):
            exchange = await self._ask_time()
            server_ms = _server_time(exchange.answer)
            for budget in self._budgets():
                budget.hear_time(server_ms, exchange.sent, exchange.received)
            round_trips.append(exchange.received.steady_ms - exchange.sent.steady_ms)
        return ClockOffset(self.budget.clock().offset_ms, min(round_trips))

    async def exchange_info(self, *, deadline_ms: int | None = None) -> ExchangeInfo:
        """All symbols; the weight limit in the answer becomes the budget's."""
        # A spot symbol is 1.8 KB instead of 5.4 without its permission sets.
        params = {"showPermissionSets": "false"} if self.host.venue is Venue.SPOT else {}
        weight = EXCHANGE_INFO_WEIGHT[self.host.venue]
        request = _Request("exchangeInfo", weight, params, Urgency.NEWEST, deadline_ms, MAX_EXCHANGE_INFO_BYTES)
        info = decode_exchange_info(self.host.venue, await self._get(request))
        if info.weight_limit is not None:
            self.budget.set_limit(info.weight_limit)
        return info

    async def klines(
        self,
        symbol: str,
        interval: Interval,
        page: Page,
        urgency: Urgency = Urgency.HISTORY,
        *,
        deadline_ms: int | None = None,
    ) -> list[Candle]:
        """The candles of one page that the exchange has, ascending; those that never were are absent.

        The newest may not be final: compare its close with the exchange's clock. Rows outside the page are dropped.
        """
        params: dict[str, str | int] = {"symbol": symbol, "interval": interval.value, "limit": page.limit}
        params |= {"startTime": page.start_ms, "endTime": page.end_ms}
        body = await self._get(_Request("klines", page.weight, params, urgency, deadline_ms))
        candles = decode_rows(self.host.venue, symbol, body)
        _check_order(candles, symbol, interval)
        return [candle for candle in candles if page.start_ms <= candle.begin_ms < page.end_ms]

    async def premium_index(self, *, deadline_ms: int | None = None) -> tuple[PremiumIndex, ...]:
        """Mark price and forming funding rate of every symbol, whatever its status. Futures only."""
        self._require_futures("premiumIndex")
        body = await self._get(_Request("premiumIndex", 10, {}, Urgency.NEWEST, deadline_ms))
        return decode_premium_index(self.host.venue, body)

    async def funding_rates(
        self,
        symbol: str | None = None,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = MAX_FUNDING_RATES,
        urgency: Urgency = Urgency.NEWEST,
        deadline_ms: int | None = None,
    ) -> tuple[FundingRate, ...]:
        """Settlements, ascending; both ends inclusive. Of all symbols on USD-M when ``symbol`` is None; COIN-M
        requires one (and has none for quarterlies). Without times the most recent 200. Futures only."""
        self._require_futures("fundingRate")
        if self.host.venue is Venue.CM and symbol is None:
            raise RefusedRequestError("fundingRate of COIN-M needs a symbol")
        wanted = {"symbol": symbol, "startTime": start_ms, "endTime": end_ms, "limit": limit}
        params = {name: value for name, value in wanted.items() if value is not None}
        funding = self.host.venue is Venue.UM
        body = await self._get(_Request("fundingRate", 1, params, urgency, deadline_ms, funding=funding))
        return decode_funding_rates(self.host.venue, body)

    async def funding_info(self, *, deadline_ms: int | None = None) -> tuple[FundingInfo, ...]:
        """Funding intervals and bounds; symbols that are missing settle every 8 hours. Futures only."""
        self._require_futures("fundingInfo")
        funding = self.host.venue is Venue.UM
        # COIN-M's weight is not documented; the other lists of that size cost 1.
        body = await self._get(_Request("fundingInfo", 1, {}, Urgency.NEWEST, deadline_ms, funding=funding))
        return decode_funding_info(self.host.venue, body)

    def _require_futures(self, name: str) -> None:
        if self.host.venue is Venue.SPOT:
            raise RefusedRequestError(f"{name} exists on futures only")

    def _budgets(self) -> list[WeightBudget]:
        """The budgets of this client: the pool's, and on USD-M that of the funding endpoints."""
        return [self.budget, self._funding()] if self.host.venue is Venue.UM else [self.budget]

    def _funding(self) -> WeightBudget:
        if self._funding_budget is None:
            self._funding_budget = WeightBudget(
                self.host.funding_pool, self.budget.folder, limit=FUNDING_REQUESTS, window=FUNDING_WINDOW
            )
        return self._funding_budget

    async def _ask_time(self) -> _Exchange:
        return await self._send(_Request("time", 1, {}, Urgency.NEWEST, self.budget.now_ms() + TIME_WAITS_MS))

    async def _get(self, request: _Request) -> bytes:
        return (await self._send(request)).answer.body

    async def _send(self, request: _Request) -> _Exchange:
        """Reserve, send, settle, judge."""
        budget = self._funding() if request.funding else self.budget
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self._queues[request.urgency])
            reserve = budget.reserve(request.weight, request.urgency, deadline_ms=request.deadline_ms)
            reservation = await stack.enter_async_context(reserve)
            await stack.enter_async_context(self._slots)
            try:
                budget.check()  # somebody may have been told to stop while this one waited for a slot
                exchange = await self._fetch(request)
            except (NotConnectedError, StopError):
                reservation.cancel()
                raise
            answer = exchange.answer
            # What the funding endpoints say of the weight is about the other budget.
            used = None if request.funding else answer.used_weight
            reservation.settle(used_header=used, date_ms=answer.date_ms)
        problem = judge(answer, answer.date_ms or budget.now_ms())
        if problem is not None:
            self._tell_budgets(problem, budget)
            raise problem
        return exchange

    def _tell_budgets(self, problem: ExchangeError, budget: WeightBudget) -> None:
        """A 429 is about one bucket; a ban or a firewall is about this address, so about all of them."""
        if isinstance(problem, BannedError | ForbiddenError):
            for each in self._budgets():
                each.stop(problem)
        elif isinstance(problem, StopError):
            budget.stop(problem)

    async def _fetch(self, request: _Request) -> _Exchange:
        """One request over the wire; the seam at which foreign errors become ours."""
        if self._session is None:
            raise RuntimeError("RestClient is used outside of its `async with`")
        url = self.host.rest_url(request.name)
        shown = _without_user(url) + (f"?{urlencode(request.params)}" if request.params else "")
        try:
            sent = read_local()
            async with self._session.get(url, params=request.params, allow_redirects=False) as response:
                received = read_local()
                body = await _read_body(response, request.max_bytes, shown)
                answer = Answer(shown, response.status, response.headers, body)
                return _Exchange(answer, sent, received)
        except aiohttp.ClientConnectorCertificateError as error:
            raise NotConnectedError(self._not_trusted(error), url=shown) from error
        except aiohttp.ClientConnectorError as error:
            raise NotConnectedError(self._no_connection(error), url=shown) from error
        except TimeoutError as error:
            raise UnreachableError(self._no_connection("no answer in time"), url=shown) from error
        except aiohttp.ClientResponseError as error:
            raise BadAnswerError(f"not HTTP as it should be: {error.message}", url=shown) from error
        except (aiohttp.ClientError, OSError, *SOCKS_ERRORS) as error:
            raise UnreachableError(self._no_connection(error), url=shown) from error

    def _not_trusted(self, error: aiohttp.ClientConnectorCertificateError) -> str:
        host = urlsplit(self.host.rest).hostname
        why = getattr(error.certificate_error, "verify_message", "") or error.certificate_error
        return f"{host} is not believed to be itself: its TLS certificate is refused ({why})"

    def _no_connection(self, why: object) -> str:
        host = urlsplit(self.host.rest).hostname
        seconds = self._timeout.total_seconds()
        check = "the network and DNS of this machine"
        check += ", and that the proxy of config.json runs" if self._proxy else ""
        check += "; where this address is blocked, set `proxy` or `endpoints` in config.json"
        return f"cannot reach {host} (time-out {seconds:g} s): {why or type(why).__name__}; check {check}"


class NotConnectedError(UnreachableError):
    """No connection came about, so the exchange has nothing to count."""


async def _read_body(response: aiohttp.ClientResponse, max_bytes: int, url: str) -> bytes:
    """The body, at most ``max_bytes`` of it after decompression."""
    chunks = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > max_bytes:
            raise BadAnswerError(f"an answer of more than {max_bytes} bytes", url=url, status=response.status)
        chunks.append(chunk)
    return b"".join(chunks)


def _check_order(candles: list[Candle], symbol: str, interval: Interval) -> None:
    """Open times ascend, and are multiples of the interval (a listing's first candle too)."""
    before = -1
    for candle in candles:
        if candle.begin_ms <= before or candle.begin_ms % interval.ms:
            raise BadAnswerError(f"klines of {symbol} {interval}: open time {candle.begin_ms} is out of place")
        before = candle.begin_ms


def _server_time(answer: Answer) -> int:
    try:
        return msgspec.json.decode(answer.body, type=_Time).server_time
    except UNREADABLE as error:
        raise BadAnswerError(f"the exchange's time cannot be read: {error}", url=answer.url) from error


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
