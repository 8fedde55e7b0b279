"""Telling people when a market's periods go wrong, and when they are well again, without a message every minute."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from flows.verdict import Named, Verdict, clock_word, verdict_of
from kit.config import load_config
from kit.errors import BmacError
from kit.notify import send

if TYPE_CHECKING:
    from pathlib import Path

    from flows.board import Ending, Work
    from kit.notify import Outcome

log = structlog.stdlib.get_logger(__name__)

REMIND_AFTER = timedelta(hours=1)
"""While a trouble lasts, people are told again this often: a 1m market would else send 60 messages an hour."""
ERROR_ROBOT = "error"
"""Of BMAC's DingTalk robots the one of this name takes what is wrong (one without a name takes everything)."""


@dataclass(frozen=True)
class Message:
    """What is sent: a short title and a line of facts."""

    title: str
    body: str


class Alarm:
    """Decides for one market when people are told. Keeps what it has told; does no I/O."""

    def __init__(self, label: str, remind_after: timedelta = REMIND_AFTER) -> None:
        self._label = label
        self._remind_after = remind_after
        self._bad_periods = 0
        self._told_at: datetime | None = None

    def after(self, run_time: datetime, verdict: Verdict, now: datetime) -> Message | None:
        """What to tell after a period, if anything."""
        if verdict.good:
            return self._recovered(run_time, verdict)
        self._bad_periods += 1
        if self._told_at is not None and now - self._told_at < self._remind_after:
            return None
        self._told_at = now
        since = f" ({self._bad_periods} periods in a row)" if self._bad_periods > 1 else ""
        return Message(f"{self._label} {clock_word(run_time)}: {verdict.name.lower()}{since}", verdict.message)

    def _recovered(self, run_time: datetime, verdict: Verdict) -> Message | None:
        bad, told = self._bad_periods, self._told_at is not None
        self._bad_periods, self._told_at = 0, None
        if not told or verdict.name is Named.STALE:
            return None
        return Message(f"{self._label} {clock_word(run_time)}: well again after {bad} bad periods", verdict.message)


async def tell_after(alarm: Alarm, work: Work, ending: Ending) -> None:
    """Tell about a period where that is due."""
    verdict = verdict_of(ending)
    message = alarm.after(work.run_time, verdict, ending.ended_at)
    if message is not None:
        await tell(work.market.base_dir, message)


async def tell(base_dir: Path, message: Message) -> list[Outcome]:
    """Send to everybody that the folder's configuration of this moment names; never raises for a receiver."""
    try:
        config = load_config(base_dir)
    except BmacError:
        log.exception("notice.nobody_known", base_dir=str(base_dir), title=message.title)
        return []
    return await send(config, message.title, message.body, robots={ERROR_ROBOT})
