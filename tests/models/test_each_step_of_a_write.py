"""A reader may look between any two system calls of a write; the power may go there, too."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from unittest import mock

import pytest

from kit.buffer import compaction
from kit.buffer.compaction import compact
from kit.buffer.fills import store_rest
from kit.buffer.layout import Folder
from kit.buffer.read import read_candles
from kit.buffer.slices import SliceWriter
from tests.buffer.disk import Accident, How, disk_with
from tests.builders import MINUTE, NOON, candle, candles, folder_in, stream

SYMBOLS = [f"S{number}USDT" for number in range(6)]
WATCHED = Accident(0, How.WATCHED)


@pytest.mark.parametrize("save_type", ["parquet", "feather"])
def test_a_reader_sees_what_one_flush_adds_to_a_period_whole_or_not_at_all(tmp_path: Path, save_type: str) -> None:
    folder = folder_in(tmp_path, save_type=save_type)
    writer = SliceWriter(folder)
    seen: list[int] = []
    with disk_with(WATCHED, lambda: seen.append(read_candles(folder).height)):
        for batch in (SYMBOLS[:4], SYMBOLS[4:]):
            for symbol in batch:
                writer.add(candle(symbol), NOON + MINUTE + 300, NOON + MINUTE + 310)
            writer.flush()
    assert set(seen) == {0, 4, 6}
    assert seen == sorted(seen)


def test_no_step_of_a_compaction_takes_a_candle_away(tmp_path: Path) -> None:
    folder = folder_in(tmp_path)
    stream(folder, candles(SYMBOLS, NOON, 24))
    whole = read_candles(folder)
    with (
        mock.patch.object(compaction, "GRACE", mock.Mock(total_seconds=lambda: -1.0)),
        disk_with(WATCHED, lambda: _the_same(folder, whole.height)),
    ):
        assert compact(folder, exchange_ms=NOON + 60 * MINUTE, window_ms=NOON, active=SYMBOLS) > 0
    assert read_candles(folder).equals(whole)


def _the_same(folder: Folder, rows: int) -> None:
    assert read_candles(folder).height == rows


def test_a_file_gets_its_name_when_its_bytes_are_on_the_disk_and_the_folder_is_made_durable_after_it(
    tmp_path: Path,
) -> None:
    folder = folder_in(tmp_path)
    synced: set[int] = set()
    not_durable: set[int] = set()
    real_fsync, real_rename = os.fsync, os.rename

    def fsync(descriptor: int) -> None:
        what = os.fstat(descriptor)
        synced.add(what.st_ino)
        if stat.S_ISDIR(what.st_mode):
            not_durable.discard(what.st_ino)
        real_fsync(descriptor)

    def rename(source: Path, target: Path) -> None:
        assert Path(source).stat().st_ino in synced, "named before its bytes are on the disk"
        not_durable.add(Path(target).parent.stat().st_ino)
        real_rename(source, target)

    with mock.patch("os.fsync", fsync), mock.patch("os.rename", rename):
        stream(folder, candles(SYMBOLS, NOON, 10))
        store_rest(folder, candles(["RUSDT"], NOON, 10), received_ms=NOON, racing_from_ms=NOON + 9 * MINUTE)
        compact(folder, exchange_ms=NOON + 60 * MINUTE, window_ms=NOON, active=SYMBOLS)
    assert synced
    assert not not_durable
