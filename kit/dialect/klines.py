"""A candle as the exchange says it: a REST row and a WebSocket frame, side by side.

A row of ``GET .../klines`` (UM, 2026; the same twelve columns everywhere)::

    [1499040000000, "0.01634790", "0.80000000", "0.01575800", "0.01577100", "148976.11427815",
     1499644799999, "2434.19055334", 308, "1756.87402397", "28.46694368", "0"]
     open time, open, high, low, close, volume, close time, quote volume, trades, taker base, taker quote, unused

A frame of a combined stream (UM 2021, recorded; ``x`` says whether the candle is closed; blanks are irregular)::

    {"stream":"ctkusdt@kline_1m","data":{"e":"kline","E":1626992741424,"s":"CTKUSDT","k":{"t":1626992700000,
     "T":1626992759999,"s":"CTKUSDT","i":"1m","f":23961275,"L":23961322,"o":"1.01000","c":"1.01100","h":"1.01100",
     "l":"1.01000","v":"3917","n":48,"x":false,"q":"3957.89900","V":"1729","Q":"1748.01900","B":"0"}}}

On a raw stream (``/ws``) the frame is what stands here under ``data``. Times are UTC milliseconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from math import isfinite
from typing import Any

import msgspec

from kit.dialect.hosts import host_of
from kit.errors import BadAnswerError, ExchangeError
from kit.outside import UNREADABLE, printable
from kit.words import LAST_MS, Candle, Interval, Venue

MILLISECOND = timedelta(milliseconds=1)
# From here on a time is in microseconds (spot, when asked for them; the spot archive from 2025): as milliseconds it
# would be the year 5138.
FIRST_MICROSECONDS = 100_000_000_000_000
MAX_TRADES = 2**63 - 1  # what a column of the buffer holds
MAX_NAME_CHARS = 100  # of an event or a stream; the longest stream has under 50
MAX_MESSAGE_CHARS = 500  # of an error; the exchange's have under 200

# A kline that is still open carries "x": false, and no other key of a kline is called x. The exchange sends thousands
# of these a second, so they are told apart without being decoded.
_is_open = re.compile(rb'"x"\s*:\s*false').search
_stream_of = re.compile(rb'"stream"\s*:\s*"([^"\\]*)"').search
_stamp_of = re.compile(rb'"E"\s*:\s*(\d{13})\b').search


class FrameError(ExchangeError):
    """A WebSocket frame that is not the exchange's: torn JSON, a field missing or of another kind."""

    transient = True


@dataclass(frozen=True, slots=True)
class ClosedKline:
    """A closed candle from the stream. ``event_ms`` is when the exchange sent it (UTC), by its own clock."""

    candle: Candle
    interval: str
    event_ms: int


class ControlKind(StrEnum):
    """What a frame is that carries no kline."""

    ACK = "ack"  # {"result": null, "id": 1}: the message was understood, no promise that anything comes
    SUBSCRIPTIONS = "subscriptions"  # {"result": ["btcusdt@kline_1m"], "id": 3}
    ERROR = "error"  # {"code": 2, "msg": "Invalid request: ..."} or {"error": {...}, "id": 1}
    SHUTDOWN = "shutdown"  # {"e": "serverShutdown", "E": 1770123456789}: open the replacement at once
    OTHER = "other"  # another event of the exchange; ``event`` is its name


@dataclass(frozen=True, slots=True)
class Control:
    """A frame about the connection, or of an event that is not read here."""

    kind: ControlKind
    id: int | str | None = None
    code: int | None = None
    message: str = ""
    streams: tuple[str, ...] = ()
    event: str = ""
    event_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One klines request: open times from ``start_ms`` to before ``end_ms``, at most ``limit`` rows, for ``weight``.

    ``end_ms`` is the last millisecond of the newest candle wanted, so that it is inside whether the exchange compares
    open or close times, and the next candle, which may still be open, is outside.
    """

    start_ms: int
    end_ms: int
    limit: int
    weight: int


def stream_name(symbol: str, interval: Interval) -> str:
    """The stream of a symbol's klines; only ASCII letters become small: 龙虾USDT -> 龙虾usdt@kline_1m."""
    return f"{symbol.encode().lower().decode()}@kline_{interval.value}"


