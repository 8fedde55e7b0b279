"""Damage and sudden death: never a traceback, never a candle lost, and only what is missing is fetched again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from kit.buffer.exchange_info import ExchangeInfoStore
from kit.buffer.ledger import Ledger
from kit.buffer.read import read_candles
from kit.errors import FolderError
from kit.words import from_ms
from tests.builders import MINUTE, candles, folder_in, stream
from tests.flows.market_on_disk import CANDLES, beside

RUN = """
import asyncio, sys
from pathlib import Path
from flows.steps import run_period
from kit.words import from_ms
asyncio.run(run_period(Path(sys.argv[1]), from_ms(int(sys.argv[2]))))
"""
GARBAGE = [b"", b"{", b"\xff\xfe garbage", b'{"run_time":"2026-11-22T12:00:00","expected":1}\n']


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_a_damaged_ledger_or_symbol_file_is_written_anew_from_what_is_readable(
    tmp_path: Path, garbage: bytes
) -> None:
    async with beside(tmp_path, symbols=3) as at:
        run_ms = at.run_ms()
        await at.run(run_ms)
        folder, stored = at.market.folder, at.stored()
        for path in [*folder.ledger.iterdir(), folder.symbol_states]:
            path.write_bytes(garbage)
        assert at.market.ledger(from_ms(run_ms)) is None
        asked = len([params for params in at.asked() if params["limit"] not in ("1", "99")])
        outcome = await at.run(run_ms)
        assert outcome.record.complete
        records = Ledger(folder).between(run_ms - (CANDLES - 1) * MINUTE, run_ms)
        assert len(records) == CANDLES
        assert all(record.complete for record in records.values())
        assert at.stored() == stored
        asked_now = len([params for params in at.asked() if params["limit"] not in ("1", "99")])
        assert asked_now == asked, "no candle is fetched again"


@pytest.mark.parametrize("garbage", [b"", b"PAR1 not really PAR1"])
async def test_a_damaged_exchange_info_is_passed_over_and_replaced(tmp_path: Path, garbage: bytes) -> None:
    async with beside(tmp_path, symbols=3) as at:
        run_ms = at.run_ms()
        await at.run(run_ms)
        store = ExchangeInfoStore(at.market.folder)
        (version,) = store.versions()
        version.write_bytes(garbage)
        assert at.market.exchange_info().is_empty()
        assert (await at.run(run_ms)).record.complete
        assert at.market.exchange_info().height > 3


@pytest.mark.parametrize("save_type", ["parquet", "feather"])
@pytest.mark.parametrize("kind", ["stream", "rest"])
def test_a_damaged_candle_file_is_named(tmp_path: Path, save_type: str, kind: str) -> None:
    from kit.buffer.fills import store_rest  # noqa: PLC0415 - only here

    folder = folder_in(tmp_path, save_type=save_type)
    stream(folder, candles(["AUSDT"], 0, 2))
    store_rest(folder, candles(["BUSDT"], 0, 2), received_ms=1, racing_from_ms=0)
    path = next(folder.candles.glob(f"{kind}_*"))
    path.write_bytes(b"garbage that is long enough to be looked at twice")
    with pytest.raises(FolderError, match=path.name):
        read_candles(folder)


async def test_a_run_killed_while_it_fills_is_taken_up_where_it_was(tmp_path: Path) -> None:
    # 40 symbols of 1500 candles weigh 280: in slow answers it takes long enough to be killed in the middle.
    config = {"num_candles": 1500, "num_rest_fetchers": 1}
    async with beside(tmp_path, symbols=40, config=config) as at:
        run_ms = at.run_ms()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", RUN, str(at.base_dir), str(run_ms), stderr=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        )  # fmt: skip
        async with asyncio.timeout(200):
            while len(list((at.base_dir / "usdt_perp_1m").glob("rest_*"))) < 2:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        before = at.stored()
        rows = sum(map(len, before.values()))
        asked = len(at.asked())
        outcome = await at.run(run_ms)
        assert outcome.record.complete
        after = at.stored()
        assert all(after[symbol][-len(kept) :] == kept for symbol, kept in before.items())
        for symbol, kept in after.items():
            assert kept == at.truth(symbol, run_ms - 1500 * MINUTE, run_ms - MINUTE)
        fetched = sum(int(params["limit"]) for params in at.asked()[asked:] if int(params["limit"]) not in (1, 99))
        audit = 24 * 99
        assert fetched <= sum(map(len, after.values())) - rows + 1500 + audit, "what was readable is not fetched again"


def test_a_folder_whose_name_looks_like_a_pattern_can_be_read(tmp_path: Path) -> None:
    for save_type in ("parquet", "feather"):
        folder = folder_in(tmp_path / f"[a]=*{save_type}", save_type=save_type)
        stream(folder, candles(["AUSDT"], 0, 2))
        assert read_candles(folder).height == 2


def test_a_folder_whose_save_type_was_changed_is_read_whole(tmp_path: Path) -> None:
    stream(folder_in(tmp_path, save_type="feather"), candles(["AUSDT"], 0, 2))
    folder = folder_in(tmp_path, save_type="parquet")
    stream(folder, candles(["AUSDT"], 2 * MINUTE, 2))
    assert read_candles(folder)["candle_begin_time"].dt.epoch("ms").to_list() == [0, MINUTE, 2 * MINUTE, 3 * MINUTE]


async def test_a_run_time_of_another_interval_than_the_configs_is_refused_and_leaves_no_record(tmp_path: Path) -> None:
    """A worker goes on at the pace of its start when somebody edits the interval."""
    async with beside(tmp_path, symbols=2, config={"interval": "5m", "num_candles": 20}) as at:
        grid_ms = at.run_ms(0) // (5 * MINUTE) * 5 * MINUTE - 10 * MINUTE
        with pytest.raises(FolderError, match="no multiple of 0:05:00"):
            await at.run(grid_ms + 3 * MINUTE)
        assert at.market.ledger(from_ms(grid_ms + 3 * MINUTE)) is None
        assert (await at.run(grid_ms)).record.complete
