"""What every step of a period needs: the market's config, its folder, the exchange, and the exchange's clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import structlog

from flows.exchange_time import connected, measure
from kit.buffer.damage import put_aside_what_is_after
from kit.buffer.layout import Folder
from kit.buffer.read import current_view
from kit.buffer.states import States
from kit.completeness import Window
from kit.config import MarketConfig, load_config
from kit.dialect.rest import RestClient
from kit.dialect.symbols import SymbolInfo
from kit.errors import FolderError
from kit.exchange_clock import steady_ms
from kit.words import MILLISECOND, from_ms, to_ms, utc_now

R = TypeVar("R")

log = structlog.get_logger(__name__)

FINAL_AFTER = timedelta(seconds=2)
"""A REST row counts as final so long after its close by the exchange's clock. The exchange publishes no bound; its
own last frames of quiet symbols come about 2 s after the close (docs/exchange.md)."""

FUTURE = timedelta(hours=1)
"""A candle file that is named for a time so long after now is none of ours."""

ANSWER_WITHIN = timedelta(seconds=2)
"""So long a period waits for answers without which it can be judged, too. A sound exchange answers in a tenth of that;
one that hangs would else delay by its time-outs the verdict on a period that the stream has long completed."""


@dataclass
class Period:
    """One market's period while it is worked on. ``run_time`` is the close that it is about.

    ``newest_known``: for each symbol the newest begin time (milliseconds) of which a candle was seen, here or there.
    """

    config: MarketConfig
    folder: Folder
    run_time: datetime
    client: RestClient
    started_at: datetime  # as every time here by the exchange's clock
    states: States = field(default_factory=States)
    symbols: tuple[SymbolInfo, ...] = ()
    trading: frozenset[str] = frozenset()
    newest_known: dict[str, int] = field(default_factory=dict)
    filled: int = 0
    revised: int = 0
    history_left: int = 0
    deadline: datetime | None = None  # what can wait for the next period ends then
    asked_clock: asyncio.Task[bool] | None = None
    asked_info: asyncio.Task[tuple[SymbolInfo, ...]] | None = None  # None also when its answer has been taken

    @property
    def deadline_ms(self) -> int | None:
        """The deadline in milliseconds."""
        return None if self.deadline is None else to_ms(self.deadline)

    @property
    def patient_until(self) -> datetime:
        """How long the newest candles are waited for: the market's patience counted from the close, or from the
        beginning of work that began after it."""
        patience = self.config.candle_close_timeout
        end = self.run_time + patience
        return end if self.started_at < end else self.started_at + patience

    @property
    def begin_ms(self) -> int:
        """Begin time of the candle that closed at the run time."""
        return to_ms(self.run_time) - self.config.interval.ms

    @property
    def window(self) -> Window:
        """The ``num_candles`` begin times up to this period's."""
        step = self.config.interval.ms
        return Window(self.begin_ms - (self.config.num_candles - 1) * step, self.begin_ms, step)

    @property
    def sure_ms(self) -> int:
        """A moment that the exchange's clock has passed: what is sealed, dropped and looked back upon goes by it.

        While the exchange has not told its time since this machine booted, a wall clock that is days ahead may be all
        there is (no network yet, an empty battery); then the newest candle on disk says how far the exchange has come.
        """
        clock = self.client.budget.clock()
        if clock.age_ms is not None:
            return clock.exchange_ms
        return min(clock.exchange_ms, current_view(self.folder).newest_run_ms or 0)

    @property
    def kept_from_ms(self) -> int:
        """The begin time from which on all is kept: the window's first, by a clock that is sure."""
        return min(self.window.first_ms, self.sure_ms - self.config.num_candles * self.config.interval.ms)

    @property
    def market_symbols(self) -> list[str]:
        """The symbols that are looked at: those that trade, and those that did within the window."""
        oldest_ms = self.window.first_ms
        stopped = {
            symbol
            for symbol, state in self.states.symbols.items()
            if state.stopped_ms is not None and state.stopped_ms >= oldest_ms
        }
        return sorted(self.trading | stopped)

    def exchange_now(self) -> datetime:
        """The exchange's clock, as well as it is known by now."""
        return from_ms(self.client.budget.now_ms())

    def final_before_ms(self) -> int:
        """Candles that close before this moment are final when REST tells them, however wrong the clock may be."""
        return self.client.budget.clock().earliest_ms - FINAL_AFTER // timedelta(milliseconds=1)

    @property
    def clock_offset_ms(self) -> int:
        """The exchange's clock minus this machine's."""
        return self.client.budget.clock().offset_ms


@asynccontextmanager
async def open_period(base_dir: Path, run_time: datetime) -> AsyncIterator[Period]:
    """The period of a market, with a client to its exchange. Its states are loaded by whoever holds the folder.

    The exchange is asked for its time; the answer is waited for here only where nothing is known of its clock. What
    is still awaited when the period ends, is given up.

    Raises:
        ConfigError, FolderError: the config or the folder cannot be used, or no candle of it closes at ``run_time``.
    """
    config = load_config(base_dir)
    if to_ms(run_time) % config.interval.ms:
        # Where the interval was edited under a running worker: what closes then was never traded as one candle.
        odd = f"run time {run_time.isoformat()} is no multiple of {config.interval.delta}; was the interval changed?"
        raise FolderError(str(base_dir), f"{odd} Restart the worker")
    folder = Folder(base_dir, config.trade_type, config.interval, config.save_type)
    folder.open_for_writing()
    began_ms = steady_ms()
    async with connected(config) as client:
        asked_clock = None
        if client.budget.clock().age_ms is None:
            await measure(client, samples=1)
        else:
            asked_clock = asyncio.create_task(measure(client, samples=1))
        asked_for = timedelta(milliseconds=steady_ms() - began_ms)
        started_at = from_ms(client.budget.now_ms()) - asked_for
        period = Period(config, folder, run_time, client, started_at, asked_clock=asked_clock)
        try:
            yield period
        finally:
            await cancel_all([task for task in (asked_clock, period.asked_info) if task is not None])


def put_aside_the_future(period: Period) -> None:
    """Put files out of readers' way whose candles cannot have closed. OSError when the disk refuses.

    Only once the exchange has confirmed its clock, and of it and this machine's the later one counts: better a file
    too many is read than a sound one lost.
    """
    clock = period.client.budget.clock()
    if clock.age_ms is not None:
        put_aside_what_is_after(period.folder, max(clock.exchange_ms, to_ms(utc_now())) + FUTURE // MILLISECOND)


async def to_the_end(work: Callable[[], R]) -> R:
    """Do blocking work in a thread. When cancelled, wait for its end all the same: who holds the folder must not let
    go of it while something still writes there."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled() and task.exception() is not None:
            log.warning("disk.failed_while_cancelled", error=str(task.exception()))
        raise


async def cancel_all(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """End tasks that must not outlive what started them."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def moment_of(ms: int) -> str:
    """A moment for people's logs."""
    return from_ms(ms).strftime("%Y-%m-%d %H:%M:%SZ")
