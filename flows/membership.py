"""Step: refresh the exchange info, and with it which symbols are in the market and since when."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from flows.context import Period
from kit.buffer.exchange_info import ExchangeInfoStore
from kit.buffer.states import SymbolState, States, save_states
from kit.dialect.symbols import SymbolInfo, select, trades
from kit.errors import ExchangeError
from kit.words import to_ms

log = structlog.get_logger(__name__)


async def refresh_exchange_info(period: Period) -> str:
    """Fetch and keep the exchange info; when the exchange does not give it, what is on disk serves.

    Raises:
        ExchangeError: none on disk either.
    """
    store = ExchangeInfoStore(period.folder)
    known = store.latest()
    try:
        infos = (await period.client.exchange_info()).symbols
        changed = store.save([info.to_dict() for info in infos], period.exchange_now())
    except ExchangeError as error:
        if known is None:
            raise
        log.warning("exchange_info.stale", market=period.folder.candles.name, error=str(error))
        infos = tuple(map(SymbolInfo.from_dict, known))
        changed = False
    _take(period, infos)
    return f"{len(period.trading)} symbols trade" + (", changed" if changed and known is not None else "")


def _take(period: Period, infos: Iterable[SymbolInfo]) -> None:
    config = period.config
    selection = select(config.trade_type, infos, config.keep_symbols, config.exclude_symbols)
    if selection.unknown_keep:
        log.warning("config.unknown_symbols", market=period.folder.candles.name, symbols=selection.unknown_keep)
    period.symbols = selection.symbols
    period.trading = frozenset(info.symbol for info in selection.symbols if trades(info))
    changes = update_states(
        period.states,
        selection.symbols,
        now_ms=to_ms(period.exchange_now()),
        step_ms=config.interval.ms,
        new_market=not period.states.symbols,
    )
    for event, symbol in changes:
        log.info(event, market=period.folder.candles.name, symbol=symbol)
    save_states(period.folder, period.states)


def update_states(
    states: States, infos: Iterable[SymbolInfo], *, now_ms: int, step_ms: int, new_market: bool
) -> list[tuple[str, str]]:
    """Bring the states up to what the exchange info says; (event, symbol) for each listing and delisting.

    A symbol that never traded while we looked is not taken in. In a new market the listing date of a symbol is where
    its candles should begin; of one that appears later also the moment at which it appeared.
    """
    events = []
    seen = set()
    for info in infos:
        seen.add(info.symbol)
        state = states.symbols.get(info.symbol)
        if state is None:
            if trades(info):
                states.symbols[info.symbol] = _new_state(info, None if new_market else now_ms, step_ms)
                if not new_market:
                    events.append(("symbol.listed", info.symbol))
        elif trades(info):
            if state.stopped_ms is not None:
                events.append(("symbol.resumed", info.symbol))
                _resume(state, info, step_ms)
            state.status = info.status
        elif state.stopped_ms is None:
            events.append(("symbol.stopped", info.symbol))
            state.status, state.stopped_ms = info.status, now_ms
        else:
            state.status = info.status
    for symbol, state in states.symbols.items():
        if symbol not in seen and state.stopped_ms is None:
            # Gone from the exchange info altogether, or taken out of the market by the config.
            events.append(("symbol.stopped", symbol))
            state.status, state.stopped_ms = "not in the market", now_ms
    return events


def _new_state(info: SymbolInfo, seen_ms: int | None, step_ms: int) -> SymbolState:
    listed = [moment for moment in (info.onboard_ms, seen_ms) if moment is not None]
    # The earlier of the two: a listing date in the past is history to be filled, one in the future is not believed.
    listed_ms = min(listed) // step_ms * step_ms if listed else None
    return SymbolState(status=info.status, onboard_ms=info.onboard_ms, listed_ms=listed_ms)


def _resume(state: SymbolState, info: SymbolInfo, step_ms: int) -> None:
    """It trades again. With another listing date it is another asset under the old name: its history begins anew."""
    relisted = info.onboard_ms is not None and state.onboard_ms is not None and info.onboard_ms > state.onboard_ms
    if relisted and info.onboard_ms is not None:
        state.first_ms = None
        state.listed_ms = info.onboard_ms // step_ms * step_ms
        state.unanswered = []
        state.gaps = []
    state.onboard_ms = info.onboard_ms
    state.stopped_ms = None
