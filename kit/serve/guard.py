"""What keeps the page to its own user: who may ask, and what the browser is told not to do."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

HEADERS = {
    # No inline script and nothing from elsewhere. `img-src data:`: the chart library draws its cursor marks so.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Sent with every answer."""


def is_loopback(host: str) -> bool:
    """Whether a name or address to listen on is reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def host_allowed(header: str | None, listening_on: str) -> bool:
    """Whether a request with this ``Host`` header is meant for this page.

    On loopback a foreign name means that a web page made the browser believe that its own name is this machine (DNS
    rebinding), and wants to read what is here. Any port is right: the page may be looked at through a tunnel. On other
    addresses the names under which the machine is known are not ours to guess.
    """
    if not is_loopback(listening_on):
        return True
    try:
        name = urlsplit(f"//{header or ''}").hostname
    except ValueError:
        return False
    return name is not None and is_loopback(name)
