"""The writers that get killed. Each says in a file of its own what has been written for sure.

``buffer_streamer`` and ``buffer_flow`` do nothing but the buffer's work, as fast as they can; time is what the newest
slice says. ``streamer`` and ``period`` are the real programs against an exchange.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from zlib import crc32

import polars as pl

from flows.steps import run_period
from kit.buffer import compaction as buffer_compaction
from kit.buffer import files
from kit.buffer.assets import add_boundary
from kit.buffer.compaction import compact
from kit.buffer.exchange_info import ExchangeInfoStore
from kit.buffer.fills import differences, readable_keys, store_rest, store_revisions, stored_candles
from kit.buffer.funding import FundingRate, FundingStore
from kit.buffer.layout import Folder
from kit.buffer.ledger import Ledger, LedgerRecord
from kit.buffer.locks import hold
from kit.buffer.read import Span
from kit.buffer.slices import SliceWriter
from kit.buffer.states import States, SymbolState, save_states
from kit.calculators.result import FactorResult
from kit.calculators.store import FactorStore
from kit.config import MarketConfig, parse_config
from kit.resample import compaction as resample_compaction
from kit.resample.update import update_resample
from kit.words import Candle, from_ms
from streamer.command import main as streamer_main
from tests.builders import MINUTE, NOON, candle

SYMBOLS = ("AUSDT", "BUSDT", "CUSDT", "DUSDT", "GONEUSDT", "龙虾USDT")
ACTIVE = tuple(symbol for symbol in SYMBOLS if symbol != "GONEUSDT")
WINDOW = 400
"""Run times of the window; what the active symbols had before it may go."""

LOOKED_AT = 120
"""Run times back that the flow fills and revises."""


def config_of(root: Path) -> MarketConfig:
    """The market of the buffer's writers."""
    raw = {"trade_type": "usdt_perp", "interval": "1m", "num_candles": WINDOW}
    return parse_config(root, raw | {"resample": {"interval": "5m", "base_offset": "1m"}})


def folder_of(root: Path) -> Folder:
    """Its folder."""
    config = config_of(root)
    return Folder(root, config.trade_type, config.interval, config.save_type)


def is_revised(symbol: str, begin_ms: int) -> bool:
    """Whether the exchange says otherwise later."""
    return crc32(f"{symbol} {begin_ms}".encode()) % 29 == 0


def newest_ms(folder: Folder) -> int:
    """The newest run time that anything was written for."""
    return max((file.last_ms for file in folder.list_candle_files()), default=NOON)


def teller(path: str) -> Callable[..., None]:
    """Says something in a file: whole lines, which outlive the process."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    return lambda **words: os.write(descriptor, json.dumps(words).encode() + b"\n") and None


def only_order_counts() -> None:
    """A kill loses nothing that the system has taken; what fsync is for is tested by ``tests.power_loss``. On a busy
    disk it takes most of the time, so here it is only a moment in which one can be killed."""
    os.fsync = lambda _: time.sleep(0.0005)


def in_place(path: Path, data: bytes) -> None:
    """A defect to be found: a file that does not appear whole."""
    with path.open("wb") as file:
        for first in range(0, len(data), 1000):
            file.write(data[first : first + 1000])
            file.flush()
            time.sleep(0.0005)


def away_and_back(path: Path, data: bytes) -> None:
    """A defect to be found: what was there is deleted before the new one is written."""
    path.unlink(missing_ok=True)
    time.sleep(0.002)
    path.write_bytes(data)


DEFECTS = {"in place": in_place, "away and back": away_and_back}


def buffer_streamer(says: str, root: str, seed: int, defect: str = "") -> None:
    """Finals of one period after the other, each in three flushes; a tenth never comes."""
    only_order_counts()
    if defect:
        files.write_atomically = DEFECTS[defect]
    folder, tell, chance = folder_of(Path(root)), teller(says), random.Random(seed)
    with hold(folder, "streamer"):
        writer = SliceWriter(folder)
        first_ms = newest_ms(folder) + chance.choice((1, 1, 2, 5)) * MINUTE  # it was away for a while
        for run_ms in count(first_ms, MINUTE):
            rows = [candle(symbol, run_ms - MINUTE) for symbol in SYMBOLS if chance.random() < 0.9]
            for part in (rows[:2], rows[2:4], rows[4:]):
                for row in part:
                    writer.add(row, run_ms + 500, run_ms + 510)
                writer.flush()
                tell(written=[[row.symbol, row.begin_ms] for row in part])
                time.sleep(chance.random() * 0.002)


def buffer_flow(says: str, root: str, seed: int, until_done: bool = False) -> None:
    """Everything that a period's work writes, again and again; with ``until_done`` until nothing is left to do."""
    only_order_counts()
    folder, config, tell, chance = folder_of(Path(root)), config_of(Path(root)), teller(says), random.Random(seed)
    for module in (buffer_compaction, resample_compaction):
        module.GRACE = timedelta(seconds=-1)  # so that absorbed files are deleted while they are of interest
    ahead = Path(root) / "ahead"
    with hold(folder, "flow"):
        for turn in count():
            now_ms = newest_ms(folder)
            later_ms = int(ahead.read_text()) * MINUTE if ahead.exists() else 0
            left = fill(folder, now_ms, tell) + revise(folder, now_ms, tell)
            small_files(folder, now_ms, turn, chance)
            update_resample(folder, config, from_ms(now_ms))
            window_ms = now_ms - WINDOW * MINUTE
            left += compact(folder, exchange_ms=now_ms + later_ms, window_ms=window_ms, active=ACTIVE)
            tell(turn=turn)
            if until_done and not left:
                return


