"""What the page shows, as plain JSON values, each read by ``kit.Market``, ``kit.status`` or the ledger when asked.

All functions block for the disk and raise BmacError or OSError when it cannot be read. Times are ISO 8601 in UTC, or
milliseconds since the epoch where the name says ``_ms``.
"""

from __future__ import annotations

import hashlib
import math
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from kit.buffer.layout import Folder
from kit.buffer.ledger import Ledger, LedgerRecord
from kit.buffer.read import current_view
from kit.calculators.store import FactorStore
from kit.errors import BmacError
from kit.exchange_clock import is_off
from kit.market import Market
from kit.outside import MEGABYTE, UNREADABLE, read_bounded
from kit.resample.series import offset_word, series_of
from kit.serve.cells import Columns, cells, excuses
from kit.serve.verdict import State, advice, judged, worker_of
from kit.status import FILLED_LATER, market_status
from kit.words import from_ms, to_ms

PERIODS = 64
"""Records looked at for the verdict: more than the run times between the newest and the newest due one at 1s."""

GRID_COLUMNS = 60
MOST_CANDLES = 1500


class _Progress(msgspec.Struct):
    done: int
    total: int


def overview(base_dir: Path) -> dict[str, Any]:
    """The verdict of a market and who is at work on it; never raises for a folder that is broken or not yet there.

    ``mark`` changes when the ledger does, or when a new run time is due: what else is shown may be read anew then.
    """
    try:
        return _overview(base_dir)
    except (BmacError, OSError) as error:
        return {"name": base_dir.name, "base_dir": str(base_dir), "state": State.BROKEN, "error": str(error)}


def _overview(base_dir: Path) -> dict[str, Any]:
    status = market_status(base_dir, PERIODS)
    market = Market(base_dir)
    state, record = judged(status)
    worker = worker_of(status)
    factor_times = FactorStore(market.folder).run_times_ms() if market.config.factors else []
    return {
        "name": status["market"],
        "base_dir": status["base_dir"],
        "state": state,
        "error": None,
        "due": status["due"],
        "interval": market.config.interval,
        "interval_ms": market.config.interval.ms,
        "record": record,
        "last_complete": status["last_complete"],
        "window": status["window"],
        "clock_off_ms": _clock_off(status["clock_offset_ms"]),
        "streamer": _streamer(status["streamer"]),
        "worker": worker,
        "advice": advice(state, status["streamer"], worker),
        "history": _history(base_dir),
        "series": _series(market),
        "factors_at": _iso(factor_times[-1]) if factor_times else None,
        "mark": _mark(market.folder, status["due"]),
    }


def grid(base_dir: Path) -> dict[str, Any]:
    """The newest run times, with a letter for each symbol and run time (``kit.serve.cells``)."""
    market = Market(base_dir)
    step_ms, due_ms = market.config.interval.ms, _due_ms(base_dir)
    last_ms = max(due_ms, current_view(market.folder).newest_run_ms or 0)
    first_ms = last_ms - (GRID_COLUMNS - 1) * step_ms
    records = Ledger(market.folder).between(first_ms, last_ms)
    columns = Columns(range(first_ms, last_ms + 1, step_ms), records, due_ms)
    frame = market.candles(columns=[], last=GRID_COLUMNS, source=True).select(
        "symbol", pl.col("candle_begin_time").dt.epoch("ms") + step_ms, "source"
    )
    return {
        "first_ms": first_ms,
        "step_ms": step_ms,
        "columns": columns.states(),
        "rows": list(cells(columns, frame.rows()).items()),
        "excuses": excuses(records),
    }


def timeline(base_dir: Path) -> dict[str, Any]:
    """Each run time of the window that is due, oldest first, from the first that has a record on, as columns:
    ``missing`` (None without a record), ``by_rest``, and ``delay`` in seconds from the close to completeness, None
    where it is not complete or was filled later.
    """
    market = Market(base_dir)
    step_ms, due_ms = market.config.interval.ms, _due_ms(base_dir)
    records = Ledger(market.folder).between(due_ms - (market.config.num_candles - 1) * step_ms, due_ms)
    run_times_ms = range(min(records), due_ms + 1, step_ms) if records else range(0)
    found = [records.get(run_ms) for run_ms in run_times_ms]
    return {
        "run_ms": list(run_times_ms),
        "missing": [record and len(record.missing) for record in found],
        "expected": [record and record.expected for record in found],
        "by_rest": [record and record.by_rest for record in found],
        "delay": [record and _delay(record) for record in found],
    }


