"""``/klines``: which rows a request gets (a pure decision for each venue), and how a row is written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from kit.embedded_exchange.answers import refused
from kit.embedded_exchange.bars import Bar, Bars, joined
from kit.embedded_exchange.decimals import written
from kit.words import Interval, Venue

if TYPE_CHECKING:
    from kit.embedded_exchange.instrument import Instrument, Scale, Scales
    from kit.embedded_exchange.tape import Tape

DAY_MS = 86_400_000
CM_WINDOW_MS = 200 * DAY_MS
DEFAULT_LIMIT = 500
_ROW_SOURCES = ("begin_ms", "open", "high", "low", "close", "volume", "quote", "trades", "taker_base", "taker_quote")
_FEW_ROWS = 100
Row = tuple[int, str, str, str, str, str, int, str, int, str, str, str]
MAX_LIMITS = {Venue.SPOT: 1000, Venue.UM: 1500, Venue.CM: 1500}


@dataclass(frozen=True)
class Ask:
    """A klines request after its words were read. Times in milliseconds; ``limit`` within the venue's bounds."""

    interval_ms: int
    start_ms: int | None
    end_ms: int | None
    limit: int


@dataclass(frozen=True)
class Window:
    """Rows with open times in ``first_ms`` ... ``last_ms``, both included; of those the ``limit`` oldest or newest."""

    first_ms: int
    last_ms: int
    limit: int
    oldest: bool


def window_of(venue: Venue, ask: Ask, now_ms: int) -> Window:
    """The rows this venue answers with (docs/exchange.md). The filters are on open times, inclusive.

    Raises:
        RefusedError: COIN-M was asked for more than 200 days.
    """
    if venue is Venue.CM:
        return _cm_window(ask, now_ms)
    last_ms = now_ms if ask.end_ms is None else min(ask.end_ms, now_ms)
    return Window(ask.start_ms or 0, last_ms, ask.limit, oldest=ask.start_ms is not None)


def _cm_window(ask: Ask, now_ms: int) -> Window:
    """COIN-M looks at 200 days at most, and answers with the newest rows of the window even when a start is given."""
    if ask.start_ms is not None and ask.end_ms is not None:
        if ask.end_ms - ask.start_ms > CM_WINDOW_MS:
            raise refused("too_long")
        return Window(ask.start_ms, min(ask.end_ms, now_ms), ask.limit, oldest=False)
    if ask.start_ms is not None:
        return Window(ask.start_ms, min(ask.start_ms + CM_WINDOW_MS, now_ms), ask.limit, oldest=False)
    end_ms = now_ms if ask.end_ms is None else ask.end_ms
    return Window(end_ms - CM_WINDOW_MS, min(end_ms, now_ms), ask.limit, oldest=False)


def rows_in(tape: Tape, window: Window, interval_ms: int, now_ms: int) -> Bars:
    """The candles of a window; the last may be the still open one.

    Read in stretches that hold ``limit`` candles where none is missing, so one is mostly enough and only what is asked
    for is computed.
    """
    first_ms = max(window.first_ms, tape.listed_ms - tape.listed_ms % interval_ms)
    first_ms = -(-first_ms // interval_ms) * interval_ms
    last_ms = min(window.last_ms, now_ms if tape.end_ms is None else tape.end_ms - 1)
    last_ms -= last_ms % interval_ms
    pieces: list[Bars] = []
    left = window.limit
    reach_ms = window.limit * interval_ms
    while left > 0 and first_ms <= last_ms:
        if window.oldest:
            piece = _stretch(tape, first_ms, min(last_ms, first_ms + reach_ms - interval_ms), interval_ms, now_ms)
            first_ms += reach_ms
        else:
            piece = _stretch(tape, max(first_ms, last_ms - reach_ms + interval_ms), last_ms, interval_ms, now_ms)
            last_ms -= reach_ms
        pieces.append(piece)
        left -= len(piece)
    bars = joined(pieces if window.oldest else pieces[::-1])
    return bars.part(slice(0, window.limit) if window.oldest else slice(-window.limit, None))


def _stretch(tape: Tape, first_ms: int, last_ms: int, interval_ms: int, now_ms: int) -> Bars:
    open_ms = now_ms - now_ms % interval_ms
    bars = tape.bars(interval_ms, first_ms, min(last_ms, open_ms - interval_ms))
    if first_ms <= open_ms <= last_ms:
        newest = tape.so_far(interval_ms, open_ms, now_ms)
        bars = joined([bars, Bars.of([newest])]) if newest is not None else bars
    return bars


def row_table(bars: Bars, scales: Scales, interval_ms: int, *, microseconds: bool = False) -> pl.DataFrame:
    """The twelve columns of klines rows: whole numbers for times and trades, decimal strings else."""
    per_ms = 1000 if microseconds else 1

    def text(column: str, scale: Scale) -> pl.Expr:
        return written(column, scale.unit, scale.places)

    # One select for all columns: each alone costs half as much as all of them together.
    return pl.DataFrame({name: getattr(bars, name) for name in _ROW_SOURCES}).select(
        begin_ms=pl.col("begin_ms") * per_ms,
        **{name: text(name, scales.price) for name in ("open", "high", "low", "close")},
        volume=text("volume", scales.quantity),
        close_ms=(pl.col("begin_ms") + interval_ms) * per_ms - 1,
        quote=text("quote", scales.turnover),
        trades=pl.col("trades"),
        taker_base=text("taker_base", scales.quantity),
        taker_quote=text("taker_quote", scales.turnover),
        ignore=pl.lit("0"),
    )


def rows_json(table: pl.DataFrame) -> bytes:
    """The table as the exchange's JSON, without blanks. CSV with quoted text is JSON once line ends are brackets."""
    if table.is_empty():
        return b"[]"
    lines = table.write_csv(include_header=False, line_terminator="],[", quote_style="non_numeric")
    return b"[[" + lines[: -len(",[")].encode() + b"]"


def row_of(bar: Bar, scales: Scales, interval_ms: int, *, microseconds: bool = False) -> Row:
    """One klines row, as :func:`row_table` has many."""
    per_ms = 1000 if microseconds else 1
    price, quantity, turnover = scales.price.text, scales.quantity.text, scales.turnover.text
    return (
        bar.begin_ms * per_ms,
        price(bar.open),
        price(bar.high),
        price(bar.low),
        price(bar.close),
        quantity(bar.volume),
        (bar.begin_ms + interval_ms) * per_ms - 1,
        turnover(bar.quote),
        bar.trades,
        quantity(bar.taker_base),
        turnover(bar.taker_quote),
        "0",
    )


def page_json(bars: Bars, scales: Scales, interval_ms: int, *, microseconds: bool = False) -> bytes:
    """A page as JSON. Few rows one by one: a table has a fixed cost of a millisecond or two."""
    if len(bars) > _FEW_ROWS:
        return rows_json(row_table(bars, scales, interval_ms, microseconds=microseconds))
    rows = [row_of(bars.row(index), scales, interval_ms, microseconds=microseconds) for index in range(len(bars))]
    return json.dumps(rows, separators=(",", ":")).encode()


def answer_rows(instrument: Instrument, tape: Tape, window: Window, interval: Interval, now_ms: int) -> pl.DataFrame:
    """The rows of a request as a table, in milliseconds."""
    return row_table(rows_in(tape, window, interval.ms, now_ms), instrument.scales, interval.ms)
