"""What can happen to a symbol while the exchange runs, in the words of the control endpoint."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from kit.embedded_exchange.faults.altered_tape import AlteredTape
from kit.embedded_exchange.faults.parameters import FaultError
from kit.embedded_exchange.instrument import MINUTE_MS
from kit.words import Venue

if TYPE_CHECKING:
    from kit.embedded_exchange.exchange import EmbeddedExchange
    from kit.embedded_exchange.instrument import Instrument
    from kit.embedded_exchange.market import Market

Told = dict[str, Any]


def list_like(exchange: EmbeddedExchange, venue: Venue, symbol: str, like: str, at_ms: int | None = None) -> Told:
    """A listing of the same kind as another symbol, now; with ``at_ms`` in the future it is listed then."""
    if at_ms is not None and at_ms > exchange.clock.now_ms():
        _check_listing(exchange, venue, symbol, like)
        exchange.conductor.at(at_ms, partial(list_like, exchange, venue, symbol, like))
        return {"symbol": symbol, "listed_ms": at_ms - at_ms % MINUTE_MS}
    pattern = exchange.market.existing(venue, like)
    record = pattern.record
    quote = str(record["quoteAsset"])
    details: dict[str, Any] = {}
    if venue is not Venue.SPOT:
        details = {"contract_type": record["contractType"], "underlying": record["underlyingType"]}
    if venue is Venue.CM:
        details["pair"] = symbol.partition("_")[0]
    listed = exchange.list_symbol(
        venue,
        symbol,
        base=symbol.partition("_")[0].removesuffix(quote) or symbol,
        quote=quote,
        price=pattern.activity.price,
        at_ms=at_ms,
        **details,
    )
    return {"symbol": symbol, "listed_ms": listed.listed_ms}


def _check_listing(exchange: EmbeddedExchange, venue: Venue, symbol: str, like: str) -> None:
    """What would be wrong later is said now."""
    exchange.market.existing(venue, like)
    if any(one.symbol == symbol for one in exchange.market.instruments(venue)):
        raise FaultError(f"{symbol} is listed on {venue} already (allowed: a new symbol)")


def delist(exchange: EmbeddedExchange, venue: Venue, symbol: str) -> Told:
    """Its status changes at once; it trades until the end of the running minute, which is answered."""
    return {"symbol": symbol, "delisted_ms": exchange.delist_symbol(venue, symbol)}


def settle(exchange: EmbeddedExchange, venue: Venue, symbol: str) -> Told:
    """A contract's end, as :func:`delist`; spot pairs have none."""
    if venue is Venue.SPOT:
        raise FaultError("spot pairs do not settle (allowed: um, cm; use delist or halt)")
    return delist(exchange, venue, symbol)


def halt(exchange: EmbeddedExchange, venue: Venue, symbol: str) -> Told:
    """No trade from now on; its status tells."""
    now_ms = exchange.clock.now_ms()
    exchange.market.halt(venue, symbol, now_ms)
    exchange.conductor.renew()
    return {"symbol": symbol, "halted_ms": now_ms}


def resume(exchange: EmbeddedExchange, venue: Venue, symbol: str) -> Told:
    """Trading goes on."""
    now_ms = exchange.clock.now_ms()
    exchange.market.resume(venue, symbol, now_ms)
    exchange.conductor.renew()
    return {"symbol": symbol, "resumed_ms": now_ms}


def relist(exchange: EmbeddedExchange, venue: Venue, symbol: str, seed: int) -> Told:
    """A delisted ticker comes back as another asset."""
    listed = exchange.market.relist(venue, symbol, seed, exchange.clock.now_ms())
    exchange.conductor.renew()
    return {"symbol": symbol, "listed_ms": listed.listed_ms}


def symbols_of(market: Market, venue: Venue) -> list[Told]:
    """What is true about every symbol of a venue."""
    return [_told(market, instrument) for instrument in market.instruments(venue)]


def _told(market: Market, instrument: Instrument) -> Told:
    tape = market.tape(instrument)
    halts = tape.halts if isinstance(tape, AlteredTape) else []
    return {
        "symbol": instrument.symbol,
        "status": instrument.status,
        "listed_ms": instrument.listed_ms,
        "delisted_ms": tape.end_ms,
        "base": instrument.record["baseAsset"],
        "quote": instrument.record["quoteAsset"],
        "contract_type": instrument.record.get("contractType"),
        "illiquid": instrument.illiquid,
        "halts": [[one.since_ms, one.until_ms] for one in halts],
        "earlier": [
            {"listed_ms": before.listed_ms, "delisted_ms": its_tape.end_ms}
            for before, its_tape in market.earlier(instrument)
        ],
    }
