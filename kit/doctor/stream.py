"""The exchange by WebSocket: a handshake and an acknowledgement prove nothing, so a candle has to arrive."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException

from kit.config import MarketConfig
from kit.dialect.hosts import Host
from kit.dialect.klines import Control, ControlKind, FrameError, decode_frame, stream_name, stream_of_frame
from kit.doctor.finding import Finding, ok, warning, wrong
from kit.doctor.rest import BLOCKED
from kit.times import host_of_market

OPEN_WITHIN_S = 5.0
CLOSE_WITHIN_S = 1.0
FRAME_WITHIN_S = 12.0
"""Futures send four frames a second for a coin that is traded, spot one in two seconds."""
ASKED_STREAMS = 30
"""Some of them are traded at any moment, and their names fit into one message of 4 KB."""
FEW_STREAMS = 5
"""So few may be quiet by chance."""
MAX_MESSAGE_BYTES = 1 << 20
LIQUID = ("BTC", "ETH")


@dataclass
class Heard:
    """What came: seconds until the connection was open and until the first candle; whether SUBSCRIBE was answered."""

    opened_s: float | None = None
    acknowledged: bool = False
    candle_s: float | None = None
    refused: str = ""
    problem: str = ""


async def check_stream(config: MarketConfig, symbols: Sequence[str]) -> Finding:
    """Subscribe to some of the market's candles as the streamer does, and wait for one."""
    host = host_of_market(config)
    names = [stream_name(symbol, config.interval) for symbol in chosen(symbols)]
    return judge_stream(host, await listen(host, names, config.proxy), len(names))


def chosen(symbols: Sequence[str]) -> list[str]:
    """Those to ask for, the liquid ones first."""
    return sorted(symbols, key=lambda symbol: not symbol.startswith(LIQUID))[:ASKED_STREAMS]


async def listen(host: Host, names: Sequence[str], proxy: str | None) -> Heard:
    """Until the first candle, or not for longer than ``FRAME_WITHIN_S``."""
    heard = Heard()
    began = time.monotonic()
    try:
        async with connect(
            host.stream_url,
            proxy=proxy,
            compression=None,
            ping_interval=None,
            open_timeout=OPEN_WITHIN_S,
            close_timeout=CLOSE_WITHIN_S,
            max_size=MAX_MESSAGE_BYTES,
        ) as socket:
            heard.opened_s = time.monotonic() - began
            await socket.send(json.dumps({"method": "SUBSCRIBE", "params": list(names), "id": 1}, ensure_ascii=False))
            async with asyncio.timeout(FRAME_WITHIN_S):
                while heard.candle_s is None and not heard.refused:
                    _note(heard, await socket.recv(decode=False), names, time.monotonic() - began)
    except InvalidStatus as error:
        heard.problem = f"HTTP {error.response.status_code} at the handshake"
    except TimeoutError:
        heard.problem = "no answer in time" if heard.opened_s is None else ""
    except (OSError, WebSocketException) as error:
        heard.problem = str(error) or type(error).__name__
    return heard


def _note(heard: Heard, frame: bytes, names: Sequence[str], after_s: float) -> None:
    """What a message of the exchange tells."""
    try:
        told = decode_frame(frame)
    except FrameError:
        return  # garbage is no candle
    if isinstance(told, Control):
        heard.acknowledged = heard.acknowledged or told.kind is ControlKind.ACK
        if told.kind is ControlKind.ERROR:
            heard.refused = f"{told.code} {told.message}"
    elif stream_of_frame(frame) in names:
        heard.candle_s = after_s


def judge_stream(host: Host, heard: Heard, asked: int) -> Finding:
    """``asked``: how many streams were subscribed to."""
    if heard.opened_s is None:
        return wrong("WebSocket", f"{host.stream_url} cannot be opened: {heard.problem}", BLOCKED)
    if heard.candle_s is not None:
        return ok("WebSocket", f"{host.stream_url}: the first candle came after {heard.candle_s:.1f} s")
    if heard.refused:
        return wrong("WebSocket", f"{host.stream_url}: SUBSCRIBE is refused: {heard.refused}", "report this")
    if heard.problem:
        return wrong("WebSocket", f"{host.stream_url} was opened, then lost: {heard.problem}", BLOCKED)
    answer = "SUBSCRIBE is acknowledged" if heard.acknowledged else "SUBSCRIBE is not answered"
    seen = f"{host.stream_url}: {answer}, but no candle of {asked} streams came in {FRAME_WITHIN_S:g} s"
    if asked < FEW_STREAMS:
        return warning("WebSocket", seen, "so few coins may not be traded just now; try again")
    route = "endpoints.ws has to be a base without a path: a wrong route is acknowledged and stays silent"
    return wrong("WebSocket", seen, f"{route}; does a proxy keep WebSockets from sending?")
