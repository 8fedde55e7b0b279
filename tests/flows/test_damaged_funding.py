"""A month of settlements that somebody damaged is put aside, and what it held of the window is fetched again."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from kit.buffer.layout import ASIDE
from kit.errors import DamagedFileError
from kit.words import from_ms, to_ms, utc_now
from tests.flows.market_on_disk import Beside, beside

HOUR_MS = 3_600_000


@asynccontextmanager
async def early_in_a_month(path: Path, trade_type: str = "usdt_perp", **config: object) -> AsyncIterator[Beside]:
    """A market whose window began a day and a half before the month, half an hour after a settlement."""
    next_month = (utc_now().replace(day=1) + timedelta(days=32)).replace(day=2, hour=0, minute=30)
    settings = {"interval": "1h", "num_candles": 60, "trade_type": trade_type, "funding_rate": True, **config}
    skew_ms = to_ms(next_month) - time.time_ns() // 1_000_000
    async with beside(path, symbols=3, config=settings, skew_ms=skew_ms) as at:
        yield at


def last_hour(at: Beside) -> int:
    now_ms = at.exchange.clock.now_ms()
    return now_ms - now_ms % HOUR_MS


def months(at: Beside) -> list[Path]:
    return sorted(at.market.folder.funding.glob("2*.parquet"))


def overwrite(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("trade_type", ["usdt_perp", "coin_perp"])
@pytest.mark.parametrize("which", [[0], [1], [0, 1]], ids=["last month", "this month", "both"])
async def test_what_a_damaged_month_held_of_the_window_is_fetched_again(
    tmp_path: Path, trade_type: str, which: list[int]
) -> None:
    async with early_in_a_month(tmp_path, trade_type) as at:
        run_ms = last_hour(at)
        await at.run(run_ms)
        sound = at.market.funding_rates()
        damaged = [months(at)[index] for index in which]
        assert len(months(at)) == 2
        for path in damaged:
            overwrite(path)
        with pytest.raises(DamagedFileError, match=damaged[0].name):
            at.market.funding_rates()
        outcome = await at.run(run_ms)
        assert [step.error for step in outcome.steps if step.error] == []
        assert at.market.funding_rates().equals(sound)
        assert sorted(path.name for path in at.market.folder.funding.iterdir()) == sorted(
            [*(path.name for path in months(at)), *(f"{ASIDE}{path.name}" for path in damaged)]
        )
        asked = len(at.asked("fundingRate"))
        await at.run(run_ms)
        assert len(at.asked("fundingRate")) == asked, "what has been fetched again is not asked for any more"


async def test_what_could_not_be_fetched_at_once_is_fetched_in_the_next_period(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with early_in_a_month(tmp_path) as at:
        run_ms = last_hour(at)
        await at.run(run_ms)
        sound = at.market.funding_rates()
        overwrite(months(at)[0])
        monkeypatch.setattr("flows.steps.funding.PAGE", 4)
        monkeypatch.setattr("flows.steps.funding.MAX_PAGES", 1)
        await at.run(run_ms)
        assert 0 < at.market.funding_rates().height < sound.height
        monkeypatch.setattr("flows.steps.funding.MAX_PAGES", 40)
        await at.run(run_ms)
        assert at.market.funding_rates().equals(sound)


@pytest.mark.parametrize("harm", [overwrite, replace_by_folder])
async def test_factors_and_funding_of_a_period_do_not_fail_for_a_month_that_is_in_the_way(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    async with early_in_a_month(tmp_path, factors=[["FundingMean", 9]]) as at:
        run_ms = last_hour(at)
        await at.run(run_ms - HOUR_MS)
        known = at.market.funding_rates()
        harm(months(at)[-1])
        outcome = await at.run(run_ms)
        assert [step.error for step in outcome.steps if step.error] == []
        assert at.market.factors(from_ms(run_ms)) is not None
        assert at.market.funding_rates().height >= known.height
