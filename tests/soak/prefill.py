"""A market's folder as a streamer and a worker would have left it, so that a run begins in the steady state.

A row that REST filled takes a quarter less room in a block than one by stream, mostly because all rows of a page were
received at one moment. So a folder that begins with a first fill grows until the last of its rows has left the window,
and the oldest block with it: ``num_candles`` and 256 periods. Here the rows came by stream, each at its own moment.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

from kit.buffer.compaction import compact
from kit.buffer.files import candle_table, write_table
from kit.buffer.layout import BLOCK_SIZES, GRACE, Folder
from kit.config import MarketConfig, load_config
from kit.dialect.klines import plan_pages
from kit.dialect.rest import RestClient, budget_of
from kit.dialect.symbols import select, trades
from kit.embedded_exchange.settings import Finals
from kit.times import host_of_market
from kit.words import Candle, Source, newest_run_time_ms

FINAL_AFTER_MS = 3000  # REST's rows are final by then


def prefill(base_dir: Path, state_dir: Path, seed: int) -> None:
    """Write what the exchange has of the window, and of what is still beside it in the window's oldest block."""
    config = load_config(base_dir)
    folder = Folder(base_dir, config.trade_type, config.interval, config.save_type)
    folder.open_for_writing()
    newest_ms = newest_run_time_ms(_now_ms() - FINAL_AFTER_MS, config.interval)
    oldest_ms = newest_ms - (config.num_candles - 1) * config.interval.ms
    block_ms = BLOCK_SIZES[0] * config.interval.ms
    candles = asyncio.run(_fetch(config, state_dir, oldest_ms // block_ms * block_ms, newest_ms))
    _write(folder, candles, seed)
    # As it is after a while: the blocks built, and what they absorbed deleted.
    for _ in range(2):
        compact(folder, exchange_ms=_now_ms(), window_ms=oldest_ms, active={candle.symbol for candle in candles})
        for block in folder.candles.glob("block_*"):
            os.utime(block, times=(time.time() - GRACE.total_seconds() - 1,) * 2)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def _fetch(config: MarketConfig, state_dir: Path, first_ms: int, last_ms: int) -> list[Candle]:
    """All candles of the market that closed from ``first_ms`` to ``last_ms``."""
    host, step = host_of_market(config), config.interval.ms
    pages = plan_pages(host.venue, config.interval, first_ms - step, last_ms - step)
    with closing(budget_of(host, state_dir)) as budget:
        async with RestClient(host, budget) as client:
            infos = (await client.exchange_info()).symbols
            symbols = [info.symbol for info in select(config.trade_type, infos).symbols if trades(info)]
            asked = [client.klines(symbol, config.interval, page) for symbol in symbols for page in pages]
            return [candle for candles in await asyncio.gather(*asked) for candle in candles]


def _write(folder: Folder, candles: Collection[Candle], seed: int) -> None:
    """A slice for each period, each candle received when the exchange would have sent its final."""
    finals, incarnation = Finals(), time.time_ns()
    by_run: dict[int, list[tuple[Candle, int]]] = defaultdict(list)
    for candle in candles:
        run_ms = candle.begin_ms + folder.interval.ms
        delay_ms = finals.delay_ms(seed, candle.symbol, candle.begin_ms, illiquid=False)
        by_run[run_ms].append((candle, run_ms + delay_ms))
    for run_ms, rows in by_run.items():
        write_table(folder.stream_path(run_ms, incarnation), candle_table(rows, Source.STREAM), folder.save_type)
