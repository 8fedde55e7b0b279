"""Kline events as bytes, ready to be written to a socket.

Spot writes them without blanks, futures with one in an odd place (seen live in 2026-08)::

    {"e":"kline","E":1787949660485,"s":"BTCUSDT","k":{
     "t":1787949600000, "T":1787949659999,"s":"BTCUSDT","i":"1m","f":100,"L":200,"o":"...","c":"...","h":"...",
     "l":"...","v":"...","n":100,"x":true,"q":"...","V":"...","Q":"...","B":"0"}}
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from kit.words import Venue

if TYPE_CHECKING:
    from collections.abc import Callable

    from kit.embedded_exchange.bars import Bar
    from kit.embedded_exchange.instrument import Instrument, Scale

TEXT_FRAME, BINARY_FRAME = 0x81, 0x82  # final fragment, opcode text or binary (RFC 6455)
_SHORT, _MEDIUM = 125, 65_535


def event_writer(instrument: Instrument, interval: str, length_ms: int) -> Callable[[Bar, int, bool], bytes]:
    """A function from (candle, event time in ms, closed) to the event's JSON; what never changes is ready."""
    blank = "" if instrument.venue is Venue.SPOT else " "
    symbol = instrument.symbol
    price, quantity, turnover = (
        _writer(scale) for scale in (instrument.scales.price, instrument.scales.quantity, instrument.scales.turnover)
    )

    def write(bar: Bar, event_ms: int, closed: bool) -> bytes:
        return (
            f'{{"e":"kline","E":{event_ms},"s":"{symbol}","k":{{'
            f'"t":{bar.begin_ms},{blank}"T":{bar.begin_ms + length_ms - 1},'
            f'"s":"{symbol}","i":"{interval}","f":{bar.first_id},"L":{bar.last_id},"o":"{price(bar.open)}",'
            f'"c":"{price(bar.close)}","h":"{price(bar.high)}","l":"{price(bar.low)}","v":"{quantity(bar.volume)}",'
            f'"n":{bar.trades},"x":{"true" if closed else "false"},"q":"{turnover(bar.quote)}",'
            f'"V":"{quantity(bar.taker_base)}","Q":"{turnover(bar.taker_quote)}","B":"0"}}}}'
        ).encode()

    return write


def _writer(scale: Scale) -> Callable[[int], str]:
    """``scale.text`` with its numbers at hand: it runs ten thousand times a second."""
    unit, places = scale.unit, scale.places
    if places == 0:
        return lambda count: str(count * unit)
    one = 10**places

    def write(count: int) -> str:
        whole, part = divmod(count * unit, one)
        return f"{whole}.{part:0{places}d}"

    return write


def wrapped(stream: str, event: bytes) -> bytes:
    """The envelope of ``/stream`` paths."""
    return b'{"stream":"%b","data":%b}' % (stream.encode(), event)


def framed(payload: bytes, first_byte: int = TEXT_FRAME) -> bytes:
    """A WebSocket frame as servers send it: unmasked, in one piece."""
    size = len(payload)
    if size <= _SHORT:
        return struct.pack("!BB", first_byte, size) + payload
    if size <= _MEDIUM:
        return struct.pack("!BBH", first_byte, 126, size) + payload
    return struct.pack("!BBQ", first_byte, 127, size) + payload
