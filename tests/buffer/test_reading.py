"""What the public readers give: columns, types, order, and errors."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
import watchfiles
from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

from kit import CandleFileReader, Market
from kit.buffer.compaction import compact
from kit.buffer.exchange_info import ExchangeInfoStore
from kit.buffer.fills import differences, read_revisions, store_rest, store_revisions
from kit.buffer.layout import Folder
from kit.buffer.ledger import Ledger, LedgerRecord
from kit.buffer.read import read_candles
from kit.errors import FolderError, FolderVersionError, NaiveTimeError, NotReadyError, UnknownWordError
from kit.words import from_ms
from tests.builders import MINUTE, NOON, candle, candles, folder_in, stream

VALUES = [
    "open", "high", "low", "close", "volume", "quote_volume", "trade_num", "taker_buy_base_asset_volume",
    "taker_buy_quote_asset_volume",
]  # fmt: skip


def market_in(path: Path, num_candles: int = 20, save_type: str = "parquet") -> Folder:
    config = {"interval": "1m", "trade_type": "usdt_perp", "num_candles": num_candles, "save_type": save_type}
    (path / "config.json").write_text(json.dumps(config))
    return folder_in(path, save_type=save_type)


@pytest.mark.parametrize("save_type", ["parquet", "feather"])
def test_a_market_gives_sorted_long_rows_with_text_symbols(tmp_path: Path, save_type: str) -> None:
    folder = market_in(tmp_path, save_type=save_type)
    rows = candles(["龙虾USDT", "AUSDT"], NOON, 3)
    store_rest(folder, rows[:4], received_ms=NOON, racing_from_ms=0)
    stream(folder, rows[4:])
    frame = Market(tmp_path).candles()
    assert frame.columns == ["symbol", "candle_begin_time", *VALUES]
    assert frame.schema["symbol"] == pl.String
    assert frame.schema["candle_begin_time"] == pl.Datetime("us", "UTC")
    assert frame.schema["trade_num"] == pl.Int64
    stored = frame.with_columns(pl.col("candle_begin_time").dt.epoch("ms")).rows()
    assert stored == [tuple(row) for row in sorted(rows)]
    sources = Market(tmp_path).candles(["AUSDT"], ["close"], source=True)
    assert sources.columns == ["symbol", "candle_begin_time", "close", "source", "received_time"]
    assert sources["source"].to_list() == ["rest", "stream", "stream"]


def test_a_market_shows_its_window_a_symbol_all_that_is_kept_and_last_the_newest_periods(tmp_path: Path) -> None:
    market_in(tmp_path, num_candles=5)
    stream(folder_in(tmp_path), [*candles(["AUSDT"], NOON, 30), candle("BUSDT", NOON + 28 * MINUTE)])
    market = Market(tmp_path)
    assert market.candles().height == 6
    assert market.candles(["AUSDT"]).height == 30
    assert market.candles(["AUSDT", "NONE"]).height == 30
    assert market.candles([]).height == 0
    assert market.candles(last=1)["symbol"].to_list() == ["AUSDT"]
    assert market.candles(last=2).height == 3
    assert market.candles(last=0).height == 0
    with pytest.raises(UnknownWordError, match="close"):
        market.candles(columns=["closs"])


def test_ready_is_what_candles_has_of_that_run_time(tmp_path: Path) -> None:
    market_in(tmp_path)
    stream(folder_in(tmp_path), [*candles(["AUSDT"], NOON, 3), candle("BUSDT", NOON + MINUTE)])
    market = Market(tmp_path)
    assert market.ready(from_ms(NOON)) == set()
    assert market.ready(from_ms(NOON + MINUTE)) == {"AUSDT"}
    assert market.ready(from_ms(NOON + 2 * MINUTE)) == {"AUSDT", "BUSDT"}
    with pytest.raises(NaiveTimeError):
        market.ready(datetime(2026, 11, 22))  # noqa: DTZ001 - that is what is refused


def test_an_empty_market_gives_empty_answers_of_the_same_shape(tmp_path: Path) -> None:
    market_in(tmp_path)
    market = Market(tmp_path)
    assert market.candles().columns == ["symbol", "candle_begin_time", *VALUES]
    assert market.candles(last=3).is_empty()
    assert market.ready(from_ms(NOON)) == set()
    assert market.symbols() == []
    assert market.ledger(from_ms(NOON)) is None
    assert market.exchange_info().is_empty()
    assert market.funding_rates().is_empty()
    assert market.revisions() == []
    frame = CandleFileReader(tmp_path / "usdt_perp_1m").read_candle("AUSDT")
    assert list(frame.columns) == ["candle_begin_time", *VALUES]
    assert frame.index.name == "candle_end_time"


def test_bmacs_reader_gives_the_run_time_as_index_and_at_most_the_window(tmp_path: Path) -> None:
    market_in(tmp_path, num_candles=4)
    stream(folder_in(tmp_path), candles(["AUSDT", "BUSDT"], NOON, 6))
    reader = CandleFileReader(tmp_path / "usdt_perp_1m", "parquet")
    frame = reader.read_candle("AUSDT")
    assert list(frame.columns) == ["candle_begin_time", *VALUES]
    assert len(frame) == 4
    assert frame.index[-1] == pd.Timestamp("2026-11-22 12:06", tz="UTC")
    assert (frame.index - frame["candle_begin_time"] == timedelta(minutes=1)).all()
    assert frame["close"].iloc[-1] == candle("AUSDT", NOON + 5 * MINUTE).close
    assert frame.dtypes["trade_num"] == "int64"
    frame.loc[:, "close"] = 0.0  # a strategy may write into what it was given
    assert reader.check_ready("AUSDT", from_ms(NOON + MINUTE))
    assert not reader.check_ready("AUSDT", from_ms(NOON))
    assert reader.get_all_symbols() == ["AUSDT", "BUSDT"]
    assert (reader.has_symbol("BUSDT"), reader.has_symbol("CUSDT")) == (True, False)
    (tmp_path / "config.json").write_text("{ half a co")
    assert len(reader.read_candle("AUSDT")) == 6, "somebody edits the config: candles are read all the same"


def test_a_folder_of_another_format_is_refused(tmp_path: Path) -> None:
    market_in(tmp_path)
    (tmp_path / "format.json").write_text('{"format_version": 99}')
    with pytest.raises(FolderVersionError, match="99"):
        Market(tmp_path)
    (tmp_path / "format.json").write_text("{")
    with pytest.raises(FolderVersionError):
        CandleFileReader(tmp_path / "usdt_perp_1m")


def test_names_may_come_in_any_collection_each_once_but_not_as_one_text(tmp_path: Path) -> None:
    folder = market_in(tmp_path)
    stream(folder, candles(["BTCUSDT", "ETHUSDT"], NOON, 3))
    market = Market(tmp_path)
    expected = market.candles(["BTCUSDT", "ETHUSDT"])
    for names in (
        {"BTCUSDT", "ETHUSDT"},
        pl.Series(["BTCUSDT", "ETHUSDT"]),
        pd.Index(["BTCUSDT", "ETHUSDT", "BTCUSDT"]),
        (name for name in ("BTCUSDT", "ETHUSDT")),
    ):
        assert market.candles(names).equals(expected)
    for twice in (["close", "close"], ["close", "source"]):
        columns = market.candles(columns=twice, source=True).columns
        assert columns == ["symbol", "candle_begin_time", "close", "source", "received_time"]
    for wrong in ({"symbols": "BTCUSDT"}, {"columns": "close"}, {"symbols": [None]}):
        with pytest.raises(TypeError, match=r"list|text"):
            market.candles(**wrong)
    with pytest.raises(TypeError, match="not a list"):
        market.funding_rates("BTCUSDT")


async def test_a_wait_for_one_text_or_for_a_time_that_is_none_is_refused_at_once(tmp_path: Path) -> None:
    folder = market_in(tmp_path)
    stream(folder, [candle("BTCUSDT")])
    market = Market(tmp_path)
    with pytest.raises(TypeError, match="not a list"):
        await market.wait_ready("BTCUSDT", from_ms(NOON), timeout=60)
    with pytest.raises(TypeError, match="no datetime"):
        market.ready("2026-11-22T07:05:00Z")  # type: ignore[arg-type]  # that is what is tested


async def test_hundreds_wait_at_the_same_time_with_one_watcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watchers = []

    def counted(*arguments: object) -> object:
        watchers.append(RustNotify(*arguments))
        return watchers[-1]

    monkeypatch.setattr(watchfiles.main, "RustNotify", counted)
    folder = market_in(tmp_path)
    symbols = [f"S{number}USDT" for number in range(300)]  # more than the 128 watchers that the kernel allows a user
    stream(folder, [candle("BTCUSDT")])
    market = Market(tmp_path)
    run_time = from_ms(NOON + MINUTE)
    waits = [asyncio.create_task(market.wait_ready([symbol], run_time, timeout=60)) for symbol in symbols]
    await asyncio.sleep(0.2)
    stream(folder, [candle(symbol) for symbol in symbols])
    await asyncio.gather(*waits)
    assert len(watchers) == 1


async def test_a_wait_ends_where_nothing_more_can_be_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise WatchfilesRustInternalError("Error creating recommended watcher: Too many open files (os error 24)")

    folder = market_in(tmp_path)
    stream(folder, [candle("BTCUSDT")])
    monkeypatch.setattr(watchfiles.main, "RustNotify", refuses)
    waiting = asyncio.create_task(Market(tmp_path).wait_ready(["ETHUSDT"], from_ms(NOON + MINUTE), timeout=60))
    await asyncio.sleep(0.3)
    stream(folder, [candle("ETHUSDT")])
    await waiting


async def test_waiting_ends_when_the_last_symbol_is_written_and_names_what_did_not_come(tmp_path: Path) -> None:
    folder = market_in(tmp_path)
    market, run_time = Market(tmp_path), from_ms(NOON + MINUTE)
    stream(folder, [candle("AUSDT")])
    waiting = asyncio.create_task(market.wait_ready(["AUSDT", "BUSDT"], run_time, timeout=30))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    stream(folder, [candle("BUSDT")])
    await waiting
    with pytest.raises(NotReadyError, match="CUSDT"):
        await market.wait_ready(["AUSDT", "CUSDT"], run_time, timeout=0.05)
    with pytest.raises(NotReadyError, match="no record"):
        await market.wait_complete(run_time, timeout=0.05)


def record(run_ms: int, **facts: object) -> LedgerRecord:
    plain = {"expected": 1, "by_stream": 1, "by_rest": 0, "missing": [], "excused": {}, "complete": True}
    return LedgerRecord(run_time=from_ms(run_ms), **(plain | facts))  # type: ignore[arg-type] # plain values of the fields


def test_the_ledger_gives_back_what_was_put_and_forgets_only_whole_files(tmp_path: Path) -> None:
    folder = folder_in(tmp_path)
    ledger = Ledger(folder)
    records = {NOON + index * MINUTE: record(NOON + index * MINUTE) for index in range(200)}
    ledger.put(records.values())
    assert ledger.between(NOON, NOON + 500 * MINUTE) == records
    assert ledger.between(NOON + 5 * MINUTE, NOON + 6 * MINUTE) == {
        run_ms: records[run_ms] for run_ms in (NOON + 5 * MINUTE, NOON + 6 * MINUTE)
    }
    changed = record(NOON + MINUTE, complete=False, missing=["AUSDT"])
    ledger.put([changed])
    assert ledger.get(from_ms(NOON + MINUTE)) == changed
    assert ledger.get(from_ms(NOON)) == records[NOON]
    ledger.forget_before(NOON + 100 * MINUTE)
    assert ledger.between(NOON + 100 * MINUTE, NOON + 500 * MINUTE).keys() == {
        run_ms for run_ms in records if run_ms >= NOON + 100 * MINUTE
    }
    with pytest.raises(NaiveTimeError):
        ledger.get(datetime(2026, 11, 22))  # noqa: DTZ001 - that is what is refused


def test_revisions_are_kept_for_ever_even_when_every_candle_file_is_deleted(tmp_path: Path) -> None:
    folder = folder_in(tmp_path)
    for variant in (1, 2, 3):
        stored = {("AUSDT", NOON): (candle("AUSDT", NOON, variant - 1), "stream")}
        store_revisions(folder, differences(stored, [candle("AUSDT", NOON, variant)], "test"))
        for path in folder.candles.glob("*.parquet"):
            path.unlink()
        assert [each.new.trade_num for each in read_revisions(folder)] == list(range(2, variant + 2))
    (folder.revisions / ".tmp-1-000000000009.jsonl").write_bytes(b"half of a")
    assert len(read_revisions(folder)) == 3
    next(folder.revisions.glob("0*.jsonl")).write_bytes(b"half of a")
    with pytest.raises(FolderError, match="damaged"):
        read_revisions(folder)


def test_a_revision_wins_over_a_block_and_goes_into_the_next_one(tmp_path: Path) -> None:
    folder = folder_in(tmp_path)
    rows = candles(["AUSDT", "BUSDT"], NOON, 16)
    stream(folder, rows)
    clock = {"exchange_ms": NOON + 300 * MINUTE, "window_ms": NOON, "active": ["AUSDT", "BUSDT"]}
    compact(folder, **clock)  # type: ignore[arg-type] # plain values
    told = candle("AUSDT", NOON + 3 * MINUTE, variant=9)
    store_revisions(folder, differences({("AUSDT", told.begin_ms): (rows[3], "stream")}, [told], "test"))
    market_in(tmp_path, num_candles=400)
    market = Market(tmp_path)
    before = market.candles(source=True)
    assert before.filter(pl.col("source") == "revision")["close"].to_list() == [told.close]
    assert before.height == 32
    assert compact(folder, **clock) == 1  # type: ignore[arg-type] # plain values
    assert market.candles(source=True).equals(before)


def test_of_an_overlay_that_a_block_has_absorbed_in_part_only_the_rest_is_read(tmp_path: Path) -> None:
    folder = folder_in(tmp_path)
    old_ms, new_ms = NOON, NOON + 200 * MINUTE  # the second is not sealed when the first is compacted
    stream(folder, [candle("AUSDT", old_ms), candle("AUSDT", new_ms)])

    def compacts() -> None:
        compact(folder, exchange_ms=new_ms + 2 * MINUTE, window_ms=NOON, active=["AUSDT"])

    def revise(before: dict[int, int], variant: int) -> None:
        stored = {("AUSDT", begin): (candle("AUSDT", begin, was), "stream") for begin, was in before.items()}
        truth = [candle("AUSDT", begin, variant) for begin in before]
        store_revisions(folder, differences(stored, truth, "test"))

    compacts()
    revise({old_ms: 0, new_ms: 0}, 1)
    compacts()
    revise({old_ms: 1}, 2)
    compacts()
    assert read_candles(folder)["trade_num"].to_list() == [3, 2]


def test_rest_leaves_what_the_stream_has_delivered_meanwhile_as_it_is(tmp_path: Path) -> None:
    folder = folder_in(tmp_path)
    stream(folder, [candle("AUSDT", NOON)])
    rows = [candle("AUSDT", NOON, variant=1), candle("BUSDT", NOON, variant=1)]
    assert store_rest(folder, rows, received_ms=NOON, racing_from_ms=NOON) == 1
    assert read_candles(folder)["trade_num"].to_list() == [1, 2]


def test_exchange_info_is_kept_with_its_history_and_a_change_within_a_second_is_the_newer(tmp_path: Path) -> None:
    store = ExchangeInfoStore(folder_in(tmp_path))
    moment = datetime(2026, 11, 22, 7, 0, 1, tzinfo=UTC)
    one, two, three = ([{"symbol": "AUSDT", "status": status}] for status in ("TRADING", "BREAK", "HALT"))
    assert store.latest() is None
    assert store.save(one, moment)
    assert not store.save(one, moment + timedelta(days=1))
    assert store.save(two, moment)
    assert store.save(three, moment - timedelta(hours=1)), "the clock went back"
    assert store.latest() == three
    assert store.at(moment - timedelta(seconds=1)) is None
    assert store.at(moment) == three
    store.versions()[-1].write_bytes(b"")
    assert store.latest() == two
    assert store.save(two, moment + timedelta(hours=1)), "what is damaged is replaced"
    assert store.latest() == two
