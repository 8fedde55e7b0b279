"""The period's own steps, one of which fails each time: people are told, however the period is run."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from flows.__main__ import do_once
from flows.attempts import Patience, do_period
from flows.board import Work
from flows.markets import served_market
from flows.outcomes import ended_as, note_begin, note_end
from flows.steps import run_period
from kit.alarms.conditions import Condition, Kind
from kit.alarms.judge import judge
from kit.alarms.look import look
from kit.config import load_config
from kit.words import Venue, from_ms, utc_now
from tests.flows.market_on_disk import beside


async def by_command(base_dir: Path, run_time: datetime) -> None:
    code, _ = await do_once(base_dir, run_time)
    assert code == 0


async def by_worker(base_dir: Path, run_time: datetime) -> None:
    """As the worker's clock and its heart do it."""
    note_begin(base_dir, run_time)
    work = Work(served_market(base_dir), run_time)
    ending = await do_period(run_period, work, utc_now() + timedelta(minutes=10), Patience())
    assert ending.complete
    note_end(base_dir, ended_as(run_time, ending))


def failing(base_dir: Path) -> list[Condition]:
    return [each for each in judge(look(load_config(base_dir))).conditions if each.kind is Kind.STEP_FAILING]


@pytest.mark.parametrize("way", [by_command, by_worker])
async def test_factors_that_cannot_be_stored_are_told_after_three_complete_periods_until_they_can(
    tmp_path: Path, way: Callable[[Path, datetime], Awaitable[None]]
) -> None:
    async with beside(tmp_path, symbols=2, config={"factors": [["PctChg", 5]]}) as at:
        run_ms = at.run_ms(back=6)
        in_the_way = at.base_dir / "factors_1m"
        in_the_way.write_text("not a folder")
        for number in range(3):
            assert failing(at.base_dir) == []
            await way(at.base_dir, from_ms(run_ms + number * 60_000))
            await way(at.base_dir, from_ms(run_ms + number * 60_000))  # already done
        (found,) = failing(at.base_dir)
        assert (found.key, found.facts["count"]) == ("step factors", 3)
        assert "factors_1m" in found.facts["reason"]
        in_the_way.unlink()
        await way(at.base_dir, from_ms(run_ms + 3 * 60_000))
        assert failing(at.base_dir) == []


async def test_a_factor_without_any_value_is_told_too_and_the_others_are_kept(tmp_path: Path) -> None:
    factors = [["PctChg", 5], ["NoSuchFactor", 1]]
    async with beside(tmp_path, symbols=2, config={"factors": factors}) as at:
        run_ms = at.run_ms(back=6)
        for number in range(3):
            await by_command(at.base_dir, from_ms(run_ms + number * 60_000))
        (found,) = failing(at.base_dir)
        assert "factor NoSuchFactor_1: no symbol has a value" in found.facts["reason"]
        kept = at.market.factors(from_ms(run_ms + 120_000))
        assert kept is not None
        assert kept["PctChg_5"].null_count() == 0


async def test_a_factor_whose_history_is_still_short_is_not_told(tmp_path: Path) -> None:
    async with beside(tmp_path, symbols=2, config={"factors": [["PctChg", 100]]}) as at:
        run_ms = at.run_ms(back=6)
        at.exchange.list_symbol(Venue.UM, "YOUNGUSDT", base="YOUNG", at_ms=run_ms - 240_000)
        (at.base_dir / "config.json").write_text(
            json.dumps(json.loads((at.base_dir / "config.json").read_text()) | {"keep_symbols": ["YOUNGUSDT"]})
        )
        for number in range(3):
            await by_command(at.base_dir, from_ms(run_ms + number * 60_000))
        kept = at.market.factors(from_ms(run_ms + 120_000))
        assert kept is not None
        assert kept["PctChg_100"].to_list() == [None]
        assert failing(at.base_dir) == []
