"""The folder that a long run begins with."""

from __future__ import annotations

import time

import pytest

from kit.market import Market
from tests.bench.processes import Child
from tests.soak.prefill import prefill
from tests.soak.stage import RUN_MS, SEED, write_config

pytestmark = pytest.mark.xdist_group("soak")

SYMBOLS, NUM_CANDLES = 5, 60  # so many are a few blocks at any moment, while the newest are too young for one


def test_the_folder_is_compacted_and_all_its_candles_came_by_stream_at_moments_of_their_own(tmp_path):
    options = ["--symbols", str(SYMBOLS), "--seed", str(SEED), "--illiquid-share", "0", "--control-port", "0"]
    with Child("exchange", ["kit.embedded_exchange", *options], tmp_path) as exchange:
        base_dir = tmp_path / "market"
        write_config(base_dir, exchange.line(90)["spot"], NUM_CANDLES)
        before_ms = time.time_ns() // 1_000_000
        prefill(base_dir, tmp_path / "state", SEED)
    market = Market(base_dir)
    candles = market.candles(source=True)
    begins = candles["candle_begin_time"].dt.epoch("ms").unique().sort()
    assert begins.to_list() == list(range(begins[0], begins[0] + len(begins) * RUN_MS, RUN_MS))
    assert candles.height == SYMBOLS * len(begins)
    assert len(begins) >= NUM_CANDLES
    assert begins[-1] > before_ms - 10 * RUN_MS
    assert candles["source"].unique().to_list() == ["stream"]
    assert (candles["received_time"] - candles["candle_begin_time"]).n_unique() > SYMBOLS
    # What the largest blocks cannot hold yet lies in slices; what was absorbed is gone.
    files = [path.name for path in market.folder.candles.glob("*.parquet")]
    assert 0 < sum(name.startswith("block_") for name in files) < len(files) < 60
