"""Every metric of this project, once: its name, kind, labels and meaning. Pure.

What is told must be in here (``kit.metrics.exposition``); the tests compare it with what the programs tell and with
what dashboard and alert rules ask for; ``python -m kit.metrics`` writes docs/metrics.md from it.

Labels are few by nature: markets, routes and pools are as many as the user configured, reasons and states are words of
ours (the exchange's words are cut off at 16). No metric is labelled by symbol: 750 symbols would make thousands of
series a market, new ones with each listing; which symbols are missing is in the ledger and in the alarms.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

DELAY_BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 120.0)
"""From the exchange's stamp to the disk: the way takes up to 0.2 s, the writing 0.02 to 0.1 s, a hung disk minutes."""
COMPLETE_BOUNDS_S = (0.5, 1.0, 2.0, 3.0, 3.5, 4.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 600.0, 3600.0)
"""From the close to complete: the work begins 3 s after it, its patience ends 15 s later."""
LATENESS_BOUNDS_S = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""From the target to the beginning of a period's work: milliseconds, but where the machine is overloaded."""
STEP_BOUNDS_S = (0.01, 0.03, 0.1, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0)
"""A step of a period: milliseconds where nothing is to do, minutes for the first download of a window."""


class Kind(StrEnum):
    """Prometheus' kinds of metrics."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Part(StrEnum):
    """Who tells it."""

    STREAMER = "streamer"
    WORKER = "worker"


@dataclass(frozen=True)
class Row:
    """A metric of the table."""

    part: Part
    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str

    @property
    def series(self) -> tuple[str, ...]:
        """The names under which Prometheus keeps it."""
        if self.kind is Kind.HISTOGRAM:
            return tuple(f"{self.name}_{suffix}" for suffix in ("bucket", "count", "sum"))
        return (self.name,)


def _row(part: Part, name: str, kind: Kind, labels: str, help_text: str) -> Row:
    return Row(part, f"bmac_{name}", kind, tuple(labels.split()), help_text)


_S, _W = Part.STREAMER, Part.WORKER
_C, _G, _H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM

_ROWS = (
    _row(_S, "streamer_market_info", _G, "market venue route", "Always 1: which market is read on which route."),
    _row(_S, "streamer_interval_seconds", _G, "market", "Length of a candle."),
    _row(_S, "streamer_frames_total", _C, "market", "Klines read, open and closed."),
    _row(_S, "streamer_messages_total", _C, "route", "Messages read; markets of one address share a route."),
    _row(
        _S,
        "streamer_messages_refused_total",
        _C,
        "route reason",
        "Messages of no use: garbage (unreadable), unwanted (no market asked for it), unknown (an event of another "
        "kind).",
    ),
    _row(_S, "streamer_connections", _G, "route phase", "Connections by phase; live is sound."),
    _row(_S, "streamer_connections_opened_total", _C, "route", "Connections that came about."),
    _row(
        _S,
        "streamer_reconnects_total",
        _C,
        "route reason",
        "Connections to be made anew: lost (closed, cut or silent), refused (none came about), rotated (replaced "
        "before the exchange's 24 h, nothing lost).",
    ),
    _row(_S, "streamer_last_frame_age_seconds", _G, "route", "Since the newest message of any connection came."),
    _row(_S, "streamer_clock_offset_seconds", _G, "route", "The exchange's clock minus this machine's, by the frames."),
    _row(_S, "streamer_streams", _G, "market state", "Symbols that are wanted, and those whose stream delivers."),
    _row(
        _S,
        "streamer_oldest_stream_age_seconds",
        _G,
        "market",
        "Since the newest frame of the stream that has been quiet longest, among those that ever sent one on their "
        "connection.",
    ),
    _row(_S, "streamer_finals_total", _C, "market", "Closed candles taken from the stream."),
    _row(_S, "streamer_finals_late_total", _C, "market", "Those that came more than 5 s after their close."),
    _row(_S, "streamer_finals_duplicate_total", _C, "market", "Closed candles that were there, or came too late."),
    _row(_S, "streamer_finals_refused_total", _C, "market reason", "Closed candles that cannot be right."),
    _row(
        _S,
        "streamer_finals_dropped_total",
        _C,
        "market",
        "Closed candles given up because the disk refused for too long; REST fills them.",
    ),
    _row(_S, "streamer_arrival_seconds", _H, "market", "From a candle's close to the arrival of its final."),
    _row(
        _S,
        "streamer_readable_delay_seconds",
        _H,
        "market",
        "From the exchange's stamp of a final to the moment when its file has its name, both by the exchange's clock.",
    ),
    _row(_S, "streamer_last_run_time_timestamp_seconds", _G, "market", "Close of the newest candle taken."),
    _row(_S, "streamer_pending_candles", _G, "market", "Closed candles not on disk yet: the depth of the queue."),
    _row(_S, "streamer_pending_candles_limit", _G, "market", "Beyond that many, candles are dropped."),
    _row(_S, "streamer_written_candles_total", _C, "market", "Candles made readable."),
    _row(_S, "streamer_written_bytes_total", _C, "market", "Bytes written, each slice counted whenever rewritten."),
    _row(_S, "streamer_flushes_total", _C, "market", "Writings of slices."),
    _row(_S, "streamer_disk_error", _G, "market", "1 while the disk refuses to take candles, else 0."),
    _row(_W, "worker_market_info", _G, "market venue pool", "Always 1: which market is served from which pool."),
    _row(_W, "worker_interval_seconds", _G, "market", "Length of a candle."),
    _row(_W, "worker_complete", _G, "market", "1 when the newest due run time is complete, else 0."),
    _row(
        _W,
        "worker_due_timestamp_seconds",
        _G,
        "market",
        "The newest run time that should be complete: its close + offset_sec + candle_close_timeout_sec has passed.",
    ),
    _row(_W, "worker_expected_candles", _G, "market", "Of the newest due run time: symbols that should have one."),
    _row(_W, "worker_readable_candles", _G, "market source", "Same: candles there, by source."),
    _row(_W, "worker_missing_candles", _G, "market", "Same: candles that are neither there nor excused."),
    _row(_W, "worker_excused_candles", _G, "market reason", "Same: candles that need not be there."),
    _row(
        _W,
        "worker_window_run_times",
        _G,
        "market state",
        "Run times of the window (num_candles up to the newest due): complete, incomplete, unknown (no record).",
    ),
    _row(_W, "worker_window_missing_candles", _G, "market", "Candles missing in the window: its gaps."),
    _row(_W, "worker_candles_total", _C, "market source", "Candles of newest periods by the source that had them."),
    _row(_W, "worker_filled_candles_total", _C, "market", "Candles filled by REST, history and holes included."),
    _row(_W, "worker_revisions_total", _C, "market", "Candles that the exchange corrected afterwards."),
    _row(_W, "worker_periods_total", _C, "market verdict", "Periods that ended, by how."),
    _row(_W, "worker_periods_skipped_total", _C, "market", "Periods whose target passed unseen; the next fills them."),
    _row(
        _W,
        "worker_lateness_seconds",
        _H,
        "market",
        "From a period's target (close + offset_sec) to the beginning of its work; without those caught up at a start.",
    ),
    _row(_W, "worker_time_to_complete_seconds", _H, "market", "From a close to the moment it was found complete."),
    _row(_W, "worker_last_time_to_complete_seconds", _G, "market", "The newest of them."),
    _row(_W, "worker_last_run_time_timestamp_seconds", _G, "market", "Run time of the newest period that ended."),
    _row(_W, "worker_step_seconds", _H, "market step", "Duration of a period's steps; step factors is factor time."),
    _row(_W, "worker_step_failures_total", _C, "market step", "Steps that failed."),
    _row(_W, "worker_disk_free_bytes", _G, "market", "Room on the file system of the market's folder."),
    _row(_W, "worker_disk_size_bytes", _G, "market", "Size of that file system."),
    _row(_W, "worker_prefect_backlog_periods", _G, "", "Periods that Prefect does not show yet."),
    _row(_W, "worker_prefect_database_bytes", _G, "", "Prefect's SQLite file with its log, where it lies here."),
    _row(_W, "rest_weight_used", _G, "pool", "Request weight of this minute: the most the exchange can have counted."),
    _row(_W, "rest_weight_reserved", _G, "pool", "Weight promised to requests that are under way; part of the used."),
    _row(_W, "rest_weight_limit", _G, "pool", "The exchange's limit a minute, for all processes of an address."),
    _row(
        _W,
        "rest_stop_seconds",
        _G,
        "pool reason",
        "How long the exchange wants no request: rate (429), ban (418), forbidden (403, 451); 0: it does not say so.",
    ),
    _row(_W, "clock_offset_seconds", _G, "pool", "The exchange's clock minus this machine's; absent: never measured."),
    _row(_W, "clock_error_seconds", _G, "pool", "How wrong that may be."),
)

METRICS = MappingProxyType({row.name: row for row in _ROWS})
"""The table, by name."""

PROCESS = MappingProxyType(
    {
        "process_cpu_seconds_total": "CPU time.",
        "process_resident_memory_bytes": "Memory in RAM.",
        "process_virtual_memory_bytes": "Address space.",
        "process_start_time_seconds": "When it was started (UNIX time).",
        "process_open_fds": "Open files and sockets.",
        "process_max_fds": "How many it may have.",
    }
)
"""What prometheus_client tells of either process on Linux, under the names that all programs use."""
