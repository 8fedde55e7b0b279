"""What a disk may hold after the power went: the worst that POSIX allows, which is worse than what any one file system
does.

- Bytes of a file are sure once that file was fsynced after they were written. Until then the file may hold them, none
  of them, a part, zeros or rubbish, whatever its name is by then.
- A name (created, renamed, removed, a folder made) is sure once its folder was fsynced afterwards. Until then each such
  change may have happened or not, one without the others; a rename is one change.
- So what lies in a folder whose own name is not sure may be gone with it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, product

from tests.power_loss.layer import Operation

Tree = tuple[tuple[str, bytes | None], ...]
"""Path and content of each file; None: a folder. Sorted, so that equal trees are equal."""

RUBBISH = bytes(byte ^ 0x5A for byte in range(256))

DAMAGE = 5
"""Ways in which bytes that were not fsynced may be found."""


@dataclass
class File:
    """Content that is sure, content as the running system sees it, and the places written in between."""

    sure: bytes = b""
    seen: bytes = b""
    places: list[tuple[int, int]] = field(default_factory=list)

    def write(self, offset: int, data: bytes) -> None:
        """Bytes that are not sure yet."""
        end = offset + len(data)
        self.seen = self.seen[:offset].ljust(offset, b"\0") + data + self.seen[end:]
        self.places.append((offset, end))

    def truncate(self, length: int) -> None:
        """A length that is not sure yet."""
        self.places.append((0, max(len(self.seen), length)))
        self.seen = self.seen[:length].ljust(length, b"\0")

    def make_sure(self) -> None:
        """fsync."""
        self.sure, self.places = self.seen, []

    def found(self, way: int) -> bytes:
        """What is read after the power came back."""
        if way in (0, 1):
            return self.sure if way else self.seen
        read = bytearray(self.seen)
        for first, last in self.places:
            half = (first + last) // 2
            match way:
                case 2:  # half of it came, and of what it replaces the other half is left
                    read[half:last] = self.sure[half:last]
                case 3:
                    read[first:last] = bytes(len(read[first:last]))
                case _:
                    read[half:last] = read[half:last].translate(RUBBISH)
        return bytes(read)


@dataclass(frozen=True)
class Change:
    """A change of names in one folder: what goes (``gone``) and what comes (``name`` -> ``number``)."""

    name: str
    number: int | None
    gone: str | None = None

    def apply(self, names: dict[str, int]) -> None:
        """Do it."""
        if self.gone is not None:
            names.pop(self.gone, None)
        if self.number is None:
            names.pop(self.name, None)
        else:
            names[self.name] = self.number


@dataclass
class Folder:
    """Names that are sure, names as the running system sees them, and the changes in between."""

    sure: dict[str, int] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    pending: list[Change] = field(default_factory=list)

    def change(self, change: Change) -> None:
        """A change that is not sure yet."""
        change.apply(self.seen)
        self.pending.append(change)

    def found(self, kept: tuple[bool, ...]) -> dict[str, int]:
        """The names that are there after the power came back."""
        names = dict(self.sure)
        for change, keep in zip(self.pending, kept, strict=True):
            if keep:
                change.apply(names)
        return names


ROOT = 0


class Disk:
    """The disk below one root, taken through operations one by one."""

    def __init__(self, there_before: Tree = ()) -> None:
        self._things: dict[int, File | Folder] = {ROOT: Folder()}
        for number, (path, content) in enumerate(there_before, start=1):
            parent = self._folder(path.rpartition("/")[0])
            self._things[-number] = Folder() if content is None else File(content, content)
            parent.sure[path.rpartition("/")[2]] = parent.seen[path.rpartition("/")[2]] = -number

    def apply(self, operation: Operation) -> None:
        """One operation happened, as the running system sees it."""
        above, _, name = operation.path.rpartition("/")
        match operation.kind:
            case "create":
                self._things[operation.number] = File()
                self._folder(above).change(Change(name, operation.number))
            case "mkdir":
                self._things[operation.number] = Folder()
                self._folder(above).change(Change(name, operation.number))
            case "unlink":
                self._folder(above).change(Change(name, None))
            case "link":
                self._folder(above).change(Change(name, self._number(operation.source)))
            case "rename":
                source_folder, _, source = operation.source.rpartition("/")
                assert source_folder == above, "a rename from one folder to another is not one change"
                self._folder(above).change(Change(name, self._number(operation.source), gone=source))
            case "write":
                self._file(operation).write(operation.offset, operation.data)
            case "truncate":
                self._file(operation).truncate(operation.offset)
            case "fsync":
                self._make_sure(operation)
            case _:
                raise AssertionError(operation)

    def seen(self) -> Tree:
        """What the running system sees."""
        return self._tree({}, {})

    def crashes(self, chance: random.Random, up_to: int) -> Iterator[Tree]:
        """What may be there when the power goes now: all of it, or ``up_to`` possibilities, the extremes among them.

        A tree may come twice.
        """
        folders = {number: len(thing.pending) for number, thing in self._things.items() if isinstance(thing, Folder)}
        unsure = {number: count for number, count in folders.items() if count}
        torn = [number for number, thing in self._things.items() if isinstance(thing, File) and thing.places]
        flags = sum(unsure.values())
        if 2**flags * DAMAGE ** len(torn) <= up_to:
            drawn = product(*[(True, False)] * flags, *[range(DAMAGE)] * len(torn))
        else:
            drawn = islice(self._draw(flags, len(torn), chance), up_to)
        for choice in drawn:
            names, kept = iter(choice[:flags]), {}
            for number, count in unsure.items():
                kept[number] = tuple(bool(keep) for keep in islice(names, count))
            yield self._tree(kept, dict(zip(torn, choice[flags:], strict=True)))

    @staticmethod
    def _draw(flags: int, files: int, chance: random.Random) -> Iterator[tuple[int, ...]]:
        yield (1,) * flags + (0,) * files
        yield (0,) * flags + (1,) * files
        yield (1,) * flags + (3,) * files
        for at in range(min(flags, 3)):  # each of the newest changes alone, and all but it
            alone = tuple(int(number == flags - 1 - at) for number in range(flags))
            yield alone + (0,) * files
            yield tuple(1 - keep for keep in alone) + (1,) * files
        while True:
            share = chance.random()
            some = tuple(int(chance.random() < share) for _ in range(flags))
            yield some + tuple(chance.randrange(DAMAGE) for _ in range(files))

    def _make_sure(self, operation: Operation) -> None:
        thing = self._things[operation.number or self._number(operation.path)]
        if isinstance(thing, File):
            thing.make_sure()
        else:
            thing.sure, thing.pending = dict(thing.seen), []

    def _number(self, path: str) -> int:
        number = ROOT
        for name in path.split("/") if path not in ("", ".") else ():
            folder = self._things[number]
            assert isinstance(folder, Folder)
            number = folder.seen[name]
        return number

    def _folder(self, path: str) -> Folder:
        folder = self._things[self._number(path)]
        assert isinstance(folder, Folder)
        return folder

    def _file(self, operation: Operation) -> File:
        file = self._things[operation.number or self._number(operation.path)]
        assert isinstance(file, File)
        return file

    def _tree(self, kept: dict[int, tuple[bool, ...]], damage: dict[int, int]) -> Tree:
        found: dict[str, bytes | None] = {}

        def walk(number: int, path: str) -> None:
            thing = self._things[number]
            if isinstance(thing, File):
                found[path] = thing.found(damage.get(number, 0))
                return
            if path:
                found[path] = None
            names = thing.found(kept[number]) if number in kept else thing.seen
            for name, below in names.items():
                walk(below, f"{path}/{name}" if path else name)

        walk(ROOT, "")
        return tuple(sorted(found.items()))
