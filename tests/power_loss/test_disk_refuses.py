"""Each single call that changes the disk is refused once: what was there stays, the error says where, and doing it
again does it."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.buffer.files import TEMPORARY_PREFIX
from kit.buffer.locks import hold
from kit.buffer.slices import SliceWriter
from kit.errors import FolderError
from kit.words import from_ms
from tests.builders import MINUTE, NOON, candle, folder_in
from tests.flows.market_on_disk import CANDLES, beside
from tests.power_loss.layer import Layer
from tests.power_loss.reader import Reader, candles_in
from tests.power_loss.work import Judge, Work

pytestmark = pytest.mark.xdist_group("kills")

GROWS = ("open", "write", "pwrite", "fsync", "close", "mkdir", "rename", "ftruncate")
"""What a full disk may refuse; to delete is always possible on one."""

EACH_OF = 16
"""Calls of a step that are refused one by one; of what comes after them, the same again and again, each ninth."""

KINDS: dict[str, tuple[int, bool]] = {
    "the disk is full until room is made": (errno.ENOSPC, True),
    "the quota is used up until room is made": (errno.EDQUOT, True),
    "one call fails": (errno.EIO, False),
    "one call is not permitted": (errno.EACCES, False),
}


class Refusing:
    """Refuses the call number ``at``; all from there on, too, where the disk stays full."""

    def __init__(self, root: Path, number: int, at: int, *, stays: bool) -> None:
        self._root, self._number, self._at, self._stays = root, number, at, stays
        self.calls = self.refused = 0
        self.last = ""

    def __call__(self, call: str, path: str) -> None:
        self.calls += 1
        if self._stays and call not in GROWS:
            return
        if self.calls == self._at or (self._stays and self.refused and self.calls > self._at):
            self.refused, self.last = self.refused + 1, call
            named = call in ("open", "mkdir", "rename", "unlink")  # calls on open files name no path
            raise OSError(self._number, os.strerror(self._number), *([str(self._root / path)] if named else []))


def tree_of(root: Path) -> tuple[tuple[str, bytes | None], ...]:
    paths = sorted(root.rglob("*"))
    return tuple((path.relative_to(root).as_posix(), None if path.is_dir() else path.read_bytes()) for path in paths)


class Bench:
    """A life in which each step is refused at each of its calls before it is done at last."""

    def __init__(self, path: Path) -> None:
        self.path, self.refusals, self.done = path, 0, 0
        self.root = path / "live"
        self.root.mkdir()
        self.work = Work(self.root)
        self.work.promises.now = lambda: self.done
        after = path / "after"
        after.mkdir()
        self.reader: Reader = self.work.reader(after)

    def refuse_each_call_of(self, name: str, step: Callable[[], None], number: int, *, stays: bool) -> None:
        saved = self.path / "saved"
        shutil.copytree(self.root, saved)
        promises, truth = self.work.promises.copy(), dict(self.work.truth)
        at, hit = 0, True
        while hit:
            at += 1 if at < EACH_OF else 9
            hit = self._refuse(name, step, Refusing(self.root, number, at, stays=stays))
            if hit:
                shutil.rmtree(self.root)
                shutil.copytree(saved, self.root)
                self.work.promises, self.work.truth = promises.copy(), dict(truth)
        shutil.rmtree(saved)

    def _refuse(self, name: str, step: Callable[[], None], refusing: Refusing) -> bool:
        """Whether there was anything to refuse; the step is done afterwards."""
        layer = Layer(self.root, before=refusing)
        problem: Exception | None = None
        with layer.installed():
            try:
                step()
            except (OSError, FolderError) as error:
                problem = error
        self.done += 1
        if refusing.refused:
            self.refusals += 1
            self._check(f"{name}, call {refusing.calls}")
            if problem is not None:
                assert str(self.root) in str(problem), (name, problem)
            left = list(self.root.rglob(f"{TEMPORARY_PREFIX}*"))
            assert not left or refusing.last == "unlink", (name, left)
            for writer in ("streamer", "flow"):
                with hold(self.work.folder, writer):
                    pass
            step()
        self.done += 1
        self._check(name)
        return refusing.refused > 0

    def _check(self, name: str) -> None:
        problems = Judge(self.work.promises).problems(self.reader.find(tree_of(self.root)), self.done)
        assert not problems, (name, problems[:3])


@pytest.mark.parametrize("kind", list(KINDS)[::2])
def test_every_call_of_every_write_may_be_refused(tmp_path: Path, kind: str) -> None:
    number, stays = KINDS[kind]
    bench = Bench(tmp_path)
    for name, step in bench.work.steps():
        if name in ("more slices", "racing fill"):  # many of the same
            step()
        else:
            bench.refuse_each_call_of(name, step, number, stays=stays)
    assert bench.refusals > 150
    print(f"{bench.refusals} calls refused")  # noqa: T201 - what was done, for whoever asks pytest with -s


@pytest.mark.parametrize("kind", KINDS)
def test_a_streamers_candles_stay_in_memory_and_are_written_when_the_disk_is_back(tmp_path: Path, kind: str) -> None:
    number, stays = KINDS[kind]
    for at in range(1, 7):
        folder = folder_in(tmp_path / f"{at}")
        writer = SliceWriter(folder)
        rows = [candle(symbol, NOON + minute * MINUTE) for symbol in ("AUSDT", "BUSDT") for minute in range(2)]
        for row in rows:
            assert writer.add(row, row.begin_ms + MINUTE + 500, NOON)
        with (
            Layer(folder.base_dir, before=Refusing(folder.base_dir, number, at, stays=stays)).installed(),
            pytest.raises(OSError, match=str(folder.candles)),
        ):
            writer.flush()
        assert writer.pending in (2, 4), "of two periods one may have been written"
        writer.flush()
        assert writer.pending == 0
        assert set(candles_in(folder).values()) == set(rows)


def test_what_is_too_late_makes_room_even_while_the_disk_refuses(tmp_path: Path) -> None:
    folder = folder_in(tmp_path)
    writer = SliceWriter(folder)
    with Layer(tmp_path, before=Refusing(tmp_path, errno.ENOSPC, 1, stays=True)).installed():
        for minute in range(20):
            row = candle("AUSDT", NOON + minute * MINUTE)
            assert writer.add(row, row.begin_ms + MINUTE + 500, NOON)
            with pytest.raises(OSError, match="No space"):
                writer.flush()
            assert writer.pending <= 3
    flushed = writer.flush()
    assert (flushed.rows, flushed.too_late) == (2, 18), "what is older than two minutes has been sealed"
    assert {row.begin_ms for row in candles_in(folder).values()} == {NOON + minute * MINUTE for minute in (18, 19)}


@pytest.mark.parametrize("first", [1, 4])
async def test_a_period_on_a_disk_that_refuses_is_never_called_complete_falsely(tmp_path: Path, first: int) -> None:
    async with beside(tmp_path, symbols=3, config={"resample": {"interval": "5m"}}) as at:
        run_ms = at.run_ms()
        refused, number = True, first
        while refused:
            shutil.rmtree(at.base_dir / "usdt_perp_1m", ignore_errors=True)
            shutil.rmtree(at.base_dir / "exginfo_1m", ignore_errors=True)
            refusing = Refusing(at.base_dir, errno.ENOSPC, number, stays=True)
            with Layer(at.base_dir, before=refusing).installed():
                try:
                    record = (await at.run(run_ms)).record
                except (OSError, FolderError) as problem:
                    record = None
                    assert str(at.base_dir) in str(problem)  # noqa: PT017 - a period may as well go well
            for said in (record, at.market.ledger(from_ms(run_ms))):
                if said is not None and said.complete:
                    assert len(at.market.ready(from_ms(run_ms))) == said.by_rest == said.expected
            refused, number = refusing.refused > 0, number + 9
        assert (await at.run(run_ms)).record.complete
        for symbol, kept in at.stored().items():
            assert kept == at.truth(symbol, run_ms - CANDLES * MINUTE, run_ms - MINUTE)


FULL_DISK = """
import os, resource, sys
from pathlib import Path
from tests.builders import MINUTE, NOON, candle, folder_in
from kit.buffer.slices import SliceWriter
from tests.power_loss.reader import candles_in, check_file

