"""What a streamer's heartbeat carries on from the one before it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from kit.alarms.signs import STREAMER_NAME
from kit.config import load_config
from streamer.app import Streamer
from streamer.timing import Timing
from tests.streamer.exchange_double import eventually
from tests.streamer.test_standing_by import market

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_contradiction_that_a_killed_streamer_told_is_still_told_by_its_successor(tmp_path: Path) -> None:
    base_dir = market(tmp_path / "one").base_dir
    told = [{"symbol": "BTCUSDT", "begin_ms": 1_795_389_956_000, "seen_ms": 1_795_389_958_000}]
    heartbeat = base_dir / STREAMER_NAME
    beat = {"written_at": "2026-11-22T23:26:00+00:00", "started_at": "2026-11-22T23:00:00+00:00", "pid": 1}
    heartbeat.write_text(json.dumps(beat | {"running": True, "contradicted": told}))
    streamer, stop = Streamer([load_config(base_dir)], Timing(status_every_s=0.02)), asyncio.Event()
    running = asyncio.create_task(streamer.run(stop))
    try:
        await eventually(lambda: running.done() or json.loads(heartbeat.read_text())["pid"] != 1)
    finally:
        stop.set()
        await running
    assert json.loads(heartbeat.read_text())["contradicted"] == told
