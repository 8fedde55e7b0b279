"""One tradable thing of the embedded exchange: its exchange-info record, its decimals and how it trades."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kit.embedded_exchange.decimals import places_of, units_of, write
from kit.words import Venue

Record = Mapping[str, Any]  # one entry of exchangeInfo's "symbols", exactly as it is sent

MINUTE_MS = 60_000
_SPOT_PLACES = 8  # spot writes every number with eight places, whatever the tick
_BASE_ASSET_PLACES = 8  # COIN-M turnover is base asset, eight places


@dataclass(frozen=True)
class Scale:
    """How a count is written: ``count * unit`` with ``places`` digits behind the point."""

    places: int
    unit: int = 1

    def text(self, count: int) -> str:
        """The decimal string of a count."""
        return write(count * self.unit, self.places)


@dataclass(frozen=True)
class Scales:
    """How an instrument's prices, quantities and turnovers are written."""

    price: Scale
    quantity: Scale
    turnover: Scale


@dataclass(frozen=True)
class Activity:
    """How lively a made-up instrument is. ``price`` and ``turnover`` (per minute) are in the quote asset."""

    price: float
    turnover: float
    step: float  # size of a minute's price change, as a share of the price
    trades: int  # trades of a middling minute
    quiet: float  # share of the minutes in which nobody trades


@dataclass(frozen=True)
class Instrument:
    """``listed_ms`` is a whole minute: the first in which it trades."""

    venue: Venue
    symbol: str
    record: Record
    scales: Scales
    activity: Activity
    listed_ms: int

    @property
    def status(self) -> str:
        """Its status; COIN-M calls the field ``contractStatus``."""
        return str(self.record["contractStatus" if self.venue is Venue.CM else "status"])

    @property
    def has_klines(self) -> bool:
        """Trading now, or (spot) traded until a halt; a contract that has not opened yet has none."""
        return self.status not in ("PENDING_TRADING", "PRE_TRADING")

    @property
    def refuses_klines(self) -> bool:
        """Futures past their end answer -1122 to a klines request (docs/exchange.md, user reports)."""
        return self.venue is not Venue.SPOT and self.status not in ("TRADING", "PENDING_TRADING")

    @property
    def illiquid(self) -> bool:
        """Some of its minutes pass without a trade."""
        return self.activity.quiet > 0

    @property
    def inverse_unit(self) -> int:
        """COIN-M: ``contracts * inverse_unit // price`` is turnover; 0 where turnover is price times quantity."""
        if self.venue is not Venue.CM:
            return 0
        size = int(self.record["contractSize"]) * 10**_BASE_ASSET_PLACES
        return units_of(str(size), self.scales.price.places) // self.scales.price.unit


def scales_of(venue: Venue, record: Record) -> Scales:
    """The decimals that the exchange would use, from the tick and step sizes of the record.

    Futures write as many places as tick and step have (turnover: both together); spot always eight.
    """
    tick = _filter_value(record, "PRICE_FILTER", "tickSize", "0.00000100")
    step = _filter_value(record, "LOT_SIZE", "stepSize", "1.00000000")
    if venue is Venue.SPOT:
        tick_units = units_of(tick, _SPOT_PLACES)
        tick_places = places_of(tick.rstrip("0"))
        # A lot finer than this would give turnovers with more than eight places, which spot cannot write.
        step_places = min(places_of(step.rstrip("0")), _SPOT_PLACES - tick_places)
        price = Scale(_SPOT_PLACES, tick_units)
        quantity = Scale(_SPOT_PLACES, 10 ** (_SPOT_PLACES - step_places))
        turnover = Scale(_SPOT_PLACES, tick_units // 10**step_places)
        return Scales(price, quantity, turnover)
    price = Scale(places_of(tick), units_of(tick, places_of(tick)))
    quantity = Scale(places_of(step), units_of(step, places_of(step)))
    if venue is Venue.CM:
        return Scales(price, quantity, Scale(_BASE_ASSET_PLACES))
    return Scales(price, quantity, Scale(price.places + quantity.places, price.unit * quantity.unit))


def _filter_value(record: Record, kind: str, field: str, default: str) -> str:
    for entry in record["filters"]:
        if entry["filterType"] == kind and float(entry[field]) > 0:
            return str(entry[field])
    return default
