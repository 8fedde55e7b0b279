"""Is what a factor says live what it says in history? Found out by computing both, for every factor of a config.

At each of the last n run times a factor is computed from the candles up to it, and compared with what it gives for that
run time when computed once over everything:

- they differ: the factor looks ahead; a strategy tested on it earns what it cannot know;
- a native factor gives something else on the history that it declares than on all of it: its lookback is too short;
- what is stored of that run time differs: the factor, or the candles, changed since.

The warm-up found is the fewest newest candles that give the value that all of them give.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kit.buffer.files import VALUE_COLUMNS
from kit.buffer.read import current_view
from kit.calculators.check_modules import ModuleCheck
from kit.calculators.check_native import NativeCheck
from kit.calculators.comparing import FactorCheck, Snapshot
from kit.calculators.period import read_funding, usable
from kit.calculators.source import BufferSource
from kit.calculators.store import FactorStore
from kit.calculators.tables import pandas_by_symbol
from kit.factors.errors import FactorError
from kit.factors.factor import Factor
from kit.factors.signals import Signal
from kit.factors.users import find_factors
from kit.market import Market
from kit.words import from_ms


@dataclass(frozen=True)
class CheckReport:
    """What ``check_factors`` found. ``run_times``: UTC, oldest first. ``symbols``: how many were looked at.
    ``problems``: a sentence for each factor that could not be checked."""

    run_times: tuple[str, ...]
    symbols: int
    checks: tuple[FactorCheck, ...]
    problems: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Whether every factor could be checked, and live equals history for all."""
        return not self.problems and all(check.sound for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; an infinite difference (a value against none) is None."""
        checks = [
            {
                **asdict(check),
                "largest": check.largest if math.isfinite(check.largest) else None,
                "sound": check.sound,
                "verdict": check.verdict,
            }
            for check in self.checks
        ]
        return {
            "sound": self.sound,
            "run_times": list(self.run_times),
            "symbols": self.symbols,
            "factors": checks,
            "problems": list(self.problems),
        }


def check_factors(market: Market | str | Path, n: int = 10, symbols: int = 40) -> CheckReport:
    """Check every factor of the config at the last ``n`` run times and some far back, on the first
    ``symbols`` of the market.

    Raises:
        ConfigError, FolderError: the config, or the candles, cannot be read.
    """
    market = market if isinstance(market, Market) else Market(market)
    num_candles = market.config.num_candles
    found = find_factors(market.config.factors, market.config.factor_package)
    factors, problems = usable(found, num_candles)
    problems = [*(str(error) for error in found.errors), *problems]
    newest_ms = current_view(market.folder).newest_run_ms
    if newest_ms is None:
        return CheckReport((), 0, (), (*problems, "there are no candles yet"))
    step_ms = market.config.interval.ms
    run_times = [newest_ms - back * step_ms for back in _periods_back(n, num_candles)]
    candles = _sample(BufferSource(market.folder).read(0, newest_ms, VALUE_COLUMNS), symbols)
    stored = _stored(market, run_times)
    native = NativeCheck(candles, read_funding(market, factors), run_times, step_ms, num_candles)
    moments = [pd.Timestamp(from_ms(run_ms)) for run_ms in run_times]
    modules = ModuleCheck(pandas_by_symbol(candles, step_ms, at_most=num_candles), moments, num_candles)
    checks = []
    both: list[Factor | Signal] = [*factors, *found.signals]
    for factor in both:
        kept = [period.get(factor.column) for period in stored]
        try:
            checks.append(modules.check(factor, kept) if isinstance(factor, Signal) else native.check(factor, kept))
        except FactorError as error:
            problems.append(str(error))
    words = tuple(from_ms(run_ms).isoformat() for run_ms in run_times)
    return CheckReport(words, candles["symbol"].n_unique(), tuple(checks), tuple(problems))


def check_table(report: CheckReport) -> RenderableType:
    """The report for people."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("factor", no_wrap=True)
    for heading in ("values", "differ", "warm-up", "declared"):
        table.add_column(heading, justify="right")
    table.add_column("verdict", overflow="fold")
    for check in report.checks:
        table.add_row(
            check.column,
            str(check.compared),
            str(check.ahead + check.live),
            "all" if check.needed is None else str(check.needed),
            "" if check.declared is None else str(check.declared),
            Text(check.verdict, style="green" if check.sound else "bold red"),
        )
    told = [Text(problem, style="bold red") for problem in report.problems]
    return Group(table, *told, Text(f"{report.symbols} symbols at {len(report.run_times)} run times"))


def _periods_back(n: int, num_candles: int) -> list[int]:
    """The last n run times, and some far back: near the end there is little to look ahead to."""
    far = {num_candles * share // 10 for share in range(1, 6)}
    return sorted(far | set(range(min(n, num_candles))), reverse=True)


def _sample(candles: pl.DataFrame, symbols: int) -> pl.DataFrame:
    names = candles["symbol"].unique(maintain_order=True).head(symbols)
    return candles.filter(pl.col("symbol").is_in(names.to_list()))


def _stored(market: Market, run_times: Iterable[int]) -> list[dict[str, Snapshot]]:
    """For each run time what is stored, by column; empty where nothing is."""
    store = FactorStore(market.folder)
    results = [store.get(from_ms(run_ms)) for run_ms in run_times]
    return [{} if result is None else _by_column(result.frame) for result in results]


def _by_column(frame: pl.DataFrame) -> dict[str, Snapshot]:
    symbols = frame["symbol"].to_list()
    return {name: dict(zip(symbols, frame[name].to_list(), strict=True)) for name in frame.columns if name != "symbol"}
