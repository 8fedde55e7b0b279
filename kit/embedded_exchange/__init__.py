"""A server of our own that speaks the real exchange's public market-data dialect of 2026 over real sockets.

Used by the demo, the tests and the benchmarks. It is written from the exchange's documents and recordings,
independently of
``kit.dialect``, so that it can judge it. Its candles are a pure function of (seed, venue, symbol, time).
"""

from kit.embedded_exchange.clock import Clock
from kit.embedded_exchange.exchange import EmbeddedExchange
from kit.embedded_exchange.faults import Fault, Faults
from kit.embedded_exchange.klines import Row
from kit.embedded_exchange.port import RequestRecord
from kit.embedded_exchange.settings import Finals, Settings, parse_finals

__all__ = ["Clock", "EmbeddedExchange", "Fault", "Faults", "Finals", "RequestRecord", "Row", "Settings", "parse_finals"]