def fill(folder: Folder, now_ms: int, tell: Callable[..., None]) -> int:
    """What is missing, by REST, and the ledger; how many were missing."""
    runs = range(max(NOON + MINUTE, now_ms - LOOKED_AT * MINUTE), now_ms + 1, MINUTE)
    if not runs:
        return 0
    span = Span(runs[0], runs[-1])
    readable = readable_keys(folder, span)
    missing = [(symbol, run_ms - MINUTE) for run_ms in runs for symbol in SYMBOLS]
    missing = [key for key in missing if key not in readable]
    rows = [candle(*key) for key in missing]
    store_rest(folder, rows, received_ms=now_ms, racing_from_ms=now_ms - 3 * MINUTE)
    tell(written=missing)
    readable = readable_keys(folder, span)
    records = []
    for run_ms in runs[-9:]:
        lacking = [symbol for symbol in SYMBOLS if (symbol, run_ms - MINUTE) not in readable]
        records.append(record_of(run_ms, lacking))
    Ledger(folder).put(records)
    return len(missing)


def record_of(run_ms: int, missing: list[str]) -> LedgerRecord:
    """A record that says what is missing."""
    return LedgerRecord(
        run_time=from_ms(run_ms),
        expected=len(SYMBOLS),
        by_stream=0,
        by_rest=len(SYMBOLS) - len(missing),
        missing=missing,
        excused={},
        complete=not missing,
    )


def revise(folder: Folder, now_ms: int, tell: Callable[..., None]) -> int:
    """What the exchange says otherwise; how many."""
    stored = stored_candles(folder, Span(now_ms - LOOKED_AT * MINUTE, now_ms - 9 * MINUTE))
    truth = [candle(*key, 1) for key in stored if is_revised(*key)]
    revisions = differences(stored, truth, "told otherwise")
    store_revisions(folder, revisions)
    tell(revised=[[each.symbol, each.new.begin_ms] for each in revisions])
    return len(revisions)


def small_files(folder: Folder, now_ms: int, turn: int, chance: random.Random) -> None:
    """States, exchange info, funding rates, factors, and a ticker that became another asset."""
    status = chance.choice(("TRADING", "BREAK"))
    save_states(folder, States(symbols={symbol: SymbolState(status=status, first_ms=now_ms) for symbol in SYMBOLS}))
    ExchangeInfoStore(folder).save([{"symbol": symbol, "status": status} for symbol in SYMBOLS], from_ms(now_ms))
    settled = datetime(2026, 11, 22, tzinfo=UTC) + timedelta(hours=turn)
    FundingStore(folder).add([FundingRate("AUSDT", settled, 0.0001, None, "Regular")])
    frame = pl.DataFrame({"symbol": list(SYMBOLS), "close": [float(turn)] * len(SYMBOLS)})
    FactorStore(folder).put(FactorResult(from_ms(now_ms), frame))
    if turn % 5 == 0:
        add_boundary(folder, "CUSDT", NOON - turn * MINUTE)  # no candle is that old: the file alone is of interest


def truth_of(symbol: str, begin_ms: int) -> tuple[Candle, Candle]:
    """The candle as it was told first, and as it was told last."""
    first = candle(symbol, begin_ms)
    return first, candle(symbol, begin_ms, 1) if is_revised(symbol, begin_ms) else first


def streamer(says: str, base_dir: str) -> int:
    """The real streamer."""
    return streamer_main([base_dir, "--log-format", "json"])


def period(says: str, base_dir: str, run_ms: int) -> int:
    """The real work of one period; it says whether it called the period complete."""
    outcome = asyncio.run(run_period(Path(base_dir), from_ms(run_ms)))
    teller(says)(run_ms=run_ms, complete=outcome.record.complete)
    return 0


ROLES: dict[str, Callable[..., int | None]] = {
    "buffer_streamer": buffer_streamer,
    "buffer_flow": buffer_flow,
    "streamer": streamer,
    "period": period,
}
