"""Stream finals that came after REST had filled their slot are found, without taking the whole market apart."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from flows.steps.audits import compare_late_finals
from flows.steps.context import Period
from kit.buffer.fills import read_revisions, store_rest
from kit.buffer.layout import Folder
from kit.config import parse_config
from kit.words import Candle, from_ms
from tests.builders import MINUTE, NOON, candle, candles, folder_in, stream

SYMBOLS = [f"P{number}USDT" for number in range(200)]
PERIODS = 12
FILLED = 3
"""The period of which REST had to give some."""


def period_of(folder: Folder) -> Period:
    config = parse_config(folder.base_dir, {"interval": "1m", "trade_type": "usdt_perp"})
    now = from_ms(NOON + PERIODS * MINUTE)
    return Period(config, folder, now, client=None, started_at=now)  # type: ignore[arg-type]  # nobody is asked here


def market_with_a_filled_hole(path: Path, *late: Candle) -> Folder:
    """Slices of all symbols, but for two candles that REST had to give; then their finals come late."""
    folder = folder_in(path)
    holes = [candle(symbol, NOON + FILLED * MINUTE) for symbol in SYMBOLS[:2]]
    stream(folder, [row for row in candles(SYMBOLS, NOON, PERIODS) if row not in holes])
    store_rest(folder, holes, received_ms=NOON, racing_from_ms=NOON)
    stream(folder, list(late))
    return folder


def test_only_the_final_that_differs_becomes_a_revision(tmp_path: Path) -> None:
    same, other = (candle(SYMBOLS[number], NOON + FILLED * MINUTE, variant=number) for number in (0, 1))
    folder = market_with_a_filled_hole(tmp_path, same, other)
    assert compare_late_finals(period_of(folder)) == 1
    (revision,) = read_revisions(folder)
    assert (revision.new, revision.old_source) == (other, "rest")


@pytest.mark.parametrize("late", [(), (candle(SYMBOLS[0], NOON + FILLED * MINUTE),)])
def test_one_filled_hole_does_not_take_the_whole_market_apart(tmp_path: Path, late: tuple[Candle, ...]) -> None:
    period = period_of(market_with_a_filled_hole(tmp_path, *late))
    compare_late_finals(period)  # imports and caches
    tracemalloc.start()
    try:
        assert compare_late_finals(period) == 0
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < len(SYMBOLS) * PERIODS * 100  # a candle as Python's values takes 500 bytes and more
