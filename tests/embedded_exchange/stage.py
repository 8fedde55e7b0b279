"""An exchange with its control endpoint, and plain clients of both: what the tests of faults share."""

import json
from contextlib import asynccontextmanager

import aiohttp

from kit.embedded_exchange import Clock, EmbeddedExchange, Finals, Settings
from tests.embedded_exchange.builders import NOON, SECOND

LIVELY = Settings(
    symbols=4,
    history_days=3,
    update_ms=20,
    spot_update_ms=20,
    finals=Finals("burst"),
    illiquid_share=0.0,
    control_port=0,
)
BTC = "btcusdt@kline_1s"
PATIENCE_S = 60  # a busy machine may not run a process for many seconds


class Stage:
    """``control`` speaks to the control endpoint, ``rest`` and ``socket`` to the exchange, as any client would."""

    def __init__(self, exchange, session):
        self.exchange = exchange
        self.session = session

    @property
    def now_ms(self):
        return self.exchange.clock.now_ms()

    async def control(self, method, path, body=None, *, status=200):
        async with self.session.request(method, self.exchange.control + path, json=body) as answer:
            told = await answer.json()
            assert answer.status == status, told
            return told

    async def fault(self, name, **keys):
        return (await self.control("POST", "/faults", {"name": name, **keys}))["id"]

    async def off(self, number):
        await self.control("DELETE", f"/faults/{number}")

    async def hits(self, number):
        told = await self.control("GET", "/faults")
        return next(one["hits"] for one in told["active"] + told["ended"] if one["id"] == number)

    async def socket(self, *streams, spot=True, **options):
        base = self.exchange.spot.ws if spot else self.exchange.futures.ws + "/market"
        return await self.session.ws_connect(f"{base}/stream?streams={'/'.join(streams)}", **options)

    async def rest(self, path, *, spot=True, **params):
        """Status, headers and body as text."""
        base = self.exchange.spot.rest if spot else self.exchange.futures.rest
        async with self.session.get(base + path, params=params) as answer:
            return answer.status, answer.headers, await answer.text()

    async def klines(self, symbol="BTCUSDT", interval="1s", **params):
        status, _, text = await self.rest("/api/v3/klines", symbol=symbol, interval=interval, **params)
        assert status == 200, text
        return json.loads(text)

    async def truth(self, first_ms, last_ms, symbol="BTCUSDT", interval="1s", venue="spot"):
        query = f"venue={venue}&symbol={symbol}&interval={interval}&first_ms={first_ms}&last_ms={last_ms}"
        return await self.control("GET", f"/truth?{query}")

    def advance(self, ms):
        """Lets a held clock go on."""
        self.exchange.clock.held_ms += ms

    @property
    def begin_ms(self):
        """Begin of the second that is open now."""
        return self.now_ms // SECOND * SECOND


class HeldClock(Clock):
    """Stands still until it is told to go on, so that what happens does not depend on how fast; and begins at the same
    moment each time, half past a second, because everything that is made up follows from the time.
    """

    def __init__(self):
        super().__init__()
        self.held_ms = NOON + 20_500

    def now_ms(self):
        return self.held_ms + self.skew_ms


@asynccontextmanager
async def on_stage(settings=LIVELY, clock=None):
    async with EmbeddedExchange(settings, clock) as exchange, aiohttp.ClientSession() as session:
        yield Stage(exchange, session)


async def event(socket, seconds=PATIENCE_S):
    """The next kline event, without its envelope."""
    while True:
        message = json.loads((await socket.receive(timeout=seconds)).data)
        if "data" in message:
            return message["data"]


async def next_final(socket, seconds=PATIENCE_S):
    while not (told := await event(socket, seconds))["k"]["x"]:
        pass
    return told


def as_row(told):
    """A kline event as a row of the truth."""
    candle = told["k"]
    return [candle[key] for key in ("t", "o", "h", "l", "c", "v", "q", "n", "V", "Q")]


async def end_of(socket, seconds=PATIENCE_S):
    """``("close", code)`` or ``("cut", None)``, and the texts that came before."""
    texts = []
    while True:
        message = await socket.receive(timeout=seconds)
        if message.type is aiohttp.WSMsgType.CLOSE:
            return ("close", message.data), texts
        if message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
            return ("cut", None), texts
        texts.append(message.data)
