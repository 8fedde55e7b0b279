"""Real processes: readers while a streamer rewrites slices and a flow compacts and deletes at full speed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pytest

import kit.buffer.read as reading
from kit.buffer.compaction import compact
from kit.buffer.read import read_candles
from kit.buffer.slices import SliceWriter
from tests.builders import MINUTE, NOON, candle, candles, folder_in, stream

WRITER = """
import sys
from datetime import timedelta
from pathlib import Path
import kit.buffer.compaction as compaction
from kit.buffer.compaction import compact
from kit.buffer.slices import SliceWriter
from tests.builders import MINUTE, NOON, candle, folder_in

compaction.GRACE = timedelta(seconds=-1)  # worse than ever in life: deleted at once
folder = folder_in(Path(sys.argv[1]), save_type=sys.argv[2])
writer = SliceWriter(folder)
enough = Path(sys.argv[3])
run_ms = NOON
while not enough.exists():
    run_ms += MINUTE
    for part in range(4):
        for number in range(part, 40, 4):
            writer.add(candle(f"S{number:02}", run_ms - MINUTE), run_ms + 100, run_ms + 110)
        writer.flush()
    compact(folder, exchange_ms=run_ms, window_ms=NOON, active=[])  # none leaves the window, however fast this goes
"""

READER = """
import sys, time
from pathlib import Path
from collections import Counter
from kit.buffer.read import read_candles
from tests.builders import MINUTE, NOON, folder_in
import polars as pl

folder = folder_in(Path(sys.argv[1]), save_type=sys.argv[2])
while read_candles(folder).is_empty():  # the writer begins when the machine lets it
    time.sleep(0.01)
until = time.monotonic() + 3
most = reads = 0
while time.monotonic() < until:
    frame = read_candles(folder)
    keys = frame.select(pl.col("symbol").cast(pl.String), pl.col("candle_begin_time").dt.epoch("ms")).rows()
    assert keys == sorted(set(keys)), "unsorted or doubled"
    assert len(keys) >= most, f"{most} were readable, now {len(keys)}"
    most, reads = len(keys), reads + 1
    periods = Counter(begin for _, begin in keys)
    newest = max(periods, default=0)
    half = {begin: count for begin, count in periods.items() if begin != newest and count != 40}
    assert not half, f"half periods {half}"
    assert not periods or periods[newest] % 10 == 0, "torn between two flushes"
    assert len(periods) == (newest - NOON) // MINUTE + 1 if periods else True, "a period in between is not there"
print(reads, most)
"""


@pytest.mark.parametrize("save_type", ["parquet", "feather"])
def test_no_reader_meets_an_error_or_half_a_period_while_others_write_at_full_speed(
    tmp_path: Path, save_type: str
) -> None:
    folder_in(tmp_path / "m", save_type=save_type)
    enough = tmp_path / "enough"
    writer, *readers = (
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "m"), save_type, str(enough)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for code in (WRITER, READER, READER)
    )
    try:
        for process in readers:
            out, err = process.communicate(timeout=200)
            assert process.returncode == 0, err[-2000:]
            reads, rows = map(int, out.split())
            assert reads > 0
            assert rows > 0
    finally:
        enough.touch()
        _, err = writer.communicate(timeout=200)
        for process in readers:
            process.kill()
    assert writer.returncode == 0, err[-2000:]


@pytest.mark.parametrize("save_type", ["parquet", "feather"])
@pytest.mark.parametrize("at", ["before it is opened", "after it was opened"])
def test_a_file_that_goes_away_between_listing_and_reading_is_no_error(tmp_path: Path, save_type: str, at: str) -> None:
    folder = folder_in(tmp_path, save_type=save_type)
    stream(folder, candles(["AUSDT"], NOON, 40))
    compact(folder, exchange_ms=NOON + 90 * MINUTE, window_ms=NOON, active=["AUSDT"])
    expected = read_candles(folder)
    victim = next(folder.candles.glob("block_*"))
    copy = victim.read_bytes()
    gone = 0

    def vanish() -> None:
        """What compaction does: another file has the same rows, and this one goes."""
        nonlocal gone
        if not gone:
            (folder.candles / victim.name.replace("_0000", "_0009")).write_bytes(copy)
            victim.unlink()
        gone += 1

    if at == "before it is opened":
        real_choose = reading.choose

        def choose(*arguments: object) -> object:
            view = real_choose(*arguments)
            vanish()
            return view

        with mock.patch.object(reading, "choose", choose):
            assert read_candles(folder).equals(expected)
    else:
        real_collect = reading.pl.collect_all

        def collect_all(*arguments: object, **names: object) -> object:
            vanish()
            return real_collect(*arguments, **names)

        with mock.patch.object(reading.pl, "collect_all", collect_all):
            assert read_candles(folder).equals(expected)
    assert gone == 2


def test_a_later_incarnation_never_takes_precedence_even_when_the_clock_went_back(tmp_path: Path) -> None:
    folder = folder_in(tmp_path)
    stream(folder, [candle("AUSDT", NOON, variant=0)])
    with mock.patch.object(time, "time_ns", return_value=1):
        stream(folder, [candle("AUSDT", NOON, variant=1)])
    assert read_candles(folder)["trade_num"].to_list() == [1]


def test_files_of_killed_writers_are_removed_when_they_are_old_and_those_at_work_are_left(tmp_path: Path) -> None:
    folder = folder_in(tmp_path)
    old, young = folder.candles / ".tmp-1-x.parquet", folder.candles / ".tmp-2-x.parquet"
    old.write_bytes(b"")
    young.write_bytes(b"")
    os.utime(old, (time.time() - 3600,) * 2)
    SliceWriter(folder)
    assert not old.exists()
    assert young.exists()