def kline_weight(venue: Venue, limit: int) -> int:
    """What one klines request costs (SPOT, SDK, DDOC; all agree, 2026-11)."""
    if venue is Venue.SPOT:
        return 2
    if limit < 100:  # noqa: PLR2004 - the exchange's own table
        return 1
    if limit < 500:  # noqa: PLR2004 - the exchange's own table
        return 2
    return 5 if limit <= 1000 else 10  # noqa: PLR2004 - the exchange's own table


def plan_pages(venue: Venue, interval: Interval, first_begin_ms: int, last_begin_ms: int) -> list[Page]:
    """The requests with least weight for the candles from ``first_begin_ms`` to ``last_begin_ms``, both inclusive.

    Newest first; every row is in exactly one page; the smaller rest is the oldest. 1500 rows of futures weigh 7
    (499 + 499 + 499 + 3) instead of 10. On COIN-M a page spans at most 200 days, and both times are always given:
    with a start alone it would answer the newest rows before start + 200 days. An empty range gives no pages.
    """
    rows = _page_rows(venue, interval)
    pages = []
    last = last_begin_ms
    while last >= first_begin_ms:
        limit = min(rows, (last - first_begin_ms) // interval.ms + 1)
        start = last - (limit - 1) * interval.ms
        pages.append(Page(start, last + interval.ms - 1, limit, kline_weight(venue, limit)))
        last = start - interval.ms
    return pages


def _page_rows(venue: Venue, interval: Interval) -> int:
    host = host_of(venue)
    if host.max_page_span is None:
        return host.cheap_page_rows
    return min(host.cheap_page_rows, host.max_page_span // MILLISECOND // interval.ms)


class _Row(msgspec.Struct, array_like=True, gc=False):
    """A REST row; columns after these may come and go."""

    open_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    close_time: int
    quote_volume: float
    trades: int
    taker_base: float
    taker_quote: float


# Not strict: prices are decimals in strings. msgspec reads them as float() does, to the bit (tested).
_rows = msgspec.json.Decoder(list[_Row], strict=False)


def decode_rows(venue: Venue, symbol: str, body: bytes) -> list[Candle]:
    """The candles in the body of a klines answer, in the exchange's order (ascending open time).

    They need not be final: whether the last one is closed is not in the answer. Prices and volumes are the nearest
    double to the decimal text, exactly ``float(text)``. Microsecond open times become milliseconds.

    Raises:
        BadAnswerError: not a list of such rows, a number that is not finite, a negative volume or count.
    """
    try:
        rows = _rows.decode(body)
    except UNREADABLE as error:
        raise BadAnswerError(f"klines of {symbol} on {venue} cannot be read: {error}") from error
    return [_candle_of_row(venue, symbol, row) for row in rows]


def _candle_of_row(venue: Venue, symbol: str, row: _Row) -> Candle:
    candle = Candle(
        symbol,
        _milliseconds(row.open_time),
        row.open,
        row.high,
        row.low,
        row.close,
        row.volume,
        row.quote_volume,
        row.trades,
        row.taker_base,
        row.taker_quote,
    )
    problem = _problem(candle)
    if problem:
        raise BadAnswerError(f"klines of {symbol} on {venue}: {problem}, open time {row.open_time}")
    return candle


def _milliseconds(time: int) -> int:
    return time if time < FIRST_MICROSECONDS else time // 1000


def _problem(candle: Candle) -> str | None:
    """What makes a candle unusable; None when nothing does."""
    _, begin_ms, open_, high, low, close, volume, quote_volume, trades, taker_base, taker_quote = candle
    if not 0 <= begin_ms <= LAST_MS:
        return "an open time out of range"
    if not (isfinite(open_) and isfinite(high) and isfinite(low) and isfinite(close)):
        return "a price that is not finite"
    # Written so that NaN fails as well.
    volumes_sound = volume >= 0 and quote_volume >= 0 and taker_base >= 0 and taker_quote >= 0
    if not volumes_sound or not isfinite(volume + quote_volume + taker_base + taker_quote):
        return "a volume that is negative or not finite"
    return None if 0 <= trades <= MAX_TRADES else "a number of trades out of range"


class _Kline(msgspec.Struct, gc=False):
    """The ``k`` of a kline event. Not read: T close time, f and L trade ids, B unused."""

    t: int
    s: str
    i: str
    o: float
    h: float
    l: float  # noqa: E741 - the exchange's name
    c: float
    v: float
    n: int
    x: bool
    q: float
    V: float
    Q: float


class _Frame(msgspec.Struct):
    """Any frame. What is not in it is UNSET; what differs by kind stays raw until the kind is known."""

    stream: str | None = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    e: str | None = None
    E: int | None = None
    k: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    result: Any | msgspec.UnsetType = msgspec.UNSET
    id: int | str | None = None
    code: int | None = None
    msg: str | None = None
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_frame = msgspec.json.Decoder(_Frame)
_kline = msgspec.json.Decoder(_Kline, strict=False)


def decode_frame(raw: bytes) -> ClosedKline | Control | None:
    """What a WebSocket message says: a closed candle, something about the connection, or None for an open candle.

    An open candle is recognised by its bytes and never decoded. Whether symbol, interval and open time are what was
    subscribed is the caller's to check.

    Raises:
        FrameError: anything that is not a frame of the exchange; nothing else is ever raised.
    """
    if _is_open(raw):
        return None
    try:
        return _read(raw)
    except UNREADABLE as error:
        raise FrameError(f"unreadable frame: {error}: {raw[:200]!r}") from error


def stream_of_frame(raw: bytes) -> str | None:
    """The stream a combined frame belongs to, found without decoding it; None if it names none."""
    found = _stream_of(raw)
    return found[1].decode(errors="replace") if found else None


def stamp_of_frame(raw: bytes) -> int | None:
    """When the exchange sent an event (``E``, UTC milliseconds), found without decoding it; None if it does not say."""
    found = _stamp_of(raw)
    return int(found[1]) if found else None


def _read(raw: bytes) -> ClosedKline | Control | None:
    frame = _frame.decode(raw)
    stream = frame.stream or ""
    if frame.data is not msgspec.UNSET:
        if bytes(frame.data)[:1] == b"[":  # an all-market array; nobody here subscribes to one
            return Control(ControlKind.OTHER, event=_name(stream))
        frame = _frame.decode(frame.data)
    if frame.e == "kline":
        return _closed_kline(frame)
    if frame.e is not None:
        kind = ControlKind.SHUTDOWN if frame.e == "serverShutdown" else ControlKind.OTHER
        return Control(kind, event=_name(frame.e), event_ms=frame.E)
    return _answer(frame, stream)


def _closed_kline(frame: _Frame) -> ClosedKline | None:
    if frame.k is msgspec.UNSET or frame.E is None:
        raise FrameError("a kline event without its candle or its time")
    k = _kline.decode(frame.k)
    if not k.x:
        return None
    candle = Candle(k.s, _milliseconds(k.t), k.o, k.h, k.l, k.c, k.v, k.q, k.n, k.V, k.Q)
    event_ms = _milliseconds(frame.E)
    problem = _problem(candle) or (None if 0 <= event_ms <= LAST_MS else "an event time out of range")
    if problem:
        raise FrameError(f"a kline of {_name(k.s)!r} with {problem}")
    return ClosedKline(candle, k.i, event_ms)


def _answer(frame: _Frame, stream: str) -> Control:
    """A frame without an event: the answer to a message of ours."""
    if frame.error is not msgspec.UNSET:
        inner = _frame.decode(frame.error)
        return Control(ControlKind.ERROR, frame.id, inner.code, _message(inner.msg))
    if frame.code is not None or frame.msg is not None:
        return Control(ControlKind.ERROR, frame.id, frame.code, _message(frame.msg))
    if isinstance(frame.result, list):
        return Control(ControlKind.SUBSCRIPTIONS, frame.id, streams=tuple(str(name) for name in frame.result))
    if frame.result is not msgspec.UNSET:
        return Control(ControlKind.ACK, frame.id)
    if stream:
        return Control(ControlKind.OTHER, event=_name(stream))
    raise FrameError("a frame with neither an event nor an answer")


def _name(text: str) -> str:
    """The name of an event, stream or symbol as it may be counted, logged and shown."""
    return printable(text, limit=MAX_NAME_CHARS)


def _message(text: str | None) -> str:
    return printable(text or "", limit=MAX_MESSAGE_CHARS)
