"""The factors of one run time, as a market's config names them: native ones and users' modules together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import structlog

from kit.buffer.files import VALUE_COLUMNS
from kit.buffer.funding import FundingStore
from kit.buffer.ledger import Ledger
from kit.calculators.membership import trading_symbols
from kit.calculators.result import FactorResult
from kit.calculators.runner import SignalRunner
from kit.calculators.source import BufferSource
from kit.calculators.tables import pandas_by_symbol
from kit.factors.engine import Values, needed_history, needed_inputs, newest
from kit.factors.factor import CANDLE_COLUMNS, FUNDING_COLUMN, Factor
from kit.factors.grid import to_grid
from kit.factors.users import Found, find_factors
from kit.market import Market
from kit.words import to_ms

log = structlog.get_logger(__name__)


def compute(market: Market | str | Path, run_time: datetime) -> FactorResult:
    """The factors of the config at ``run_time``, from what is readable now. Blocks: call it in a thread.

    What one factor meets takes no other down. Modules may use one period together, then they are stopped.

    Raises:
        ConfigError, FolderError: the config, or the candles, cannot be read.
        NaiveTimeError: ``run_time`` has no zone.
    """
    market = market if isinstance(market, Market) else Market(market)
    run_ms = to_ms(run_time)
    found = find_factors(market.config.factors, market.config.factor_package)
    factors, problems = usable(found, market.config.num_candles)
    candles = _read(market, run_ms, factors, whole=bool(found.signals))
    natives = _native(market, run_ms, candles, factors)
    modules, module_problems = _modules(market, run_time, candles, found)
    problems += [_sentence(column, run_time, problem) for column, problem in natives.errors.items()]
    problems += module_problems
    problems = [*(_sentence(error.column, run_time, error.problem) for error in found.errors), *problems]
    frame = _joined(_closes(candles, run_ms - market.config.interval.ms), found.columns, natives, modules)
    for problem in problems:
        log.error("factor.failed", market=market.folder.candles.name, problem=problem)
    return FactorResult(run_time, frame, _missing(market, run_time, frame), tuple(problems))


def usable(found: Found, num_candles: int) -> tuple[list[Factor], list[str]]:
    """The native factors that the kept history is long enough for, and a sentence for each other one."""
    problems = [
        f"factor {factor.column}: it needs {factor.lookback} candles, and num_candles keeps {num_candles}"
        for factor in found.factors
        if factor.lookback > num_candles
    ]
    return [factor for factor in found.factors if factor.lookback <= num_candles], problems


def read_funding(market: Market, factors: Iterable[Factor]) -> pl.DataFrame | None:
    """The funding rates, when a factor wants them: symbol, funding_time, funding_rate."""
    return FundingStore(market.folder).read() if FUNDING_COLUMN in needed_inputs(factors) else None


def _read(market: Market, run_ms: int, factors: list[Factor], *, whole: bool) -> pl.DataFrame:
    """One read for all: only the columns and the history that are needed, all of it when there are modules."""
    source = BufferSource(market.folder)
    if whole:
        return source.read(0, run_ms, VALUE_COLUMNS)
    columns = sorted({"close", *needed_inputs(factors)} & set(CANDLE_COLUMNS))
    first_ms = run_ms - (needed_history(factors) - 1) * source.step_ms
    return source.read(first_ms, run_ms, columns)


def _native(market: Market, run_ms: int, candles: pl.DataFrame, factors: list[Factor]) -> Values:
    if not factors:
        return Values((), {}, {})
    step_ms = market.config.interval.ms
    grid = to_grid(
        candles,
        needed_inputs(factors),
        newest_ms=run_ms - step_ms,
        periods=needed_history(factors),
        step_ms=step_ms,
        funding=read_funding(market, factors),
    )
    return newest(grid, factors)


def _modules(
    market: Market, run_time: datetime, candles: pl.DataFrame, found: Found
) -> tuple[Mapping[str, Mapping[str, Any]], list[str]]:
    if not found.signals:
        return {}, []
    step_ms = market.config.interval.ms
    frames = pandas_by_symbol(candles, step_ms, at_most=market.config.num_candles)
    due = {symbol: frame for symbol, frame in frames.items() if frame.index[-1] == run_time}
    runner = SignalRunner(found.signals, step_ms / 1000)
    runner.submit(due, newest_only=True)
    values = runner.join()
    return values, runner.problems.sentences(str(run_time))


def _closes(candles: pl.DataFrame, begin_ms: int) -> pl.DataFrame:
    there = candles.filter(pl.col("candle_begin_time").dt.epoch("ms") == begin_ms)
    return there.select(pl.col("symbol").cast(pl.String), "close")


def _joined(
    closes: pl.DataFrame, columns: Iterable[str], natives: Values, modules: Mapping[str, Mapping[str, Any]]
) -> pl.DataFrame:
    """symbol, close, and every column that was asked for, in that order; null where nothing is known."""
    by_symbol: dict[str, dict[str, float | None]] = {column: {} for column in columns}
    for column, values in natives.columns.items():
        by_symbol[column] = dict(zip(natives.symbols, values.to_list(), strict=True))
    for symbol, found in modules.items():
        for column, value in found.items():
            by_symbol[column][symbol] = float(value)
    symbols = closes["symbol"].to_list()
    series = [
        pl.Series(column, [known.get(symbol) for symbol in symbols], dtype=pl.Float64, strict=False).fill_nan(None)
        for column, known in by_symbol.items()
    ]
    return closes.with_columns(series)


def _missing(market: Market, run_time: datetime, frame: pl.DataFrame) -> tuple[str, ...]:
    trading = trading_symbols(market, market.folder) or set()
    record = Ledger(market.folder).get(run_time)
    excused = record.excused.keys() if record is not None else set()
    return tuple(sorted(trading - excused - set(frame["symbol"].to_list())))


def _sentence(column: str, run_time: datetime, problem: str) -> str:
    return f"factor {column}, run time {run_time}: {problem}"
