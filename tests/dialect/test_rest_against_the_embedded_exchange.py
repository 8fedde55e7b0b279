"""The client and the embedded exchange were written apart from the same documents; here they judge each other."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from kit.dialect.hosts import Endpoints, host_of
from kit.dialect.klines import plan_pages
from kit.dialect.rest import RestClient, budget_of
from kit.dialect.symbols import select, trades
from kit.embedded_exchange import EmbeddedExchange, Settings
from kit.errors import RateLimitedError, SymbolRefusedError
from kit.words import Interval, TradeType, Venue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SYMBOL = {Venue.SPOT: "BTCUSDT", Venue.UM: "BTCUSDT", Venue.CM: "BTCUSD_PERP"}


@contextlib.asynccontextmanager
async def client_of(exchange: EmbeddedExchange, venue: Venue, folder: Path) -> AsyncIterator[RestClient]:
    rest = exchange.spot.rest if venue is Venue.SPOT else exchange.futures.rest
    host = host_of(venue, Endpoints(rest=rest))
    with contextlib.closing(budget_of(host, folder)) as budget:
        budget.set_clock_offset(exchange.clock.skew_ms)
        async with RestClient(host, budget, timeout=timedelta(seconds=60)) as client:
            yield client


def far_from_a_turn(exchange: EmbeddedExchange) -> None:
    """A third into a minute of the exchange: what is used in it stays used while a test looks."""
    exchange.clock.skew_ms += 20_000 - exchange.clock.now_ms() % 60_000


@pytest.fixture
async def exchange() -> AsyncIterator[EmbeddedExchange]:
    async with EmbeddedExchange(Settings(symbols=10)) as running:
        far_from_a_turn(running)
        yield running


@pytest.mark.parametrize("venue", Venue)
async def test_planned_pages_bring_every_candle_exactly(exchange: EmbeddedExchange, venue: Venue, tmp_path: Path):
    async with client_of(exchange, venue, tmp_path) as client:
        last = (await client.server_time()) // 60_000 * 60_000 - 60_000
        first = last - 1_099 * 60_000
        pages = plan_pages(venue, Interval.M1, first, last)
        symbol = SYMBOL[venue]
        answers = await asyncio.gather(*(client.klines(symbol, Interval.M1, page) for page in pages))
    candles = [candle for answer in reversed(answers) for candle in answer]
    truth = exchange.candles(venue, symbol, Interval.M1, first, last)
    assert len(candles) == len(truth) == 1_100
    for candle, row in zip(candles, truth, strict=True):
        assert (candle.begin_ms, candle.trade_num) == (row[0], row[8])
        assert candle[2:8] == tuple(float(row[index]) for index in (1, 2, 3, 4, 5, 7))
        assert candle[9:] == (float(row[9]), float(row[10]))


@pytest.mark.parametrize("venue", Venue)
async def test_the_budget_knows_what_the_exchange_counted(exchange: EmbeddedExchange, venue: Venue, tmp_path: Path):
    async with client_of(exchange, venue, tmp_path) as client:
        info = await client.exchange_info()
        slice_ = {Venue.SPOT: TradeType.USDT_SPOT, Venue.UM: TradeType.USDT_PERP, Venue.CM: TradeType.COIN_PERP}[venue]
        assert sum(map(trades, select(slice_, info.symbols).symbols)) >= (1 if venue is Venue.CM else 10)
        await client.clock_offset()
        snapshot = client.budget.snapshot()
    assert snapshot.limit == (6000 if venue is Venue.SPOT else 2400)
    expected = 23 if venue is Venue.SPOT else 4
    assert snapshot.used == expected
    assert abs(snapshot.clock_offset_ms - exchange.clock.skew_ms) < 1_000


@pytest.mark.parametrize("venue", [Venue.UM, Venue.CM])
async def test_funding_is_read(exchange: EmbeddedExchange, venue: Venue, tmp_path: Path):
    async with client_of(exchange, venue, tmp_path) as client:
        premium = await client.premium_index()
        rates = await client.funding_rates(SYMBOL[venue], limit=5)
        infos = await client.funding_info()
    assert SYMBOL[venue] in {each.symbol for each in premium}
    assert all(rate.funding_ms % 3_600_000 == 0 and rate.rate is not None for rate in rates)
    assert rates
    assert all(info.interval_hours in (1, 4, 8) for info in infos)


async def test_an_unknown_symbol_is_refused(exchange: EmbeddedExchange, tmp_path: Path):
    async with client_of(exchange, Venue.UM, tmp_path) as client:
        (page,) = plan_pages(Venue.UM, Interval.M1, 0, 0)
        with pytest.raises(SymbolRefusedError):
            await client.klines("NOSUCHUSDT", Interval.M1, page)


async def test_more_work_than_weight_waits_instead_of_being_refused(tmp_path: Path):
    with capture_logs():
        async with (
            EmbeddedExchange(Settings(symbols=10, futures_weight_limit=60)) as exchange,
            client_of(exchange, Venue.UM, tmp_path) as client,
        ):
            far_from_a_turn(exchange)
            client.budget.set_clock_offset(exchange.clock.skew_ms)
            await client.exchange_info()
            assert client.budget.snapshot().limit == 60
            last = (await client.server_time()) // 60_000 * 60_000 - 60_000
            pages = plan_pages(Venue.UM, Interval.M1, last - 60 * 499 * 60_000, last)
            deadline = client.budget.now_ms() + 300
            outcomes = await asyncio.gather(
                *(client.klines("BTCUSDT", Interval.M1, page, deadline_ms=deadline) for page in pages),
                return_exceptions=True,
            )
            held = [outcome for outcome in outcomes if isinstance(outcome, RateLimitedError)]
            served = [outcome for outcome in outcomes if isinstance(outcome, list)]
            assert len(held) + len(served) == len(pages)
            assert held
            assert {record.status for record in exchange.requests} == {200}


async def ask_on(client: RestClient) -> None:
    """More than a minute's weight."""
    for _ in range(20):
        await client.premium_index(deadline_ms=client.budget.now_ms() + 2_000)


async def test_a_stranger_who_used_the_weight_up_stops_us_at_the_first_429(tmp_path: Path):
    """Another machine behind the same address: its weight shows in the header, or not before the refusal."""
    async with EmbeddedExchange(Settings(symbols=10, futures_weight_limit=30)) as exchange:
        far_from_a_turn(exchange)
        async with client_of(exchange, Venue.UM, tmp_path / "stranger") as stranger:
            stranger.budget.set_limit(10_000)
            with pytest.raises(RateLimitedError):
                await ask_on(stranger)
        async with client_of(exchange, Venue.UM, tmp_path / "us") as client:
            with pytest.raises(RateLimitedError):
                await ask_on(client)
    assert [record.status for record in exchange.requests] == [200, 200, 200, 429, 429]
