"""The heartbeat: what the streamer knows of itself, in ``BASE_DIR/streamer.json``, for ``kit status`` and alarms."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import psutil

from kit.buffer.files import write_atomically
from kit.words import from_ms, utc_now
from streamer.stats import LATENESS_MS, MarketStats, RouteStats

if TYPE_CHECKING:
    from pathlib import Path

STATUS_NAME = "streamer.json"


def status_record(
    *,
    started_at: str,
    running: bool,
    market: MarketStats,
    pending: int,
    wanted: int,
    delivering: int,
    route: RouteStats,
    phases: dict[str, int],
) -> dict[str, Any]:
    """The record as plain values. Times are ISO 8601 in UTC, sizes bytes; counters count from ``started_at``.

    ``route`` is shared by all markets that read the same WebSocket address.
    """
    return {
        "pid": os.getpid(),
        "started_at": started_at,
        "written_at": utc_now().isoformat(),
        "running": running,
        "rss_bytes": psutil.Process().memory_info().rss,
        "cpu_seconds": round(time.process_time(), 2),
        "wanted_streams": wanted,
        "delivering_streams": delivering,
        "last_run_time": _iso(market.last_run_ms),
        "last_event_time": _iso(market.last_event_ms),
        "finals": market.finals,
        "duplicates": market.duplicates,
        "late": market.late,
        "dropped": market.dropped,
        "refused": dict(market.refused),
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
            "last_disconnects": [{**asdict(gap), "since": _iso(gap.since_ms)} for gap in route.last_disconnects],
        },
    }


def write_status(base_dir: Path, record: dict[str, Any]) -> None:
    """Put the record there, whole. Blocks for the disk; OSError when it refuses."""
    write_atomically(base_dir / STATUS_NAME, json.dumps(record, ensure_ascii=False, indent=1).encode())


def _iso(ms: int) -> str | None:
    return from_ms(ms).isoformat() if ms else None
