"""Funding: the rate that is forming, the settlements that were, the interval between them.

``GET /fapi/v1/premiumIndex`` (UM 2026-09, recorded; CM has ``pair`` too and "" for quarterlies)::

    {"symbol":"BTCUSDT","markPrice":"83829.80000000","indexPrice":"83844.93847826","estimatedSettlePrice":
     "83791.57678285","lastFundingRate":"0.00004558","interestRate":"0.00010000","nextFundingTime":1790784000000,
     "time":1790767764002}

``GET /fapi/v1/fundingRate`` (UM 2026-09, recorded; the time jitters by milliseconds)::

    {"symbol":"XAUUSDT","fundingTime":1790611200002,"fundingRate":"0.00019912","markPrice":"4128.25000000",
     "rateType":"Regular"}

``GET /fapi/v1/fundingInfo``::

    {"symbol":"BLZUSDT","adjustedFundingRateCap":"0.02500000","adjustedFundingRateFloor":"-0.02500000",
     "fundingIntervalHours":8,"disclaimer":false}

Times are UTC milliseconds, rates plain fractions (0.0001 is one basis point). An empty string is no number: None.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec

from kit.errors import BadAnswerError
from kit.outside import UNREADABLE
from kit.words import LAST_MS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kit.words import Venue

HOUR_MS = 3_600_000
# Of symbols that fundingInfo does not name.
DEFAULT_INTERVAL_HOURS = 8
# The only kind there was before 2026-07-23, when the field came. "Special" is, for example, a dividend's adjustment.
REGULAR = "Regular"

Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=LAST_MS)]
# The shortest known is 1, the longest 8; a year is longer than any can be.
Hours = Annotated[int, msgspec.Meta(ge=0, le=366 * 24)]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PremiumIndex:
    """A symbol's prices and forming rate at ``time_ms``. Quarterlies have no rate and no next settlement: None."""

    symbol: str
    mark_price: float | None
    index_price: float | None
    last_funding_rate: float | None
    next_funding_ms: int | None
    time_ms: int


@dataclass(frozen=True, slots=True)
class FundingRate:
    """A settlement. ``funding_ms`` is rounded to the hour, for keys; ``settled_ms`` is as the exchange says it.

    Two settlements of a symbol may share an hour when their ``rate_type`` differs.
    """

    symbol: str
    funding_ms: int
    settled_ms: int
    rate: float | None
    mark_price: float | None
    rate_type: str


@dataclass(frozen=True, slots=True)
class FundingInfo:
    """How often a symbol settles, and the bounds of its rate."""

    symbol: str
    interval_hours: int
    rate_cap: float | None
    rate_floor: float | None


class _Premium(msgspec.Struct, rename="camel"):
    symbol: str
    time: Milliseconds
    mark_price: str = ""
    index_price: str = ""
    last_funding_rate: str = ""
    next_funding_time: Milliseconds = 0


class _Rate(msgspec.Struct, rename="camel"):
    symbol: str
    funding_time: Milliseconds
    funding_rate: str = ""
    mark_price: str | None = None
    rate_type: str = REGULAR


class _Info(msgspec.Struct, rename="camel"):
    symbol: str
    funding_interval_hours: Hours | None = None
    adjusted_funding_rate_cap: str | None = None
    adjusted_funding_rate_floor: str | None = None


def decode_premium_index(venue: Venue, body: bytes) -> tuple[PremiumIndex, ...]:
    """All symbols of a premiumIndex answer (UM answers one object for one symbol), whatever their status.

    Raises:
        BadAnswerError: not such an answer.
    """
    return tuple(
        PremiumIndex(
            symbol=each.symbol,
            mark_price=_number(each.mark_price),
            index_price=_number(each.index_price),
            last_funding_rate=_number(each.last_funding_rate),
            next_funding_ms=each.next_funding_time or None,
            time_ms=each.time,
        )
        for each in _decode(_Premium, "premiumIndex", venue, body)
    )


def decode_funding_rates(venue: Venue, body: bytes) -> tuple[FundingRate, ...]:
    """The settlements of a fundingRate answer, in the exchange's order (ascending time).

    Raises:
        BadAnswerError: not such an answer.
    """
    return tuple(
        FundingRate(
            symbol=each.symbol,
            funding_ms=round_to_hour(each.funding_time),
            settled_ms=each.funding_time,
            rate=_number(each.funding_rate),
            mark_price=_number(each.mark_price),
            rate_type=each.rate_type,
        )
        for each in _decode(_Rate, "fundingRate", venue, body)
    )


def decode_funding_info(venue: Venue, body: bytes) -> tuple[FundingInfo, ...]:
    """The symbols of a fundingInfo answer; an interval that is missing is 8 hours.

    Raises:
        BadAnswerError: not such an answer.
    """
    return tuple(
        FundingInfo(
            symbol=each.symbol,
            interval_hours=each.funding_interval_hours or DEFAULT_INTERVAL_HOURS,
            rate_cap=_number(each.adjusted_funding_rate_cap),
            rate_floor=_number(each.adjusted_funding_rate_floor),
        )
        for each in _decode(_Info, "fundingInfo", venue, body)
    )


def funding_interval_hours(symbol: str, infos: Mapping[str, FundingInfo]) -> int:
    """How often ``symbol`` settles: as fundingInfo says, 8 hours where it says nothing."""
    info = infos.get(symbol)
    return DEFAULT_INTERVAL_HOURS if info is None else info.interval_hours


def round_to_hour(ms: int) -> int:
    """The nearest full hour: settlements are on the hour, their times off by some milliseconds."""
    return (ms + HOUR_MS // 2) // HOUR_MS * HOUR_MS


def _decode(kind: type[T], name: str, venue: Venue, body: bytes) -> list[T]:
    """The entries of an answer, which may be a list or a single object."""
    entries = b"[" + body + b"]" if body.lstrip()[:1] == b"{" else body
    try:
        return msgspec.json.decode(entries, type=list[kind])  # type: ignore[valid-type] # a type made at run time
    except UNREADABLE as error:
        raise BadAnswerError(f"{name} of {venue} cannot be read: {error}") from error


def _number(text: str | None) -> float | None:
    """The number in a decimal text; None for an empty one."""
    if not text:
        return None
    try:
        number = float(text)
    except ValueError as error:
        raise BadAnswerError(f"{text[:40]!r} is no number") from error
    if not isfinite(number):
        raise BadAnswerError(f"{text[:40]!r} is no finite number")
    return number
