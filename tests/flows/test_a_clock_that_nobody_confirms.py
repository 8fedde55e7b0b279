"""A machine that has just booted, its clock days ahead, before it has a network: nothing may be dropped by that clock.

So boots what has its hardware clock in local time, or an empty battery, until NTP is reached. The exchange's clock is
not known then (``kit.exchange_clock``), and this machine's is all there is to go by.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from kit.buffer.ledger import Ledger
from kit.buffer.states import load_states
from kit.words import from_ms
from tests.builders import MINUTE, candle, candles, stream
from tests.flows.market_on_disk import CANDLES, beside, nobody_there

DAY_MS = 1440 * MINUTE


@pytest.mark.parametrize("ahead_ms", [4 * MINUTE, 8 * 60 * MINUTE, 30 * DAY_MS])
async def test_nothing_is_dropped_or_compacted_by_a_clock_that_nobody_confirms(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, ahead_ms: int
) -> None:
    config: dict[str, object] = {"candle_close_timeout_sec": 0.5}
    async with beside(tmp_path, symbols=3, config=config) as at:
        run_ms = at.run_ms()
        await at.run(run_ms)
        folder, stored = at.market.folder, at.stored()
        ledger = Ledger(folder).between(run_ms - (CANDLES - 1) * MINUTE, run_ms)
        states = load_states(folder).symbols
        market = at.market
    # Booted anew (nothing is known of the exchange's clock), and the exchange is out of reach.
    monkeypatch.setenv("BMAC_STATE_DIR", str(tmp_path_factory.mktemp("booted")))
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + ahead_ms * 1_000_000)
    with nobody_there(at.base_dir, **config):
        outcome = await at.run((run_ms + ahead_ms) // MINUTE * MINUTE)
    assert not outcome.record.complete
    assert at.stored(["BTCUSDT", "ETHUSDT", "SOLUSDT"]) == stored
    assert market.ready(from_ms(run_ms)) == {"BTCUSDT", "ETHUSDT", "SOLUSDT"}
    kept = Ledger(folder).between(run_ms - (CANDLES - 1) * MINUTE, run_ms)
    assert len(kept) == len(ledger) == CANDLES
    assert all(record.complete for record in kept.values())
    assert [state.listed_ms for state in load_states(folder).symbols.values()] == [
        state.listed_ms for state in states.values()
    ]
    assert load_states(folder).reread_until_ms <= run_ms + 3 * MINUTE, "rows to come are not read again"


async def test_what_the_streamer_still_writes_is_not_sealed_by_a_clock_that_nobody_confirms(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    config: dict[str, object] = {"candle_close_timeout_sec": 0.5}
    async with beside(tmp_path, symbols=3, config=config) as at:
        run_ms = at.run_ms()
        await at.run(run_ms)
        folder, market = at.market.folder, at.market
    # The last of the eight run times that become one block.
    last_ms = (run_ms // MINUTE // 8 + 2) * 8 * MINUTE - MINUTE
    monkeypatch.setenv("BMAC_STATE_DIR", str(tmp_path_factory.mktemp("booted")))
    monkeypatch.setattr("kit.buffer.compaction.OVERLAYS_WORTH_A_BUILD", 0)  # as when REST had filled much in pieces
    wall_ns = (last_ms + 4 * MINUTE) * 1_000_000
    monkeypatch.setattr(time, "time_ns", lambda: wall_ns)
    writer = stream(folder, candles(["BTCUSDT", "ETHUSDT"], run_ms, (last_ms - run_ms) // MINUTE))
    with nobody_there(at.base_dir, **config):
        await at.run(last_ms + 4 * MINUTE)
    assert writer.add(candle("SOLUSDT", last_ms - MINUTE), last_ms + 900, last_ms + 910)
    writer.flush()
    assert market.ready(from_ms(last_ms)) == {"BTCUSDT", "ETHUSDT", "SOLUSDT"}
