"""Files that somebody else damaged: a disk, a power cut that the disk lied about, a program that writes over them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kit import CandleFileReader
from kit.buffer import read
from kit.buffer.compaction import compact
from kit.buffer.damage import is_torn, put_aside
from kit.buffer.layout import ASIDE, parse_name
from kit.buffer.read import current_view
from kit.errors import DamagedFileError, FolderError
from kit.words import to_ms
from tests.builders import MINUTE, NOON, candle, candles, folder_in, stream
from tests.flows.market_on_disk import CANDLES, Beside, beside, nobody_there

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "half": lambda content: content[: len(content) // 2],
    "zeroed": lambda content: bytes(len(content)),
    "another program's": lambda _: b"PAR1 not one of ours PAR1",
}


def damage(path: Path, how: str) -> None:
    path.write_bytes(DAMAGES[how](path.read_bytes()))


def put_aside_in(at: Beside) -> list[str]:
    return [path.name for path in at.market.folder.candles.glob(f"{ASIDE}*")]


@pytest.mark.parametrize("how", DAMAGES)
async def test_a_damaged_file_in_the_window_is_put_aside_and_what_it_held_is_fetched_again(
    tmp_path: Path, how: str
) -> None:
    async with beside(tmp_path, symbols=2) as at:
        run_ms = at.run_ms()
        await at.run(run_ms)
        sound = at.stored()
        file = max(current_view(at.market.folder).files, key=lambda file: file.last_ms - file.first_ms)
        damage(at.market.folder.candles / file.name, how)
        with pytest.raises(DamagedFileError, match=file.name):
            at.market.candles()
        outcome = await at.run(run_ms)
        assert at.stored() == sound
        assert len(sound["BTCUSDT"]) == CANDLES
        assert outcome.record.complete
        assert all(step.error is None for step in outcome.steps), outcome.steps
        assert put_aside_in(at) == [f"{ASIDE}{file.name}"]
        assert parse_name(put_aside_in(at)[0]) is None


async def test_the_newest_slice_damaged_costs_no_period(tmp_path: Path) -> None:
    async with beside(tmp_path, symbols=2) as at:
        run_ms = at.run_ms()
        await at.run(run_ms - MINUTE)
        stream(at.market.folder, at.truth("BTCUSDT", run_ms - MINUTE, run_ms - MINUTE))
        (slice_,) = at.market.folder.candles.glob("stream_*")
        damage(slice_, "empty")
        outcome = await at.run(run_ms)
        assert (outcome.record.complete, outcome.record.by_rest) == (True, 2)
        assert at.stored()["BTCUSDT"][-1:] == at.truth("BTCUSDT", run_ms - MINUTE, run_ms - MINUTE)


async def test_a_file_that_is_named_for_the_future_is_put_aside_and_the_window_stays_where_it_is(
    tmp_path: Path,
) -> None:
    async with beside(tmp_path, symbols=2) as at:
        run_ms = at.run_ms()
        await at.run(run_ms)
        sound = at.stored()
        folder = at.market.folder
        far = folder.stream_path(to_ms(datetime(2099, 1, 1, tzinfo=UTC)), 7)
        shutil.copy(next(folder.candles.glob("rest_*")), far)
        assert at.stored() != sound, "readers take the newest run time from the names"
        await at.run(run_ms)
        assert at.stored() == sound
        assert put_aside_in(at) == [f"{ASIDE}{far.name}"]


async def test_no_file_is_put_aside_by_a_clock_that_nobody_confirms(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    config: dict[str, object] = {"candle_close_timeout_sec": 0.5}
    async with beside(tmp_path, symbols=2, config=config) as at:
        run_ms = at.run_ms()
        await at.run(run_ms)
        sound = at.stored(["BTCUSDT"])
    monkeypatch.setenv("BMAC_STATE_DIR", str(tmp_path_factory.mktemp("booted")))
    monkeypatch.setattr(time, "time_ns", lambda: (run_ms - 7 * 86_400_000) * 1_000_000)  # an empty battery
    with nobody_there(at.base_dir, **config):
        await at.run(run_ms)
    assert put_aside_in(at) == []
    assert at.stored(["BTCUSDT"]) == sound


def test_compaction_finds_a_torn_file_that_only_readers_of_one_symbol_would_open(tmp_path: Path) -> None:
    folder = folder_in(tmp_path)
    stream(folder, candles(["AUSDT"], NOON, 3))
    reader = CandleFileReader(folder.candles)
    oldest = min(folder.candles.glob("stream_*"))
    damage(oldest, "half")
    with pytest.raises(FolderError):
        reader.read_candle("AUSDT")
    at_once = {"exchange_ms": NOON + 4 * MINUTE, "window_ms": NOON + 3 * MINUTE, "active": ["AUSDT"]}
    with pytest.raises(DamagedFileError, match=oldest.name):
        compact(folder, **at_once)
    assert put_aside(oldest)
    compact(folder, **at_once)
    assert len(reader.read_candle("AUSDT")) == 2


def test_a_sound_file_is_never_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    folder = folder_in(tmp_path)
    stream(folder, candles(["AUSDT"], NOON, 1))
    (slice_,) = folder.candles.glob("stream_*")
    assert not put_aside(slice_)
    assert not is_torn(slice_)
    monkeypatch.setattr(read.pl, "collect_all", refuses)  # as where no more files can be opened
    with pytest.raises(OSError, match="Too many open files"):
        read.read_view(folder, current_view(folder), ["symbol", "candle_begin_time"])
    monkeypatch.undo()
    assert read.read_candles(folder).height == 1


@pytest.mark.parametrize("save_type", ["parquet", "feather"])
def test_torn_is_what_does_not_begin_and_end_as_a_whole_file(tmp_path: Path, save_type: str) -> None:
    folder = folder_in(tmp_path, save_type=save_type)
    stream(folder, [candle("AUSDT")])
    (slice_,) = folder.candles.glob("stream_*")
    whole = slice_.read_bytes()
    assert not is_torn(slice_)
    for size in (0, 1, len(whole) // 2, len(whole) - 1):
        slice_.write_bytes(whole[:size])
        assert is_torn(slice_)
        assert put_aside(slice_) or slice_.exists()
    assert not put_aside(slice_), "it is gone by now"
