"""Files of a resample: window, crashes, compaction, changes of the config."""

from __future__ import annotations

import shutil

import pytest

from kit.buffer.assets import add_boundary
from kit.buffer.compaction import compact
from kit.buffer.layout import CandleFile
from kit.buffer.view import choose
from kit.errors import FolderError
from kit.resample import update
from kit.resample.compaction import OVERLAYS, merge_due
from kit.resample.series import series_of
from kit.words import from_ms
from tests.builders import MINUTE, NOON, candles
from tests.resample.builders import Resampled
from tests.resample.test_holes_and_order import ALL, END, SYMBOLS, everything


def grown(tmp_path, periods, **more):
    """A market that was resampled period by period."""
    market = Resampled(tmp_path, "1m", "5m", **more)
    for index in range(periods):
        market.store(candles(SYMBOLS, NOON + index * MINUTE, 1))
        market.update(NOON + (index + 1) * MINUTE)
    return market


def test_it_is_kept_for_as_many_candles_as_the_base_window_allows(tmp_path):
    market = grown(tmp_path, 60, num_candles=30)
    begins = {begin_ms for offset_ms in market.offsets_ms for _, begin_ms in market.keys(offset_ms)}
    assert begins == {NOON + minute * MINUTE for minute in range(30, 56)}


def test_what_left_the_window_is_deleted_in_time(tmp_path):
    market = Resampled(tmp_path, "1m", "5m", num_candles=30)
    market.store(candles(SYMBOLS, NOON, 30))
    market.update(NOON + 30 * MINUTE)
    market.store(candles(SYMBOLS, NOON + 600 * MINUTE, 30))
    market.update(NOON + 630 * MINUTE)
    oldest = min(file.first_ms for offset_ms in market.offsets_ms for file in files(market, offset_ms))
    assert oldest >= NOON + 600 * MINUTE


def files(market, offset_ms):
    return series_of(market.config).folder(market.folder, offset_ms).list_candle_files()


def test_files_stay_few_and_each_candle_is_read_once(tmp_path):
    market = grown(tmp_path, 120)
    for offset_ms in market.offsets_ms:
        view = choose(files(market, offset_ms), 5 * MINUTE)
        assert len(view.files) <= 10
        rows = market.candles(offset_ms)
        assert len(rows) == len(market.keys(offset_ms)) > 60


def file(first, last, seq, kind="revision"):
    return CandleFile(kind, first * MINUTE, last * MINUTE, seq, f"{kind}-{first}-{last}-{seq}")


@pytest.mark.parametrize(
    ("there", "due"),
    [
        ([file(n, n, n) for n in range(7)], None),
        ([file(n, n, n) for n in range(8)], (0, 7)),
        ([file(0, 99, 1, "block"), *(file(n, n, n) for n in range(100, 108))], (100, 107)),
        ([file(0, 99, 1, "block"), file(95, 101, 2), *(file(n, n, n) for n in range(102, 108))], (100, 107)),
        ([file(n * 8, n * 8 + 7, n + 1, "block") for n in range(8)], (0, 63)),
        ([file(0, 99, 1, "block"), *(file(50, 50, n) for n in range(2, 3 + OVERLAYS))], (0, 99)),
    ],
)
def test_small_files_at_the_end_become_one_of_the_next_size(there, due):
    span = merge_due(choose(there, MINUTE), MINUTE)
    assert (span and (span.first_ms // MINUTE, span.last_ms // MINUTE)) == due


@pytest.mark.parametrize("survives", range(5))
def test_an_update_that_was_broken_off_between_two_files_is_done_again_whole(tmp_path, monkeypatch, survives):
    market = Resampled(tmp_path, "1m", "5m")
    market.store(row for row in ALL if row.begin_ms != NOON + 7 * MINUTE)
    market.update(END)
    written = []

    def failing(folder, kind, span, rows):
        if len(written) == survives:
            raise OSError(28, "No space left on device")
        written.append(folder)
        whole(folder, kind, span, rows)

    whole = update.write_candles
    before = everything(market)
    market.store(row for row in ALL if row.begin_ms == NOON + 7 * MINUTE)
    with monkeypatch.context() as patched:
        patched.setattr(update, "write_candles", failing)
        with pytest.raises(OSError, match="No space"):
            market.update(END)
    for offset_ms, rows in everything(market).items():
        assert set(before[offset_ms]) <= set(rows), "what was readable stays readable"
    market.update(END)
    at_once = Resampled(tmp_path / "once", "1m", "5m")
    at_once.store(ALL)
    at_once.update(END)
    assert everything(market) == everything(at_once)


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b'{"base": "1m"}', b"\xff\xfe"])
def test_a_state_that_cannot_be_read_is_made_anew(tmp_path, damage):
    market = grown(tmp_path, 20)
    before = everything(market)
    (tmp_path / "resample_5m" / "state.json").write_bytes(damage)
    assert market.update(NOON + 20 * MINUTE) > 0
    assert everything(market) == before


