"""What lies in a market's folder and is none of its files: nobody waits for it, nobody reads it."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from kit import CandleFileReader, Market
from kit.buffer.damage import put_aside
from kit.buffer.exchange_info import ExchangeInfoStore
from kit.buffer.funding import FundingRate, FundingStore
from kit.buffer.layout import Folder, parse_name
from kit.buffer.read import read_candles
from kit.errors import DamagedFileError, FolderError, TimeRangeError
from kit.words import Interval, TradeType, to_ms
from tests.builders import MINUTE, NOON, candles, folder_in, stream

ODD: dict[str, Callable[[Path], None]] = {"pipe": os.mkfifo, "folder": Path.mkdir}
RATE = FundingRate("AUSDT", datetime(2026, 11, 22, 8, tzinfo=UTC), 0.0001, 7.5, "Regular")


@pytest.mark.parametrize("kind", ODD)
def test_a_pipe_or_a_folder_under_the_name_of_a_file_is_passed_over(tmp_path: Path, kind: str) -> None:
    folder = folder_in(tmp_path)
    stream(folder, candles(["AUSDT"], NOON, 3))
    info, funding = ExchangeInfoStore(folder), FundingStore(folder)
    info.save([{"symbol": "AUSDT", "status": "TRADING"}], datetime(2026, 11, 22, tzinfo=UTC))
    funding.add([RATE])
    for path in (
        folder.stream_path(NOON + 9 * MINUTE, 7),
        folder.flow_path("block", NOON, NOON + 9 * MINUTE, 9),
        folder.exchange_info / "20261123T000000Z.parquet",
        folder.funding / "202612.parquet",
    ):
        ODD[kind](path)
    assert read_candles(folder).height == 3
    assert [row["symbol"] for row in info.latest() or []] == ["AUSDT"]
    assert funding.read().height == 1


@pytest.mark.parametrize("kind", ODD)
def test_one_in_the_place_of_the_month_that_is_to_be_written_is_put_aside(tmp_path: Path, kind: str) -> None:
    folder = folder_in(tmp_path)
    store = FundingStore(folder)
    folder.funding.mkdir()
    ODD[kind](folder.funding / "202611.parquet")
    with pytest.raises(DamagedFileError) as refused:
        store.add([RATE])
    assert put_aside(Path(refused.value.path))
    assert store.add([RATE]) == 1


@pytest.mark.parametrize("name", ["202613.parquet", "2026.parquet", "20261122.parquet", "1.parquet", "999912.parquet"])
def test_a_file_whose_name_is_no_month_stops_no_reading_of_funding_rates(tmp_path: Path, name: str) -> None:
    folder = folder_in(tmp_path)
    store = FundingStore(folder)
    store.add([RATE])
    (folder.funding / name).write_bytes(b"not one of ours")
    assert store.read().height == 1


def test_a_folder_whose_name_is_no_text_is_refused_in_words(tmp_path: Path) -> None:
    base_dir = Path(os.fsdecode(os.fsencode(tmp_path) + b"/m\xff"))
    folder = Folder(base_dir, TradeType.USDT_PERP, Interval.M1)
    with pytest.raises(FolderError, match="not UTF-8"):
        folder.open_for_writing()
    with pytest.raises(FolderError, match="not UTF-8"):
        CandleFileReader(folder.candles)
    assert folder_in(tmp_path / "市场").check_version()


@pytest.mark.parametrize(
    "moment",
    [
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-12))),
    ],
)
def test_a_time_where_datetime_ends_is_refused_in_words_by_all_that_read(tmp_path: Path, moment: datetime) -> None:
    (tmp_path / "config.json").write_text('{"interval": "12h", "trade_type": "usdt_perp"}')
    folder = folder_in(tmp_path, interval=Interval.H12)
    market, reader = Market(tmp_path), CandleFileReader(folder.candles)
    for read in (market.ledger, market.ready, market.factors, market.exchange_info):
        with pytest.raises(TimeRangeError, match="2 to 9998"):
            read(moment)
    with pytest.raises(ValueError, match="2 to 9998"):
        reader.check_ready("AUSDT", moment)
    assert parse_name("stream_00010101T000000Z_1.parquet") is None
    assert market.ledger(datetime(2, 1, 1, tzinfo=UTC)) is None
    assert to_ms(datetime(9998, 12, 31, tzinfo=UTC)) > 0
