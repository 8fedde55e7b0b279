"""Which of the files in the candle folder a reader opens, decided from their names alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kit.buffer.layout import CandleFile

Range = tuple[int, int]
"""Run times from first to last in milliseconds, both included."""


@dataclass(frozen=True)
class Overlay:
    """A file of the flow that lies on top of the blocks, but for the run times that a newer block has absorbed."""

    file: CandleFile
    absorbed: tuple[Range, ...]


@dataclass(frozen=True)
class View:
    """What is read of one listing: no candle twice among the blocks, the newer winning elsewhere.

    ``blocks`` (retired ones among them) are disjoint and ascending. ``revisions`` are newest first and win over all;
    then a block's row, then ``rests``, then ``streams`` in the order in which the incarnations began. A row filled
    by REST stays what is read when the stream's final comes after it, until a revision says otherwise.
    """

    blocks: tuple[CandleFile, ...] = ()
    revisions: tuple[Overlay, ...] = ()
    rests: tuple[Overlay, ...] = ()
    streams: tuple[CandleFile, ...] = ()

    @property
    def files(self) -> tuple[CandleFile, ...]:
        """Every file that is read."""
        return (*self.blocks, *(overlay.file for overlay in self.revisions + self.rests), *self.streams)

    @property
    def newest_run_ms(self) -> int | None:
        """The newest run time of which anything can be read, in milliseconds."""
        return max((file.last_ms for file in self.files if file.kind != "retired"), default=None)

    def narrowed(self, first_ms: int, last_ms: int) -> View:
        """Only the files that hold run times from ``first_ms`` to ``last_ms``."""

        def touches(file: CandleFile) -> bool:
            return file.first_ms <= last_ms and first_ms <= file.last_ms

        return View(
            tuple(filter(touches, self.blocks)),
            tuple(overlay for overlay in self.revisions if touches(overlay.file)),
            tuple(overlay for overlay in self.rests if touches(overlay.file)),
            tuple(filter(touches, self.streams)),
        )

    def without_retired(self) -> View:
        """The view of the symbols that are in the market's window."""
        return View(
            tuple(block for block in self.blocks if block.kind == "block"), self.revisions, self.rests, self.streams
        )


def choose(files: Iterable[CandleFile], interval_ms: int) -> View:
    """What to read of a listing of a market with that interval."""
    files = list(files)
    blocks = _chosen_blocks([file for file in files if file.kind in ("block", "retired")])

    def overlays(kind: str) -> tuple[Overlay, ...]:
        of_kind = sorted((file for file in files if file.kind == kind), key=lambda file: -file.seq)
        found = (Overlay(file, _absorbed(file, blocks, interval_ms)) for file in of_kind)
        return tuple(overlay for overlay in found if not _within(overlay.file, overlay.absorbed))

    streams = [file for file in files if file.kind == "stream" and not any(block.contains(file) for block in blocks)]
    streams.sort(key=lambda file: (file.seq, file.first_ms))
    return View(tuple(blocks), overlays("revision"), overlays("rest"), tuple(streams))


def superseded(files: Iterable[CandleFile], view: View) -> list[CandleFile]:
    """The files that no reader chooses any more."""
    kept = set(view.files)
    return [file for file in files if file not in kept]


def _chosen_blocks(blocks: list[CandleFile]) -> list[CandleFile]:
    chosen: list[CandleFile] = []
    for block in sorted(blocks, key=lambda block: -block.seq):
        if not any(newer.contains(block) for newer in chosen):
            chosen.append(block)
    return sorted(chosen, key=lambda block: block.first_ms)


def _absorbed(file: CandleFile, blocks: list[CandleFile], interval_ms: int) -> tuple[Range, ...]:
    """The run times of newer blocks that touch the file, adjacent ones joined."""
    joined: list[Range] = []
    for block in blocks:
        if block.seq > file.seq and block.first_ms <= file.last_ms and file.first_ms <= block.last_ms:
            if joined and block.first_ms - joined[-1][1] <= interval_ms:
                joined[-1] = (joined[-1][0], block.last_ms)
            else:
                joined.append((block.first_ms, block.last_ms))
    return tuple(joined)


def _within(file: CandleFile, ranges: tuple[Range, ...]) -> bool:
    return any(first <= file.first_ms and file.last_ms <= last for first, last in ranges)
