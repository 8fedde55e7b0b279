from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from kit.budget import Urgency, WeightBudget
from kit.dialect.hosts import Endpoints, host_of
from kit.dialect.klines import Page
from kit.dialect.rest import FUNDING_REQUESTS, RestClient, budget_of
from kit.errors import (
    BadAnswerError,
    BannedError,
    RateLimitedError,
    RefusedRequestError,
    SymbolRefusedError,
    UnreachableError,
)
from kit.words import Interval, Venue
from tests.dialect.gateway import Gateway, refusal, running_gateway, running_socks5
from tests.ports import nobodys_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

BEGIN = 1_795_348_800_000
UNREACHABLE = r"cannot reach 127\.0\.0\.1.*check.*`proxy` or `endpoints`"
PAGE = Page(BEGIN, BEGIN + 119_999, 2, 1)


def row(begin: int) -> list[object]:
    return [begin, "1", "2", "0.5", "1.5", "10", begin + 59_999, "15", 3, "4", "6", "0"]


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with running_gateway() as running:
        yield running


@contextlib.asynccontextmanager
async def client_of(
    url: str, folder: Path, venue: Venue = Venue.UM, proxy: str | None = None, **settings: object
) -> AsyncIterator[RestClient]:
    host = host_of(venue, Endpoints(rest=url), proxy=proxy)
    with contextlib.closing(budget_of(host, folder)) as budget:
        # So that no test has to wait at a minute's turn.
        budget._terms = type(budget._terms)(budget._terms.default_limit, 10**14)
        # A machine that stands still for some seconds is no exchange that does not answer.
        async with RestClient(host, budget, proxy=proxy, **{"timeout": timedelta(seconds=60), **settings}) as client:
            yield client


@pytest.fixture
async def client(gateway: Gateway, tmp_path: Path) -> AsyncIterator[RestClient]:
    async with client_of(gateway.url, tmp_path) as made:
        yield made


async def test_klines_are_asked_for_with_both_times_and_the_symbol_in_utf8(gateway: Gateway, client: RestClient):
    gateway.answers["/fapi/v1/klines"] = [row(BEGIN), row(BEGIN + 60_000)]
    candles = await client.klines("币安人生USDT", Interval.M1, PAGE)
    assert [candle.begin_ms for candle in candles] == [BEGIN, BEGIN + 60_000]
    assert candles[0].symbol == "币安人生USDT"
    wanted = {
        "symbol": "币安人生USDT",
        "interval": "1m",
        "limit": "2",
        "startTime": str(BEGIN),
        "endTime": str(BEGIN + 119_999),
    }
    assert gateway.requests == [("/fapi/v1/klines", wanted)]


async def test_rows_outside_the_page_are_dropped(gateway: Gateway, client: RestClient):
    gateway.answers["/fapi/v1/klines"] = [row(BEGIN - 60_000), row(BEGIN), row(BEGIN + 120_000)]
    assert [candle.begin_ms for candle in await client.klines("A", Interval.M1, PAGE)] == [BEGIN]


@pytest.mark.parametrize("begins", [[BEGIN + 60_000, BEGIN], [BEGIN, BEGIN], [BEGIN + 1]])
async def test_rows_out_of_place_are_a_bad_answer(gateway: Gateway, client: RestClient, begins: list[int]):
    gateway.answers["/fapi/v1/klines"] = [row(begin) for begin in begins]
    with pytest.raises(BadAnswerError):
        await client.klines("A", Interval.M1, PAGE)


async def test_the_header_settles_the_weight(gateway: Gateway, client: RestClient):
    gateway.answers["/fapi/v1/klines"] = []
    gateway.headers["X-MBX-USED-WEIGHT-1M"] = "345"
    await client.klines("A", Interval.M1, PAGE)
    assert (client.budget.snapshot().used, client.budget.snapshot().outstanding) == (345, 0)


async def test_both_futures_venues_spend_from_one_pool(gateway: Gateway, client: RestClient, tmp_path: Path):
    async with client_of(gateway.url, tmp_path, Venue.CM) as coin:
        gateway.answers["/dapi/v1/premiumIndex"] = []
        await coin.premium_index()
        assert client.budget.snapshot().used == 10


