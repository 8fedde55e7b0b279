"""Reading a whole market, at the worst moment before compaction and just after it."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from tests.bench.buffer_folder import MadeFolder, Sizes
from tests.bench.figures import Figure
from tests.bench.processes import Child

if TYPE_CHECKING:
    from pathlib import Path

    from tests.bench.reference import Reference

REPEATS = 9
TARGETS_S = {
    "all columns": 0.30,
    "closes": 0.10,
    "one symbol": 0.030,
    "one symbol, pandas": 0.030,
    "newest period, ready": 0.010,
    "newest period, candles": 0.010,
}
MB = 1e6


def measure(
    scratch: Path, reference: Reference, *, symbols: int = 750, num_candles: int = 1500
) -> tuple[list[Figure], Sizes]:
    """The figures of both moments, and what writing the folder took. BenchError: the reading process failed."""
    scratch.mkdir()
    made = MadeFolder(scratch / "market", symbols=symbols, num_candles=num_candles)
    sizes = made.fill()
    figures = _read(scratch, made, "before compaction", reference)
    made.one_more()
    figures += _read(scratch, made, "after compaction", reference)
    return figures + _writing(sizes, reference), sizes


def _read(scratch: Path, made: MadeFolder, moment: str, reference: Reference) -> list[Figure]:
    arguments = [str(made.folder.base_dir), str(made.newest_run_ms), str(REPEATS)]
    with Child(f"reading {moment}", ["tests.bench.reading_process", *arguments], scratch) as child:
        taken: dict[str, Any] = child.line(120)
    rows = taken["rows"]
    note = f"{rows['all columns']:,} rows, {made.files()} files"
    references = {
        "all columns": reference.read_market_s,
        "closes": reference.read_market_s,
        "one symbol": reference.read_one_s,
        "one symbol, pandas": reference.read_one_s,
    }
    figures = []
    for name, seconds in taken["seconds"].items():
        title, ms = f"read {name}, {moment}", [value * 1000 for value in seconds]
        compared = references.get(name)
        of_reference = None if compared is None else compared * 1000
        figures.append(
            Figure(
                title,
                "ms",
                statistics.median(ms),
                TARGETS_S[name] * 1000,
                of_reference,
                f"median of {len(ms)}, max {max(ms):.1f} ms; {note}",
            )
        )
    return figures


def _writing(sizes: Sizes, reference: Reference) -> list[Figure]:
    blocks = ", ".join(f"{periods}: {size / MB:.2f}" for periods, size in sorted(sizes.block_bytes.items()))
    return [
        Figure(
            "write one period's slice",
            "ms",
            sizes.flush_s * 1000,
            None,
            reference.period_s * 1000,
            f"whole market, fsync included; {sizes.slice_bytes / 1000:.0f} kB",
        ),
        Figure(
            "blocks written a period",
            "MB",
            sizes.block_bytes_a_period / MB,
            None,
            reference.period_bytes / MB,
            f"sizes of block files in MB by periods: {blocks}",
        ),
    ]
