"""A period's work against an exchange: what is filled, what it costs, and what is not asked twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kit.buffer.fills import read_revisions
from kit.buffer.ledger import Ledger
from kit.errors import UnreachableError
from kit.words import Venue, from_ms
from tests.builders import MINUTE, candle, stream
from tests.flows.market_on_disk import CANDLES, beside, nobody_there, write_config


async def test_a_first_fill_gives_the_exchanges_candles_to_the_bit(tmp_path: Path) -> None:
    async with beside(tmp_path, symbols=8, config={"num_candles": 1500}) as at:
        run_ms = at.run_ms()
        outcome = await at.run(run_ms)
        first_ms = run_ms - 1500 * MINUTE
        stored = at.stored()
        assert sorted(stored) == sorted(at.market.ready(from_ms(run_ms)))
        for symbol, rows in stored.items():
            assert rows == at.truth(symbol, first_ms, run_ms - MINUTE)
        assert outcome.record.complete
        assert (outcome.record.expected, outcome.record.by_rest) == (8, 8)


async def test_a_first_fill_of_1500_candles_weighs_seven_a_symbol_and_little_more(tmp_path: Path) -> None:
    async with beside(tmp_path, symbols=8, config={"num_candles": 1500}) as at:
        await at.run()
        weight = sum(each.weight for each in at.exchange.requests if each.path.endswith("/klines"))
        audit = 8  # the hourly one, a page of weight 1 a symbol
        assert 7 * 7 <= weight <= 7 * 8 + audit + 4


async def test_a_second_run_asks_for_no_candle_and_says_the_same(tmp_path: Path) -> None:
    async with beside(tmp_path) as at:
        run_ms = at.run_ms()
        first = await at.run(run_ms)
        asked, stored = len(at.asked()), at.stored()
        second = await at.run(run_ms)
        assert len(at.asked()) == asked
        assert second.already_done
        assert second.record == first.record
        assert at.stored() == stored


async def test_the_next_period_asks_only_for_its_own_candles(tmp_path: Path) -> None:
    async with beside(tmp_path) as at:
        run_ms = at.run_ms(3)
        await at.run(run_ms)
        asked = len(at.asked())
        outcome = await at.run(run_ms + MINUTE)
        assert outcome.record.complete
        assert [params["limit"] for params in at.asked()[asked:]] == ["1"] * 5


async def test_a_window_that_slides_stays_complete_and_a_record_is_kept_for_each_run_time(tmp_path: Path) -> None:
    async with beside(tmp_path, symbols=3, config={"num_candles": 20}) as at:
        first_ms = at.run_ms(60)
        for minutes in range(0, 60, 7):
            await at.run(first_ms + minutes * MINUTE)
        last_ms = first_ms + 56 * MINUTE
        records = Ledger(at.market.folder).between(last_ms - 19 * MINUTE, last_ms)
        assert len(records) == 20
        assert all(record.complete and record.expected == 3 for record in records.values())
        for symbol, rows in at.stored().items():
            assert rows == at.truth(symbol, last_ms - 20 * MINUTE, last_ms - MINUTE)


async def test_an_inner_hole_is_found_and_only_it_is_asked_for(tmp_path: Path) -> None:
    async with beside(tmp_path) as at:
        run_ms = at.run_ms()
        await at.run(run_ms)
        folder = at.market.folder
        for path in folder.candles.glob("*.parquet"):
            path.unlink()
        kept = [
            row
            for symbol in at.market.exchange_info()["symbol"].to_list()
            if symbol in {"BTCUSDT", "ETHUSDT", "SOLUSDT"}
            for row in at.truth(symbol, run_ms - CANDLES * MINUTE, run_ms - MINUTE)
            if not 40 <= (run_ms - row.begin_ms) // MINUTE <= 42
        ]
        stream(folder, kept)
        asked = len(at.asked())
        outcome = await at.run(run_ms)
        holes = [params for params in at.asked()[asked:] if params["symbol"] in {"BTCUSDT", "ETHUSDT", "SOLUSDT"}]
        assert {params["limit"] for params in holes} == {"3"}
        assert len(holes) == 3
        assert outcome.record.complete
        for symbol, rows in at.stored().items():
            assert rows == at.truth(symbol, run_ms - CANDLES * MINUTE, run_ms - MINUTE)


@pytest.mark.parametrize("kind", ["rest", "stream", "block"])
async def test_a_candle_file_that_a_user_deleted_is_filled_again_and_the_ledger_tells_so(
    tmp_path: Path, kind: str
) -> None:
    async with beside(tmp_path) as at:
        run_ms = at.run_ms()
        await at.run(run_ms)
        folder = at.market.folder
        if kind == "stream":
            # As a streamer would have: the run's own candles by the stream, none by REST.
            rows = [row for rows in at.stored().values() for row in rows if row.begin_ms == run_ms - MINUTE]
            for path in folder.candles.glob("rest_*"):
                path.unlink()
            stream(folder, rows)
            await at.run(run_ms)
            assert at.market.ledger(from_ms(run_ms)).by_stream == 5  # type: ignore[union-attr] # it was just written
        for path in folder.candles.glob(f"{kind}_*"):
            path.unlink()
        outcome = await at.run(run_ms)
        assert outcome.record.complete
        for symbol, rows in at.stored().items():
            assert rows == at.truth(symbol, run_ms - CANDLES * MINUTE, run_ms - MINUTE)
        for record in Ledger(folder).between(run_ms - (CANDLES - 1) * MINUTE, run_ms).values():
            at_run = at.market.candles(last=CANDLES, source=True)
            begin_ms = int(record.run_time.timestamp() * 1000) - MINUTE
            sources = at_run.filter(at_run["candle_begin_time"].dt.epoch("ms") == begin_ms)["source"].to_list()
            by_stream = sources.count("stream")
            assert (record.by_stream, record.by_rest) == (by_stream, len(sources) - by_stream)


async def test_a_record_becomes_incomplete_when_its_candles_are_gone_and_the_exchange_has_none(tmp_path: Path) -> None:
    async with beside(tmp_path, config={"num_rest_fetchers": 16}) as at:
        run_ms = at.run_ms()
        await at.run(run_ms)
    for path in at.market.folder.candles.glob("*.parquet"):
        path.unlink()
    with nobody_there(at.base_dir, candle_close_timeout_sec=1):
        outcome = await at.run(run_ms)
    assert not outcome.record.complete
    assert len(outcome.record.missing) == 5
    records = Ledger(at.market.folder).between(run_ms - 20 * MINUTE, run_ms)
    assert len(records) == 21
    assert not any(record.complete for record in records.values())


async def test_an_exchange_that_cannot_be_reached_at_the_first_start_is_a_clear_error(tmp_path: Path) -> None:
    write_config(tmp_path / "m", "http://127.0.0.1:9", "ws://127.0.0.1:9")
    async with beside(tmp_path / "other") as elsewhere:
        at_ms = elsewhere.run_ms()
    from flows.steps import run_period  # noqa: PLC0415 - the one test that has no exchange

    with pytest.raises(UnreachableError, match=r"cannot reach 127\.0\.0\.1"):
        await run_period(tmp_path / "m", from_ms(at_ms))


async def test_two_runs_at_once_do_the_work_once(tmp_path: Path) -> None:
    async with beside(tmp_path) as at:
        run_ms = at.run_ms()
        first, second = await asyncio.gather(at.run(run_ms), at.run(run_ms))
        assert [first.already_done, second.already_done].count(True) == 1
        assert first.record == second.record
        pages = [(params["symbol"], params["startTime"]) for params in at.asked() if params["limit"] != "99"]
        assert len(pages) == len(set(pages))


async def test_a_stream_final_that_differs_from_rest_becomes_a_recorded_revision(tmp_path: Path) -> None:
    async with beside(tmp_path) as at:
        run_ms = at.run_ms(1)
        await at.run(run_ms)
        told = candle("BTCUSDT", run_ms - MINUTE, variant=3)
        was = at.stored(["BTCUSDT"])["BTCUSDT"][-1]
        stream(at.market.folder, [told])
        assert at.stored(["BTCUSDT"])["BTCUSDT"][-1] == was, "REST's row stays until the revision is recorded"
        outcome = await at.run(run_ms)
        assert at.stored(["BTCUSDT"])["BTCUSDT"][-1] == told
        (revision,) = at.market.revisions()
        assert (revision.old, revision.old_source, revision.new) == (was, "rest", told)
        assert outcome.record.revised == 1
        assert at.market.candles(["BTCUSDT"], source=True)["source"][-1] == "revision"


async def test_the_hourly_audit_finds_a_candle_that_differs(tmp_path: Path) -> None:
    async with beside(tmp_path, config={"num_candles": 30}) as at:
        run_ms = at.run_ms(4)
        wrong = candle("ETHUSDT", run_ms - 10 * MINUTE, variant=7)
        at.market.folder.open_for_writing()
        stream(at.market.folder, [wrong])
        await at.run(run_ms)
        (revision,) = at.market.revisions()
        assert revision.old == wrong
        assert "audit" in revision.reason
        assert at.stored()["ETHUSDT"] == at.truth("ETHUSDT", run_ms - 30 * MINUTE, run_ms - MINUTE)


async def test_a_cancelled_run_leaves_nothing_at_work_when_it_lets_go_of_the_folder(tmp_path: Path) -> None:
    async with beside(tmp_path, symbols=20, config={"num_candles": 1500}) as at:
        run_ms = at.run_ms()
        before_any = asyncio.all_tasks()
        for wait in (0.15, 0.3, 0.6):
            task = asyncio.create_task(at.run(run_ms))
            await asyncio.sleep(wait)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            before = sorted(at.market.folder.candles.iterdir())
            left = {one.get_coro().__qualname__ for one in asyncio.all_tasks() - before_any}  # type: ignore[union-attr] # 3.12 has None
            assert left <= {"RequestHandler.start"}, "the exchange's own ends when it sees that its client has gone"
            await asyncio.sleep(0.05)
            assert sorted(at.market.folder.candles.iterdir()) == before
        outcome = await at.run(run_ms)
        assert outcome.record.complete
        for symbol, rows in at.stored().items():
            assert rows == at.truth(symbol, run_ms - 1500 * MINUTE, run_ms - MINUTE)
        assert read_revisions(at.market.folder) == []


async def test_spot_is_filled_from_its_own_host(tmp_path: Path) -> None:
    async with beside(tmp_path) as at:
        write_config(at.base_dir, at.exchange.spot.rest, at.exchange.spot.ws, trade_type="usdt_spot", num_candles=50)
        run_ms = at.run_ms()
        outcome = await at.run(run_ms)
        assert outcome.record.complete
        for symbol, rows in at.stored().items():
            assert rows == at.truth(symbol, run_ms - 50 * MINUTE, run_ms - MINUTE, Venue.SPOT)
