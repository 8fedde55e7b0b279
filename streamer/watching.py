"""The streamer's eye on the flows: when their worker's heartbeat goes silent, somebody has to say so; and where each
period is a process of its own, no worker looks between them.

What telling takes (apprise) stays out of this process: ``python -m kit watch`` does it, as a child, at most one at a
time. A worker that never ran in a folder is not missed there.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import structlog

import kit
from kit.alarms.attend import calls_for_a_look
from kit.alarms.signs import WORKER_NAME, WorkerBeat, read_signs
from kit.config import MarketConfig
from kit.exchange_clock import read_local
from streamer.timing import Timing

logger = structlog.stdlib.get_logger(__name__)

CHILD_WITHIN_S = 120.0
"""A look with its confirmation takes 25 s, and a receiver that does not answer 25 s more."""


class Missing:
    """Where somebody is missed, and when one should be sent there. Decides only."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._silent: frozenset[Path] = frozenset()
        self._sent_at: float | None = None

    def noticed(self, silent: Collection[Path], now_s: float) -> list[Path]:
        """The folders to be watched now, given those where all is not well (``now_s``: any steady clock).

        Silent at one look alone may be a machine that just woke up.
        """
        missed = self._silent.intersection(silent)
        self._silent = frozenset(silent)
        if not missed or (self._sent_at is not None and now_s - self._sent_at < self._every_s):
            return []
        self._sent_at = now_s
        return sorted(missed)


async def watch_flows(configs: Callable[[], Sequence[MarketConfig]], timing: Timing) -> None:
    """Look at the workers' heartbeats, and at markets without a worker, for ever. ``configs``: of the markets that are
    streamed now."""
    missing = Missing(timing.watch_every_s)
    unattended: list[Path] = []
    looked_at = -timing.unattended_look_s
    while True:
        await asyncio.sleep(timing.worker_look_s)
        streamed = configs()
        silent = await asyncio.to_thread(silent_workers, [config.base_dir for config in streamed])
        if time.monotonic() - looked_at >= timing.unattended_look_s:
            unattended = await asyncio.to_thread(troubled_without_worker, streamed)
            looked_at = time.monotonic()
        missed = missing.noticed({*silent, *unattended}, time.monotonic())
        if missed:
            logger.warning("watch.sent", silent=list(map(str, silent)), unattended=list(map(str, unattended)))
            await _watch(missed)


def troubled_without_worker(configs: Sequence[MarketConfig]) -> list[Path]:
    """The folders without a worker of which there is something to tell. Blocks for the disk."""
    return [config.base_dir for config in configs if calls_for_a_look(config)]


def silent_workers(base_dirs: Sequence[Path]) -> list[Path]:
    """The folders whose worker should have been heard of. Blocks for the disk."""
    now = read_local()
    beats = {path: read_signs(path, WORKER_NAME, WorkerBeat) for path in base_dirs}
    return [path for path, beat in beats.items() if beat is not None and beat.silent(now)]


async def _watch(base_dirs: Sequence[Path]) -> None:
    """Let a child look and tell. Whatever becomes of it, this process goes on; its end is the child's too."""
    command = [sys.executable, "-m", "kit", "watch", "--quiet", *map(str, base_dirs)]
    try:
        child = await asyncio.create_subprocess_exec(
            *command,
            cwd=Path(kit.__file__).parents[1],
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C is for us: it would tear a message that is being sent
        )
    except OSError as error:
        logger.warning("watch.not_started", error=str(error))
        return
    try:
        async with asyncio.timeout(CHILD_WITHIN_S):
            code = await child.wait()
        logger.info("watch.ended", code=code)
    except TimeoutError:
        logger.warning("watch.took_too_long")
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
            await child.wait()
