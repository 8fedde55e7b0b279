"""Which rows of an answer are final is decided by the exchange's clock alone, at its slowest."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows.steps.context import FINAL_AFTER, Period
from flows.steps.gaps import ask
from kit.budget import Urgency
from kit.buffer.layout import Folder
from kit.buffer.states import States, SymbolState
from kit.config import MarketConfig
from kit.dialect.klines import Page
from kit.words import Candle, Interval, TradeType, from_ms
from tests.builders import MINUTE, NOON, candles

GUARD_MS = FINAL_AFTER.total_seconds() * 1000


def a_period(path: Path, rows: list[Candle], earliest_ms: int) -> Period:
    """A period whose exchange answers with these rows while its clock shows ``earliest_ms`` at least."""

    async def klines(*_: Any, **__: Any) -> list[Candle]:
        return rows

    clock = SimpleNamespace(earliest_ms=earliest_ms, offset_ms=0)
    budget = SimpleNamespace(clock=lambda: clock, now_ms=lambda: earliest_ms + 700)
    return Period(
        MarketConfig(interval=Interval.M1, trade_type=TradeType.USDT_PERP),
        Folder(path, TradeType.USDT_PERP, Interval.M1),
        from_ms(NOON + 5 * MINUTE),
        SimpleNamespace(klines=klines, budget=budget),  # type: ignore[arg-type]  # what ``ask`` uses of a client
        from_ms(NOON),
        states=States(symbols={"AUSDT": SymbolState(status="TRADING")}),
    )


@pytest.mark.parametrize(("after_close_ms", "final"), [
    (-50_000, 4), (-1, 4), (0, 4), (1, 4), (GUARD_MS - 1, 4), (GUARD_MS, 5), (GUARD_MS + 1, 5), (59_000, 5),
])  # fmt: skip
async def test_a_row_is_stored_when_it_closed_and_the_guard_has_passed(
    tmp_path: Path, after_close_ms: int, final: int
) -> None:
    rows = candles(["AUSDT"], NOON, 5)
    period = a_period(tmp_path, rows, NOON + 5 * MINUTE + int(after_close_ms))
    page = Page(NOON, NOON + 5 * MINUTE - 1, 5, 1)
    assert await ask(period, "AUSDT", page, Urgency.NEWEST) == rows[:final]
