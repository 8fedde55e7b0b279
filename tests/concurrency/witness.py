"""What a reader may see, and what it may not, whatever writers do at the same time.

A single slice file appears and is replaced whole, so the rows of one flush appear together. A period's rows come in
several flushes and files (finals that spread, REST), so a period can be seen growing; but what was seen once stays,
with its values, for as long as it is in what is read. No candle is seen twice, whether the files that a block has
absorbed are still there or not. So no hole appears where there was none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import polars as pl

KEY = ["symbol", "candle_begin_time"]


@dataclass
class Witness:
    """Looks at one read after the other and notes what is wrong.

    ``parts``: the sizes of groups of symbols that are written in one flush, by the first two letters of their names,
    in the order of the flushes; those of every period but the newest are there whole.
    """

    parts: dict[str, int] = field(default_factory=dict)
    reads: int = 0
    failed: int = 0
    problems: list[str] = field(default_factory=list)
    _before: pl.DataFrame | None = None

    def see(self, frame: pl.DataFrame) -> None:
        """A read: symbol, candle_begin_time and values, as the readers give them."""
        self.reads += 1
        keys = frame.select(KEY)
        if keys.is_duplicated().any():
            self.problems.append(f"seen twice: {keys.filter(keys.is_duplicated()).rows()[:3]}")
        if not keys.equals(keys.sort(KEY)):
            self.problems.append("out of order")
        if self._before is not None:
            in_window = self._before.filter(pl.col("candle_begin_time") >= frame["candle_begin_time"].min())
            lost = in_window.join(frame, on=frame.columns, how="anti", nulls_equal=True)
            if not lost.is_empty():
                self.problems.append(f"gone or changed, {len(lost)} candles: {lost.rows()[:3]}")
        if self.parts:
            self._see_parts(frame)
        self._before = frame

    def _see_parts(self, frame: pl.DataFrame) -> None:
        newest = frame["candle_begin_time"].max()
        part = pl.col("symbol").str.head(2)
        counted = frame.group_by("candle_begin_time", part=part).len()
        for begin, name, count in counted.filter(pl.col("part").is_in(list(self.parts))).rows():
            if count != self.parts[name]:
                self.problems.append(f"{count} of {self.parts[name]} rows of one flush: {name} {begin}")
        older = counted.filter(pl.col("candle_begin_time") < newest, pl.col("part").is_in(list(self.parts)))
        halves = older.group_by("candle_begin_time").len().filter(pl.col("len") != len(self.parts))
        if not halves.is_empty():
            self.problems.append(f"older periods are not whole: {halves.rows()[:3]}")
        begins = frame["candle_begin_time"].unique().sort().diff().drop_nulls().unique()
        if len(begins) > 1:
            self.problems.append(f"a period in between is not there: {begins.to_list()}")

    def attempt(self, read: Callable[[], pl.DataFrame], errors: tuple[type[Exception], ...]) -> pl.DataFrame | None:
        """Read, and look at it; a read that fails is counted."""
        try:
            frame = read()
        except errors as error:
            self.failed += 1
            self.problems.append(f"failed: {type(error).__name__}: {error}")
            return None
        if not frame.is_empty():
            self.see(frame)
        return frame
