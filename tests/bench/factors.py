"""What factors cost: natively, through the users' own modules, and the way that reads one file a symbol with pandas."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from kit import BmacAllMarketCalculator, CandleFileReader, Market
from kit.calculators.period import compute
from kit.factors.library import LIBRARY
from kit.words import from_ms
from tests.bench.buffer_folder import MadeFolder
from tests.bench.figures import Figure
from tests.bench.reference import COLUMNS

CANDLES = 1500
SAMPLE = 60
REPEATS = 5
TWO = [["PctChg", 100], ["QuoteVolumeMean", 80]]
WINDOW = 20
MODULES = {
    "Change": "    df[factor_name] = df['close'].pct_change(n)\n",
    "Average": "    df[factor_name] = df['quote_volume'].rolling(n).mean()\n",
}


def measure(scratch: Path) -> list[Figure]:
    """Two factors of 600 symbols natively and by modules, thirty of 750 natively; pandas on a sample, scaled."""
    folder = _market(scratch / "600", 600)
    run_time = from_ms(folder.newest_run_ms)
    by_pandas = _by_pandas(scratch / "files", folder) * 600 / SAMPLE
    note = f"pandas: {SAMPLE} files read and computed, scaled"
    native = _median(lambda: compute(_with_factors(folder, TWO), run_time))
    modules = _median(lambda: _legacy(scratch, folder))
    larger = _market(scratch / "750", 750)
    thirty = [[name, WINDOW] for name in sorted(LIBRARY) if "Funding" not in name][:30]
    market = _with_factors(larger, thirty)
    many = _median(lambda: compute(market, from_ms(larger.newest_run_ms)))
    return [
        Figure("2 native factors, 600 symbols, read included", "s", native, by_pandas / 50, by_pandas, note),
        Figure("2 factors by users' modules, 600 symbols", "s", modules, by_pandas / 5, by_pandas, note),
        Figure("30 native factors, 750 symbols, read included", "s", many, 0.5, None, f"windows of {WINDOW}"),
    ]


def _market(base_dir: Path, symbols: int) -> MadeFolder:
    folder = MadeFolder(base_dir, symbols=symbols, num_candles=CANDLES)
    folder.fill()
    return folder


def _with_factors(folder: MadeFolder, factors: list[list[object]]) -> Market:
    path = folder.folder.base_dir / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "factors": factors}))
    return Market(folder.folder.base_dir)


def _legacy(scratch: Path, folder: MadeFolder) -> None:
    package = scratch / "bench_factors"
    if not package.exists():
        package.mkdir()
        (package / "__init__.py").touch()
        for name, body in MODULES.items():
            (package / f"{name}.py").write_text(f"def signal(df, n, factor_name):\n{body}    return df\n")
        sys.path.insert(0, str(scratch))
    reader = CandleFileReader(folder.folder.candles)
    calculator = BmacAllMarketCalculator(
        folder.symbols, reader, [("Change", 100), ("Average", 80)], package="bench_factors"
    )
    rows = asyncio.run(calculator.calc_all_factors(from_ms(folder.newest_run_ms)))
    if len(rows) != len(folder.symbols):
        raise AssertionError(f"{len(rows)} of {len(folder.symbols)} symbols were computed")


def _by_pandas(files: Path, folder: MadeFolder) -> float:
    """Seconds for the sample: read a symbol's file, compute, take the last row."""
    files.mkdir()
    frame = Market(folder.folder.base_dir).candles(folder.symbols[:SAMPLE]).to_pandas()
    for symbol, rows in frame.groupby("symbol"):
        rows[["candle_begin_time", *COLUMNS]].to_parquet(files / f"{symbol}.pqt")
    began = time.perf_counter()
    for path in sorted(files.iterdir()):
        one = pd.read_parquet(path)
        one["PctChg_100"] = one["close"].pct_change(100)
        one["Average_80"] = one["quote_volume"].rolling(80).mean()
        one.iloc[[-1]]
    return time.perf_counter() - began


def _median(work: Callable[[], object]) -> float:
    work()
    taken = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return float(np.median(taken))