root, how = Path(sys.argv[1]), sys.argv[2]
folder = folder_in(root)
writer, ballast = SliceWriter(folder), root / "ballast"
symbols = [f"S{number}USDT" for number in range(200)]
rows = [candle(symbol, NOON + minute * MINUTE) for minute in range(2) for symbol in symbols]
for row in rows[:200]:
    writer.add(row, NOON + MINUTE + 500, NOON)
writer.flush()
if how == "full":
    file = ballast.open("wb", buffering=0)
    try:
        while True:
            file.write(bytes(4096))
    except OSError:
        file.close()
else:
    resource.setrlimit(resource.RLIMIT_FSIZE, (9000, resource.RLIM_INFINITY))
for row in rows[200:]:
    writer.add(row, NOON + 2 * MINUTE + 500, NOON)
try:
    writer.flush()
    sys.exit("the disk took it")
except OSError as error:
    print(error)
    assert str(root) in str(error), error
assert writer.pending == 200
assert set(candles_in(folder).values()) == set(rows[:200])
assert not list(root.rglob(".tmp-*"))
ballast.unlink(missing_ok=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
writer.flush()
assert set(candles_in(folder).values()) == set(rows)
for path in root.rglob("*.parquet"):
    check_file(path)
"""


@pytest.mark.parametrize("how", ["full", "limited"])
def test_a_disk_that_is_really_full_or_a_file_that_may_not_grow(tmp_path: Path, how: str) -> None:
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path), how]
    if how == "full":
        small = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
        mount = 'mount -t tmpfs -o size=200k none "$0"'
        if shutil.which("unshare") is None or subprocess.run([*small, mount, tmp_path], check=False).returncode:
            pytest.skip("this system lets nobody mount a small disk of his own (user namespaces)")
        command = [*small, f'{mount} && exec "$@"', str(tmp_path), *command]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=200, check=False, cwd=Path(__file__).parents[2]
    )
    assert ended.returncode == 0, ended.stderr
    assert ("No space left" if how == "full" else "File too large") in ended.stdout
