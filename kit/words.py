"""The plain words every part shares: trade type, interval, market, candle, run time.

All times inside are UTC. Two forms are used and never mixed up by name: integers called ``*_ms`` are
milliseconds since the epoch (the exchange's own form), everything else is an aware ``datetime``.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, TypeVar

from kit.errors import NaiveTimeError, TimeRangeError, UnknownWordError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
LAST_MS = 4_133_980_800_000
"""The year 2101. The exchange dates what has no end at the end of 2100; a time behind it is no time, and could not be
reckoned with: ``datetime`` ends with the year 9999."""

FIRST_POSSIBLE_MS, LAST_POSSIBLE_MS = -62_104_060_800_000, 253_370_764_799_999
"""The years 2 to 9998 of UTC: ``datetime`` tells a year more on both sides, so that there is room to reckon."""

W = TypeVar("W", bound=StrEnum)


class Venue(StrEnum):
    """A part of the exchange with hosts, paths and a symbol list of its own."""

    SPOT = "spot"
    UM = "um"  # USD-margined futures
    CM = "cm"  # coin-margined futures


class TradeType(StrEnum):
    """The slice of the exchange that a market takes; names as in BMAC v2."""

    USDT_SPOT = "usdt_spot"
    USDC_SPOT = "usdc_spot"
    BTC_SPOT = "btc_spot"
    USDT_PERP = "usdt_perp"
    USDT_DELI = "usdt_deli"
    USDC_PERP = "usdc_perp"
    BTC_PERP = "btc_perp"
    USDT_TRADFI = "usdt_tradfi"
    COIN_PERP = "coin_perp"
    COIN_DELI = "coin_deli"
    # BMAC's older names for the same slices: kept apart so that folders keep the name their user chose.
    USDT_SWAP = "usdt_swap"
    COIN_SWAP = "coin_swap"

    @property
    def venue(self) -> Venue:
        """The part of the exchange this slice is traded on."""
        if self.value.endswith("_spot"):
            return Venue.SPOT
        return Venue.CM if self.value.startswith("coin_") else Venue.UM


class Interval(StrEnum):
    """A candle's length; the value is the exchange's own spelling."""

    S1 = "1s"  # spot only
    M1 = "1m"
    M3 = "3m"
    M5 = "5m"
    M15 = "15m"
    M30 = "30m"
    H1 = "1h"
    H2 = "2h"
    H4 = "4h"
    H6 = "6h"
    H8 = "8h"
    H12 = "12h"
    D1 = "1d"

    @property
    def ms(self) -> int:
        """Length in milliseconds. Every interval divides a day, so begin times are multiples of it."""
        seconds = {"s": 1, "m": 60, "h": 3600, "d": 86400}[self.value[-1]]
        return int(self.value[:-1]) * seconds * 1000

    @property
    def delta(self) -> timedelta:
        """Length as a duration."""
        return timedelta(milliseconds=self.ms)


class Source(StrEnum):
    """Where a stored candle came from."""

    STREAM = "stream"  # a WebSocket frame with x: true
    REST = "rest"  # a REST row, final by the exchange's clock
    REVISION = "revision"  # a later answer of the exchange that differed; the old values are kept beside it


class Candle(NamedTuple):
    """One closed candle. ``begin_ms`` is the open time; prices and volumes are the exchange's decimals as floats.

    On COIN-M ``volume`` and ``taker_buy_base_asset_volume`` are contracts and the two quote columns are base asset
    (BINANCE public-data README); elsewhere base and quote asset as the names say.
    """

    symbol: str
    begin_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_volume: float
    trade_num: int
    taker_buy_base_asset_volume: float
    taker_buy_quote_asset_volume: float


def to_ms(moment: datetime) -> int:
    """Milliseconds since the epoch of an aware ``moment``, whole milliseconds rounded down.

    Raises:
        NaiveTimeError: ``moment`` has no zone; a guess could be hours wrong.
        TimeRangeError: it lies in the year 1 or 9999, where ``datetime`` ends.
        TypeError: it is no ``datetime``.
    """
    if not isinstance(moment, datetime):
        raise TypeError(f"{moment!r} is no datetime; write datetime.fromisoformat('2026-11-22T07:05:00Z')")
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise NaiveTimeError(moment)
    ms = (moment - EPOCH) // MILLISECOND
    if not FIRST_POSSIBLE_MS <= ms <= LAST_POSSIBLE_MS:
        raise TimeRangeError(moment)
    return ms


def from_ms(ms: int) -> datetime:
    """The aware UTC ``datetime`` of a count of milliseconds since the epoch."""
    return EPOCH + timedelta(milliseconds=ms)


def utc_now() -> datetime:
    """The local clock, aware, in UTC. For people and for what is local by nature: what happens when at the exchange is
    told by ``kit.exchange_clock``. Like all wall time here it comes from ``time.time_ns``: the one seam for tests."""
    return EPOCH + timedelta(microseconds=time.time_ns() // 1000)


def newest_run_time_ms(now_ms: int, interval: Interval) -> int:
    """The newest run time that is not in the future: the close of the newest closed candle."""
    return now_ms - now_ms % interval.ms


def names_in(what: str, names: Iterable[str]) -> list[str]:
    """The names as a list, each once, in their order.

    Raises:
        TypeError: one text, which would be taken for its letters, or a name that is no text.
    """
    if isinstance(names, str):
        raise TypeError(f"{what} is the text {names!r}, not a list; write [{names!r}]")
    found = list(dict.fromkeys(names))
    for name in found:
        if not isinstance(name, str):
            raise TypeError(f"{what} has {name!r}, which is no text")
    return found


def parse_trade_type(text: str) -> TradeType:
    """The trade type of that name.

    Raises:
        UnknownWordError: there is none; the error suggests the nearest.
    """
    return _parse(TradeType, text, "trade type")


def parse_interval(text: str) -> Interval:
    """The interval of that name.

    Raises:
        UnknownWordError: there is none; the error suggests the nearest.
    """
    return _parse(Interval, text, "interval")


def _parse(words: type[W], text: str, what: str) -> W:
    try:
        return words(text)
    except ValueError:
        raise UnknownWordError(what, text, [word.value for word in words]) from None
