"""What the worker tells Prometheus: the periods it did, what the ledger says now, the weight budget and the clock.

All of it is read in the endpoint's own threads: from the tally of periods, from disk, from the budget's file.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from flows.exchange_time import ExchangeTime
from flows.verdict import Named
from flows.worker.tally import Counts, Tally
from kit.budget.rules import StopKind
from kit.buffer.layout import Folder
from kit.buffer.ledger import Ledger, LedgerRecord
from kit.config import MarketConfig
from kit.errors import FolderError
from kit.metrics.exposition import Samples, at_most
from kit.metrics.labels import market_labels
from kit.metrics.table import Part
from kit.words import Source, from_ms, newest_run_time_ms, to_ms

log = structlog.stdlib.get_logger(__name__)

Sources = (Source.STREAM, Source.REST)


@dataclass(frozen=True)
class Gaps:
    """What the window lacks, as the ledger has it."""

    complete: int
    incomplete: int
    unknown: int
    missing: int


class Watched:
    """One market on disk. ``time`` is its exchange's clock."""

    def __init__(self, config: MarketConfig, time: ExchangeTime) -> None:
        self.config = config
        self.time = time
        self.folder = Folder(config.base_dir, config.trade_type, config.interval, config.save_type)
        self._ledger = Ledger(self.folder)
        self._gaps: Gaps | None = None
        self._gaps_of = (-1, -1)

    def due(self, now: datetime) -> datetime:
        """The newest run time that should be complete by ``now`` (the exchange's): as ``kit status`` has it."""
        patience = self.config.offset + self.config.candle_close_timeout
        return from_ms(newest_run_time_ms(to_ms(now - patience), self.config.interval))

    def record(self, run_time: datetime) -> LedgerRecord | None:
        """What the ledger says of a run time. OSError: it cannot be read."""
        return self._ledger.get(run_time)

    def gaps(self, ended: int, due: datetime) -> Gaps:
        """Of the window that ends with the ``due`` run time: a newer one need not have a record yet.

        The ledger changes with a period's work, so it is read once for each ``ended``; a run time that nobody works on
        becomes due all the same.
        """
        last_ms = to_ms(due)
        if self._gaps is None or self._gaps_of != (ended, last_ms):
            first_ms = last_ms - (self.config.num_candles - 1) * self.config.interval.ms
            records = self._ledger.between(first_ms, last_ms).values()
            complete = sum(record.complete for record in records)
            missing = sum(len(record.missing) for record in records)
            unknown = self.config.num_candles - len(records)
            self._gaps = Gaps(complete, len(records) - complete, unknown, missing)
            self._gaps_of = (ended, last_ms)
        return self._gaps


class WorkerCollector(Collector):
    """Reads when somebody asks. ``backlog``: how many periods Prefect does not show yet."""

    def __init__(self, times: Mapping[Path, ExchangeTime], tally: Tally, backlog: Callable[[], int]) -> None:
        self._tally = tally
        self._backlog = backlog
        self._markets = {base_dir: Watched(time.config, time) for base_dir, time in times.items()}
        names = {base_dir: market.folder.candles.name for base_dir, market in self._markets.items()}
        self._labels = market_labels(names)

    def collect(self) -> Iterator[Metric]:
        """All of it, each market at one moment."""
        samples = Samples(Part.WORKER)
        for base_dir, market in self._markets.items():
            label = self._labels[base_dir]
            pool, venue = market.time.pool, market.config.trade_type.venue
            samples.put("bmac_worker_market_info", 1, market=label, venue=venue, pool=pool)
            samples.put("bmac_worker_interval_seconds", market.config.interval.ms / 1000, market=label)
            with self._tally.at(base_dir) as counts:
                _tell_periods(samples, label, counts)
                ended = counts.ended
            try:
                _tell_ledger(samples, label, market, ended)
                _tell_disk(samples, label, base_dir)
            except OSError as error:
                log.warning("metrics.unreadable", market=label, error=str(error))
        for time in {market.time.pool: market.time for market in self._markets.values()}.values():
            try:
                _tell_pool(samples, time)
            except FolderError as error:
                log.warning("metrics.unreadable", pool=time.pool, error=str(error))
        samples.put("bmac_worker_prefect_backlog_periods", self._backlog())
        size = prefect_database_bytes()
        if size is not None:
            samples.put("bmac_worker_prefect_database_bytes", size)
        yield from samples


