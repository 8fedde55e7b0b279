"""The benchmarks' own arithmetic: a wrong ruler would be worse than none."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.market import Market
from kit.words import from_ms
from tests.bench.buffer_folder import MadeFolder
from tests.bench.exchange_process import FINAL, BurstThenSpread
from tests.bench.figures import Figure, percentile
from tests.bench.first_fill import lower_bound_s
from tests.bench.live_market import MINUTE_MS, Observed, Plan, skew_for
from tests.bench.reference import append_candle, measure

RUN_MS = 29_000_000 * MINUTE_MS


def test_a_percentile_is_a_measured_value_and_never_better_than_it() -> None:
    assert percentile([10, 20, 30, 1000], 99) == 1000
    assert percentile([10, 20, 30], 50) == 20
    assert percentile([], 50) is None


def test_a_figure_without_a_target_or_a_value_is_neither_met_nor_missed() -> None:
    assert Figure("f", "ms", 5.0, 5.0).met is True
    assert Figure("f", "ms", 5.1, 5.0).met is False
    assert Figure("f", "ms", 5.0).met is None
    assert Figure("f", "ms", None, 5.0).met is None


@pytest.mark.parametrize(
    ("weight", "after_turn_s", "seconds"), [(2400, 0.0, 0.0), (2401, 0.0, 60.0), (4200, 3.0, 57.0), (4801, 3.0, 117.0)]
)
def test_the_weight_limit_alone_allows_the_rest_when_the_last_minute_begins(
    weight: int, after_turn_s: float, seconds: float
) -> None:
    assert lower_bound_s(weight, 2400, after_turn_s) == seconds


def test_finals_come_in_a_burst_until_the_chosen_candle_and_spread_from_it_on() -> None:
    finals = BurstThenSpread(spread_from_ms=[RUN_MS])
    symbols = [f"S{number}USDT" for number in range(200)]
    burst = {finals.delay_ms(1, symbol, RUN_MS - MINUTE_MS, illiquid=False) for symbol in symbols}
    spread = [finals.delay_ms(1, symbol, RUN_MS, illiquid=False) for symbol in symbols]
    assert len(burst) == 1
    assert max(spread) - min(spread) > 4000
    assert max(spread) < 5000


def test_a_delay_counts_finals_before_the_flow_only_and_a_lost_one_with_a_minute() -> None:
    observed = Observed(Plan(), RUN_MS)
    observed.finals = {RUN_MS: {"A": RUN_MS + 10, "B": RUN_MS + 20, "LATE": RUN_MS + 3500}}
    observed.readable = {RUN_MS: {"A": RUN_MS + 45, "LATE": RUN_MS + 3100}}
    assert observed.delays(observed.readable, 0, 1) == [35, MINUTE_MS - 20]


def test_the_exchange_clock_is_never_set_ahead() -> None:
    assert -MINUTE_MS < skew_for(2_000) <= 0


def test_the_event_time_of_a_final_is_read_off_its_frame() -> None:
    frame = '\x81{"e":"kline","E":1787949660485,"s":"币安人生USDT","k":{"t":1787949600000, "T":1787949659999'.encode()
    found = FINAL.search(frame)
    assert found is not None
    assert found.groups() == (b"1787949660485", "币安人生USDT".encode(), b"1787949600000")


def test_the_made_folder_has_most_files_before_compaction_and_all_its_candles_at_both_moments(tmp_path: Path) -> None:
    made = MadeFolder(tmp_path / "market", symbols=4, num_candles=60)
    sizes = made.fill()
    before = made.files()
    assert Market(made.folder.base_dir).candles().height == 4 * 60
    made.one_more()
    assert made.files() < before
    market = Market(made.folder.base_dir)
    assert market.candles().height == 4 * 60
    assert market.ready(from_ms(made.newest_run_ms)) == set(made.symbols)
    assert set(sizes.block_bytes) == {8, 64}


def test_the_reference_keeps_its_number_of_candles_and_appends_the_next(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    result = measure(tmp_path / "reference", symbols=20, candles=50, sample=2)
    path = next((tmp_path / "reference").glob("*.pqt"))
    last = pd.read_parquet(path).index[-1]
    append_candle(path, 50)
    frame = pd.read_parquet(path)
    assert len(frame) == 50
    assert frame.index[-1] - last == pd.Timedelta(minutes=1)
    assert result.period_bytes > 20 * path.stat().st_size * 0.8
