"""Our own events in Prefect's feed, for its automations: what they are called and what they carry. docs/prefect.md
has the table.

All have the market as their resource: ``prefect.resource.id`` is ``bmac.market.usdt_perp.1m``, and the labels
``bmac.trade_type`` and ``bmac.interval`` let a trigger match, say, all 1m markets.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import structlog

from flows.verdict import Named, verdict_of
from kit.buffer.exchange_info import ExchangeInfoStore
from kit.buffer.layout import Folder, time_word
from kit.config import load_config
from kit.dialect.symbols import SymbolInfo, select, trades
from kit.errors import BmacError
from kit.logs import shown
from kit.words import to_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from flows.board import Ending, Work
    from flows.markets import ServedMarket
    from flows.steps import StepReport
    from kit.buffer.ledger import LedgerRecord
    from kit.config import MarketConfig

log = structlog.stdlib.get_logger(__name__)

NAMED = 20  # symbols in a payload; the ledger has them all
PERIOD_WORDS = {Named.COMPLETED: "complete", Named.ALREADY_DONE: "complete", Named.INCOMPLETE: "incomplete"}
"""What a period's event is called by its state; every other state is a period that failed."""
NOT_CONFIGURED = "not configured"  # what the factors step says of a market without any
HALTED = frozenset({"HALT", "BREAK", "END_OF_DAY", "CANCEL_ONLY"})
"""States of spot that trading may come back from; all others end a symbol (the exchange's documents, 2026)."""


@dataclass(frozen=True)
class Happening:
    """An event before it is sent: its name, when it happened (UTC), what it carries beside the ``run_time``."""

    name: str
    occurred: datetime
    payload: Mapping[str, Any]


def happenings(work: Work, ending: Ending, changes: Mapping[str, list[str]]) -> list[Happening]:
    """Everything that a period's work tells. ``changes``: symbols by what became of them. Pure."""
    told = [_period(ending), *filter(None, map(_step, work.reports))]
    if ending.outcome is not None and not ending.outcome.already_done:
        record = ending.outcome.record
        older = max(0, record.filled - record.by_rest)
        if older or record.revised:
            told.append(Happening("bmac.gap.filled", ending.ended_at, {"candles": older, "revised": record.revised}))
    for what, symbols in changes.items():
        payload = {"count": len(symbols), "symbols": symbols[:NAMED]}
        told.append(Happening(f"bmac.symbol.{what}", ending.ended_at, payload))
    return told


def _step(report: StepReport) -> Happening | None:
    if report.error is not None:
        return Happening("bmac.step.failed", report.ended_at, {"step": report.name, "error": shown(report.error)})
    if report.name == "factors" and report.summary != NOT_CONFIGURED:
        return Happening("bmac.factors.computed", report.ended_at, {"summary": report.summary})
    return None


def _period(ending: Ending) -> Happening:
    verdict = verdict_of(ending)
    payload: dict[str, Any] = {
        "started_at": ending.started_at.isoformat(),
        "ended_at": ending.ended_at.isoformat(),
        "attempts": ending.attempts,
        "state": verdict.name.value,
        "message": shown(verdict.message),
    }
    if ending.outcome is not None:
        payload |= _numbers(ending.outcome.record)
    return Happening(f"bmac.period.{PERIOD_WORDS.get(verdict.name, 'failed')}", ending.ended_at, payload)


def _numbers(record: LedgerRecord) -> dict[str, Any]:
    return {
        "expected": record.expected,
        "by_stream": record.by_stream,
        "by_rest": record.by_rest,
        "missing": len(record.missing),
        "missing_symbols": record.missing[:NAMED],
        "excused": len(record.excused),
        "seconds_to_complete": record.seconds_to_complete,
    }


def symbol_changes(before: Iterable[SymbolInfo], after: Iterable[SymbolInfo]) -> dict[str, list[str]]:
    """Symbols by what became of them between two versions of a market's exchange info: ``listed``, ``resumed``,
    ``halted``, ``delisted``. Pure."""
    old, new = {info.symbol: info for info in before}, {info.symbol: info for info in after}
    found: dict[str, list[str]] = defaultdict(list)
    for symbol in sorted(old.keys() | new.keys()):
        word = _change(old.get(symbol), new.get(symbol))
        if word is not None:
            found[word].append(symbol)
    return dict(found)


def _change(before: SymbolInfo | None, after: SymbolInfo | None) -> str | None:
    traded, now = before is not None and trades(before), after is not None and trades(after)
    if traded == now:
        return None
    if now:
        return "resumed" if before is not None and before.status in HALTED else "listed"
    return "halted" if after is not None and after.status in HALTED else "delisted"


def changes_in(config: MarketConfig, since: datetime) -> dict[str, list[str]]:
    """What became of a market's symbols by the exchange info that was stored since a moment of the exchange's clock.

    Empty where none was, and in a new market. FolderError when a version is damaged.
    """
    store = ExchangeInfoStore(Folder(config.base_dir, config.trade_type, config.interval, config.save_type))
    versions, word = store.versions(), time_word(to_ms(since))
    older = [path for path in versions if path.stem.partition("_")[0] < word]
    if not older or older[-1] == versions[-1]:
        return {}
    before, after = (
        select(
            config.trade_type,
            map(SymbolInfo.from_dict, store.read(path)),
            config.keep_symbols,
            config.exclude_symbols,
        ).symbols
        for path in (older[-1], versions[-1])
    )
    return symbol_changes(before, after)


def changes_by(work: Work, ending: Ending) -> dict[str, list[str]]:
    """What a period's work found to have become of the market's symbols; nothing where that cannot be told."""
    outcome = ending.outcome
    if outcome is None or outcome.already_done or outcome.record.started_at is None:
        return {}
    try:
        return changes_in(load_config(work.market.base_dir), outcome.record.started_at)
    except (BmacError, OSError) as error:
        log.warning("events.symbols_unknown", market=work.market.label, error=str(error))
        return {}


def resource_of(market: ServedMarket) -> dict[str, str]:
    """The market as Prefect's events name it."""
    trade_type, _, interval = market.label.partition(" ")
    return {
        "prefect.resource.id": f"bmac.market.{trade_type}.{interval}",
        "prefect.resource.name": market.label,
        "bmac.trade_type": trade_type,
        "bmac.interval": interval,
    }
