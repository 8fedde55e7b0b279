"""Sound values that a test changes only in what it is about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from flows.board import Ending, Work
from flows.markets import Pace, ServedMarket
from flows.steps import Outcome, StepReport
from tests.flows_prefect.stand_in import record_of

if TYPE_CHECKING:
    from kit.buffer.ledger import LedgerRecord

RUN_TIME = datetime(2026, 11, 22, 7, 5, tzinfo=UTC)
FIVE_MINUTES = Pace(timedelta(minutes=5), timedelta(seconds=3))
TINY = Pace(timedelta(seconds=0.4), timedelta(seconds=0.05))


def market(base_dir: Path = Path("/somewhere"), pace: Pace = FIVE_MINUTES, label: str = "usdt_perp 5m") -> ServedMarket:
    return ServedMarket(base_dir, label, pace)


def report(name: str = "newest", error: str | None = None) -> StepReport:
    return StepReport(name, RUN_TIME, RUN_TIME + timedelta(seconds=0.4), "3 filled", error)


def outcome(record: LedgerRecord | None = None, *, already_done: bool = False) -> Outcome:
    return Outcome(record or record_of(RUN_TIME), (report(),), already_done)


def ending(result: Outcome | None = None, error: BaseException | None = None, attempts: int = 1) -> Ending:
    if result is None and error is None:
        result = outcome()
    return Ending(result, error, attempts, RUN_TIME, RUN_TIME + timedelta(seconds=2.1))


def work(run_time: datetime = RUN_TIME, ended: Ending | None = None) -> Work:
    made = Work(market(), run_time)
    if ended is not None:
        made.end(ended)
    return made
