"""What plain programs and our own readers find in a base directory: one dictionary of everything, and no file that
cannot be read."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from kit.budget.store import Store
from kit.buffer.assets import load_assets, ticker_of
from kit.buffer.exchange_info import ExchangeInfoStore
from kit.buffer.files import TEMPORARY_PREFIX
from kit.buffer.fills import read_revisions
from kit.buffer.funding import FundingStore
from kit.buffer.layout import KINDS, Folder
from kit.buffer.ledger import Ledger
from kit.buffer.read import read_candles
from kit.buffer.states import load_states
from kit.calculators.store import FactorStore
from kit.config import MarketConfig
from kit.resample.series import series_of
from kit.words import Candle, from_ms, to_ms
from tests.power_loss.disk import Tree

Found = dict[Hashable, Any]
"""Everything that is readable, by what it is: ("candle", symbol, begin) -> Candle, ("ledger", run) -> record ..."""


@dataclass
class Reader:
    """Puts trees on disk, one over the other, and reads them. What was read of the same files before is remembered."""

    config: MarketConfig
    folder: Folder
    budget: Path
    _there: dict[str, bytes | None] = field(default_factory=dict)
    _sound: set[tuple[str, bytes]] = field(default_factory=set)
    _known: dict[Hashable, Found] = field(default_factory=dict)

    def find(self, tree: Tree) -> dict[str, Found]:
        """What is readable of a tree, by kind. AssertionError: a file of it is not."""
        self._put(dict(tree))
        for path, content in tree:
            if content is not None and (path, content) not in self._sound:
                check_file(self.folder.base_dir / path)
                self._sound.add((path, content))
        found: dict[str, Found] = {}
        for kind, (places, read) in self._readers().items():
            key = (kind, tuple(item for item in tree if item[0].startswith(places)))
            if key not in self._known:
                self._known[key] = read()
            found[kind] = self._known[key]
        return found

    def _put(self, wanted: dict[str, bytes | None]) -> None:
        root = self.folder.base_dir
        for path in sorted(self._there.keys() - wanted.keys(), reverse=True):
            (root / path).rmdir() if self._there[path] is None else (root / path).unlink()
        for path, content in wanted.items():
            if path in self._there and self._there[path] == content:
                continue
            if content is None:
                (root / path).mkdir()
            else:
                (root / path).write_bytes(content)
        self._there = wanted

    def _readers(self) -> dict[str, tuple[tuple[str, ...], Callable[[], Found]]]:
        """For each kind where it lies, and what reads it."""
        candles = f"{self.folder.candles.name}/"
        own = tuple(f"{candles}{kind}_" for kind in KINDS)
        return {
            "candle": ((*own, f"{candles}assets"), lambda: candles_in(self.folder)),
            "ledger": ((f"{candles}ledger",), lambda: ledger_in(self.folder)),
            "revision": ((f"{candles}revisions",), lambda: revisions_in(self.folder)),
            "state": ((f"{candles}symbols.json",), self._states),
            "asset": ((f"{candles}assets.json",), self._assets),
            "info": ((self.folder.exchange_info.name,), self._exchange_info),
            "funding": ((self.folder.funding.name,), self._funding),
            "factor": ((f"factors_{self.folder.interval}",), self._factors),
            "resampled": (("resample_",), self._resampled),
            "stop": (("state",), self._budget),
        }

    def _states(self) -> Found:
        return {("state", name): state for name, state in load_states(self.folder).symbols.items()}

    def _assets(self) -> Found:
        known = load_assets(self.folder).items()
        return {("asset", ticker, moment): moment for ticker, moments in known for moment in moments}

    def _funding(self) -> Found:
        return {("funding", *row[:2]): row[2] for row in FundingStore(self.folder).read().rows()}

    def _exchange_info(self) -> Found:
        rows = ExchangeInfoStore(self.folder).latest()
        return {} if rows is None else {("info",): tuple(row["status"] for row in rows)}

    def _factors(self) -> Found:
        store = FactorStore(self.folder)
        results = {run_ms: store.get(from_ms(run_ms)) for run_ms in store.run_times_ms()}
        return {("factor", run_ms): tuple(result.frame.rows()) for run_ms, result in results.items() if result}

    def _resampled(self) -> Found:
        series = series_of(self.config)
        found: Found = {}
        for offset_ms in () if series is None else series.offsets_ms:
            target = series.folder(self.folder, offset_ms)
            for (_, symbol, begin_ms), row in candles_in(target).items():
                found["resampled", offset_ms, symbol, begin_ms] = row
        return found

    def _budget(self) -> Found:
        if not self.budget.exists():
            return {}
        store = Store(self.budget)
        state = store.read()
        store.close()
        return {} if state.stop is None else {("stop",): state.stop.until_ms}


def candles_in(folder: Folder) -> Found:
    """Every readable candle of a folder, by the exchange's name of its symbol."""
    names = [name if name != "begin_ms" else "candle_begin_time" for name in Candle._fields]
    frame = read_candles(folder, columns=names[2:], retired=True)
    plain = frame.with_columns(pl.col("symbol").cast(pl.String), pl.col("candle_begin_time").dt.epoch("ms"))
    found = (Candle(ticker_of(row[0]), *row[1:]) for row in plain.select(names).rows())
    return {("candle", candle.symbol, candle.begin_ms): candle for candle in found}


def ledger_in(folder: Folder) -> Found:
    """Every record of the ledger."""
    if not folder.ledger.is_dir():
        return {}
    paths = [path for path in folder.ledger.iterdir() if path.suffix == ".jsonl" and path.name[:1].isdigit()]
    lines = [json.loads(line) for path in paths for line in path.read_bytes().splitlines()]
    ledger = Ledger(folder)
    records = (ledger.get(from_ms(moment_ms(line["run_time"]))) for line in lines)
    return {("ledger", to_ms(record.run_time)): record for record in records if record is not None}


def moment_ms(text: str) -> int:
    """A moment of a JSON file in milliseconds."""
    return to_ms(datetime.fromisoformat(text))


def revisions_in(folder: Folder) -> Found:
    """Every recorded revision."""
    return {("revision", each.old, each.new): each.reason for each in read_revisions(folder)}


def check_file(path: Path) -> None:
    """AssertionError when a file whose name says that it can be read cannot be read by programs other than ours."""
    if path.name.startswith(TEMPORARY_PREFIX) or path.suffix in (".lock", ".budget"):
        return
    try:
        if path.suffix == ".parquet":
            table = pa.parquet.read_table(path)
            (rows,) = duckdb.execute("select count(*) from read_parquet(?)", [str(path)]).fetchone() or (None,)
            assert rows == table.num_rows
        elif path.suffix == ".feather":
            pa.ipc.open_file(path).read_all()
        elif path.suffix == ".jsonl":
            assert [json.loads(line) for line in path.read_bytes().splitlines()]
        elif path.suffix == ".json":
            json.loads(path.read_bytes())
    except (ValueError, OSError, pa.ArrowException, duckdb.Error) as error:
        raise AssertionError(f"{path} is there and cannot be read: {error}") from error
