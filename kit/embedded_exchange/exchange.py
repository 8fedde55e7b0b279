"""The embedded exchange as one object: two ports, one market, one clock."""

from __future__ import annotations

from collections import deque
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

from kit.embedded_exchange.clock import Clock
from kit.embedded_exchange.faults.active import Faults
from kit.embedded_exchange.faults.conductor import Conductor
from kit.embedded_exchange.faults.endpoint import ControlEndpoint
from kit.embedded_exchange.front import ledger_of
from kit.embedded_exchange.klines import Row, Window, answer_rows
from kit.embedded_exchange.market import Market
from kit.embedded_exchange.port import Port, RequestRecord
from kit.embedded_exchange.settings import Settings
from kit.errors import UnknownWordError
from kit.words import Interval, Venue

if TYPE_CHECKING:
    from types import TracebackType

    from kit.embedded_exchange.connection import Connection
    from kit.embedded_exchange.instrument import Instrument

_ALL_ROWS = 1 << 60
_REMEMBERED_REQUESTS = 100_000  # so that an exchange that runs for weeks does not grow


class EmbeddedExchange:
    """Used as ``async with EmbeddedExchange(Settings(...)) as exchange``.

    ``spot`` and ``futures`` have ``rest`` and ``ws`` base URLs; ``requests`` logs every REST request in order;
    ``clock.skew_ms`` may be changed while it runs, ``faults`` may be switched on and off, ``ledger`` tells what clients
    did. ``control`` is the URL of the control endpoint where settings ask for one, otherwise None.
    """

    def __init__(self, settings: Settings | None = None, clock: Clock | None = None) -> None:
        self.settings = settings or Settings()
        self.clock = clock or Clock(self.settings.skew_ms)
        self.requests: deque[RequestRecord] = deque(maxlen=_REMEMBERED_REQUESTS)
        self.market = Market(self.settings, self.clock.now_ms())
        self.faults = Faults(self.clock, self.settings.seed)
        self.ledger = ledger_of(self.settings)
        self.spot = self._port(spot=True)
        self.futures = self._port(spot=False)
        self.conductor = Conductor(self.faults, (self.spot, self.futures), self.market, self.clock)
        self.control: str | None = None
        self._stop: AsyncExitStack | None = None

    def _port(self, *, spot: bool) -> Port:
        shared = (self.settings, self.market, self.clock, self.requests)
        return Port(*shared, spot=spot, faults=self.faults, ledger=self.ledger)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for port in (self.spot, self.futures):
                await port.start()
                stack.push_async_callback(port.stop)
            self.conductor.start()
            stack.push_async_callback(self.conductor.stop)
            if self.settings.control_port is not None:
                endpoint = ControlEndpoint(self)
                self.control = await endpoint.start(self.settings.host, self.settings.control_port)
                stack.push_async_callback(endpoint.stop)
            self._stop = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stop is not None:
            await self._stop.aclose()

    @property
    def connections(self) -> list[Connection]:
        """The open WebSocket connections of both ports; each can be looked at (``streams``) and cut (``abort()``)."""
        return [*self.spot.connections, *self.futures.connections]

    def candles(self, venue: Venue, symbol: str, interval: Interval, start_ms: int, end_ms: int) -> list[Row]:
        """The truth: closed candles with open times in ``start_ms`` ... ``end_ms``, both included, as ``/klines`` rows.

        Twelve columns: times in milliseconds and trades as numbers, everything else as the decimal strings of the wire.
        No fault touches them. Of a ticker that came back as another asset, the candles of both.

        Raises:
            UnknownWordError: no such symbol.
        """
        newest = self._instrument(venue, symbol)
        now_ms = self.clock.now_ms()
        last_closed_ms = now_ms - now_ms % interval.ms - interval.ms
        window = Window(start_ms, min(end_ms, last_closed_ms), _ALL_ROWS, oldest=True)
        assets = [*self.market.earlier(newest), (newest, self.market.tape(newest))]
        return [row for asset, tape in assets for row in answer_rows(asset, tape, window, interval, now_ms).iter_rows()]

    def list_symbol(
        self,
        venue: Venue,
        symbol: str,
        *,
        base: str,
        quote: str = "USDT",
        price: float = 1.0,
        at_ms: int | None = None,
        **details: Any,
    ) -> Instrument:
        """Lists a symbol while the exchange runs; it trades from the minute of ``at_ms`` (default: now) on.

        ``details``: further fields of :class:`~kit.embedded_exchange.made_up_records.Listing`, as ``contract_type``.

        Raises:
            ValueError: it is listed already.
        """
        moment = self.clock.now_ms() if at_ms is None else at_ms
        listed = self.market.list_symbol(venue, symbol, base=base, quote=quote, price=price, at_ms=moment, **details)
        self.conductor.renew()
        return listed

    def delist_symbol(self, venue: Venue, symbol: str) -> int:
        """Delists a symbol: SETTLING (futures) or BREAK (spot) at once.

        Returns: the end of the running minute, in ms; there the last trade happens.

        Raises:
            UnknownWordError: no such symbol.
        """
        return self.market.delist(venue, symbol, self.clock.now_ms())

    def _instrument(self, venue: Venue, symbol: str) -> Instrument:
        instrument = self.market.get(venue, symbol)
        if instrument is None:
            raise UnknownWordError("symbol", symbol, [one.symbol for one in self.market.instruments(venue)])
        return instrument
