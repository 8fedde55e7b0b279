"""BMAC's calculator for a whole market: one row a symbol, each computed as soon as its candle is readable."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd
import polars as pl
import structlog

from kit.buffer.layout import Folder
from kit.buffer.ledger import Ledger
from kit.calculators.membership import base_market, trading_symbols
from kit.calculators.pipeline import Pipeline
from kit.calculators.runner import SignalRunner
from kit.calculators.single import BmacSingleSymbolCalculator, seconds_left, wait_in, window_of
from kit.calculators.tables import utc_index
from kit.words import to_ms

log = structlog.get_logger(__name__)


class BmacAllMarketCalculator(BmacSingleSymbolCalculator):
    """Computes factor modules for all symbols that trade. ``calc_factors(run_time, symbol)`` works as in its parent.

    ``exginfo_reader``: who tells which symbols trade (see ``kit.calculators.membership``): a reader of the folder
    ``exginfo_5m``, its path, a ``Market``, a frame with ``symbol``, or the names. The rest as in
    ``BmacSingleSymbolCalculator``.
    """

    def __init__(
        self,
        exginfo_reader: object,
        candle_reader: object,
        factor_cfgs: Iterable[Sequence[Any]],
        package: str = "factor",
        bmac_expire_sec: float = 40,
    ) -> None:
        super().__init__("", candle_reader, factor_cfgs, package, bmac_expire_sec)
        self._exchange_info = exginfo_reader
        folder = getattr(candle_reader, "folder", None)
        self._folder = base_market(folder) if isinstance(folder, Folder) else None

    async def calc_all_factors(self, run_time: datetime) -> pd.DataFrame:
        """One row for each symbol that has a candle that closed at ``run_time``, sorted by symbol.

        Index ``candle_end_time`` (UTC, the run time in all rows); columns ``symbol``, ``candle_begin_time``, ``close``
        and ``{name}_{n}`` for each factor, NaN where it could not be computed. ``attrs["missing"]``: the symbols that
        trade and had no candle ``bmac_expire_sec`` after the run time; ``attrs["errors"]``: a sentence for each factor
        that met something, with the factor, the symbols and the run time. Both are logged.

        Raises:
            NaiveTimeError: ``run_time`` has no zone.
        """
        run_ms = to_ms(run_time)
        trading = await asyncio.to_thread(trading_symbols, self._exchange_info, self._folder)
        pipeline = Pipeline(self._source, run_ms, window_of(self._source))
        runner = SignalRunner(self._found.signals, self._source.step_ms / 1000)

        def absent() -> set[str]:
            wanted = pipeline.lately if trading is None else trading
            return self._not_excused(wanted - pipeline.given, run_time)

        def look() -> bool | None:
            runner.submit(pipeline.arrived(), newest_only=True)
            return None if absent() else True

        await wait_in(self._source.watched, look, seconds_left(run_time, self.bmac_expire_sec))
        values = await asyncio.to_thread(runner.join)
        missing = sorted(absent())
        if missing:
            log.warning("factors.missing", run_time=str(run_time), symbols=missing)
        return self._market(pipeline.newest(), values, missing, self._told(runner, run_time))

    def _not_excused(self, absent: set[str], run_time: datetime) -> set[str]:
        """The absent symbols without those that the ledger excuses: halted, listed later ..."""
        if not absent or self._folder is None:
            return absent
        record = Ledger(self._folder).get(run_time)
        return absent if record is None else absent - record.excused.keys()

    def _market(
        self, newest: pl.DataFrame, values: Mapping[str, Mapping[str, Any]], missing: list[str], errors: list[str]
    ) -> pd.DataFrame:
        symbols = newest["symbol"].to_list()
        begins = utc_index(newest["candle_begin_time"])
        ends = pd.DatetimeIndex(begins + pd.Timedelta(milliseconds=self._source.step_ms), name="candle_end_time")
        columns = {
            column: [values.get(symbol, {}).get(column, float("nan")) for symbol in symbols]
            for column in self._found.columns
        }
        head = {"symbol": symbols, "candle_begin_time": begins, "close": newest["close"].to_numpy()}
        result = pd.DataFrame({**head, **columns}, index=ends).astype(dict.fromkeys(columns, "float64"))
        result.attrs.update(missing=missing, errors=errors)
        return result
