"""Eight reader processes beside writers: in bursts, while REST fills, blocks are built and absorbed files deleted."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack

import pytest

from tests.bench.processes import Child
from tests.builders import MINUTE, NOON
from tests.concurrency.stage import PATIENCE_S, eventually, stage
from tests.concurrency.writer_process import PARTS

pytestmark = pytest.mark.xdist_group("concurrency")

PERIODS = 72  # a block of 64 among them
REAL_PERIODS = 6
READER = "tests.concurrency.reader_process"


def judged(readers: list[Child]) -> dict[str, int]:
    """What the readers came to: reads and failed reads by kind; fails when one saw what may not be."""
    reads: dict[str, int] = {}
    for reader in readers:
        told = reader.line(2 * PATIENCE_S)
        assert (told["failed"], told["problems"]) == (0, []), told
        assert told["reads"] > 0
        reads[told["kind"]] = reads.get(told["kind"], 0) + told["reads"]
    return reads


def begun(readers: list[Child]) -> list[Child]:
    for reader in readers:
        assert "begins" in reader.line(PATIENCE_S)
    return readers


def test_750_symbols_in_bursts_with_compaction_at_full_speed(tmp_path, record_property):
    base_dir = tmp_path / "market"
    base_dir.mkdir()
    config = {"trade_type": "usdt_perp", "interval": "1m", "num_candles": PERIODS}
    (base_dir / "config.json").write_text(json.dumps(config))
    first_ms, last_ms = NOON + 3 * MINUTE, NOON + PERIODS * MINUTE
    with ExitStack() as children:
        start = lambda name, *words: children.enter_context(Child(name, [*map(str, words)], tmp_path))  # noqa: E731
        writers = [
            start(name, "tests.concurrency.writer_process", name, base_dir, PERIODS) for name in ("streamer", "flow")
        ]
        begun(writers)
        kinds = ["market"] * 4 + ["file"] * 2 + ["ready", "complete"]
        readers = begun(
            [
                start(f"{kind}{n}", READER, kind, base_dir, first_ms, last_ms, json.dumps(PARTS))
                for n, kind in enumerate(kinds)
            ]
        )
        for writer in writers:
            writer.send({"go": True})
        reads = judged(readers)
        for writer in writers:
            eventually(lambda writer=writer: writer.ended() is not None, "it ends")
            assert writer.ended() == 0
    blocks = {path.name.split("_")[0] for path in (base_dir / "usdt_perp_1m").iterdir()}
    assert "block" in blocks
    assert reads["ready"] == reads["complete"] == PERIODS - 2
    record_property("reads", reads)
    print("burst", reads)  # noqa: T201 - counted for the documents


def test_the_real_streamer_and_worker_with_finals_in_bursts(tmp_path, record_property):
    with stage(tmp_path, symbols=200, finals="burst") as here, ExitStack() as children:
        base_dir = here.market("market", num_candles=300, num_socket_listeners=4, save_type="parquet")
        children.enter_context(here.streamer("streamer", base_dir))
        children.enter_context(here.start("worker", "flows", "worker", base_dir, "--logs", "json"))
        eventually(lambda: len(here.events("worker", "period.done")) >= 2, "the worker works")
        first_ms = time.time_ns() // 1_000_000 // 1000 * 1000 + 4000
        last_ms = first_ms + (REAL_PERIODS - 1) * 1000
        kinds = ["market"] * 3 + ["file"] * 2 + ["duckdb", "ready", "complete"]
        readers = begun(
            [
                children.enter_context(here.start(f"{kind}{n}", READER, kind, base_dir, first_ms, last_ms))
                for n, kind in enumerate(kinds)
            ]
        )
        reads = judged(readers)
        done = here.events("worker", "period.done")
        assert all(event["complete"] for event in done), [event for event in done if not event["complete"]]
    assert reads["ready"] == reads["complete"] == REAL_PERIODS
    record_property("reads", reads)
    print("real", reads)  # noqa: T201 - same
