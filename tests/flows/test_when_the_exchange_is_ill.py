"""Time-outs, unknown clocks and refusals: the record is written in time and says what is true."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from flows.steps.newest import FAILURES_IN_A_ROW, Round
from kit.budget import Urgency
from kit.buffer.read import read_candles
from kit.dialect.klines import Page
from kit.dialect.rest import RestClient
from kit.errors import (
    BannedError,
    ExchangeError,
    FolderNotWritableError,
    RefusedRequestError,
    SymbolRefusedError,
    UnreachableError,
)
from kit.words import Candle, Interval, Venue, to_ms, utc_now
from tests.builders import MINUTE, candle, stream
from tests.flows.market_on_disk import beside, write_config

PAGE = Page(0, 1, 1, 1)


def test_a_round_is_over_when_nothing_is_left_or_the_exchange_is_away() -> None:
    assert Round({}).over
    assert not Round({"AUSDT": PAGE}).over
    assert not Round({"AUSDT": PAGE}, failures=FAILURES_IN_A_ROW - 1).over
    assert Round({"AUSDT": PAGE}, failures=FAILURES_IN_A_ROW).over
    assert Round({"AUSDT": PAGE}, problems=[BannedError("banned", 1)]).over
    assert not Round({"AUSDT": PAGE}, problems=[UnreachableError("gone")]).over


async def test_an_exchange_that_does_not_answer_is_asked_a_few_times_and_not_for_every_symbol(tmp_path: Path) -> None:
    config = {"num_candles": 5, "candle_close_timeout_sec": 1}
    async with beside(tmp_path, symbols=200, config=config) as at:
        asked = 0

        async def silent(self: RestClient, *_: Any, **__: Any) -> list[Candle]:
            nonlocal asked
            asked += 1
            await asyncio.sleep(0.001)
            raise UnreachableError("no answer in time")

        with mock.patch.object(RestClient, "klines", silent):
            outcome = await at.run()
        assert len(outcome.record.missing) == 200
        assert not outcome.record.complete
        assert asked < 80


async def test_a_local_clock_that_is_ahead_never_makes_an_open_candle_final(tmp_path: Path) -> None:
    """The exchange's clock was measured before; this time it does not tell, and the local one is minutes ahead."""
    async with beside(tmp_path, symbols=3, config={"num_candles": 20, "candle_close_timeout_sec": 1}) as at:
        at.exchange.clock.skew_ms = -5 * MINUTE  # that is: ours is five minutes ahead of the exchange's
        await at.run(at.run_ms(3))

        async def silent(self: RestClient, samples: int = 3) -> None:
            raise UnreachableError("no answer in time")

        with mock.patch.object(RestClient, "clock_offset", silent):
            ours_ms = to_ms(utc_now()) // MINUTE * MINUTE
            with pytest.raises(TimeoutError):  # it waits for the exchange to get there
                await asyncio.wait_for(at.run(ours_ms), 2)
        now_ms = at.exchange.clock.now_ms()
        begins = read_candles(at.market.folder)["candle_begin_time"].dt.epoch("ms").to_list()
        assert max(begins) + MINUTE <= now_ms, "an open candle was stored"


@pytest.mark.parametrize(("problem", "summary", "error"), [
    (SymbolRefusedError("Invalid symbol status.", code=-1122), "1 revised", None),
    (UnreachableError("gone"), "1 revised, the rest postponed", None),
    (RefusedRequestError("Illegal parameter."), "", "Illegal parameter."),
    (FolderNotWritableError("state", "Read-only file system"), "", "state: Read-only file system"),
])  # fmt: skip
async def test_what_one_symbol_meets_in_the_look_backs_ends_neither_those_of_the_others_nor_the_period(
    tmp_path: Path, problem: Exception, summary: str, error: str | None
) -> None:
    async with beside(tmp_path, symbols=3, config={"num_candles": 30}) as at:
        run_ms = at.run_ms(4)
        at.market.folder.open_for_writing()
        stream(at.market.folder, [candle("BTCUSDT", run_ms - 10 * MINUTE, variant=7)])
        real = RestClient.klines

        async def failing(self: RestClient, symbol: str, *rest: Any, **more: Any) -> list[Candle]:
            if symbol == "ETHUSDT" and more.get("deadline_ms") is not None and Urgency.HISTORY in rest:
                raise problem
            return await real(self, symbol, *rest, **more)

        with mock.patch.object(RestClient, "klines", failing):
            outcome = await at.run(run_ms)
        (audits,) = [step for step in outcome.steps if step.name == "audits"]
        assert (audits.summary, audits.error) == (summary, error)
        assert len(at.market.revisions()) == 1
        assert outcome.record.complete


@pytest.mark.parametrize(("problem", "summary", "error"), [
    (UnreachableError("gone"), "postponed", None),
    (RefusedRequestError("Illegal parameter."), "", "Illegal parameter."),
])  # fmt: skip
async def test_funding_that_is_refused_for_ever_fails_its_step_and_not_the_period(
    tmp_path: Path, problem: ExchangeError, summary: str, error: str | None
) -> None:
    async with beside(tmp_path, symbols=2, config={"num_candles": 30, "funding_rate": True}) as at:
        with mock.patch.object(RestClient, "funding_rates", mock.AsyncMock(side_effect=problem)):
            outcome = await at.run()
        (funding,) = [step for step in outcome.steps if step.name == "funding"]
        assert (funding.summary, funding.error) == (summary, error)
        assert outcome.record.complete


@pytest.mark.parametrize("interval", ["1s", "5m", "1h"])
async def test_every_interval_is_filled_with_what_the_exchange_has(tmp_path: Path, interval: str) -> None:
    async with beside(tmp_path, symbols=3) as at:
        write_config(
            at.base_dir, at.exchange.spot.rest, at.exchange.spot.ws,
            interval=interval, trade_type="usdt_spot", num_candles=60,
        )  # fmt: skip
        step = Interval(interval).ms
        now_ms = at.exchange.clock.now_ms() - 5_000
        run_ms = now_ms // step * step
        outcome = await at.run(run_ms)
        assert outcome.record.complete
        rows = at.exchange.candles(Venue.SPOT, "BTCUSDT", Interval(interval), run_ms - 60 * step, run_ms - step)
        stored = at.stored(["BTCUSDT"])["BTCUSDT"]
        assert [(row.begin_ms, row.close) for row in stored] == [(row[0], float(row[4])) for row in rows]
        assert len(rows) == 60


async def test_a_deadline_ends_the_filling_and_the_next_run_goes_on(tmp_path: Path) -> None:
    async with beside(tmp_path, symbols=10, config={"num_candles": 1500}) as at:
        run_ms = at.run_ms()
        first = await at.run(run_ms, history_deadline=utc_now())
        assert first.record.complete, "the newest candles come first"
        rows = sum(map(len, at.stored().values()))
        assert 10 <= rows < 15_000
        await at.run(run_ms)
        for symbol, kept in at.stored().items():
            assert kept == at.truth(symbol, run_ms - 1500 * MINUTE, run_ms - MINUTE)
