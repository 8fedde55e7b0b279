"""How REST reaches the exchange: directly, through an HTTP proxy (aiohttp's own) or a SOCKS proxy (aiohttp-socks)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
from aiohttp_socks import ProxyConnectionError, ProxyConnector, ProxyError, ProxyTimeoutError

if TYPE_CHECKING:
    from datetime import timedelta

# What a SOCKS proxy can fail with; neither OSError nor aiohttp's.
SOCKS_ERRORS = (ProxyConnectionError, ProxyError, ProxyTimeoutError)

USER_AGENT = "bmac/3"
# Between the requests of two 1m periods a connection is worth keeping: a new TLS handshake costs two round trips.
KEEP_ALIVE_SECONDS = 75


def open_session(proxy: str | None, timeout: timedelta) -> aiohttp.ClientSession:
    """A session for one host. ``timeout`` bounds connecting and each pause; the whole may take four times as long.

    Proxies of the environment are not used: the weight budget has to know which address is counted.
    """
    seconds = timeout.total_seconds()
    limits = aiohttp.ClientTimeout(total=4 * seconds, sock_connect=seconds, sock_read=seconds)
    http_proxy = proxy if proxy is not None and not _is_socks(proxy) else None
    return aiohttp.ClientSession(
        connector=_connector(proxy),
        proxy=http_proxy,
        timeout=limits,
        headers={"User-Agent": USER_AGENT},
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),  # the exchange's gateways set cookies that nobody needs
    )


def _connector(proxy: str | None) -> aiohttp.BaseConnector:
    if proxy is None or not _is_socks(proxy):
        return aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS)
    scheme, rest = proxy.split(":", 1)
    # socks5h: names are resolved behind the proxy. aiohttp-socks says so by a flag and does not know the word.
    plain = f"{scheme.lower().removesuffix('h')}:{rest}"
    remote_dns = scheme.lower().endswith("h")
    return ProxyConnector.from_url(plain, rdns=remote_dns, limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS)


def _is_socks(proxy: str) -> bool:
    return urlsplit(proxy).scheme.lower().startswith("socks")
