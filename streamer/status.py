"""The heartbeat: what the streamer knows of itself, in ``BASE_DIR/streamer.json``, for ``kit status`` and alarms."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import msgspec
import psutil

from kit.alarms.signs import STREAMER_NAME, StreamerBeat, read_signs
from kit.buffer.files import write_atomically
from kit.exchange_clock import read_local
from kit.words import from_ms, utc_now
from streamer.stats import LATENESS_MS, Contradicted, MarketStats, RouteStats

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MOST_SILENT = 20
"""Symbols named that send nothing: enough to see which, and a heartbeat stays small."""


def status_record(
    *,
    started_at: str,
    running: bool,
    market: MarketStats,
    pending: int,
    wanted: int,
    delivering: int,
    silent: Sequence[str],
    route: RouteStats,
    phases: dict[str, int],
) -> dict[str, Any]:
    """The record as plain values. Times are ISO 8601 in UTC, sizes bytes; counters count from ``started_at``.

    ``steady_ms`` counts from ``boot`` and tells the heartbeat's age whatever the wall clock does. ``silent_streams``
    names some of those that do not deliver. ``contradicted``: the last candles of which the stream told two different
    finals; the first is kept, and the flow asks REST which is right.
    ``route`` is shared by all markets that read the same WebSocket address; its ``clock_offset_ms`` is the exchange's
    clock minus this machine's, too small by what the quickest frame took; None before the first frame.
    """
    now = read_local()
    return {
        "pid": os.getpid(),
        "started_at": started_at,
        "written_at": utc_now().isoformat(),
        "running": running,
        "steady_ms": now.steady_ms,
        "boot": now.boot,
        "rss_bytes": psutil.Process().memory_info().rss,
        "cpu_seconds": round(time.process_time(), 2),
        "wanted_streams": wanted,
        "delivering_streams": delivering,
        "silent_streams": list(silent),
        "last_run_time": _iso(market.last_run_ms),
        "last_event_time": _iso(market.last_event_ms),
        "finals": market.finals,
        "duplicates": market.duplicates,
        "late": market.late,
        "dropped": market.dropped,
        "refused": dict(market.refused),
        "contradicted": [each._asdict() for each in market.contradicted],
        "pending": pending,
        "rows_written": market.rows_written,
        "bytes_written": market.bytes_written,
        "flushes": market.flushes,
        "disk_error": market.disk_error,
        "lateness_ms": {**dict(zip(map(str, LATENESS_MS), market.lateness, strict=False)), "more": market.lateness[-1]},
        "route": {
            "connections": phases,
            "frames": route.frames,
            "garbage": route.garbage,
            "unwanted": route.unwanted,
            "unknown_events": dict(route.unknown_events),
            "opened": route.opened,
            "refused": route.refused,
            "lost": route.lost,
            "rotated": route.rotated,
            "clock_offset_ms": route.clock_offset_ms,
            "last_disconnects": [{**asdict(gap), "since": _iso(gap.since_ms)} for gap in route.last_disconnects],
        },
    }


def write_status(base_dir: Path, record: dict[str, Any]) -> None:
    """Put the record there, whole. Blocks for the disk; OSError when it refuses."""
    write_atomically(base_dir / STREAMER_NAME, msgspec.json.format(msgspec.json.encode(record), indent=1))


def contradicted_before(base_dir: Path) -> list[Contradicted]:
    """What the streamer before this one told of contradictions: the flow may not have looked into them before it ended,
    and then nobody would until the audit's turn. Blocks for the disk."""
    beat = read_signs(base_dir, STREAMER_NAME, StreamerBeat)
    told = [] if beat is None else beat.contradicted
    return [Contradicted(each.symbol, each.begin_ms, each.seen_ms) for each in told]


def _iso(ms: int) -> str | None:
    return from_ms(ms).isoformat() if ms else None
