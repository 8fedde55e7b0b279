"""Funding of the made-up contracts: settled every 8, 4 or 1 hours, a pure function of symbol and time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kit.embedded_exchange.noise import fraction_of
from kit.words import Venue

if TYPE_CHECKING:
    from kit.embedded_exchange.instrument import Instrument
    from kit.embedded_exchange.tape import Tape

HOUR_MS = 3_600_000
_JITTER_MS = 3  # recorded funding times are 0 to 2 ms after the hour
_PRICE_PLACES = 8
_USUAL_HOURS = 8


def has_funding(instrument: Instrument) -> bool:
    """Perpetuals pay funding; quarterlies do not, and neither does a contract that has not opened."""
    return "PERPETUAL" in str(instrument.record["contractType"]) and instrument.status != "PENDING_TRADING"


def funding_hours(symbol: str) -> int:
    """Hours between two settlements of this symbol."""
    if symbol.startswith(("BTC", "ETH")):
        return 8
    return (8, 8, 4, 4, 4, 1)[int(fraction_of("funding hours", symbol) * 6)]


def rate_at(symbol: str, hour_ms: int) -> str:
    """The rate settled at that hour, as a decimal string with eight places."""
    return f"{(fraction_of('funding', symbol, hour_ms) - 0.35) * 0.0004:.8f}"


def settlements(instrument: Instrument, tape: Tape, start_ms: int, end_ms: int) -> list[dict[str, Any]]:
    """Rows of ``fundingRate`` with funding times in ``start_ms`` ... ``end_ms``, ascending."""
    if not has_funding(instrument):
        return []
    step_ms = funding_hours(instrument.symbol) * HOUR_MS
    first = -(-max(start_ms - _JITTER_MS, tape.listed_ms) // step_ms) * step_ms
    last = end_ms if tape.end_ms is None else min(end_ms, tape.end_ms)
    rows = (settlement(instrument, tape, hour_ms) for hour_ms in range(first, last + 1, step_ms))
    return [row for row in rows if start_ms <= row["fundingTime"] <= end_ms]


def settlement(instrument: Instrument, tape: Tape, hour_ms: int) -> dict[str, Any]:
    """One settlement; COIN-M rows carry neither a mark price nor a type (docs/exchange.md)."""
    symbol = instrument.symbol
    time_ms = hour_ms + int(fraction_of("funding jitter", symbol, hour_ms) * _JITTER_MS)
    row: dict[str, Any] = {"symbol": symbol, "fundingTime": time_ms, "fundingRate": rate_at(symbol, hour_ms)}
    if instrument.venue is Venue.UM:
        row["markPrice"] = price_text(instrument, tape, hour_ms)
        row["rateType"] = "Regular"
    return row


def price_text(instrument: Instrument, tape: Tape, at_ms: int) -> str:
    """The last traded price at a moment, with eight places; "0.00000000" before the first trade."""
    at_ms = at_ms if tape.end_ms is None else min(at_ms, tape.end_ms - 1)
    minute_ms = at_ms - at_ms % 60_000
    bar = tape.so_far(max(60_000, tape.base_ms), minute_ms, at_ms)
    if bar is None:
        return "0.00000000"
    price = instrument.scales.price
    return (
        price.text(bar.close) + "0" * (_PRICE_PLACES - price.places)
        if price.places
        else f"{price.text(bar.close)}.00000000"
    )


def premium(instrument: Instrument, tape: Tape, now_ms: int) -> dict[str, Any]:
    """One row of ``premiumIndex``. Delivery contracts have no funding: zero on UM, empty strings on CM."""
    cm = instrument.venue is Venue.CM
    price = price_text(instrument, tape, now_ms)
    step_ms = funding_hours(instrument.symbol) * HOUR_MS
    funded = has_funding(instrument)
    without = "" if cm else "0.00000000"
    row: dict[str, Any] = {"symbol": instrument.symbol}
    if cm:
        row["pair"] = instrument.record["pair"]
    row |= {
        "markPrice": price,
        "indexPrice": price,
        "estimatedSettlePrice": price,
        "lastFundingRate": rate_at(instrument.symbol, now_ms - now_ms % step_ms + step_ms) if funded else without,
        "interestRate": "0.00010000" if funded else without,
        "nextFundingTime": now_ms - now_ms % step_ms + step_ms if funded else 0,
        "time": now_ms,
    }
    return row


def funding_info(instrument: Instrument) -> dict[str, Any]:
    """One row of ``fundingInfo``; default ones have ``disclaimer: true`` and no update time, as live in 2026-08."""
    hours = funding_hours(instrument.symbol)
    return {
        "symbol": instrument.symbol,
        "adjustedFundingRateCap": "0.02000000",
        "adjustedFundingRateFloor": "-0.02000000",
        "fundingIntervalHours": hours,
        "disclaimer": hours == _USUAL_HOURS,
        "updateTime": None if hours == _USUAL_HOURS else instrument.listed_ms,
    }
