"""The power goes after any write, and the disk has kept what it pleases of what was not fsynced."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kit.buffer import compaction, files, ledger, slices
from kit.buffer.layout import parse_name
from kit.resample import update
from tests.builders import MINUTE, NOON
from tests.power_loss.replay import Life

pytestmark = pytest.mark.xdist_group("kills")

STREAMED_AND_COMPACTED = (
    "opens",
    "first slices",
    "fill",
    "more slices",
    "racing fill",
    "revision",
    "blocks",
    "deletes",
)


class Killed(BaseException):
    """The process dies here; the machine goes on."""


def a_life(path: Path, *names: str, save_type: str = "parquet") -> Life:
    life = Life(path, save_type)
    steps = dict(life.work.steps())
    life.live(*((name, steps[name]) for name in names or steps))
    return life


def test_nothing_that_was_promised_is_lost_nothing_is_torn_and_nothing_is_made_up(tmp_path: Path) -> None:
    life = a_life(tmp_path)
    assert life.everything_was_noted()
    assert life.wrongs(up_to=7) == []
    assert life.crashes > 2000
    assert life.recovered > 10
    print(f"{life.crashes} crashes, {life.recovered} recovered, {life.compared} candles")  # noqa: T201 - for pytest -s


def test_the_same_in_feather_files(tmp_path: Path) -> None:
    life = a_life(tmp_path, *STREAMED_AND_COMPACTED, save_type="feather")
    assert life.everything_was_noted()
    assert life.wrongs(up_to=4) == []


def test_a_period_is_not_called_complete_by_what_the_streamer_has_not_made_durable_yet(tmp_path: Path) -> None:
    """The flow sees a slice between its rename and the fsync of its folder."""
    life = Life(tmp_path)
    life.live(("opens", life.work.opens))
    flushes = []

    def flow_is_quick(call: str, path: str) -> None:
        if call == "open" and path == life.work.folder.candles.name:
            flushes.append(path)
            if len(flushes) == 2:  # of the period's two the one that makes it complete
                life.work.ledger([NOON + MINUTE])

    life.layer.before = flow_is_quick
    life.live(("slices", lambda: life.work.slices(1, 2)))
    assert ("ledger", NOON + 2 * MINUTE) in life.work.promises.kept
    assert life.wrongs(up_to=64) == []


@pytest.mark.parametrize(
    ("before", "dies_in", "then", "each"),
    [
        (("more slices", "racing fill"), "blocks", "deletes", 2),
        (("resample, all", "another asset"), "resample, all again", "resample, all again", 11),
    ],
)
def test_a_process_is_killed_its_successor_works_on_and_then_the_power_goes(
    tmp_path: Path, before: tuple[str, ...], dies_in: str, then: str, each: int
) -> None:
    crashes = 0
    for dies_at in range(1, 60, each):
        life = a_life(tmp_path / str(dies_at), "opens", "first slices", "fill", *before)
        since, calls = len(life.layer.operations), 0

        def dies(call: str, path: str, dies_at: int = dies_at) -> None:
            nonlocal calls
            calls += 1
            if calls == dies_at:
                raise Killed

        life.layer.before = dies
        steps = dict(life.work.steps())
        try:
            life.live((dies_in, steps[dies_in]))
        except Killed:
            pass
        else:
            break
        life.layer.before = None
        life.live((then, steps[then]))
        assert life.wrongs(up_to=4, since=since) == []
        crashes += life.crashes
    assert crashes > 100


# That it would be seen: defects that are put in, and have to be found.


def test_a_rename_before_the_fsync_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(path: Path, data: bytes) -> None:
        temporary = path.with_name(f".tmp-{path.name}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.write(descriptor, data)
        os.rename(temporary, path)  # noqa: PTH104 - the system calls stand side by side, in the wrong order
        os.fsync(descriptor)
        os.close(descriptor)

    monkeypatch.setattr(files, "write_atomically", careless)
    life = a_life(tmp_path, "opens", "first slices")
    wrongs = life.wrongs()
    assert any("cannot be read" in wrong for wrong in wrongs)


def test_a_folder_that_is_not_fsynced_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "sync_folder", lambda path: None)
    life = a_life(tmp_path, "opens", "first slices")
    assert any("lost: ('candle'" in wrong for wrong in life.wrongs())


def test_absorbed_files_deleted_before_the_block_is_durable_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = a_life(tmp_path, "opens", "first slices", "fill", "more slices", "racing fill")
    monkeypatch.setattr(files, "sync_folder", lambda path: None)
    monkeypatch.setattr(compaction, "sync_folder", lambda path: None)
    since = len(life.layer.operations)
    life.live(("deletes", dict(life.work.steps())["deletes"]))
    assert any("lost: ('candle'" in wrong for wrong in life.wrongs(since=since))


def test_a_ledger_that_does_not_wait_for_the_streamers_folder_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "sync_folder", lambda path: None)
    with pytest.raises(AssertionError, match="false complete"):
        test_a_period_is_not_called_complete_by_what_the_streamer_has_not_made_durable_yet(tmp_path)


@pytest.mark.parametrize("careless", [False, True])
def test_a_resample_whose_deletions_are_undone_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, careless: bool
) -> None:
    """Older blocks that come back beside the newer ones, which begin later and so do not hide them."""
    if careless:
        monkeypatch.setattr(update, "sync_folder", lambda path: None)
    life, much_later = Life(tmp_path), 450
    work = life.work
    life.live(("opens", work.opens), ("history", lambda: work.fill(-300, 3)), ("all", lambda: work.resamples(3)))
    life.live(("revision", lambda: work.revises(1)), ("later", lambda: work.fill(much_later - 9, much_later)))
    since = len(life.layer.operations)
    work.folder.base_dir.joinpath("resample_5m", "state.json").write_bytes(b"")
    life.live(("all again", lambda: work.resamples(much_later)))
    assert any("gone back: ('resampled'" in wrong for wrong in life.wrongs(since=since, up_to=9)) is careless


def test_what_is_written_past_the_layer_is_found(tmp_path: Path) -> None:
    life = a_life(tmp_path, "opens", "first slices")
    assert life.everything_was_noted()
    (life.work.folder.candles / "past-it").write_bytes(b"x")
    assert not life.everything_was_noted()
    assert parse_name("past-it") is None
    assert slices.SliceWriter(life.work.folder).pending == 0