def prefect_database_bytes() -> int | None:
    """The size of Prefect's SQLite database with its log; None where this machine has none."""
    home = Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect")
    try:
        sizes = [(home / name).stat().st_size for name in ("prefect.db", "prefect.db-wal") if (home / name).exists()]
    except OSError:
        return None
    return sum(sizes) if sizes else None


def _tell_periods(samples: Samples, label: str, counts: Counts) -> None:
    samples.put_histogram("bmac_worker_lateness_seconds", counts.lateness, market=label)
    samples.put_histogram("bmac_worker_time_to_complete_seconds", counts.time_to_complete, market=label)
    for step, durations in counts.steps.items():
        samples.put_histogram("bmac_worker_step_seconds", durations, market=label, step=step)
        samples.put("bmac_worker_step_failures_total", counts.step_failures[step], market=label, step=step)
    for verdict in Named:
        samples.put("bmac_worker_periods_total", counts.verdicts[verdict], market=label, verdict=verdict)
    for source in Sources:
        samples.put("bmac_worker_candles_total", counts.candles[source], market=label, source=source)
    samples.put("bmac_worker_filled_candles_total", counts.filled, market=label)
    samples.put("bmac_worker_revisions_total", counts.revised, market=label)
    samples.put("bmac_worker_periods_skipped_total", counts.skipped, market=label)
    if counts.last_run_time is not None:
        moment_s = to_ms(counts.last_run_time) / 1000
        samples.put("bmac_worker_last_run_time_timestamp_seconds", moment_s, market=label)
    if counts.last_time_to_complete_s is not None:
        samples.put("bmac_worker_last_time_to_complete_seconds", counts.last_time_to_complete_s, market=label)


def _tell_ledger(samples: Samples, label: str, market: Watched, ended: int) -> None:
    due = market.due(market.time.now())
    record = market.record(due)
    samples.put("bmac_worker_due_timestamp_seconds", to_ms(due) / 1000, market=label)
    samples.put("bmac_worker_complete", record is not None and record.complete, market=label)
    if record is not None:
        samples.put("bmac_worker_expected_candles", record.expected, market=label)
        samples.put("bmac_worker_missing_candles", len(record.missing), market=label)
        for source, count in zip(Sources, (record.by_stream, record.by_rest), strict=True):
            samples.put("bmac_worker_readable_candles", count, market=label, source=source)
        for reason, count in at_most(Counter(record.excused.values()).items()).items():
            samples.put("bmac_worker_excused_candles", count, market=label, reason=reason)
    gaps = market.gaps(ended, due)
    for state in ("complete", "incomplete", "unknown"):
        samples.put("bmac_worker_window_run_times", getattr(gaps, state), market=label, state=state)
    samples.put("bmac_worker_window_missing_candles", gaps.missing, market=label)


def _tell_disk(samples: Samples, label: str, base_dir: Path) -> None:
    usage = shutil.disk_usage(base_dir)
    samples.put("bmac_worker_disk_free_bytes", usage.free, market=label)
    samples.put("bmac_worker_disk_size_bytes", usage.total, market=label)


def _tell_pool(samples: Samples, time: ExchangeTime) -> None:
    state, clock = time.weight(), time.view()
    samples.put("bmac_rest_weight_used", state.used, pool=time.pool)
    samples.put("bmac_rest_weight_reserved", state.outstanding, pool=time.pool)
    samples.put("bmac_rest_weight_limit", state.limit, pool=time.pool)
    for kind in StopKind:
        until_ms = state.stop_until_ms if kind == state.stop_kind else None
        left_s = 0.0 if until_ms is None else max(0.0, (until_ms - clock.exchange_ms) / 1000)
        samples.put("bmac_rest_stop_seconds", left_s, pool=time.pool, reason=kind.value)
    if clock.age_ms is not None:
        samples.put("bmac_clock_offset_seconds", clock.offset_ms / 1000, pool=time.pool)
        samples.put("bmac_clock_error_seconds", clock.error_ms / 1000, pool=time.pool)
