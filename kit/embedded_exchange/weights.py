"""Request weight per client address, and what happens to those who use too much. Decides only; no I/O."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from enum import Enum

MINUTE_MS = 60_000
FUNDING_WINDOW_MS = 5 * MINUTE_MS


class Verdict(Enum):
    """What becomes of a request."""

    SERVED = 200
    LIMITED = 429
    BANNED = 418


@dataclass(frozen=True)
class Decision:
    """``used``: weight of this minute with this request, the header's number. ``until_ms``: end of the minute or the
    ban. ``banned_before``: it came during a ban, so it is not the request that brought it about.
    """

    verdict: Verdict
    used: int
    until_ms: int
    banned_before: bool = False


@dataclass
class _Client:
    window: int = -1
    used: int = 0
    refused: int = 0
    bans: int = 0
    banned_until_ms: int = 0
    funding: dict[int, int] = field(default_factory=lambda: defaultdict(int))


class WeightPool:
    """One pool: spot has one, UM and CM share another (the integration of 2026-06). Minutes are the clock's minutes."""

    def __init__(self, limit: int, *, funding_limit: int, ban_after: int, ban_s: float) -> None:
        self.limit = limit
        self._funding_limit = funding_limit
        self._ban_after = ban_after
        self._ban_ms = int(ban_s * 1000)
        self._clients: defaultdict[str, _Client] = defaultdict(_Client)

    def take(self, address: str, weight: int, now_ms: int, *, funding: bool = False) -> Decision:
        """Counts one request of that client. ``funding``: it also counts in the five-minute bucket of the funding
        endpoints.
        """
        client = self._clients[address]
        if client.window != now_ms // MINUTE_MS:
            client.window, client.used, client.refused = now_ms // MINUTE_MS, 0, 0
        if now_ms < client.banned_until_ms:
            return Decision(Verdict.BANNED, client.used, client.banned_until_ms, banned_before=True)
        client.used += weight
        if funding and not self._funding_left(client, now_ms):
            return self._refuse(client, now_ms, (now_ms // FUNDING_WINDOW_MS + 1) * FUNDING_WINDOW_MS)
        if client.used > self.limit:
            return self._refuse(client, now_ms, (client.window + 1) * MINUTE_MS)
        return Decision(Verdict.SERVED, client.used, 0)

    def ban(self, address: str, ban_ms: int, now_ms: int) -> Decision:
        """Bans the client for that long, whatever it has used."""
        client = self._clients[address]
        client.banned_until_ms = max(client.banned_until_ms, now_ms + ban_ms)
        return Decision(Verdict.BANNED, client.used, client.banned_until_ms)

    def _funding_left(self, client: _Client, now_ms: int) -> bool:
        window = now_ms // FUNDING_WINDOW_MS
        client.funding = defaultdict(int, {window: client.funding[window] + 1})
        return client.funding[window] <= self._funding_limit

    def _refuse(self, client: _Client, now_ms: int, until_ms: int) -> Decision:
        client.refused += 1
        if client.refused <= self._ban_after:
            return Decision(Verdict.LIMITED, client.used, until_ms)
        client.banned_until_ms = now_ms + self._ban_ms * 2**client.bans
        client.bans += 1
        return Decision(Verdict.BANNED, client.used, client.banned_until_ms)


# Weight of a UM or CM klines request by the largest limit it is for (official SDKs and documents, 2026-11).
_KLINES_WEIGHTS = ((99, 1), (499, 2), (1000, 5))
_HEAVIEST_KLINES = 10


def futures_klines_weight(limit: int) -> int:
    """Weight of a UM or CM klines request with that limit."""
    return next((weight for most, weight in _KLINES_WEIGHTS if limit <= most), _HEAVIEST_KLINES)
