"""Clients that others wrote for the real exchange read the embedded one without complaint, and get its truth."""

import asyncio
import warnings
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from binance_common.configuration import ConfigurationRestAPI, ConfigurationWebSocketStreams
from binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures import DerivativesTradingUsdsFutures
from binance_sdk_spot.spot import Spot

with warnings.catch_warnings():  # it imports names that the websockets library has deprecated
    warnings.simplefilter("ignore", DeprecationWarning)
    from binance import AsyncClient, BinanceSocketManager

from kit.embedded_exchange import EmbeddedExchange, Finals, Settings
from kit.words import Interval, Venue
from tests.embedded_exchange.stage import PATIENCE_S

MINUTE_MS = 60_000
YOUNG = Settings(symbols=8, history_days=30, update_ms=50, finals=Finals("burst"))


@asynccontextmanager
async def running(settings=YOUNG):
    """The exchange, a third into a minute: no test is surprised by a close that it did not bring about."""
    async with EmbeddedExchange(settings) as exchange:
        exchange.clock.skew_ms += 20_000 - exchange.clock.now_ms() % MINUTE_MS
        yield exchange


def just_before_a_close(exchange, early_ms=600):
    """Moves the exchange's clock; returns the open time of the candle that is about to close."""
    now_ms = exchange.clock.now_ms()
    exchange.clock.skew_ms += MINUTE_MS - now_ms % MINUTE_MS - early_ms
    return now_ms // MINUTE_MS * MINUTE_MS


def plain(rows):
    """SDK rows hold wrapped values; as the tuples of ``candles()``."""
    return [tuple(getattr(value, "actual_instance", value) for value in row) for row in rows]


async def test_the_official_spot_client_reads_klines_and_exchange_info():
    async with running() as exchange:
        client = Spot(config_rest_api=ConfigurationRestAPI(api_key="", api_secret="", base_path=exchange.spot.rest))
        begin_ms = exchange.clock.now_ms() // MINUTE_MS * MINUTE_MS - 1000 * MINUTE_MS
        for symbol in ("BTCUSDT", "币安人生USDT"):
            answer = await asyncio.to_thread(
                client.rest_api.klines,
                symbol,
                "1m",
                start_time=begin_ms,
                end_time=begin_ms + 900 * MINUTE_MS,
                limit=1000,
            )
            truth = exchange.candles(Venue.SPOT, symbol, Interval.M1, begin_ms, begin_ms + 900 * MINUTE_MS)
            assert len(truth) == 901 or symbol != "BTCUSDT"
            assert plain(answer.data()) == truth
        info = (await asyncio.to_thread(client.rest_api.exchange_info)).data()
        assert {one.symbol for one in info.symbols} >= {"BTCUSDT", "USDCUSDT", "ETHBTC"}
        assert (await asyncio.to_thread(client.rest_api.time)).data().server_time > 0


async def test_the_official_futures_client_reads_klines_funding_and_exchange_info():
    async with running() as exchange:
        config = ConfigurationRestAPI(api_key="", api_secret="", base_path=exchange.futures.rest)
        client = DerivativesTradingUsdsFutures(config_rest_api=config)
        begin_ms = exchange.clock.now_ms() // MINUTE_MS * MINUTE_MS - 1000 * MINUTE_MS
        answer = await asyncio.to_thread(
            client.rest_api.kline_candlestick_data, "BTCUSDT", "5m", begin_ms, begin_ms + 900 * MINUTE_MS, 1500
        )
        assert plain(answer.data()) == exchange.candles(
            Venue.UM, "BTCUSDT", Interval.M5, begin_ms, begin_ms + 900 * MINUTE_MS
        )
        info = (await asyncio.to_thread(client.rest_api.exchange_information)).data()
        assert {one.symbol for one in info.symbols} >= {"BTCUSDT", "XAUUSDT", "OMGUSDT"}
        rates = (await asyncio.to_thread(client.rest_api.get_funding_rate_history, "BTCUSDT")).data()
        assert [rate.symbol for rate in rates[:1]] == ["BTCUSDT"]
        assert (await asyncio.to_thread(client.rest_api.get_funding_rate_info)).data()
        assert (
            await asyncio.to_thread(client.rest_api.mark_price, "BTCUSDT")
        ).data().actual_instance.symbol == "BTCUSDT"


