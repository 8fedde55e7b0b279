"""A market on disk whose newest due run time is complete, and ways to change what the page has to tell of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl

from kit.alarms.signs import WORKER_NAME, WorkerBeat, write_signs
from kit.buffer.fills import Revision, store_revisions
from kit.buffer.layout import Folder
from kit.buffer.ledger import Ledger, LedgerRecord
from kit.calculators.result import FactorResult
from kit.calculators.store import FactorStore
from kit.words import Interval, from_ms, newest_run_time_ms, to_ms, utc_now
from tests.builders import candle, candles, folder_in, stream, unhurried

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "币安人生USDT")
PERIODS = 5
STEP = Interval.H12.ms


@dataclass(frozen=True)
class MarketFolder:
    """A market, and the newest run time that was due when it was made."""

    folder: Folder
    due_ms: int

    @property
    def base_dir(self) -> Path:
        return self.folder.base_dir

    def record(self, run_ms: int, **changes: Any) -> LedgerRecord:
        """A record of a run time that was complete 2.1 s after its close, but for ``changes``; it is written."""
        run_time = from_ms(run_ms)
        sound: dict[str, Any] = {
            "run_time": run_time,
            "expected": len(SYMBOLS),
            "by_stream": len(SYMBOLS),
            "by_rest": 0,
            "missing": [],
            "excused": {},
            "complete": True,
            "completed_at": run_time + timedelta(seconds=2.1),
            "seconds_to_complete": 2.1,
        }
        record = LedgerRecord(**(sound | changes))
        Ledger(self.folder).put([record])
        return record

    def forget(self) -> None:
        """As if nobody had ever judged a run time."""
        for path in self.folder.ledger.glob("*.jsonl"):  # one, and two in two days of each 32
            path.unlink()

    def incomplete(self, run_ms: int, missing: list[str]) -> None:
        """Say that these symbols are missing."""
        self.record(
            run_ms,
            missing=missing,
            by_stream=len(SYMBOLS) - len(missing),
            complete=False,
            completed_at=None,
            seconds_to_complete=None,
        )

    def revise(self, symbol: str, run_ms: int) -> Revision:
        """Revise the candle that closed then."""
        old, new = (candle(symbol, run_ms - STEP, variant) for variant in (0, 1))
        begin = from_ms(run_ms - STEP)
        at = from_ms(run_ms + 5000)
        revision = Revision(
            symbol=symbol, candle_begin_time=begin, old=old, old_source="stream", new=new, reason="late final", at=at
        )
        store_revisions(self.folder, [revision])
        return revision

    def factors(self, run_ms: int, values: dict[str, list[float | None]]) -> None:
        """Write factors of the four symbols."""
        frame = pl.DataFrame({"symbol": SYMBOLS, "close": [4.0, 3.0, 2.0, 1.0], **values})
        FactorStore(self.folder).put(FactorResult(from_ms(run_ms), frame))

    def beat(self, **changes: object) -> None:
        """The streamer's heartbeat, of an hour to come: a browser may take its time to start."""
        sound = {"pid": 7, "running": True, "wanted_streams": 4, "delivering_streams": 4, "rss_bytes": 80_000_000}
        sound |= {"written_at": (utc_now() + timedelta(hours=1)).isoformat(), "disk_error": None, "silent_streams": []}
        (self.base_dir / "streamer.json").write_text(json.dumps(sound | changes))

    def worker_beat(self, *, age: timedelta = timedelta(hours=-1), running: bool = True) -> None:
        """The worker's heartbeat of so long ago, by the wall clock alone; if not said, of an hour to come."""
        at = utc_now() - age
        beat = WorkerBeat(pid=8, running=running, started_at=at, written_at=at)
        write_signs(self.base_dir, WORKER_NAME, beat)


def market_in(path: Path, *, symbols: tuple[str, ...] = SYMBOLS, **config: object) -> MarketFolder:
    """A market with some complete periods up to the newest due one, a heartbeat and two factors. No run time becomes
    due while a test looks."""
    path.mkdir(parents=True)
    patience = unhurried(Interval.H12)
    settings = {
        "interval": "12h",
        "trade_type": "usdt_perp",
        "num_candles": 100,
        "factors": [["PctChg", 5], ["Rsi", 3]],
        **patience,
    }
    (path / "config.json").write_text(json.dumps(settings | config))
    folder = folder_in(path, interval=Interval.H12)
    due_ms = newest_run_time_ms(to_ms(utc_now()) - sum(patience.values()) * 1000, folder.interval)
    market = MarketFolder(folder, due_ms)
    first_ms = due_ms - (PERIODS - 1) * STEP
    stream(folder, candles(symbols, first_ms - STEP, PERIODS, STEP))
    for run_ms in range(first_ms, due_ms + 1, STEP):
        market.record(run_ms)
    market.factors(due_ms, {"PctChg_5": [0.3, None, float("nan"), -0.1], "Rsi_3": [50.0, 70.0, 30.0, 40.0]})
    market.beat()
    return market
