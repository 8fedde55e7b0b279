"""A streamer that stands by for several folders."""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

from kit.buffer.layout import FORMAT_VERSION, Folder
from kit.buffer.locks import hold, is_held
from kit.config import load_config
from kit.words import Interval, TradeType
from streamer.app import Streamer
from streamer.timing import Timing
from tests.streamer.exchange_double import eventually

if TYPE_CHECKING:
    from pathlib import Path

NOBODY = {"rest": "http://127.0.0.1:9", "ws": "ws://127.0.0.1:9"}
QUICK = Timing(standby_look_s=0.02, disk_retry_cap_s=0.05)


def market(base_dir: Path) -> Folder:
    """A base directory that has been written before."""
    base_dir.mkdir()
    config = {"interval": "1m", "trade_type": "usdt_perp", "endpoints": NOBODY}
    (base_dir / "config.json").write_text(json.dumps(config), encoding="utf-8")
    folder = Folder(base_dir, TradeType.USDT_PERP, Interval.M1)
    folder.open_for_writing()
    return folder


def write_version(folder: Folder, version: int) -> None:
    folder.format_file.write_text(json.dumps({"format_version": version}), encoding="utf-8")


async def test_a_folder_that_cannot_be_used_at_its_takeover_is_tried_again_while_the_others_are_streamed(tmp_path):
    bad, good = market(tmp_path / "bad"), market(tmp_path / "good")
    streamer, stop = Streamer([load_config(bad.base_dir), load_config(good.base_dir)], QUICK), asyncio.Event()
    with ExitStack() as held:
        held.enter_context(hold(bad, "streamer"))
        held.enter_context(hold(good, "streamer"))
        running = asyncio.create_task(streamer.run(stop, standby=True))
        await eventually(lambda: running.done() or streamer.begun.is_set())
        write_version(bad, FORMAT_VERSION + 1)
    try:
        await eventually(lambda: running.done() or len(streamer.markets) == 1)
        await asyncio.sleep(5 * QUICK.disk_retry_cap_s)
        assert [each.folder for each in streamer.markets] == [good]
        assert not running.done()
        write_version(bad, FORMAT_VERSION)
        await eventually(lambda: running.done() or len(streamer.markets) == 2)
        assert is_held(bad, "streamer")
    finally:
        stop.set()
        await running
    assert not is_held(bad, "streamer")