async def test_the_official_futures_client_streams_a_final_candle():
    # It always sends UUIDs as ids, which the futures documents do not allow.
    async with running(replace(YOUNG, futures_string_ids=True)) as exchange:
        client = DerivativesTradingUsdsFutures(
            config_ws_streams=ConfigurationWebSocketStreams(stream_url=exchange.futures.ws)
        )
        connection = await client.websocket_streams.create_connection()
        first, final = (asyncio.get_running_loop().create_future() for _ in range(2))
        stream = await connection.kline_candlestick_streams("btcusdt", "1m")

        def keep(event):
            for future in (first, final) if event.k.x else (first,):
                if not future.done():
                    future.set_result(event.k)

        stream.on("message", keep)
        await asyncio.wait_for(first, PATIENCE_S)  # whoever is heard before the close gets the final
        begin_ms = just_before_a_close(exchange)
        candle = await asyncio.wait_for(final, PATIENCE_S)
        truth = exchange.candles(Venue.UM, "BTCUSDT", Interval.M1, begin_ms, begin_ms)[0]
        assert (candle.t, candle.o, candle.h, candle.l, candle.c, candle.v) == truth[:6]
        assert (candle.T, candle.q, candle.n, candle.V, candle.Q) == truth[6:11]
        await connection.close_connection(close_session=True)


@pytest.fixture
async def async_client():
    opened = []

    def make(exchange):
        client = AsyncClient()
        client.API_URL = exchange.spot.rest + "/api"
        client.FUTURES_URL = exchange.futures.rest + "/fapi"
        client.FUTURES_COIN_URL = exchange.futures.rest + "/dapi"
        opened.append(client)
        return client

    yield make
    for client in opened:
        await client.close_connection()


async def test_python_binance_reads_klines_of_all_three_venues(async_client):
    async with running() as exchange:
        client = async_client(exchange)
        begin_ms = exchange.clock.now_ms() // MINUTE_MS * MINUTE_MS - 100 * MINUTE_MS
        window = {"interval": "1m", "startTime": begin_ms, "endTime": begin_ms + 90 * MINUTE_MS}
        for venue, symbol, ask in (
            (Venue.SPOT, "BTCUSDT", client.get_klines),
            (Venue.UM, "ETHUSDT", client.futures_klines),
            (Venue.CM, "BTCUSD_PERP", client.futures_coin_klines),
        ):
            truth = exchange.candles(venue, symbol, Interval.M1, begin_ms, begin_ms + 90 * MINUTE_MS)
            assert [tuple(row) for row in await ask(symbol=symbol, **window)] == truth
            assert len(truth) == 91
        assert len((await client.get_exchange_info())["symbols"]) > 8
        assert (await client.futures_mark_price(symbol="BTCUSDT"))["symbol"] == "BTCUSDT"


async def test_python_binance_streams_a_final_candle_on_the_market_route(async_client):
    async with running() as exchange:
        manager = BinanceSocketManager(async_client(exchange))
        manager.FSTREAM_URL = exchange.futures.ws + "/"
        async with manager.futures_multiplex_socket(["ethusdt@kline_1m"]) as socket:
            await socket.recv()
            begin_ms = just_before_a_close(exchange)
            candle = {}
            async with asyncio.timeout(PATIENCE_S):
                while not candle.get("x"):
                    candle = (await socket.recv())["data"]["k"]
        truth = exchange.candles(Venue.UM, "ETHUSDT", Interval.M1, begin_ms, begin_ms)[0]
        assert (candle["t"], candle["o"], candle["h"], candle["l"], candle["c"], candle["v"]) == truth[:6]
