"""Where each part of the exchange lives, and the limits of its doors.

Sources: binance-spot-api-docs (2026-07), the derivatives pages (2026-05), the notices about the routed WebSocket
(2026-03) and the CM/UM integration (2026-06). The paths are the exchange's own and never change; a user may point
``rest`` and ``ws`` at another host that speaks the same dialect.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from kit.errors import ConfigError
from kit.words import Interval, Venue

if TYPE_CHECKING:
    from collections.abc import Mapping

FUTURES_INTERVALS = tuple(interval for interval in Interval if interval is not Interval.S1)
DEFAULT_PORTS = MappingProxyType({"http": 80, "ws": 80, "https": 443, "wss": 443})

_NUMBERED_APIS = tuple(f"api{number}.binance.com" for number in range(1, 5))

# Hosts that count into one pool of the exchange's own. That data-api.binance.vision shares the spot pool is not
# documented; assuming it costs a little weight, assuming the contrary could cost a ban.
POOL_OF_NETLOC: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(
            ("api.binance.com", "api-gcp.binance.com", *_NUMBERED_APIS, "data-api.binance.vision"),
            "spot",
        ),
        # One counter for both since the CM/UM integration of 2026-06.
        **dict.fromkeys(("fapi.binance.com", "dapi.binance.com"), "futures"),
    }
)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Other bases than the exchange's own: ``rest`` (http, https) and ``ws`` (ws, wss). None: the exchange's."""

    rest: str | None = None
    ws: str | None = None


@dataclass(frozen=True, slots=True)
class Host:
    """The doors of one venue: bases, paths and limits.

    ``rest`` and ``ws`` have no trailing slash. ``pool`` names who shares a weight limit: hosts with the same pool,
    on any process of this machine, are counted together by the exchange.
    """

    venue: Venue
    rest: str
    ws: str
    prefix: str
    stream_path: str
    pool: str
    intervals: tuple[Interval, ...]
    max_page_rows: int  # the largest ``limit`` of klines: more is refused with -1130
    cheap_page_rows: int  # the ``limit`` with most rows for a weight
    max_page_span: timedelta | None  # the longest startTime..endTime of klines; None: no such limit
    default_weight_limit: int  # per minute, until exchangeInfo of the host in use has said
    messages_per_second: int  # from client to exchange; more closes the connection with 1008
    max_streams: int = 1024
    # The documents say nothing; 4088 bytes were answered and 4106 met silence (binance-connector-rust#27).
    max_message_bytes: int = 4000
    max_connection_life: timedelta = timedelta(hours=24)

    @property
    def stream_url(self) -> str:
        """Where a combined stream is opened; every message comes as ``{"stream": ..., "data": ...}``."""
        return self.ws + self.stream_path

    @property
    def funding_pool(self) -> str:
        """The pool of fundingRate and fundingInfo on USD-M: 500 requests in 5 minutes, apart from the weight."""
        return f"{self.pool}-funding"

    def rest_url(self, name: str) -> str:
        """The address of a REST endpoint, such as ``klines``."""
        return f"{self.rest}{self.prefix}/{name}"


# 499 rows weigh 2 on futures: 249.5 rows for a weight, against 150 with pages of 1500. Spot charges 2 for any size.
_OWN: Mapping[Venue, Host] = MappingProxyType(
    {
        Venue.SPOT: Host(
            venue=Venue.SPOT,
            rest="https://api.binance.com",
            ws="wss://stream.binance.com:9443",
            prefix="/api/v3",
            stream_path="/stream",
            pool="spot",
            intervals=tuple(Interval),
            max_page_rows=1000,
            cheap_page_rows=1000,
            max_page_span=None,
            default_weight_limit=6000,
            messages_per_second=5,  # pings and pongs count too
        ),
        Venue.UM: Host(
            venue=Venue.UM,
            rest="https://fapi.binance.com",
            ws="wss://fstream.binance.com",
            prefix="/fapi/v1",
            # Klines exist only under /market since 2026-04-23: without the route all is acknowledged, nothing comes.
            stream_path="/market/stream",
            pool="futures",
            intervals=FUTURES_INTERVALS,
            max_page_rows=1500,
            cheap_page_rows=499,
            max_page_span=None,
            default_weight_limit=2400,
            messages_per_second=10,
        ),
        Venue.CM: Host(
            venue=Venue.CM,
            rest="https://dapi.binance.com",
            ws="wss://dstream.binance.com",
            prefix="/dapi/v1",
            stream_path="/stream",
            pool="futures",
            intervals=FUTURES_INTERVALS,
            max_page_rows=1500,
            cheap_page_rows=499,
            max_page_span=timedelta(days=200),
            default_weight_limit=2400,
            messages_per_second=10,
        ),
    }
)


def host_of(venue: Venue, endpoints: Endpoints | None = None, *, proxy: str | None = None) -> Host:
    """The doors of ``venue``, at the exchange or where ``endpoints`` say.

    ``proxy`` matters for the pool alone: the exchange counts per IP address, and another proxy is another address.

    Raises:
        ConfigError: a base or the proxy is no URL with a host.
    """
    own = _OWN[venue]
    bases = endpoints or Endpoints()
    rest = _base(bases.rest, "endpoints.rest", ("http", "https")) or own.rest
    ws = _base(bases.ws, "endpoints.ws", ("ws", "wss")) or own.ws
    return replace(own, rest=rest, ws=ws, pool=_pool(own.pool, rest, proxy))


def _base(url: str | None, key: str, schemes: tuple[str, ...]) -> str | None:
    if url is None:
        return None
    _split(url, key, schemes)
    return url.rstrip("/")


def _pool(own_pool: str, rest: str, proxy: str | None) -> str:
    netloc = _netloc(_split(rest, "endpoints.rest", ("http", "https")))
    pool = POOL_OF_NETLOC.get(netloc) or f"{netloc}-{own_pool}"
    return pool if proxy is None else f"{pool}-via-{_netloc(_split(proxy, 'proxy', ()))}"


def _split(url: str, key: str, schemes: tuple[str, ...]) -> SplitResult:
    try:
        parts = urlsplit(url)
        sound = bool(parts.hostname) and (not schemes or parts.scheme in schemes)
        _ = parts.port
    except ValueError:  # a port that is no number, brackets that do not close
        sound = False
    if not sound:
        allowed = " or ".join(f"{scheme}://" for scheme in schemes) or "a URL"
        # The URL itself stays out of the message: a proxy may carry a password.
        raise ConfigError("config.json", [f"{key} is no address that can be used (allowed: {allowed} with a host)"])
    return parts


def _netloc(parts: SplitResult) -> str:
    """Host and port in one spelling, without user and password; the scheme's usual port is left out."""
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    port = parts.port
    return host if port is None or port == DEFAULT_PORTS.get(parts.scheme) else f"{host}:{port}"
