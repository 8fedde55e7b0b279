"""How far the filling of history has come, shown while it lasts: a first start takes minutes, and people watch it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
import structlog
from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact

from flows.artifacts import key_of
from flows.tolerant import error_of
from kit.logs import shown
from kit.outside import UNREADABLE, read_bounded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from flows.board import Work

log = structlog.stdlib.get_logger(__name__)

LOOK_EVERY_SEC = 5.0
"""A period's usual history step is over before the first look, and costs Prefect nothing."""
CALL_SEC = 10.0
MAX_BYTES = 4096  # the file has some 120


class _Progress(msgspec.Struct):
    """What the history step writes: pages done and planned, for which run time."""

    done: int
    total: int
    run_time: datetime


def percent_done(work: Work) -> float | None:
    """How much of the planned history is there, in percent; None when this period fills none, or nothing is known."""
    from flows.steps.progress import PROGRESS_NAME  # noqa: PLC0415 - brings polars, which deploying does not need

    try:
        told = msgspec.json.decode(read_bounded(work.market.base_dir / PROGRESS_NAME, MAX_BYTES), type=_Progress)
    except (OSError, *UNREADABLE):
        return None
    if told.run_time != work.run_time or told.total <= 0:
        return None
    return round(100 * min(1.0, max(0.0, told.done / told.total)), 1)


@asynccontextmanager
async def progress_shown(work: Work) -> AsyncIterator[None]:
    """While this lasts, a progress artifact of the run around it follows what the history step tells.

    A server that is away is noted, and never holds up what is waited for but by one call.
    """
    over = asyncio.Event()
    watcher = asyncio.ensure_future(_follow(work, over))
    try:
        yield
    finally:
        over.set()
        await asyncio.wait({watcher}, timeout=CALL_SEC)
        watcher.cancel()


async def _follow(work: Work, over: asyncio.Event) -> None:
    bar = _Bar(key_of(work, "history"), f"{work.market.label}: filling history, percent of the pages asked for")
    ending = False
    while not ending:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY_SEC):
                await over.wait()
        ending = over.is_set()  # once: an end that comes while something is shown still has its own last look
        percent = percent_done(work)
        if percent is None or percent == bar.shown or (ending and bar.artifact is None):
            continue
        error = await error_of(bar.show(percent), CALL_SEC)
        if error is not None:
            log.warning("progress.not_shown", error=f"{type(error).__name__}: {shown(str(error))}")


@dataclass
class _Bar:
    """One progress artifact: created when it is first shown, then updated."""

    key: str
    description: str
    artifact: UUID | None = None
    shown: float | None = None

    async def show(self, percent: float) -> None:
        if self.artifact is None:
            self.artifact = await acreate_progress_artifact(percent, self.key, self.description)
        else:
            await aupdate_progress_artifact(self.artifact, percent)
        self.shown = percent
