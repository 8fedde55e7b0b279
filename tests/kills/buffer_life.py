"""A buffer whose writers are killed again and again, and what has to be so after each time."""

from __future__ import annotations

import random
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from kit.buffer.fills import read_revisions
from kit.buffer.locks import hold
from kit.errors import FolderBusyError
from kit.words import Candle
from tests.builders import MINUTE, NOON
from tests.kills.processes import Writer, Zygote
from tests.kills.roles import ACTIVE, LOOKED_AT, SYMBOLS, WINDOW, folder_of, newest_ms, truth_of
from tests.power_loss.reader import candles_in, check_file, ledger_in

Key = tuple[str, int]
ROLES = {"buffer_streamer": "streamer", "buffer_flow": "flow"}


@dataclass
class Tally:
    """What was done and seen, over all lives."""

    kills: int = 0
    both: int = 0
    stops: int = 0
    stale: int = 0
    compared: int = 0
    files: int = 0
    periods: int = 0

    def __str__(self) -> str:
        return (
            f"{self.kills} processes killed ({self.both} times all at once), {self.stops} stopped and continued "
            f"({self.stale} after their period was compacted), {self.periods} periods, {self.files} files read, "
            f"{self.compared} candles compared"
        )


@dataclass
class BufferLife:
    """One base directory, from its first slice to its last kill."""

    root: Path
    zygote: Zygote
    chance: random.Random
    tally: Tally
    defect: str = ""
    writers: dict[str, Writer] = field(default_factory=dict)
    known: dict[Key, Candle] = field(default_factory=dict)
    promised: set[Key] = field(default_factory=set)
    unsure_until_ms: int = 0
    _checked: set[tuple[str, int, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.folder = folder_of(self.root)
        self.folder.open_for_writing()

    def kill_once(self) -> None:
        """Let the writers work for a moment, kill one or all, and look."""
        for role in ROLES:
            if role not in self.writers:
                more = [self.defect] if role == "buffer_streamer" else []
                self.writers[role] = self.zygote.start(role, self.root, self.chance.randrange(1 << 30), *more)
        victims = self.chance.choice((["buffer_flow"], ["buffer_streamer"], list(ROLES)))
        self.wait_for_lines(self.writers[victims[0]], self.chance.choice((0, 1, 2, 3, 5)), within_s=1.0)
        if self.chance.random() < 0.1:
            self.stop_and_continue(self.chance.choice(list(ROLES)))
        time.sleep(self.chance.random() ** 3 * 0.03)
        doomed = [self.writers.pop(role) for role in victims]
        for writer in doomed:
            writer.send(signal.SIGKILL)
        for writer in doomed:
            writer.kill()
        self.tally.kills += len(doomed)
        self.tally.both += len(doomed) == len(ROLES)
        self.look([*doomed, *self.writers.values()])
        for writer in doomed:
            with hold(self.folder, ROLES[writer.role]):
                pass  # the lock died with it

    def stop_and_continue(self, role: str) -> None:
        """A writer sleeps in the middle of its work. Nobody can take its place; it finds the world changed."""
        writer = self.writers[role]
        writer.send(signal.SIGSTOP)
        self.tally.stops += 1
        if role == "buffer_streamer":
            # Meanwhile, to the flow, its period is long over: it is compacted without what the sleeper still holds.
            (self.root / "ahead").write_text("60")
            self.wait_for_lines(self.writers["buffer_flow"], 6, within_s=5.0)
            self.unsure_until_ms = newest_ms(self.folder) + MINUTE
            self.tally.stale += 1
        try:
            with hold(self.folder, ROLES[role]):
                assert not writer.lines, f"a second {role} was let in beside a stopped one"
        except FolderBusyError:
            pass
        writer.send(signal.SIGCONT)
        time.sleep(0.01)
        (self.root / "ahead").unlink(missing_ok=True)

    @staticmethod
    def wait_for_lines(writer: Writer, more: int, *, within_s: float) -> None:
        """Let a writer say so many things more; not for long, it may not have that much to do."""
        wanted, give_up = len(writer.lines) + more, time.monotonic() + within_s
        while len(writer.lines) < wanted and time.monotonic() < give_up:
            time.sleep(0.002)

    def look(self, writers: list[Writer]) -> None:
        """Everything that was readable or promised is there, equal to what the exchange told; nothing else is."""
        for writer in writers:  # first what was said, then the folder, which may only have more
            for line in writer.lines:
                self.promised |= {(symbol, begin_ms) for symbol, begin_ms in line.get("written", ())}
        complete = {run_ms for (_, run_ms), record in ledger_in(self.folder).items() if record.complete}
        found = {key[1:]: value for key, value in candles_in(self.folder).items()}
        recorded = {(each.old, each.new) for each in read_revisions(self.folder)}
        newest = newest_ms(self.folder)
        for (symbol, begin_ms), value in found.items():
            first, last = truth_of(symbol, begin_ms)
            assert value in (first, last), f"made up: {value}"
            assert value == first or (first, last) in recorded, f"changed without a record: {value}"
            assert begin_ms % MINUTE == 0
            assert begin_ms < newest
        self.tally.compared += len(found)
        lost = {key for key in self.known.keys() | self.promised if key not in found and not self.may_go(key, newest)}
        lost -= {key for key in self.promised - self.known.keys() if key[1] < self.unsure_until_ms}
        assert not lost, f"lost: {sorted(lost)[:5]} of {len(lost)}"
        back = [
            key for key, value in found.items() if key in self.known and value != self.known[key] == truth_of(*key)[1]
        ]
        assert not back, f"a revision was undone: {back[:5]}"
        for run_ms in complete:
            lacking = [symbol for symbol in SYMBOLS if (symbol, run_ms - MINUTE) not in found]
            assert not [s for s in lacking if not self.may_go((s, run_ms - MINUTE), newest)], (
                f"false complete: {run_ms}"
            )
        self.known, self.promised = found, self.promised & found.keys()
        self.read_files()

    @staticmethod
    def may_go(key: Key, newest: int) -> bool:
        """What the market's symbols had before the window."""
        return key[0] in ACTIVE and key[1] + MINUTE < newest - WINDOW * MINUTE

    def read_files(self) -> None:
        """Every file is read by programs other than ours, once; one that is gone by then was absorbed."""
        for path in self.root.rglob("*.*"):
            try:
                status = path.stat()
                stamp = (path.name, status.st_mtime_ns, status.st_size)
                if not path.is_file() or stamp in self._checked:
                    continue
                check_file(path)
            except FileNotFoundError:
                continue
            except AssertionError:
                if path.exists() and path.stat().st_mtime_ns == status.st_mtime_ns:
                    raise
                continue  # replaced by a newer one, or absorbed, while it was read
            self._checked.add(stamp)
            self.tally.files += 1

    def end(self) -> None:
        """Kill all, let a flow do what is left, and compare everything that it looks at with the truth."""
        for writer in self.writers.values():
            writer.kill()
        self.writers = {}
        last = self.zygote.start("buffer_flow", self.root, 0, True)
        assert last.wait() == 0, last.log[-3000:]
        self.unsure_until_ms = 0
        self.look([last])
        newest = newest_ms(self.folder)
        self.tally.periods += (newest - NOON) // MINUTE
        for begin_ms in range(max(NOON, newest - LOOKED_AT * MINUTE), newest, MINUTE):
            for symbol in SYMBOLS:
                first, told_last = truth_of(symbol, begin_ms)
                expected = told_last if begin_ms + MINUTE <= newest - 9 * MINUTE else first
                assert self.known[symbol, begin_ms] in (expected, told_last), (symbol, begin_ms)


def kill_writers(path: Path, *, kills: int, seed: int, kills_a_life: int = 60, defect: str = "") -> Tally:
    """Kill so many writers, in one base directory after the other."""
    chance, tally = random.Random(seed), Tally()
    with Zygote(path / "writers") as zygote:
        for number in range(1 << 30):
            root = path / f"life-{number}"
            root.mkdir(parents=True)
            life = BufferLife(root, zygote, chance, tally, defect)
            until = min(kills, tally.kills + kills_a_life)
            while tally.kills < until:
                life.kill_once()
            life.end()
            if tally.kills >= kills:
                return tally
    raise AssertionError("unreachable")
