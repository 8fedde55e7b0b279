"""``/klines``: which rows a request gets (a pure decision for each venue), and how a row is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from kit.embedded_exchange.answers import refused
from kit.embedded_exchange.bars import Bars, joined
from kit.embedded_exchange.decimals import write_column
from kit.words import Interval, Venue

if TYPE_CHECKING:
    from kit.embedded_exchange.instrument import Instrument, Scales
    from kit.embedded_exchange.tape import Tape

DAY_MS = 86_400_000
CM_WINDOW_MS = 200 * DAY_MS
DEFAULT_LIMIT = 500
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
    """The rows this venue answers with (BINANCE.md section 3). The filters are on open times, inclusive.

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
    """The candles of a window; the last may be the still open one."""
    first_ms = max(window.first_ms, tape.listed_ms - tape.listed_ms % interval_ms)
    first_ms = -(-first_ms // interval_ms) * interval_ms
    last_ms = min(window.last_ms, now_ms if tape.end_ms is None else tape.end_ms - 1)
    last_ms -= last_ms % interval_ms
    # Recordings may have gaps and are cheap to scan; the made-up market has none, so only what is asked for is
    # computed.
    reach_ms = (window.limit - 1) * interval_ms
    if window.oldest and not tape.gaps:
        last_ms = min(last_ms, first_ms + reach_ms)
    elif not tape.gaps:
        first_ms = max(first_ms, last_ms - reach_ms)
    open_ms = now_ms - now_ms % interval_ms
    bars = tape.bars(interval_ms, first_ms, min(last_ms, open_ms - interval_ms))
    if first_ms <= open_ms <= last_ms:
        newest = tape.so_far(interval_ms, open_ms, now_ms)
        bars = joined([bars, Bars.of([newest])]) if newest is not None else bars
    return bars.part(slice(0, window.limit) if window.oldest else slice(-window.limit, None))


def row_table(bars: Bars, scales: Scales, interval_ms: int, *, microseconds: bool = False) -> pl.DataFrame:
    """The twelve columns of klines rows: whole numbers for times and trades, decimal strings else."""

    def price(column: str) -> pl.Series:
        return write_column(getattr(bars, column) * scales.price.unit, scales.price.places)

    def quantity(column: str) -> pl.Series:
        return write_column(getattr(bars, column) * scales.quantity.unit, scales.quantity.places)

    def turnover(column: str) -> pl.Series:
        return write_column(getattr(bars, column) * scales.turnover.unit, scales.turnover.places)

    per_ms = 1000 if microseconds else 1
    return pl.DataFrame(
        {
            "open_time": bars.begin_ms * per_ms,
            "open": price("open"),
            "high": price("high"),
            "low": price("low"),
            "close": price("close"),
            "volume": quantity("volume"),
            "close_time": (bars.begin_ms + interval_ms) * per_ms - 1,
            "quote_volume": turnover("quote"),
            "trades": bars.trades,
            "taker_base": quantity("taker_base"),
            "taker_quote": turnover("taker_quote"),
            "ignore": pl.Series(["0"] * len(bars), dtype=pl.String),
        }
    )


def rows_json(table: pl.DataFrame) -> bytes:
    """The table as the exchange's JSON, without blanks. CSV with quoted text is JSON once line ends are brackets."""
    if table.is_empty():
        return b"[]"
    lines = table.write_csv(include_header=False, line_terminator="],[", quote_style="non_numeric")
    return b"[[" + lines[: -len(",[")].encode() + b"]"


def answer_rows(instrument: Instrument, tape: Tape, window: Window, interval: Interval, now_ms: int) -> pl.DataFrame:
    """The rows of a request as a table, in milliseconds."""
    return row_table(rows_in(tape, window, interval.ms, now_ms), instrument.scales, interval.ms)
