"""Everything that is listed: instruments of the three venues with their tapes, and listing and delisting while it
runs.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kit.embedded_exchange.faults.altered_tape import AlteredTape, Halt
from kit.embedded_exchange.instrument import MINUTE_MS, Activity, Instrument, Record, scales_of
from kit.embedded_exchange.made_up_market import cm_listings, known_price, spot_listings, um_listings
from kit.embedded_exchange.made_up_records import NEVER_MS, Listing, cm_record, spot_record, um_record
from kit.embedded_exchange.noise import fraction_of
from kit.embedded_exchange.replay import Replay, load_replays
from kit.embedded_exchange.tape import MadeUpTape, Tape
from kit.errors import UnknownWordError
from kit.words import Venue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from kit.embedded_exchange.settings import Settings

_WRITERS: dict[Venue, Callable[[Listing], dict[str, Any]]] = {
    Venue.SPOT: spot_record,
    Venue.UM: um_record,
    Venue.CM: cm_record,
}
TRADING = "TRADING"
_TURNOVERS = {"BTC": 2e6, "ETH": 1e6, "SOL": 5e5}  # quote asset a minute
_LEAST_TURNOVER, _TURNOVER_DECADES = 3e3, 1.5
_QUIET_TURNOVER = 300.0
_QUIET_SHARE = 0.3  # of the minutes of an illiquid symbol
_QUIET_TRADES = 12
_FEWEST_LIVELY_TRADES = 600  # a minute; so that a lively candle changes between any two pushes of 250 ms


class Market:
    """Look-up by venue and symbol; changes through the methods that say so."""

    def __init__(self, settings: Settings, now_ms: int) -> None:
        self._settings = settings
        self._instruments: dict[tuple[Venue, str], Instrument] = {}
        self._tapes: dict[tuple[Venue, str], Tape] = {}
        self._earlier: dict[tuple[Venue, str], list[tuple[Instrument, Tape]]] = {}
        self._stream_names: dict[tuple[bool, str], Instrument] = {}
        self.revision = 0  # rises with every listing, delisting and change of status
        self.headers: dict[Venue, dict[str, Any]] = {venue: {} for venue in Venue}
        for venue in Venue:
            self._add_venue(venue, now_ms)
        for symbol, replay in load_replays(settings.replay, now_ms).items():
            self._add_replay(symbol, replay)

    def instruments(self, venue: Venue) -> list[Instrument]:
        """All of a venue, in the order of its exchange info."""
        return [one for (its_venue, _), one in self._instruments.items() if its_venue is venue]

    def get(self, venue: Venue, symbol: str) -> Instrument | None:
        """The instrument of that name; UM and CM answer for each other's symbols since the integration of 2026-06."""
        found = self._instruments.get((venue, symbol))
        if found is None and venue is not Venue.SPOT:
            found = self._instruments.get((Venue.CM if venue is Venue.UM else Venue.UM, symbol))
        return found

    def by_stream_name(self, lower_symbol: str, *, spot: bool) -> Instrument | None:
        """The instrument whose symbol in lower case is this."""
        return self._stream_names.get((spot, lower_symbol))

    def tape(self, instrument: Instrument) -> Tape:
        """Its candles."""
        return self._tapes[instrument.venue, instrument.symbol]

    def list_symbol(
        self, venue: Venue, symbol: str, *, base: str, quote: str, at_ms: int, price: float, **details: Any
    ) -> Instrument:
        """A new symbol, trading from the minute of ``at_ms`` on. ``details`` go to :class:`Listing`.

        Raises:
            ValueError: the symbol is listed already.
        """
        if (venue, symbol) in self._instruments:
            raise ValueError(f"{symbol} is listed on {venue} already (allowed: a new symbol)")
        listing = Listing(symbol, base, quote, price, at_ms - at_ms % MINUTE_MS, **details)
        return self._add(venue, _WRITERS[venue](listing), listing.listed_ms, price)

    def delist(self, venue: Venue, symbol: str, at_ms: int) -> int:
        """Ends a symbol's trading at the end of the minute of ``at_ms`` (returned); its status changes at once.

        Raises:
            UnknownWordError: there is no such symbol.
        """
        instrument = self.existing(venue, symbol)
        end_ms = at_ms - at_ms % MINUTE_MS + MINUTE_MS
        changes: dict[str, Any] = {"deliveryDate": end_ms} if venue is not Venue.SPOT else {}
        self._set_status(instrument, "BREAK" if venue is Venue.SPOT else "SETTLING", **changes)
        self._tapes[venue, symbol].end(end_ms)
        return end_ms

    def halt(self, venue: Venue, symbol: str, at_ms: int) -> None:
        """Stops trading at once: no candle begins until :meth:`resume`; status HALT on spot, CLOSE on futures, whose
        documents know no HALT.

        Raises:
            UnknownWordError: there is no such symbol.
            ValueError: it does not trade.
        """
        instrument = self.existing(venue, symbol)
        if instrument.status != TRADING:
            raise ValueError(f"{symbol} is {instrument.status} on {venue} (allowed: a symbol that is {TRADING})")
        self.altered(venue, symbol).halts.append(Halt(at_ms))
        self._set_status(instrument, "HALT" if venue is Venue.SPOT else "CLOSE")

    def resume(self, venue: Venue, symbol: str, at_ms: int) -> None:
        """Trading goes on after :meth:`halt`.

        Raises:
            UnknownWordError: there is no such symbol.
            ValueError: it was not halted.
        """
        instrument = self.existing(venue, symbol)
        halts = [one for one in self.altered(venue, symbol).halts if one.until_ms is None]
        if not halts:
            raise ValueError(f"{symbol} is not halted on {venue} (allowed: a symbol that is)")
        for one in halts:
            one.until_ms = at_ms
        self._set_status(instrument, TRADING)

    def relist(self, venue: Venue, symbol: str, seed: int, at_ms: int) -> Instrument:
        """The ticker of a delisted symbol comes back as another asset: other candles, a new onboard date. Its candles
        before stay in :meth:`earlier`; REST does not serve them any more.

        Raises:
            UnknownWordError: there never was such a symbol.
            ValueError: it trades still.
        """
        old = self.existing(venue, symbol)
        old_tape = self._tapes[venue, symbol]
        if old_tape.end_ms is None or at_ms < old_tape.end_ms:
            until = "" if old_tape.end_ms is None else f" until {old_tape.end_ms}"
            raise ValueError(f"{symbol} trades on {venue}{until} (allowed: a symbol whose delisting is past)")
        listed_ms = max(at_ms - at_ms % MINUTE_MS, old_tape.end_ms)
        price = old.activity.price * (0.2 + 4 * fraction_of("relisted", seed, symbol))
        record: dict[str, Any] = {**old.record, **_status(venue, TRADING)}
        if venue is not Venue.SPOT:
            record |= {"onboardDate": listed_ms, "deliveryDate": NEVER_MS}
        self._earlier.setdefault((venue, symbol), []).append((old, old_tape))
        return self._add(venue, record, listed_ms, price, seed)

    def earlier(self, instrument: Instrument) -> list[tuple[Instrument, Tape]]:
        """Other assets that had this ticker before, the oldest first."""
        return self._earlier.get((instrument.venue, instrument.symbol), [])

    def existing(self, venue: Venue, symbol: str) -> Instrument:
        """The instrument of that name on that very venue.

        Raises:
            UnknownWordError: there is none.
        """
        instrument = self._instruments.get((venue, symbol))
        if instrument is None:
            names = [name for its_venue, name in self._instruments if its_venue is venue]
            raise UnknownWordError("symbol", symbol, names)
        return instrument

    def altered(self, venue: Venue, symbol: str) -> AlteredTape:
        """The symbol's tape, from now on one whose past can be changed."""
        tape = self._tapes[venue, symbol]
        if not isinstance(tape, AlteredTape):
            tape = self._tapes[venue, symbol] = AlteredTape(tape)
        return tape

    def _set_status(self, instrument: Instrument, status: str, **changes: Any) -> None:
        record = {**instrument.record, **_status(instrument.venue, status), **changes}
        self._put(replace(instrument, record=record))

    def _add_venue(self, venue: Venue, now_ms: int) -> None:
        path = self._settings.exchange_info.get(venue)
        if path is not None:
            self._add_recorded(venue, path, now_ms)
            return
        days = self._settings.history_days
        listings: Iterable[Listing]
        if venue is Venue.SPOT:
            listings = spot_listings(self._settings.symbols, now_ms, days)
        elif venue is Venue.UM:
            listings = um_listings(self._settings.symbols, now_ms, days)
        else:
            listings = cm_listings(now_ms, days)
        for listing in listings:
            self._add(venue, _WRITERS[venue](listing), listing.listed_ms, listing.price)

    def _add_recorded(self, venue: Venue, path: Path, now_ms: int) -> None:
        answer = json.loads(path.read_text(encoding="utf-8"))
        self.headers[venue] = {key: value for key, value in answer.items() if key not in ("symbols", "serverTime")}
        midnight_ms = now_ms - now_ms % (1440 * MINUTE_MS)
        listed_ms = midnight_ms - self._settings.history_days * 1440 * MINUTE_MS
        for record in answer["symbols"]:
            self._add(venue, record, listed_ms, _guessed_price(record))

    def _add(self, venue: Venue, record: Record, listed_ms: int, price: float, seed: int | None = None) -> Instrument:
        activity = self._activity(str(record["symbol"]), str(record["baseAsset"]), price)
        instrument = Instrument(venue, str(record["symbol"]), record, scales_of(venue, record), activity, listed_ms)
        tape = MadeUpTape(instrument, self._settings.seed if seed is None else seed)
        self._put(instrument)
        self._tapes[venue, instrument.symbol] = tape
        if instrument.status not in ("TRADING", "PENDING_TRADING"):
            # A halted spot pair or a settled contract: it traded until its delivery, or half-way through its history.
            delivery = record.get("deliveryDate", listed_ms + self._settings.history_days * 720 * MINUTE_MS)
            tape.end(max(delivery - delivery % MINUTE_MS, listed_ms))
        return instrument

    def _add_replay(self, symbol: str, replay: Replay) -> None:
        venues = [venue for venue, name in self._instruments if name == symbol]
        if not venues:
            raise UnknownWordError("symbol", symbol, [name for _, name in self._instruments])
        for venue in venues:
            self._put(replace(self._instruments[venue, symbol], scales=replay.scales, listed_ms=replay.tape.listed_ms))
            self._tapes[venue, symbol] = replay.tape

    def _put(self, instrument: Instrument) -> None:
        self.revision += 1
        self._instruments[instrument.venue, instrument.symbol] = instrument
        self._stream_names[instrument.venue is Venue.SPOT, instrument.symbol.lower()] = instrument

    def _activity(self, symbol: str, base: str, price: float) -> Activity:
        share = fraction_of("activity", self._settings.seed, symbol)
        lively = (
            base in _TURNOVERS or fraction_of("quiet", self._settings.seed, symbol) >= self._settings.illiquid_share
        )
        if not lively:
            return Activity(price, _QUIET_TURNOVER, 0.0008, _QUIET_TRADES, _QUIET_SHARE)
        turnover = _TURNOVERS.get(base, _LEAST_TURNOVER * 10 ** (_TURNOVER_DECADES * share))
        step = 0.0005 if base in _TURNOVERS else 0.0006 + 0.0006 * share
        return Activity(price, turnover, step, int(_FEWEST_LIVELY_TRADES * (1 + share * 3)), 0.0)


def _status(venue: Venue, status: str) -> dict[str, Any]:
    """The fields of a record that tell its status."""
    if venue is Venue.SPOT:
        return {"status": status, "isMarginTradingAllowed": status == TRADING}
    return {"status" if venue is Venue.UM else "contractStatus": status}


def _guessed_price(record: Record) -> float:
    """Recorded exchange info has no prices: a known one, or about 10000 ticks."""
    known = known_price(str(record["baseAsset"]))
    if known is not None and str(record["quoteAsset"]) in ("USDT", "USDC", "USD", "BUSD", "TUSD"):
        return known
    for entry in record["filters"]:
        if entry["filterType"] == "PRICE_FILTER" and float(entry["tickSize"]) > 0:
            return float(entry["tickSize"]) * 10_000
    return 1.0
