"""BMAC's calculator for one symbol: all its candles with the columns of users' factor modules."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import structlog

from kit.calculators.runner import SignalRunner
from kit.calculators.source import CandleSource, source_of
from kit.calculators.tables import pandas_by_symbol
from kit.factors.users import Found, find_factors
from kit.times import now_time
from kit.waiting import wait_until
from kit.words import parse_interval, to_ms

R = TypeVar("R")

log = structlog.get_logger(__name__)

DEFAULT_WINDOW = 1500  # num_candles where the folder has no config


class BmacSingleSymbolCalculator:
    """Computes factor modules over the candles of one symbol.

    ``candle_reader``: a ``CandleFileReader`` or a ``Market``. ``factor_cfgs``: pairs such as ``[("PctChg", 100)]``.
    ``package``: where the modules are, each with ``signal(df, n, factor_name)``. ``bmac_expire_sec``: how many seconds
    after the run time a candle is waited for.

    Raises:
        FactorError: a pair is none. A module that cannot be used is no error here: it is told with each result.
        FolderError: ``candle_reader`` is no reader.
    """

    def __init__(
        self,
        symbol: str,
        candle_reader: object,
        factor_cfgs: Iterable[Sequence[Any]],
        package: str = "factor",
        bmac_expire_sec: float = 40,
    ) -> None:
        self.symbol = symbol
        self.bmac_expire_sec = bmac_expire_sec
        self._source: CandleSource = source_of(candle_reader)
        self._found: Found = find_factors([tuple(pair) for pair in factor_cfgs], package, with_shipped=False)
        for factor in self._found.factors:
            log.warning("factors.native_in_calculator", factor=factor.column, hint="use the config's factors for it")

    async def calc_factors(self, run_time: datetime, symbol: str | None = None) -> pd.DataFrame:
        """The symbol's candles up to ``run_time``, oldest first, once the one that closed then is readable.

        Index ``candle_end_time`` (UTC); columns ``candle_begin_time``, ``close``, and ``{name}_{n}`` for each factor,
        NaN all the way where it could not be computed. ``attrs["missing"]``: ``[symbol]``, and no rows, when the
        candle was not there in time; ``attrs["errors"]``: a sentence for each factor that could not be computed.

        Raises:
            NaiveTimeError: ``run_time`` has no zone.
        """
        wanted = self.symbol if symbol is None else symbol
        run_ms = to_ms(run_time)

        def look() -> pd.DataFrame | None:
            candles = self._source.read(0, run_ms, symbols=[wanted])
            frames = pandas_by_symbol(candles, self._source.step_ms, at_most=window_of(self._source))
            frame = frames.get(wanted)
            return frame if frame is not None and frame.index[-1] == pd.Timestamp(run_time) else None

        frame = await wait_in(self._source.watched, look, seconds_left(run_time, self.bmac_expire_sec))
        if frame is None:
            log.warning("factors.missing", run_time=str(run_time), symbols=[wanted])
            return self._result(empty_candles(), {}, [wanted], [])
        runner = SignalRunner(self._found.signals, self._source.step_ms / 1000)
        runner.submit({wanted: frame}, newest_only=False)
        values = await asyncio.to_thread(runner.join)
        return self._result(frame, values.get(wanted, {}), [], self._told(runner, run_time))

    def _result(
        self, candles: pd.DataFrame, values: dict[str, Any], missing: list[str], errors: list[str]
    ) -> pd.DataFrame:
        empty = pd.Series(float("nan"), index=candles.index, dtype="float64")
        columns = {column: values.get(column, empty) for column in self._found.columns}
        head = {name: candles[name] for name in ("candle_begin_time", "close")}
        result = pd.DataFrame({**head, **columns}, index=candles.index)
        result.attrs.update(missing=missing, errors=errors)
        return result

    def _told(self, runner: SignalRunner, run_time: datetime) -> list[str]:
        """Every problem as a sentence, logged too."""
        unusable = [f"factor {error.column}, run time {run_time}: {error.problem}" for error in self._found.errors]
        native = [f"factor {factor.column}: no signal; a market's flow computes it" for factor in self._found.factors]
        told = unusable + native + runner.problems.sentences(str(run_time))
        for sentence in told:
            log.error("factor.failed", problem=sentence)
        return told


def empty_candles() -> pd.DataFrame:
    """No candles, in the columns and types that results have."""
    index = pd.DatetimeIndex([], tz="UTC", name="candle_end_time").as_unit("us")
    return pd.DataFrame(
        {"candle_begin_time": index.rename("candle_begin_time"), "close": pd.Series([], dtype="float64", index=index)},
        index=index,
    )


def seconds_left(run_time: datetime, expire_sec: float) -> float:
    """Seconds from now until ``expire_sec`` after the run time; never negative: what is there is always looked at."""
    return max(0.0, run_time.timestamp() + expire_sec - now_time().timestamp())


def window_of(source: CandleSource) -> int:
    """How many candles of a symbol are kept, which is how many a module gets; of a resample as many as the base has
    room for."""
    try:
        config = json.loads((source.base_dir / "config.json").read_bytes())
        kept = int(config.get("num_candles") or DEFAULT_WINDOW)
        return max(1, kept * parse_interval(config.get("interval")).ms // source.step_ms)
    except (OSError, ValueError, TypeError, AttributeError):
        return DEFAULT_WINDOW


async def wait_in(folder: Path, look: Callable[[], R | None], timeout: float) -> R | None:
    """``wait_until``, also for a folder that its writer has not made yet."""
    deadline = time.monotonic() + timeout
    while not folder.is_dir():
        if time.monotonic() >= deadline:
            return None
        await asyncio.sleep(0.1)
    return await wait_until(folder, look, max(0.0, deadline - time.monotonic()))
