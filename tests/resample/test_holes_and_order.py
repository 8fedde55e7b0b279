"""Holes, late parts, revisions and any order of arrival: what is kept is always what the parts make."""

from __future__ import annotations

import shutil
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import example, given, settings
from hypothesis import strategies as st

from kit.buffer.compaction import compact
from kit.buffer.fills import Revision, store_revisions, stored_candles
from kit.buffer.read import Span
from kit.words import from_ms
from tests.builders import MINUTE, NOON, candle, candles, stream
from tests.resample.builders import Resampled

SYMBOLS = ("AUSDT", "BUSDT", "CUSDT")
COUNT = 24
PARTS = 5
END = NOON + COUNT * MINUTE
YES = (True, True)
ALL = candles(SYMBOLS, NOON, COUNT)

some_candles = st.sets(st.integers(0, len(ALL) - 1), max_size=12)


def touched(begin_ms, symbol, gone):
    return any((symbol, begin_ms + part * MINUTE) in gone for part in range(PARTS))


def expected_keys(offset_ms, gone=frozenset()):
    return {
        (symbol, begin_ms)
        for symbol in SYMBOLS
        for begin_ms in range(NOON, END - (PARTS - 1) * MINUTE, MINUTE)
        if begin_ms % (PARTS * MINUTE) == offset_ms and not touched(begin_ms, symbol, gone)
    }


def everything(market):
    return {offset_ms: market.candles(offset_ms) for offset_ms in market.offsets_ms}


def from_scratch(market):
    """What another folder with the same base candles and no resample yet comes to."""
    with TemporaryDirectory() as path:
        shutil.copytree(market.folder.base_dir, path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("resample_*"))
        fresh = Resampled(Path(path), "1m", "5m", num_candles=market.config.num_candles)
        fresh.update(END)
        return everything(fresh)


@settings(max_examples=25, deadline=None)
@given(some_candles)
def test_a_hole_drops_exactly_the_candles_it_touches_and_filling_it_brings_exactly_those_back(holes):
    gone = {(ALL[number].symbol, ALL[number].begin_ms) for number in holes}
    with TemporaryDirectory() as path:
        market = Resampled(Path(path), "1m", "5m")
        market.store(each for each in ALL if (each.symbol, each.begin_ms) not in gone)
        market.update(END)
        before = {offset_ms: set(rows) for offset_ms, rows in everything(market).items()}
        for offset_ms in market.offsets_ms:
            assert market.keys(offset_ms) == expected_keys(offset_ms, gone)
        market.store(each for each in ALL if (each.symbol, each.begin_ms) in gone)
        market.update(END)
        for offset_ms in market.offsets_ms:
            assert market.keys(offset_ms) == expected_keys(offset_ms)
            assert before[offset_ms] <= set(market.candles(offset_ms)), "what was there is as it was"


batches = st.lists(
    st.tuples(
        st.sampled_from(["rest", "stream", "revision"]),
        st.sets(st.integers(0, len(ALL) - 1), min_size=1, max_size=40),
        st.booleans(),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


def arrive(market, kind, rows):
    if kind == "revision":
        known = market_rows(market)
        changed = [(known[row.symbol, row.begin_ms], row) for row in rows if (row.symbol, row.begin_ms) in known]
        store_revisions(market.folder, [revision(old, row._replace(volume=old.volume + 1)) for old, row in changed])
    elif kind == "rest":
        market.store(rows)
    else:
        of_period = defaultdict(list)
        for row in rows:
            of_period[row.begin_ms].append(row)
        stream(market.folder, [row for begin_ms in sorted(of_period) for row in of_period[begin_ms]])


def market_rows(market):
    return {key: row for key, (row, _) in stored_candles(market.folder, Span(NOON, END)).items()}


def revision(old, new):
    return Revision(
        symbol=new.symbol,
        candle_begin_time=from_ms(new.begin_ms),
        old=old,
        old_source="rest",
        new=new,
        reason="test",
        at=from_ms(END),
    )


@settings(max_examples=25, deadline=None)
@given(batches)
@example([("rest", set(range(len(ALL))), True, False), ("revision", {7, 30}, True, True), ("rest", {1}, True, False)])
@example([("stream", set(range(20)), True, True), ("rest", set(range(15, 60)), False, True), ("revision", {3}, *YES)])
def test_in_any_order_of_arrival_it_comes_to_what_starting_from_nothing_gives(arrivals):
    with TemporaryDirectory() as path:
        market = Resampled(Path(path), "1m", "5m")
        for kind, numbers, update, compacting in arrivals:
            arrive(market, kind, [ALL[number] for number in sorted(numbers)])
            if update:
                market.update(END)
            if compacting:
                compact(market.folder, exchange_ms=END + 10 * MINUTE, window_ms=NOON, active=SYMBOLS)
        market.update(END)
        assert everything(market) == from_scratch(market)


def test_a_candle_whose_part_was_revised_is_done_again(tmp_path):
    market = Resampled(tmp_path, "1m", "5m")
    market.store(ALL)
    market.update(END)
    old = candle("BUSDT", NOON + 7 * MINUTE)
    before = {row: offset for offset, rows in everything(market).items() for row in rows}
    store_revisions(market.folder, [revision(old, old._replace(high=10 * old.high))])
    written = market.update(END)
    after = {row: offset for offset, rows in everything(market).items() for row in rows}
    assert {row.begin_ms for row in set(after) - set(before)} == {NOON + minute * MINUTE for minute in range(3, 8)}
    assert {(row.symbol, row.high) for row in set(after) - set(before)} == {("BUSDT", 10 * old.high)}
    assert written == len(SYMBOLS) * PARTS, "the run times that it is a part of, and no others"


def test_a_final_that_comes_late_into_its_slice_is_worked_in_by_the_next_period(tmp_path):
    market = Resampled(tmp_path, "1m", "5m")
    late = ALL[2 * COUNT - 1]
    writer = stream(market.folder, [row for row in ALL if row != late])
    market.update(END)
    assert writer.add(late, late.begin_ms + MINUTE + 700, 0)
    writer.flush()
    market.update(END)
    assert all(market.keys(offset_ms) == expected_keys(offset_ms) for offset_ms in market.offsets_ms)


def test_repeating_an_update_or_doing_an_earlier_one_changes_nothing(tmp_path):
    market = Resampled(tmp_path, "1m", "5m")
    market.store(ALL)
    market.update(END)
    before = everything(market)
    files = sorted(path for path in tmp_path.rglob("offset_*/*"))
    assert market.update(END) == 0
    assert market.update(END - 6 * MINUTE) == 0
    assert market.update(END + 600 * MINUTE) == 0
    assert everything(market) == before
    assert sorted(tmp_path.rglob("offset_*/*")) == files


def test_what_was_missed_while_the_flow_did_not_resample_is_found_although_it_was_compacted(tmp_path):
    market = Resampled(tmp_path, "1m", "5m")
    market.store(row for row in ALL if row.begin_ms != NOON + 2 * MINUTE)
    market.update(END)
    market.store(row for row in ALL if row.begin_ms == NOON + 2 * MINUTE)
    compact(market.folder, exchange_ms=END + 300 * MINUTE, window_ms=NOON, active=SYMBOLS)
    for file in market.folder.list_candle_files():
        if file.kind == "rest":
            (market.folder.candles / file.name).unlink()
    market.update(END)
    assert everything(market) == from_scratch(market)
