"""Markets of 1s candles: a period has a second, so nothing may be done anew in each of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from flows.attempts import cut_at, history_deadline
from flows.steps import StepReport, exchange_info
from kit.buffer.read import current_view
from kit.words import from_ms
from tests.builders import MINUTE, NOON, candles, stream
from tests.flows.market_on_disk import Beside, beside, write_config

SECOND = 1000


@asynccontextmanager
async def beside_spot(path: Path, symbols: int, num_candles: int) -> AsyncIterator[tuple[Beside, int]]:
    """A spot market at 1s, and a run time half a minute ago."""
    async with beside(path, symbols=symbols, illiquid_share=0.0, spot_weight_limit=1_000_000) as at:
        spot = at.exchange.spot
        config = {"interval": "1s", "trade_type": "usdt_spot", "num_candles": num_candles}
        write_config(at.base_dir, spot.rest, spot.ws, **config)
        now_ms = at.exchange.clock.now_ms()
        yield at, now_ms - now_ms % SECOND - 30 * SECOND


async def test_the_exchange_info_is_not_fetched_each_second_but_when_something_was_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_info, "AT_MOST_EVERY", timedelta(hours=1))  # however long these periods take here
    async with beside_spot(tmp_path, symbols=3, num_candles=10) as (at, run_ms):
        for number in range(3):
            assert (await at.run(run_ms + number * SECOND)).record.complete
        assert len(at.asked("exchangeInfo")) == 1
        await at.run(run_ms + 5 * SECOND)  # of the period before nothing is known
        assert len(at.asked("exchangeInfo")) == 2


async def test_what_history_has_fetched_is_kept_when_the_next_period_cuts_it(tmp_path: Path) -> None:
    async with beside_spot(tmp_path, symbols=20, num_candles=10_000) as (at, run_ms):
        work = asyncio.ensure_future(at.run(run_ms))
        while len(at.asked()) < 60 and not work.done():  # noqa: ASYNC110 - the exchange tells nobody that it was asked
            await asyncio.sleep(0.01)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        newest_pages = 20 * 1000  # what the newest step brings along
        assert len(at.market.candles(columns=[])) > newest_pages + 20 * 1000


def test_history_yields_well_before_the_cut_in_short_periods_too() -> None:
    target = from_ms(NOON)
    for seconds in (1, 60, 3600):
        interval = timedelta(seconds=seconds)
        yields, cut = history_deadline(target, interval), cut_at(target, interval)
        assert target - interval / 4 <= yields <= cut - min(timedelta(seconds=0.2), interval / 5)
        assert cut < target


async def test_periods_that_are_always_cut_still_compact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never_ends(_: object) -> str:
        await asyncio.Event().wait()
        return ""

    monkeypatch.setattr("flows.steps.fill_history", never_ends)
    async with beside(tmp_path, config={"num_candles": 300}) as at:
        run_ms = at.run_ms()
        folder = at.market.folder
        folder.open_for_writing()
        stream(folder, candles(["BTCUSDT"], run_ms - 200 * MINUTE, 195))
        assert len(current_view(folder).streams) == 195
        compacted = asyncio.Event()
        steps: list[str] = []

        def note(step: StepReport) -> None:
            steps.append(step.name)
            if step.name == "compact":
                compacted.set()

        work = asyncio.ensure_future(at.run(run_ms, on_step=note))
        async with asyncio.timeout(200):
            await compacted.wait()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert steps == ["exchange_info", "newest", "resample", "compact"]
        assert len(current_view(folder).streams) < 10