def test_another_step_of_the_offsets_takes_effect_with_the_next_update(tmp_path):
    grown(tmp_path, 20)
    market = Resampled(tmp_path, "1m", "5m", "2m")
    market.update(NOON + 20 * MINUTE)
    assert list(market.offsets_ms) == [0, 2 * MINUTE, 4 * MINUTE]
    assert all(market.keys(offset_ms) for offset_ms in market.offsets_ms)


def test_feather_is_kept_as_feather(tmp_path):
    market = grown(tmp_path, 20, save_type="feather")
    assert {path.suffix for path in tmp_path.rglob("offset_*/*")} == {".feather"}
    assert everything(market) == everything(grown(tmp_path / "parquet", 20))


def test_a_ticker_that_came_back_as_another_asset_is_not_joined_with_it(tmp_path):
    market = grown(tmp_path, 20)
    add_boundary(market.folder, "BUSDT", NOON + 8 * MINUTE)
    market.update(NOON + 20 * MINUTE)
    found = {key for offset_ms in market.offsets_ms for key in market.keys(offset_ms)}
    assert {(ms - NOON) // MINUTE for symbol, ms in found if symbol == "BUSDT#1"} == set(range(4))
    assert {(ms - NOON) // MINUTE for symbol, ms in found if symbol == "BUSDT"} == set(range(8, 16))


def test_a_delisted_symbol_stays_readable_after_its_candles_left_the_window(tmp_path):
    market = Resampled(tmp_path, "1m", "5m", num_candles=30)
    market.store(candles(SYMBOLS, NOON, 40))
    market.update(NOON + 40 * MINUTE)
    own = market.candles(symbols=["CUSDT"])
    later = NOON + 1000 * MINUTE
    market.store(candles(["AUSDT", "BUSDT"], later - 30 * MINUTE, 30))
    market.update(later)
    compact(market.folder, exchange_ms=later + 10 * MINUTE, window_ms=later - 29 * MINUTE, active=["AUSDT", "BUSDT"])
    market.update(later)
    assert market.candles(symbols=["CUSDT"]) == own
    assert {row.symbol for row in market.candles()} == {"AUSDT", "BUSDT"}


def test_a_damaged_base_file_is_named_and_what_is_kept_stays(tmp_path):
    market = grown(tmp_path, 10)
    before = everything(market)
    market.store(candles(SYMBOLS, NOON + 10 * MINUTE, 1))
    newest = max(market.folder.list_candle_files(), key=lambda each: each.seq)
    (market.folder.candles / newest.name).write_bytes(b"PAR1 torn")
    with pytest.raises(FolderError, match=newest.name):
        market.update(NOON + 11 * MINUTE)
    assert everything(market) == before


def test_nothing_to_do_leaves_nothing_behind(tmp_path):
    market = Resampled(tmp_path, "1m", "5m")
    assert market.update(NOON) == 0
    assert market.read().is_empty()
    shutil.rmtree(tmp_path / "resample_5m", ignore_errors=True)
    market.store(ALL)
    plain = market.config.model_copy(update={"resample": None})
    assert update.update_resample(market.folder, plain, from_ms(END)) == 0
    assert not (tmp_path / "resample_5m").exists()


def test_filling_history_page_by_page_does_not_pile_up_files(tmp_path):
    market = Resampled(tmp_path, "1m", "5m", num_candles=300)
    for number in range(12):
        market.store(candles([f"S{number}USDT"], NOON, 300))
        market.update(NOON + 300 * MINUTE)
    assert all(len(files(market, offset_ms)) == 1 for offset_ms in market.offsets_ms)
    assert len(market.candles()) == 12 * 60


def test_offsets_that_the_config_gave_up_are_deleted(tmp_path):
    grown(tmp_path, 20)
    Resampled(tmp_path, "1m", "5m", "0m").update(NOON + 20 * MINUTE)
    assert {path.parent.name for path in tmp_path.rglob("offset_*/*.parquet")} == {"offset_0m"}


@pytest.mark.parametrize("how", ["deleted", "torn"])
def test_a_file_of_a_resample_that_somebody_deleted_or_damaged_is_made_again(tmp_path, how):
    market = grown(tmp_path, 30)
    sound = {offset_ms: market.candles(offset_ms) for offset_ms in market.offsets_ms}
    folder = series_of(market.config).folder(market.folder, 0)
    lost = folder.candles / max(files(market, 0), key=lambda file: file.last_ms - file.first_ms).name
    if how == "deleted":
        lost.unlink()
    else:
        lost.write_bytes(lost.read_bytes()[:-1])
    market.update(NOON + 30 * MINUTE)
    assert {offset_ms: market.candles(offset_ms) for offset_ms in market.offsets_ms} == sound
    assert market.update(NOON + 30 * MINUTE) == 0, "and only once"
