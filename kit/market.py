"""``Market``: one market's candles, ledger and exchange info, read only, from any number of processes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import polars as pl

from kit.buffer.exchange_info import ExchangeInfoStore
from kit.buffer.files import PROVENANCE_COLUMNS, VALUE_COLUMNS
from kit.buffer.fills import Revision, read_revisions
from kit.buffer.funding import FundingStore
from kit.buffer.layout import Folder
from kit.buffer.ledger import Ledger, LedgerRecord
from kit.buffer.read import POLARS_SCHEMA, Span, current_view, read_candles
from kit.calculators.result import FactorResult
from kit.calculators.store import FactorStore
from kit.config import load_config
from kit.errors import NotReadyError, UnknownWordError
from kit.resample.read import read_resample
from kit.waiting import wait_until
from kit.words import names_in, to_ms

R = TypeVar("R")


class Market:
    """The market whose ``config.json`` lies in ``base_dir``.

    Holds nothing between calls and opens no socket: every call reads what is on disk now.

    Raises:
        ConfigError: there is no usable ``config.json``.
        FolderVersionError: the folder was written in another format.
    """

    def __init__(self, base_dir: str | Path) -> None:
        self.config = load_config(Path(base_dir))
        self.folder = Folder(Path(base_dir), self.config.trade_type, self.config.interval, self.config.save_type)
        self.folder.check_version()
        self._ledger = Ledger(self.folder)

    def candles(
        self,
        symbols: Iterable[str] | None = None,
        columns: Iterable[str] | None = None,
        last: int | None = None,
        source: bool = False,
        *,
        interval: str | None = None,
        offset: str | timedelta = "0m",
    ) -> pl.DataFrame:
        """Closed candles, one row each, sorted by symbol and ``candle_begin_time``.

        Columns: ``symbol`` (String), ``candle_begin_time`` (Datetime us UTC), then ``columns`` or all of open, high,
        low, close, volume, quote_volume (Float64), trade_num (Int64), taker_buy_base_asset_volume,
        taker_buy_quote_asset_volume (Float64). ``source=True`` adds ``source`` (stream, rest or revision) and
        ``received_time`` (when it was received here, UTC).

        Without ``symbols``: the last ``num_candles`` periods of the whole market. With ``symbols``: all that is kept
        of them, delisted ones included. ``last``: only the newest so many periods. Nothing is filled in: a candle
        that is not there has no row.

        ``interval`` and ``offset`` give a resample where one is configured: ``interval="1h", offset="5m"`` are the
        hours that begin at five past, each of all its parts, with ``count`` and, where funding is kept,
        ``funding_rate``, ``funding_time``, ``funding_price`` of the first settlement inside. It has no provenance of
        its own.

        Raises:
            UnknownWordError: a column that does not exist; an interval or offset that is not kept.
            TypeError: ``symbols`` or ``columns`` is one text and not a list of them.
        """
        symbols = None if symbols is None else names_in("symbols", symbols)
        columns = None if columns is None else names_in("columns", columns)
        if interval is not None and interval != self.config.interval:
            if source:
                raise UnknownWordError("source of a resample", source, ["False"])
            return read_resample(
                self.folder, self.config, interval, offset, symbols=symbols, columns=columns, last=last
            )
        if offset not in ("0m", timedelta(0)):
            raise UnknownWordError("offset of the base interval", offset, ["0m"])
        wanted = self._columns(columns, source=source)
        span = None if symbols is not None or last is not None else self._window()
        return read_candles(
            self.folder, columns=wanted, symbols=symbols, span=span, last=last, retired=symbols is not None, text=True
        )

    def ready(self, run_time: datetime) -> set[str]:
        """The symbols whose candle that closed at ``run_time`` is readable. NaiveTimeError without a zone."""
        run_ms = to_ms(run_time)
        frame = read_candles(self.folder, columns=[], span=Span(run_ms, run_ms))
        return set(frame["symbol"].cast(pl.String).to_list())

    def symbols(self) -> list[str]:
        """Every symbol of which anything is kept, sorted."""
        frame = read_candles(self.folder, columns=[], retired=True)
        return sorted(frame["symbol"].unique().cast(pl.String).to_list())

    def ledger(self, run_time: datetime) -> LedgerRecord | None:
        """The record of that run time, or None. NaiveTimeError without a zone."""
        return self._ledger.get(run_time)

    def revisions(self) -> list[Revision]:
        """Every candle that was changed after it had been readable: what it was, what it is, who said so, when."""
        return read_revisions(self.folder)

    def exchange_info(self, at: datetime | None = None) -> pl.DataFrame:
        """What the exchange says of every symbol of its venue, a row each; as it was known ``at`` a moment if given.

        Columns as ``kit.dialect.symbols.SymbolInfo``: symbol, status, base_asset, quote_asset, contract_type,
        onboard_ms, delivery_ms, tick_size, step_size ... Empty when nothing is known yet.
        """
        store = ExchangeInfoStore(self.folder)
        rows = store.latest() if at is None else store.at(at)
        return pl.DataFrame(rows or [], infer_schema_length=None)

    def funding_rates(self, symbols: Iterable[str] | None = None) -> pl.DataFrame:
        """Settled funding rates: symbol, funding_time (UTC), funding_rate, mark_price (null where unknown), kind."""
        return FundingStore(self.folder).read(None if symbols is None else names_in("symbols", symbols))

    def factors(self, run_time: datetime) -> pl.DataFrame | None:
        """The factors of the config at that run time, or None while they are not computed (or no longer kept).

        One row a symbol that had a candle: ``symbol`` (String), ``close`` and a Float64 column ``{name}_{n}`` a factor,
        null where it has no value. NaiveTimeError without a zone.
        """
        result = self.factor_result(run_time)
        return None if result is None else result.frame

    def factor_result(self, run_time: datetime) -> FactorResult | None:
        """The same with what was missing and what could not be computed."""
        return FactorStore(self.folder).get(run_time)

    async def wait_factors(self, run_time: datetime, timeout: float) -> pl.DataFrame:
        """The factors of ``run_time`` once they are computed.

        Raises:
            NotReadyError: ``timeout`` seconds passed before.
        """
        result = await self._wait(FactorStore(self.folder).path, lambda: self.factors(run_time), timeout)
        if result is None:
            raise NotReadyError(f"there are no factors of {run_time} after {timeout} s")
        return result

    async def wait_ready(self, symbols: Iterable[str], run_time: datetime, timeout: float) -> None:
        """Return once the candle of ``run_time`` is readable for all of ``symbols``.

        Raises:
            NotReadyError: ``timeout`` seconds passed before; names what was missing.
        """
        wanted = set(names_in("symbols", symbols))
        missing = wanted

        def look() -> bool | None:
            nonlocal missing
            missing = wanted - self.ready(run_time)
            return None if missing else True

        if await self._wait(self.folder.candles, look, timeout) is None:
            some = ", ".join(sorted(missing)[:10])
            raise NotReadyError(f"{len(missing)} symbols have no candle of {run_time} after {timeout} s: {some}")

    async def wait_complete(self, run_time: datetime, timeout: float) -> LedgerRecord:
        """The record of ``run_time`` once the market is complete.

        Raises:
            NotReadyError: ``timeout`` seconds passed before; names what the ledger says.
        """

        def look() -> LedgerRecord | None:
            record = self.ledger(run_time)
            return record if record is not None and record.complete else None

        record = await self._wait(self.folder.ledger, look, timeout)
        if record is None:
            known = self.ledger(run_time)
            state = "it has no record" if known is None else f"{len(known.missing)} of {known.expected} are missing"
            raise NotReadyError(f"the market was not complete for {run_time} after {timeout} s: {state}")
        return record

    @staticmethod
    async def _wait(folder: Path, look: Callable[[], R | None], timeout: float) -> R | None:
        deadline = time.monotonic() + timeout
        while not folder.is_dir() and time.monotonic() < deadline:  # noqa: ASYNC110 - nothing there to watch yet
            await asyncio.sleep(0.1)
        return await wait_until(folder, look, deadline - time.monotonic()) if folder.is_dir() else None

    def _window(self) -> Span | None:
        newest_ms = current_view(self.folder).newest_run_ms
        if newest_ms is None:
            return None
        return Span(newest_ms - (self.config.num_candles - 1) * self.config.interval.ms, newest_ms)

    @staticmethod
    def _columns(columns: Sequence[str] | None, *, source: bool) -> list[str]:
        known = [*VALUE_COLUMNS, *PROVENANCE_COLUMNS]
        for name in columns or ():
            if name not in POLARS_SCHEMA:
                raise UnknownWordError("column", name, known)
        wanted = [*(VALUE_COLUMNS if columns is None else columns), *(PROVENANCE_COLUMNS if source else ())]
        return list(dict.fromkeys(wanted))