def candles(base_dir: Path, symbol: str, interval: str | None, offset: str, last: int) -> dict[str, Any]:
    """The newest ``last`` candles of a symbol as columns, with source, time of receipt and what was revised.

    A symbol that has left the market shows the last that are kept of it; the columns are empty when nothing is. A
    resample has no provenance.

    Raises:
        UnknownWordError: no such interval or offset is kept.
    """
    market = Market(base_dir)
    own = interval is None or interval == market.config.interval
    kept = min(max(last, 1), MOST_CANDLES)

    def read(newest: int | None) -> pl.DataFrame:
        if own:
            return market.candles([symbol], last=newest, source=True)
        return market.candles([symbol], last=newest, interval=interval, offset=offset)

    frame = read(kept)
    if frame.is_empty():
        frame = read(None).tail(kept)
    begins = frame["candle_begin_time"].dt.epoch("ms")
    found: dict[str, Any] = {
        "symbol": symbol,
        "interval": interval or market.config.interval,
        "begin_ms": begins.to_list(),
        **{name: frame[name].to_list() for name in ("open", "high", "low", "close", "volume", "quote_volume")},
        "trades": frame["trade_num"].to_list(),
    }
    if own:
        found["source"] = frame["source"].to_list()
        found["received_ms"] = frame["received_time"].dt.epoch("ms").to_list()
        found["revisions"] = _revisions(market, symbol, set(begins))
    return found


def factors(base_dir: Path) -> dict[str, Any] | None:
    """The newest factors that are stored, one row a symbol; numbers that JSON has no word for as text (``NaN``)."""
    market = Market(base_dir)
    store = FactorStore(market.folder)
    times_ms = store.run_times_ms()
    result = store.get(from_ms(times_ms[-1])) if times_ms else None
    if result is None:
        return None
    return {
        "run_time": _iso(times_ms[-1]),
        "columns": result.frame.columns,
        "rows": [list(map(_number, row)) for row in result.frame.rows()],
        "missing": list(result.missing),
        "errors": list(result.errors),
    }


def _streamer(beat: dict[str, Any] | None) -> dict[str, Any] | None:
    names = ("pid", "running", "alive", "written_at", "age_seconds", "rss_bytes", "disk_error")
    streams = ("wanted_streams", "delivering_streams", "silent_streams")
    return beat and {name: beat.get(name) for name in (*names, *streams)}


def _history(base_dir: Path) -> dict[str, int] | None:
    """How far the filling of history has come, in requests; None when there is none to fill."""
    try:
        progress = msgspec.json.decode(read_bounded(base_dir / "history.json", MEGABYTE), type=_Progress)
    except (OSError, *UNREADABLE):
        return None
    return {"done": progress.done, "total": progress.total} if progress.done < progress.total else None


def _clock_off(offset_ms: int | None) -> int | None:
    """How far this machine's clock is off, to a tenth of a second; None when it is not, as far as is known."""
    return round(offset_ms, -2) if offset_ms is not None and is_off(offset_ms, was_off=False) else None


def _series(market: Market) -> list[dict[str, Any]]:
    series = series_of(market.config)
    if series is None:
        return []
    return [{"interval": series.target, "offsets": [offset_word(offset_ms) for offset_ms in series.offsets_ms]}]


def _mark(folder: Folder, due: str) -> str:
    stamps = sorted((path.name, _stamp(path)) for path in folder.ledger.glob("[0-9]*.jsonl"))
    return hashlib.sha256(repr((due, stamps)).encode()).hexdigest()[:16]


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:  # its run times have just left the window
        return 0


def _due_ms(base_dir: Path) -> int:
    """The newest run time that should be complete."""
    return to_ms(datetime.fromisoformat(market_status(base_dir, 1)["due"]))


def _delay(record: LedgerRecord) -> float | None:
    seconds = record.seconds_to_complete
    return None if seconds is None or seconds > FILLED_LATER.total_seconds() else seconds


def _revisions(market: Market, symbol: str, begins_ms: set[int]) -> dict[str, list[dict[str, Any]]]:
    """What was changed in the candles shown, by begin time, oldest first."""
    found: dict[str, list[dict[str, Any]]] = {}
    for revision in market.revisions():
        begin_ms = to_ms(revision.candle_begin_time)
        if revision.symbol == symbol and begin_ms in begins_ms:
            old = {name: getattr(revision.old, name) for name in ("open", "high", "low", "close", "volume")}
            told = {"at_ms": to_ms(revision.at), "reason": revision.reason, "old_source": revision.old_source}
            found.setdefault(str(begin_ms), []).append({**told, "old": old})
    return found


def _number(value: Any) -> Any:
    return str(value).replace("nan", "NaN") if isinstance(value, float) and not math.isfinite(value) else value


def _iso(moment_ms: int) -> str:
    return from_ms(moment_ms).strftime("%Y-%m-%dT%H:%M:%SZ")