async def test_exchange_info_tells_the_budget_its_limit(gateway: Gateway, tmp_path: Path):
    limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 1234}
    pair = {"symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT"}
    gateway.answers["/api/v3/exchangeInfo"] = {"rateLimits": [limit], "symbols": [pair]}
    async with client_of(gateway.url, tmp_path, Venue.SPOT) as client:
        assert client.budget.snapshot().limit == 6000
        info = await client.exchange_info()
        assert [each.symbol for each in info.symbols] == ["BTCUSDT"]
        assert (client.budget.snapshot().limit, client.budget.snapshot().used) == (1234, 20)
    assert gateway.requests[0][1] == {"showPermissionSets": "false"}


async def test_funding_of_usd_margined_has_a_bucket_of_its_own(gateway: Gateway, client: RestClient):
    gateway.answers["/fapi/v1/fundingRate"] = [{"symbol": "A", "fundingTime": 3_600_002, "fundingRate": "0.1"}]
    gateway.answers["/fapi/v1/fundingInfo"] = [{"symbol": "A", "fundingIntervalHours": 4}]
    (rate,) = await client.funding_rates(start_ms=1, end_ms=2)
    (info,) = await client.funding_info()
    assert (rate.funding_ms, info.interval_hours) == (3_600_000, 4)
    assert gateway.requests[0][1] == {"startTime": "1", "endTime": "2", "limit": "1000"}
    assert client.budget.snapshot().used == 0
    funding = client._funding().snapshot()
    assert (funding.used, funding.limit) == (2, FUNDING_REQUESTS)


async def test_what_a_venue_does_not_have_is_refused_without_a_request(gateway: Gateway, tmp_path: Path):
    async with client_of(gateway.url, tmp_path, Venue.SPOT) as spot, client_of(gateway.url, tmp_path, Venue.CM) as coin:
        for call in (spot.premium_index, spot.funding_rates, spot.funding_info, coin.funding_rates):
            with pytest.raises(RefusedRequestError):
                await call()
    assert gateway.requests == []


