"""Where metrics are served: ``[HOST:]PORT``, of the option ``--metrics`` or the variable ``BMAC_METRICS``."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from kit.errors import BmacError

VARIABLE = "BMAC_METRICS"
LOOPBACK = "127.0.0.1"
MAX_PORT = 65_535

_ADDRESS = re.compile(r"(?:(?P<host>[^\s:\[\]/@]+|\[[0-9a-fA-F:.]+\]):)?(?P<port>[0-9]{1,5})", re.ASCII)


class MetricsError(BmacError):
    """Metrics cannot be served as asked (exit code 2)."""


@dataclass(frozen=True)
class Address:
    """Where to listen. Port 0 takes any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        """As a URL has it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether it is reached from this machine only."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"


def parse_address(text: str | None) -> Address | None:
    """The address that was written; None for none. Without a host it is this machine's loopback.

    Raises:
        MetricsError: it is no address.
    """
    if not text:
        return None
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found["port"]) > MAX_PORT:
        allowed = "9461, 0.0.0.0:9461 or [::1]:9461"
        raise MetricsError(f"metrics address {text!r} is none; allowed: [HOST:]PORT, such as {allowed}")
    return Address((found["host"] or LOOPBACK).strip("[]"), int(found["port"]))
