"""A market's folder as the service leaves it: made by the buffer's own writers, one slice a period, then compacted."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kit.buffer.compaction import compact
from kit.buffer.layout import BLOCK_SIZES, GRACE, Folder, sealed_after_ms
from kit.buffer.slices import SliceWriter
from kit.words import Candle, Interval, TradeType

if TYPE_CHECKING:
    from pathlib import Path

INTERVAL = Interval.M1
STEP_MS = INTERVAL.ms
LOOSE = 3 * sealed_after_ms(INTERVAL) // STEP_MS
"""Newest periods that compaction does not touch yet."""

Values = np.ndarray[tuple[int, int, int], np.dtype[np.float64]]


@dataclass(frozen=True)
class Sizes:
    """What was written: bytes of a whole period's slice, of blocks by their number of periods, seconds of a flush."""

    slice_bytes: int
    block_bytes: dict[int, float]
    flush_s: float
    compact_cpu_s: float

    @property
    def block_bytes_a_period(self) -> float:
        """Each candle goes once into a block of each size."""
        return sum(size / periods for periods, size in self.block_bytes.items())


def random_walk(rng: np.random.Generator, periods: int, symbols: int) -> Values:
    """Prices and volumes as long as real ones: period, symbol, the nine values of a candle."""
    price = np.round(10.0 ** rng.uniform(-1, 3, symbols) * np.exp(rng.normal(0, 1e-3, (periods, symbols)).cumsum(0)), 4)
    spread = np.round(price * 5e-4, 4)
    volume = np.round(rng.lognormal(8, 1, (periods, symbols)), 3)
    turnover = np.round(volume * price, 5)
    taker = np.round(volume * rng.uniform(0.2, 0.8, (periods, symbols)), 3)
    trades = np.floor(rng.lognormal(5, 1, (periods, symbols)))
    parts = [price, price + spread, price - spread, np.round(price * 1.0001, 4), volume, turnover, trades, taker]
    return np.stack([*parts, np.round(taker * price, 5)], axis=-1)


class MadeFolder:
    """A folder of ``symbols`` x ``num_candles`` that stands at its worst moment, and one period later at its best.

    Run times count in units of the interval since the epoch: blocks lie at multiples of their size.
    """

    def __init__(self, base_dir: Path, *, symbols: int, num_candles: int) -> None:
        base_dir.mkdir(parents=True)
        config = {"trade_type": "usdt_perp", "interval": INTERVAL.value, "num_candles": num_candles}
        (base_dir / "config.json").write_text(json.dumps(config))
        self.folder = Folder(base_dir, TradeType.USDT_PERP, INTERVAL)
        self.folder.open_for_writing()
        self.symbols = [f"S{number:04d}USDT" for number in range(symbols)]
        self._num_candles = num_candles
        self._writer = SliceWriter(self.folder)
        self._rng = np.random.default_rng(7)
        largest = BLOCK_SIZES[0]
        now = int(time.time() * 1000) // STEP_MS
        # One more sealed period would fill a block of every size.
        self.newest = (now // largest - 1) * largest - 2 + LOOSE
        self._flush_s: list[float] = []

    def fill(self) -> Sizes:
        """Make the worst moment before compaction; what was written for it."""
        largest = BLOCK_SIZES[0]
        first = (self.newest - self._num_candles + 1) // largest * largest
        values = random_walk(self._rng, self.newest - first + 1, len(self.symbols))
        for number, rows in enumerate(values):
            self._write(first + number, rows)
        cpu = time.process_time()
        self._compact()
        cpu = time.process_time() - cpu
        newest = max(self.folder.list_candle_files(), key=lambda file: file.last_ms)
        blocks: dict[int, list[int]] = {}
        for file in self.folder.list_candle_files():
            if file.kind == "block":
                periods = (file.last_ms - file.first_ms) // STEP_MS + 1
                blocks.setdefault(periods, []).append((self.folder.candles / file.name).stat().st_size)
        return Sizes(
            (self.folder.candles / newest.name).stat().st_size,
            {periods: float(np.mean(sizes)) for periods, sizes in blocks.items()},
            float(np.median(self._flush_s)),
            cpu,
        )

    def one_more(self) -> None:
        """The next period: everything that can be compacted is, in the largest blocks."""
        self.newest += 1
        self._write(self.newest, random_walk(self._rng, 1, len(self.symbols))[0])
        self._compact()

    @property
    def newest_run_ms(self) -> int:
        """The newest run time."""
        return self.newest * STEP_MS

    def files(self) -> int:
        """Candle files in the folder."""
        return len(self.folder.list_candle_files())

    def _write(self, run: int, rows: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> None:
        run_ms = run * STEP_MS
        for symbol, values in zip(self.symbols, rows.tolist(), strict=True):
            first, trades, last = values[:6], int(values[6]), values[7:]
            candle = Candle._make((symbol, run_ms - STEP_MS, *first, trades, *last))
            self._writer.add(candle, run_ms + 300, run_ms + 310)
        began = time.perf_counter()
        self._writer.flush()
        self._flush_s.append(time.perf_counter() - began)

    def _compact(self) -> None:
        """Compact; then again as if the grace of what was absorbed had passed, as it has in a folder at work."""
        window_ms = (self.newest - self._num_candles + 1) * STEP_MS
        exchange_ms = self.newest * STEP_MS + STEP_MS - 1
        compact(self.folder, exchange_ms=exchange_ms, window_ms=window_ms, active=self.symbols)
        long_ago = time.time() - 2 * GRACE.total_seconds()
        for file in self.folder.list_candle_files():
            os.utime(self.folder.candles / file.name, (long_ago, long_ago))
        compact(self.folder, exchange_ms=exchange_ms, window_ms=window_ms, active=self.symbols)
