"""A market beside an embedded exchange: what flow tests start from."""

from __future__ import annotations

import json
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from flows.steps import Outcome, run_period
from kit import Market
from kit.embedded_exchange import EmbeddedExchange, Settings
from kit.words import Candle, Interval, Venue, from_ms
from tests.builders import MINUTE
from tests.ports import nobodys_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

CANDLES = 120
INTO_THE_MINUTE_MS = 20_000
"""Where in its minute the exchange's clock begins: no close passes between two lines of a test, whenever it is run."""


@dataclass
class Beside:
    """A base directory and the exchange that it follows."""

    exchange: EmbeddedExchange
    base_dir: Path

    def run_ms(self, back: int = 2) -> int:
        """The run time ``back`` minutes before the newest, by the exchange's clock."""
        now_ms = self.exchange.clock.now_ms()
        return now_ms - now_ms % MINUTE - back * MINUTE

    async def run(self, run_ms: int | None = None, **options: Any) -> Outcome:
        """The period's work; a run time in the past needs no waiting."""
        return await run_period(self.base_dir, from_ms(self.run_ms() if run_ms is None else run_ms), **options)

    @property
    def market(self) -> Market:
        return Market(self.base_dir)

    def asked(self, name: str = "klines") -> list[dict[str, str]]:
        """The parameters of the requests of one kind so far."""
        return [each.params for each in self.exchange.requests if each.path.endswith(f"/{name}")]

    def truth(self, symbol: str, first_ms: int, last_ms: int, venue: Venue = Venue.UM) -> list[Candle]:
        """What the exchange says of a symbol, begin times included both."""
        rows = self.exchange.candles(venue, symbol, Interval.M1, first_ms, last_ms)
        return [
            Candle(symbol, row[0], *map(float, row[1:6]), float(row[7]), row[8], float(row[9]), float(row[10]))
            for row in rows
        ]

    def stored(self, symbols: list[str] | None = None) -> dict[str, list[Candle]]:
        """What a reader reads, by symbol."""
        frame = self.market.candles(symbols).with_columns(pl.col("candle_begin_time").dt.epoch("ms"))
        found: dict[str, list[Candle]] = {}
        for row in frame.rows():
            found.setdefault(row[0], []).append(Candle(*row))
        return found


def write_config(base_dir: Path, rest: str, ws: str, **more: object) -> None:
    """A market of 1m USDT perpetuals with a small window."""
    config = {"interval": "1m", "trade_type": "usdt_perp", "num_candles": CANDLES}
    config |= {"http_timeout_sec": 60}  # exchange and period share this process, which may stand still
    config |= {"endpoints": {"rest": rest, "ws": ws}}
    base_dir.mkdir(parents=True, exist_ok=True)
    (base_dir / "config.json").write_text(json.dumps(config | more), encoding="utf-8")


@asynccontextmanager
async def beside(
    path: Path, *, symbols: int = 5, config: dict[str, object] | None = None, **settings: Any
) -> AsyncIterator[Beside]:
    """An exchange that runs, and a base directory with its config."""
    settings = {"skew_ms": INTO_THE_MINUTE_MS - time.time_ns() // 1_000_000 % MINUTE} | settings
    async with EmbeddedExchange(Settings(symbols=symbols, history_days=3, **settings)) as exchange:
        write_config(path / "m", exchange.futures.rest, exchange.futures.ws, **(config or {}))
        yield Beside(exchange, path / "m")


@contextmanager
def nobody_there(base_dir: Path, **config: object) -> Iterator[None]:
    """The exchange is out of reach. On the port of one that has ended another test's may answer."""
    with nobodys_port() as port:
        write_config(base_dir, f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}", **config)
        yield