async def test_the_clocks_difference_is_measured_and_told(gateway: Gateway, client: RestClient):
    async def ahead(_: web.Request) -> web.Response:
        return web.json_response({"serverTime": time.time_ns() // 1_000_000 + 5_000})

    gateway.answers["/fapi/v1/time"] = ahead
    measured = await client.clock_offset()
    assert abs(measured.offset_ms - 5_000) <= measured.round_trip_ms + 3  # each clock is cut to milliseconds
    assert abs(client.budget.snapshot().clock_offset_ms - measured.offset_ms) <= 1
    assert len(gateway.requests) == 3
    assert abs(await client.server_time() - client.budget.now_ms()) < 5_000


async def test_a_429_holds_the_next_request_back(gateway: Gateway, client: RestClient):
    gateway.answers["/fapi/v1/klines"] = refusal(429, '{"code":-1003,"msg":"Too many"}', **{"Retry-After": "3600"})
    with pytest.raises(RateLimitedError) as told:
        await client.klines("A", Interval.M1, PAGE)
    with pytest.raises(RateLimitedError) as held:
        await client.klines("A", Interval.M1, PAGE)
    assert held.value.until_ms == told.value.until_ms
    assert len(gateway.requests) == 1


async def test_a_ban_holds_back_every_bucket_and_later_processes(gateway: Gateway, client: RestClient, tmp_path: Path):
    until = time.time_ns() // 1_000_000 + 600_000
    gateway.answers["/fapi/v1/fundingInfo"] = refusal(418, f'{{"code":-1003,"msg":"IP banned until {until}."}}')
    with pytest.raises(BannedError):
        await client.funding_info()
    async with client_of(gateway.url, tmp_path, Venue.CM) as later:
        with pytest.raises(BannedError) as held:
            await later.server_time()
    assert held.value.until_ms == until
    assert len(gateway.requests) == 1


async def test_a_symbol_the_exchange_refuses_is_told_as_such(gateway: Gateway, client: RestClient):
    gateway.answers["/fapi/v1/klines"] = refusal(400, '{"code":-1122,"msg":"Invalid symbol status."}')
    with pytest.raises(SymbolRefusedError, match="symbol=OMGUSDT") as told:
        await client.klines("OMGUSDT", Interval.M1, PAGE)
    assert (told.value.code, told.value.transient) == (-1122, False)


async def test_a_redirect_is_not_followed(gateway: Gateway, client: RestClient):
    gateway.answers["/fapi/v1/time"] = refusal(302, "", Location="/elsewhere")
    with pytest.raises(BadAnswerError):
        await client.server_time()
    assert gateway.paths() == ["/fapi/v1/time"]


async def test_an_endless_answer_is_cut_off(gateway: Gateway, client: RestClient):
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                await response.write(b"[" * 100_000)
        return response

    gateway.answers["/fapi/v1/klines"] = endless
    with pytest.raises(BadAnswerError, match="more than"):
        await client.klines("A", Interval.M1, PAGE)


async def test_a_torn_answer_is_unreachable(gateway: Gateway, client: RestClient):
    async def torn(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'[[1,"2"')
        request.transport.close()
        return response

    gateway.answers["/fapi/v1/klines"] = torn
    with pytest.raises(UnreachableError) as told:
        await client.klines("A", Interval.M1, PAGE)
    assert told.value.transient
    assert client.budget.snapshot().used == 1


async def test_no_answer_in_time_is_unreachable_and_counts_as_sent(gateway: Gateway, tmp_path: Path):
    async def silent(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    gateway.answers["/fapi/v1/time"] = silent
    async with client_of(gateway.url, tmp_path, timeout=timedelta(milliseconds=50)) as client:
        with pytest.raises(UnreachableError, match="no answer in time"):
            await client.server_time()
        assert client.budget.snapshot().used == 1


async def test_no_connection_names_the_host_and_what_to_check_and_costs_no_weight(tmp_path: Path):
    with nobodys_port() as port:
        async with client_of(f"http://user:secret@127.0.0.1:{port}", tmp_path) as client:
            with pytest.raises(UnreachableError, match=UNREACHABLE) as told:
                await client.server_time()
            assert client.budget.snapshot().used == 0
    assert "secret" not in str(told.value)


async def test_no_more_than_the_fetchers_are_under_way(gateway: Gateway, tmp_path: Path):
    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(0.01)
        return web.json_response([])

    gateway.answers["/fapi/v1/klines"] = slow
    async with client_of(gateway.url, tmp_path, fetchers=3) as client:
        urgencies = [Urgency.HISTORY, Urgency.NEWEST] * 10
        await asyncio.gather(*(client.klines("A", Interval.M1, PAGE, urgency) for urgency in urgencies))
    assert len(gateway.requests) == 20
    assert gateway.most_under_way == 3


async def test_a_deadline_ends_the_waiting_for_weight(gateway: Gateway, client: RestClient):
    client.budget.set_limit(10)
    gateway.answers["/fapi/v1/klines"] = []
    gateway.headers["X-MBX-USED-WEIGHT-1M"] = "10"
    await client.klines("A", Interval.M1, PAGE)
    with pytest.raises(RateLimitedError):
        await client.klines("A", Interval.M1, PAGE, deadline_ms=client.budget.now_ms() + 1_000)


async def test_an_http_proxy_is_used(gateway: Gateway, tmp_path: Path):
    gateway.answers["/fapi/v1/time"] = {"serverTime": 5}
    async with client_of("http://nowhere.invalid", tmp_path, proxy=gateway.url) as client:
        assert await client.server_time() == 5


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
async def test_a_socks_proxy_is_used(gateway: Gateway, tmp_path: Path, scheme: str):
    gateway.answers["/fapi/v1/time"] = {"serverTime": 5}
    async with running_socks5(int(gateway.url.rpartition(":")[2])) as (port, asked):
        target = "http://nowhere.invalid" if scheme == "socks5h" else "http://127.0.0.1:9"
        async with client_of(target, tmp_path, proxy=f"{scheme}://127.0.0.1:{port}") as client:
            assert await client.server_time() == 5
    assert asked == [target.removeprefix("http://").partition(":")[0]]


async def test_a_proxy_that_is_not_there_is_unreachable(tmp_path: Path):
    for scheme in ("http", "socks5"):
        async with client_of("http://127.0.0.1:9", tmp_path, proxy=f"{scheme}://user:secret@127.0.0.1:9") as client:
            with pytest.raises(UnreachableError, match="proxy") as told:
                await client.server_time()
        assert "secret" not in str(told.value)


async def test_outside_its_block_the_client_says_so(tmp_path: Path):
    host = host_of(Venue.UM, Endpoints(rest="http://127.0.0.1:9"))
    with contextlib.closing(WeightBudget(host.pool, tmp_path)) as budget:
        budget._terms = type(budget._terms)(2400, 10**14)
        with pytest.raises(RuntimeError, match="async with"):
            await RestClient(host, budget).server_time()
