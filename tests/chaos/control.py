"""A client of the embedded exchange's control endpoint: faults, market life, clock, and what is true."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

TIMEOUT_S = 60.0


class ControlError(Exception):
    """The control endpoint refused, or is not there."""


@dataclass(frozen=True)
class Control:
    """The control endpoint at ``url``. Every method is one blocking HTTP request and raises ControlError."""

    url: str

    def switch_on(self, name: str, **keys: Any) -> int:
        """Switch a fault on; its id."""
        return int(self._call("POST", "/faults", {"name": name, **keys})["id"])

    def switch_off(self, fault: int) -> None:
        """Switch it off; nothing happens when it has ended by itself."""
        try:
            self._call("DELETE", f"/faults/{fault}")
        except ControlError as error:
            if "404" not in str(error):
                raise

    def clear(self) -> None:
        """Switch all faults off."""
        self._call("DELETE", "/faults")

    def faults(self) -> dict[str, Any]:
        """``known`` faults and the ``active`` ones."""
        return dict(self._call("GET", "/faults"))

    def market(self, what: str, **keys: Any) -> dict[str, Any]:
        """``list``, ``delist``, ``halt``, ``resume``, ``settle`` or ``relist``."""
        return dict(self._call("POST", f"/market/{what}", keys))

    def clock(self, **keys: int) -> None:
        """``skew_ms`` or ``jump_ms``."""
        self._call("POST", "/clock", keys)

    def end_connections(self, how: str, **keys: Any) -> int:
        """End WebSocket connections; how many."""
        return int(self._call("POST", "/connections/end", {"how": how, **keys})["ended"])

    def connections(self) -> list[dict[str, Any]]:
        """The open WebSocket connections."""
        return list(self._call("GET", "/connections"))

    def truth(self, venue: str, symbol: str, interval: str, first_ms: int, last_ms: int) -> list[list[Any]]:
        """The true closed candles with begin times from first to last, as rows of begin_ms and the nine values."""
        query = {"venue": venue, "symbol": symbol, "interval": interval, "first_ms": first_ms, "last_ms": last_ms}
        return list(self._call("GET", f"/truth?{urllib.parse.urlencode(query)}"))

    def symbols(self, venue: str) -> list[dict[str, Any]]:
        """What is listed on a venue."""
        return list(self._call("GET", f"/truth/symbols?venue={venue}"))

    def ledger(self) -> dict[str, Any]:
        """What clients did: requests, refusals, weights, connections."""
        return dict(self._call("GET", "/ledger"))

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)  # noqa: S310 - our own server
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - same
                text = answer.read()
        except urllib.error.HTTPError as refused:
            raise ControlError(f"{method} {path} {body}: {refused.code} {refused.read().decode()}") from None
        except OSError as error:
            raise ControlError(f"{method} {path}: {error}") from error
        return json.loads(text) if text else {}
