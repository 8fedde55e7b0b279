"""What can be chosen about an embedded exchange. Defaults are the real exchange's of late 2026 (rates, limits,
periods).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from kit.embedded_exchange.noise import fraction_of
from kit.errors import UnknownWordError
from kit.words import Venue

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_BURST_DELAY_MS = 5
_REAL_DELAY_MS = (
    200,
    600,
)  # earliest, and width: most recorded finals came 0.2 to 0.8 s after the close (docs/exchange.md)
_REAL_ILLIQUID_DELAY_MS = 2000  # the flush that the two least liquid recorded symbols waited for


@dataclass(frozen=True)
class Finals:
    """How late the final event of a candle is. ``spread_s`` counts for ``spread`` only."""

    policy: Literal["real", "burst", "spread"] = "real"
    spread_s: float = 0.0

    def delay_ms(self, seed: int, symbol: str, begin_ms: int, *, illiquid: bool) -> int:
        """Milliseconds from the close to the final event of one candle; the same each time it is asked."""
        if self.policy == "burst":
            return _BURST_DELAY_MS
        share = fraction_of("final", seed, symbol, begin_ms)
        if self.policy == "spread":
            return int(share * self.spread_s * 1000)
        if illiquid:
            return _REAL_ILLIQUID_DELAY_MS + int(share * 10)
        return _REAL_DELAY_MS[0] + int(share * _REAL_DELAY_MS[1])


def parse_finals(text: str) -> Finals:
    """``real``, ``burst`` or ``spread:SECONDS``.

    Raises:
        UnknownWordError: anything else.
    """
    if text == "real":
        return Finals("real")
    if text == "burst":
        return Finals("burst")
    word, _, seconds = text.partition(":")
    try:
        if word == "spread" and float(seconds) >= 0:
            return Finals("spread", float(seconds))
    except ValueError:
        pass  # said below, with what is allowed
    raise UnknownWordError("finals", text, ["real", "burst", "spread:5"])


@dataclass(frozen=True)
class Settings:
    """Everything with a unit in its name. Port 0 takes any free port.

    ``symbols``: how many USDT pairs trade in each of usdt_perp and usdt_spot. ``spot_update_ms``: None keeps the real
    exchange's ratio of 2000 ms on spot to 250 ms on futures. ``exchange_info``: a recorded answer for a venue,
    instead of
    the made-up market. ``replay``: archive files whose candles are served to the character.
    """

    host: str = "127.0.0.1"
    spot_port: int = 0
    futures_port: int = 0
    control_port: int | None = None  # None: there is no control endpoint
    symbols: int = 30
    seed: int = 1
    update_ms: int = 250
    spot_update_ms: int | None = None
    finals: Finals = field(default_factory=Finals)
    futures_weight_limit: int = 2400
    spot_weight_limit: int = 6000
    funding_limit: int = 500  # requests in five minutes to UM fundingRate and fundingInfo together
    ban_after: int = 10  # refused requests in one minute after which the address is banned
    ban_s: float = 120.0  # the shortest ban of the real exchange; each further one is twice as long
    history_days: int = 1500
    illiquid_share: float = 0.1
    skew_ms: int = 0
    connection_life_s: float = 86_400.0
    futures_string_ids: bool = False  # the documents say unsigned integers only, yet the official client sends UUIDs
    spot_ping_s: float = 20.0
    spot_pong_timeout_s: float = 60.0
    futures_ping_s: float = 180.0
    futures_pong_timeout_s: float = 600.0
    exchange_info: Mapping[Venue, Path] = field(default_factory=dict)
    replay: tuple[Path, ...] = ()

    def update_ms_of(self, venue: Venue) -> int:
        """How often an open candle is pushed on this venue, if it changed."""
        if venue is not Venue.SPOT:
            return self.update_ms
        return self.spot_update_ms if self.spot_update_ms is not None else 8 * self.update_ms
