"""What the steps share: what is readable over a window, and asking the exchange for what is not."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import polars as pl
import structlog

from flows.steps.context import Period, to_the_end
from kit.budget import Urgency
from kit.buffer.fills import store_rest
from kit.buffer.layout import sealed_after_ms
from kit.buffer.read import Span, read_candles
from kit.buffer.states import Hole
from kit.completeness import ABSENT, CODE_OF_SOURCE, Findings, Matrix, Window, examine, with_answer
from kit.dialect.klines import Page
from kit.errors import SymbolRefusedError
from kit.words import Candle, Source, to_ms

log = structlog.get_logger(__name__)

Codes = np.ndarray[tuple[int], np.dtype[np.int64]]

PATIENCE_MS = 60_000
"""How far apart two answers without a candle have to be before the candle is held not to exist."""


def look(period: Period, window: Window) -> Findings:
    """The market over a window, from what is readable now."""
    symbols = period.market_symbols
    readable = readable_matrix(period, symbols, window)
    present = readable != ABSENT
    for row in np.flatnonzero(present.any(axis=1)).tolist():
        _know(period, symbols[row], window.begin_ms(int(np.flatnonzero(present[row])[-1])))
    return examine(symbols, period.states.symbols, window, readable)


def _know(period: Period, symbol: str, begin_ms: int) -> None:
    """A candle of the symbol that begins then exists."""
    period.newest_known[symbol] = max(begin_ms, period.newest_known.get(symbol, begin_ms))


def readable_matrix(period: Period, symbols: Sequence[str], window: Window) -> Matrix:
    """A row a symbol, a column a begin time: where the readable candle came from (``kit.completeness``), or ABSENT."""
    span = Span(window.first_ms + window.step_ms, window.last_ms + window.step_ms)
    frame = read_candles(period.folder, columns=["source"], span=span)
    matrix = np.zeros((len(symbols), window.size), dtype=np.uint8)
    if frame.is_empty():
        return matrix
    rows = _codes(frame["symbol"], {symbol: row for row, symbol in enumerate(symbols)}, missing=-1)
    sources = _codes(frame["source"], {str(source): CODE_OF_SOURCE[source] for source in Source}, missing=0)
    columns = (frame["candle_begin_time"].to_physical().to_numpy() // 1000 - window.first_ms) // window.step_ms
    known = rows >= 0
    matrix[rows[known], columns[known]] = sources[known]
    return matrix


def _codes(names: pl.Series, code_of: dict[str, int], *, missing: int) -> Codes:
    """The code of each name of a Categorical series."""
    physical = names.to_physical().to_numpy()
    distinct = names.unique()
    table = np.full(int(physical.max()) + 1, missing, dtype=np.int64)
    table[distinct.to_physical().to_numpy()] = [
        code_of.get(name, missing) for name in distinct.cast(pl.String).to_list()
    ]
    codes: Codes = table[physical]
    return codes


async def ask(
    period: Period, symbol: str, page: Page, urgency: Urgency, *, deadline_ms: int | None = None
) -> list[Candle]:
    """The final candles of one page, and what its holes teach about the symbol.

    Raises:
        ExchangeError: no usable answer. A symbol that is refused is none: its page becomes a hole with that reason
        when the symbol does not trade, and says nothing about one that has traded before.
    """
    step = period.config.interval.ms
    state = period.states.symbols[symbol]
    first_ms, last_ms = page.start_ms, page.end_ms + 1 - step
    try:
        rows = await period.client.klines(symbol, period.config.interval, page, urgency, deadline_ms=deadline_ms)
    except SymbolRefusedError as error:
        if state.stopped_ms is not None:
            state.gaps.append(Hole(first_ms, last_ms, state.status.lower().replace("_", " ")))
            return []
        log.warning("symbol.refused", market=period.folder.candles.name, symbol=symbol, error=str(error))
        if symbol in period.newest_known:
            return []
        rows = []
    final_before = period.final_before_ms()
    candles = [
        row
        for row in rows
        if first_ms <= row.begin_ms <= last_ms and row.begin_ms % step == 0 and row.begin_ms + step <= final_before
    ]
    if candles:
        _know(period, symbol, candles[-1].begin_ms)
    settled_last = min(last_ms, (final_before - step) // step * step)
    if settled_last >= first_ms:
        state.gaps += with_answer(
            state,
            (first_ms, settled_last),
            [candle.begin_ms for candle in candles],
            asked_ms=to_ms(period.exchange_now()),
            patience_ms=PATIENCE_MS,
            certain_ms=_certain_until(period, symbol, last_ms),
            step_ms=step,
        )
    return candles


def _certain_until(period: Period, symbol: str, last_ms: int) -> int:
    """Up to which begin time an answer without a candle can be believed to be the last word.

    The exchange's candles by REST can lag for minutes. So a symbol's missing newest candles are not held to be
    nowhere before a later one has come; unless it has stopped trading, or has never had any.
    """
    if period.states.symbols[symbol].stopped_ms is not None:
        return last_ms
    return period.newest_known.get(symbol, last_ms)


async def store(period: Period, candles: Sequence[Candle]) -> int:
    """Make fetched candles readable; how many were new. In a thread: it waits for the disk."""
    now_ms = to_ms(period.exchange_now())
    racing_from_ms = now_ms - 3 * sealed_after_ms(period.config.interval)
    new = await to_the_end(
        partial(store_rest, period.folder, candles, received_ms=now_ms, racing_from_ms=racing_from_ms)
    )
    period.filled += new
    return new
