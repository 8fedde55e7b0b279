"""The picture of a market's last day: time to complete of each run time, and who is missing. SVG by hand. Pure.

Prefect's two user interfaces (3.8.8) show an image artifact with its whole address as text below it, thousands of
letters across the page; an image inside of markdown they show plainly, and both take a ``data:`` address there.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from kit.outside import printable
from kit.status import FILLED_LATER

if TYPE_CHECKING:
    from kit.buffer.ledger import LedgerRecord

DAY = timedelta(days=1)
FEWEST, MOST = 48, 1500
"""Run times in a picture: long intervals show more than a day, seconds less; each record costs some microseconds."""

WIDTH, LEFT, RIGHT = 720, 46, 12
TOP, HEIGHT, FOOT = 30, 110, 20  # of the columns' part
COLUMNS = 110  # as many as can be told apart at that width
BARS, BAR_HEIGHT = 8, 17
NAME_WIDTH = 150
MAX_NAME_CHARS = 22  # what fits there; the exchange's longest has 25
FLOOR_SEC = 4.0  # the scale never ends below: a quiet day shall look quiet


class Look(Enum):
    """What a column says; the value is its colour. A column of several run times says the worst."""

    UNKNOWN = "#d9dde3"  # no record
    COMPLETE = "#2b9a66"
    LATER = "#d9a62b"  # complete, but only filled long after its close
    INCOMPLETE = "#d1353f"


SEVERITY = (Look.COMPLETE, Look.UNKNOWN, Look.LATER, Look.INCOMPLETE)


@dataclass(frozen=True)
class Span:
    """The run times of a picture, ``step`` apart, both ends included."""

    first: datetime
    last: datetime
    step: timedelta

    @property
    def size(self) -> int:
        """How many there are."""
        return (self.last - self.first) // self.step + 1


@dataclass(frozen=True)
class Column:
    """Some neighbouring run times as one: the longest time to complete of those in time, and the worst look."""

    look: Look
    seconds: float


def span_until(run_time: datetime, step: timedelta) -> Span:
    """The day that ends with a run time; of long intervals more, of short ones less."""
    size = min(MOST, max(FEWEST, DAY // step))
    return Span(run_time - (size - 1) * step, run_time, step)


def columns_of(records: Iterable[LedgerRecord], span: Span) -> list[Column]:
    """The run times in at most ``COLUMNS`` groups, oldest first."""
    count = min(COLUMNS, span.size)
    groups: list[list[LedgerRecord | None]] = [[] for _ in range(count)]
    known = {(record.run_time - span.first) // span.step: record for record in records}
    for index in range(span.size):
        groups[index * count // span.size].append(known.get(index))
    return [_column(group) for group in groups]


def missing_by_symbol(records: Iterable[LedgerRecord]) -> list[tuple[str, int]]:
    """The symbols that are missing at most run times, with how many, the worst first."""
    counts = Counter(symbol for record in records for symbol in record.missing)
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def picture(records: Sequence[LedgerRecord], span: Span) -> str:
    """The SVG."""
    columns, missing = columns_of(records, span), missing_by_symbol(records)
    shown = missing[:BARS]
    bars_top = TOP + HEIGHT + FOOT + 34
    height = bars_top + max(1, len(shown)) * BAR_HEIGHT + 12
    more = f" (the worst {BARS} of {len(missing)})" if len(missing) > BARS else ""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif"',
        ' font-size="11" fill="#2c3440">',
        f'<rect width="{WIDTH}" height="{height}" rx="6" fill="#fff"/>',
        _text(LEFT, 18, "seconds to complete", bold=True),
        *_legend(columns),
        *_time_columns(columns, span),
        _text(LEFT, bars_top - 10, f"run times that lack a symbol{more}", bold=True),
        *_missing_bars(shown, bars_top),
        "</svg>",
    ]
    return "".join(parts)


def as_markdown_image(svg: str, text: str) -> str:
    """A markdown image that holds the picture itself."""
    return f"![{text}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def _column(group: Sequence[LedgerRecord | None]) -> Column:
    looks = [_look(record) for record in group]
    seconds = [
        record.seconds_to_complete or 0.0
        for record, look in zip(group, looks, strict=True)
        if record is not None and look is Look.COMPLETE
    ]
    return Column(max(looks, key=SEVERITY.index), max(seconds, default=0.0))


def _look(record: LedgerRecord | None) -> Look:
    if record is None:
        return Look.UNKNOWN
    if not record.complete:
        return Look.INCOMPLETE
    return Look.LATER if (record.seconds_to_complete or 0.0) > FILLED_LATER.total_seconds() else Look.COMPLETE


def _time_columns(columns: Sequence[Column], span: Span) -> list[str]:
    scale = max(FLOOR_SEC, *(column.seconds for column in columns))
    base, width = TOP + HEIGHT, (WIDTH - LEFT - RIGHT) / len(columns)
    strokes: dict[Look, list[str]] = {}
    for index, column in enumerate(columns):
        share = column.seconds / scale if column.look is Look.COMPLETE else 1.0
        if column.look is not Look.UNKNOWN:
            x = LEFT + (index + 0.5) * width
            strokes.setdefault(column.look, []).append(f"M{x:.1f} {base}v-{max(1.0, share * HEIGHT):.0f}")
    drawn = [
        f'<path stroke="{look.value}" stroke-width="{width * 0.8:.1f}" d="{"".join(paths)}"/>'
        for look, paths in strokes.items()
    ]
    grid = f'<path stroke="#c3c8d0" d="M{LEFT} {TOP}H{WIDTH - RIGHT}M{LEFT} {base}H{WIDTH - RIGHT}"/>'
    far = span.last - span.first > DAY / 2  # else the day goes without saying
    ends = [f"{moment:%m-%d %H:%MZ}" if far else f"{moment:%H:%M:%SZ}" for moment in (span.first, span.last)]
    return [
        grid,
        *drawn,
        _text(LEFT - 5, TOP + 4, f"{scale:.0f} s", anchor="end"),
        _text(LEFT - 5, base + 4, "0", anchor="end"),
        _text(LEFT, base + 15, ends[0]),
        _text(WIDTH - RIGHT, base + 15, ends[1], anchor="end"),
    ]


def _legend(columns: Sequence[Column]) -> list[str]:
    words = {Look.COMPLETE: "complete", Look.LATER: "filled later", Look.INCOMPLETE: "incomplete"}
    seen = {column.look for column in columns}
    parts, x = [], 200
    for look, word in words.items():
        if look in seen:
            parts += [f'<rect x="{x}" y="9" width="10" height="10" fill="{look.value}"/>', _text(x + 14, 18, word)]
            x += 90
    return parts


def _missing_bars(shown: Sequence[tuple[str, int]], top: int) -> list[str]:
    if not shown:
        return [_text(LEFT, top + 8, "none")]
    room, worst = WIDTH - LEFT - RIGHT - NAME_WIDTH - 40, shown[0][1]
    parts = []
    for index, (symbol, count) in enumerate(shown):
        y, start = top + index * BAR_HEIGHT, LEFT + NAME_WIDTH
        width = max(2, round(room * count / worst))
        parts += [
            _text(start - 6, y + 9, printable(symbol, limit=MAX_NAME_CHARS), anchor="end"),
            f'<rect x="{start}" y="{y}" width="{width}" height="{BAR_HEIGHT - 6}" fill="{Look.INCOMPLETE.value}"/>',
            _text(start + width + 5, y + 9, str(count)),
        ]
    return parts


def _text(x: float, y: float, words: str, *, anchor: str = "", bold: bool = False) -> str:
    more = (f' text-anchor="{anchor}"' if anchor else "") + (' font-weight="bold"' if bold else "")
    return f'<text x="{x:g}" y="{y:g}"{more}>{escape(words)}</text>'
