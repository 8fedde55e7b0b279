"""The budget's file: whole after anything, one writer at a time."""

from __future__ import annotations

import fcntl
import os
import random
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from kit.budget.rules import Promise, State, Stop, StopKind
from kit.budget.store import SLOT_BYTES, BusyError, Store
from kit.errors import FolderNotWritableError

if TYPE_CHECKING:
    from pathlib import Path


def counted(state: State) -> tuple[State, int]:
    return replace(state, header=state.header + 1), state.header + 1


def test_a_second_store_reads_what_the_first_wrote(tmp_path: Path):
    first, second = Store(tmp_path / "p"), Store(tmp_path / "p")
    assert [first.update(counted), second.update(counted), first.update(counted)] == [1, 2, 3]
    assert second.read().header == 3
    first.close()
    second.close()


def test_a_torn_write_leaves_the_state_before_it(tmp_path: Path):
    store = Store(tmp_path / "p")
    for _ in range(4):
        store.update(counted)
    whole = (tmp_path / "p").read_bytes()
    newest = 0  # sequence 4 is even, so it is in slot 0
    torn = bytearray(whole)
    torn[newest * SLOT_BYTES + 30] ^= 0xFF
    (tmp_path / "p").write_bytes(bytes(torn))
    assert store.read().header == 3
    store.close()


@pytest.mark.parametrize("seed", range(10))
def test_a_file_of_garbage_is_a_fresh_state(tmp_path: Path, seed: int):
    (tmp_path / "p").write_bytes(random.Random(seed).randbytes(random.Random(seed).randrange(0, 3 * SLOT_BYTES)))
    store = Store(tmp_path / "p")
    assert store.read() == State()
    assert store.update(counted) == 1
    assert store.read().header == 1
    store.close()


def test_a_state_larger_than_one_read_comes_back_whole(tmp_path: Path):
    promises = tuple(Promise(f"{number:012d}", 1, 10, 29_922_480, 1_795_348_800_000) for number in range(300))
    store = Store(tmp_path / "p")
    store.update(lambda state: (replace(state, promises=promises), None))
    assert store.read().promises == promises
    store.close()


def test_a_crowd_that_does_not_fit_is_told_to_wait_and_nothing_is_lost(tmp_path: Path):
    crowd = tuple(Promise(f"{number:012d}", 1, 10, 29_922_480, 1_795_348_800_000) for number in range(5000))
    store = Store(tmp_path / "p")
    store.update(counted)
    with pytest.raises(BusyError):
        store.update(lambda state: (replace(state, promises=crowd), None))
    assert store.read().header == 1
    store.close()


def test_a_lock_held_for_ever_does_not_hold_us(tmp_path: Path):
    store = Store(tmp_path / "p")
    with (tmp_path / "p").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BusyError):
            store.update(counted)
    assert store.update(counted) == 1
    store.close()


def test_a_file_deleted_under_us_is_made_anew(tmp_path: Path):
    store = Store(tmp_path / "p")
    store.update(counted)
    (tmp_path / "p").unlink()
    store.update(counted)
    other = Store(tmp_path / "p")
    assert other.read().header == 1
    store.close()
    other.close()


def test_a_stop_is_on_the_disk_before_anything_else_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    store = Store(tmp_path / "p")
    synced.clear()  # the name of the new file
    store.update(counted)
    assert synced == []
    store.update(lambda state: (replace(state, stop=Stop(StopKind.BAN, 1_795_348_800_000)), None))
    assert len(synced) == 1
    store.update(counted)
    assert len(synced) == 2, "two writes that are not on the disk could both be torn, and the stop with them"
    store.close()


def test_a_place_that_cannot_be_written_is_named_with_the_way_out(tmp_path: Path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(FolderNotWritableError, match="BMAC_STATE_DIR"):
        Store(tmp_path / "file" / "p")
