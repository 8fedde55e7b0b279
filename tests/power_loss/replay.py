"""A life, and what may be left of it when the power goes at any moment: everything that is wrong with that."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.power_loss.disk import Disk, Tree
from tests.power_loss.layer import Layer
from tests.power_loss.reader import candles_in
from tests.power_loss.work import PERIODS, Judge, Work

RECOVERIES = 150
"""One of so many crashes is also worked on afterwards, as the next processes would."""


@dataclass
class Life:
    """A base directory whose every change is noted from its first day."""

    path: Path
    save_type: str = "parquet"
    crashes: int = 0
    recovered: int = 0
    compared: int = 0
    bounds: list[tuple[int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        root = self.path / "live"
        root.mkdir(parents=True)
        self.layer = Layer(root)
        self.work = Work(root, self.save_type)
        self.work.promises.now = lambda: len(self.layer.operations)

    def live(self, *steps: tuple[str, Callable[[], None]]) -> None:
        """Do these steps."""
        with self.layer.installed():
            for name, step in steps:
                step()
                self.bounds.append((len(self.layer.operations), name))

    def everything_was_noted(self) -> bool:
        """Whether all that was noted, done again, gives what is there: nothing was written past the layer."""
        disk = Disk()
        for operation in self.layer.operations:
            disk.apply(operation)
        paths = self.layer.root.rglob("*")
        there = {self._name(path): None if path.is_dir() else path.read_bytes() for path in paths}
        return dict(disk.seen()) == there

    def wrongs(self, *, up_to: int = 16, since: int = 0, seed: int = 1) -> list[str]:
        """Let the power go after each operation from ``since`` on, ``up_to`` times in different ways; what is wrong."""
        after = self.path / f"after-{since}-{seed}"
        after.mkdir()
        reader, judge, disk = self.work.reader(after), Judge(self.work.promises), Disk()
        chance, wrongs = random.Random(seed), []
        for at, operation in enumerate(self.layer.operations, start=1):
            disk.apply(operation)
            for tree in dict.fromkeys(disk.crashes(chance, up_to)) if at > since else ():
                self.crashes += 1
                try:
                    found = reader.find(tree)
                except AssertionError as unreadable:
                    problems = [str(unreadable)]
                else:
                    self.compared += len(found["candle"])
                    problems = judge.problems(found, at)
                    if not problems and self.crashes % RECOVERIES == 0:
                        problems = self._after_recovery(tree)
                if problems:
                    step = next((name for bound, name in self.bounds if bound >= at), "")
                    kinds = {problem.partition(":")[0]: problem for problem in problems}
                    wrongs.append(f"{step}, after {operation.kind} {operation.path}: {'; '.join(kinds.values())}")
        return wrongs

    def _after_recovery(self, tree: Tree) -> list[str]:
        """The next streamer and flow find that tree. What was readable stays, and what is missing can be filled."""
        self.recovered += 1
        root = self.path / f"recovered-{self.recovered}-{self.crashes}"
        root.mkdir()
        write_tree(root, tree)
        work = Work(root, self.save_type)
        before = candles_in(work.folder)
        work.truth = {row[1:]: value for row, value in before.items()}
        work.opens()
        work.slices(PERIODS, PERIODS + 3)
        work.fill(-20, PERIODS + 3)
        work.resamples(PERIODS + 3)
        work.compacts(PERIODS + 3, deletes=True)
        work.factors(PERIODS)
        after = candles_in(work.folder)
        problems = [f"lost in the recovery: {key}" for key, row in before.items() if after.get(key) != row]
        return problems + [
            f"not filled: {key}" for key, row in work.truth.items() if after.get(("candle", *key)) != row
        ]

    def _name(self, path: Path) -> str:
        return path.relative_to(self.layer.root).as_posix()


def write_tree(root: Path, tree: Iterable[tuple[str, bytes | None]]) -> None:
    """The tree below a folder."""
    for path, content in tree:
        if content is None:
            (root / path).mkdir()
        else:
            (root / path).write_bytes(content)
