"""The worker's signs of life and its alarms, in two threads of their own: neither waits in a clock's loop, and a chat
service that does not answer does not stop the heart."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog

from flows.board import Ending, Work
from flows.markets import ServedMarket
from flows.outcomes import ended_as, note_begin, note_cut, note_end
from kit.alarms.attend import Attendant
from kit.alarms.signs import BEAT_EVERY_S, WORKER_NAME, Ended, WorkerBeat, write_signs
from kit.exchange_clock import read_local
from kit.notify.sending import in_daemon_thread
from kit.words import from_ms, utc_now

log = structlog.stdlib.get_logger(__name__)

LOOK_EVERY_S = 5.0
"""Between looks at what is wrong. A look reads some small files: a few milliseconds a market."""
LOOK_AFTER_END_S = 0.2
"""After a period's end, whose files have been written by then."""
ENDS_WITHIN_S = 0.5


@dataclass(frozen=True)
class _Note:
    """A period that began or (with ``ending``) ended."""

    work: Work
    ending: Ending | None = None


class Heart:
    """Writes ``worker.json`` each few seconds and ``period.json`` with each period, from ``start`` to ``stop``."""

    def __init__(self, markets: Sequence[ServedMarket], now_of: Mapping[Path, Callable[[], datetime]]) -> None:
        self._markets = markets
        self._now_of = now_of
        self._started_at = utc_now()
        self._last: dict[Path, Ended] = {}
        self._orderly = False
        self._notes: queue.SimpleQueue[_Note | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="heart", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self, *, orderly: bool) -> None:
        """Beat no more; after an orderly end the files say so, else people are told that the worker is silent."""
        self._orderly = orderly
        self._notes.put(None)
        self._thread.join(ENDS_WITHIN_S)

    def begun(self, work: Work) -> None:
        """A period begins. Returns at once."""
        self._notes.put(_Note(work))

    def ended(self, work: Work, ending: Ending) -> None:
        """A period has ended. Returns at once."""
        self._notes.put(_Note(work, ending))

    def _run(self) -> None:
        beat_at = 0.0
        while True:
            if time.monotonic() >= beat_at:
                self._beat(running=True)
                beat_at = time.monotonic() + BEAT_EVERY_S
            try:
                note = self._notes.get(timeout=max(0.0, beat_at - time.monotonic()))
            except queue.Empty:
                continue
            if note is None:
                break
            self._write(note)
        for market in self._markets:
            note_cut(market.base_dir)
        if self._orderly:
            self._beat(running=False)

    def _write(self, note: _Note) -> None:
        base_dir = note.work.market.base_dir
        if note.ending is None:
            note_begin(base_dir, note.work.run_time)
        else:
            self._last[base_dir] = ended_as(note.work.run_time, note.ending)
            note_end(base_dir, self._last[base_dir])

    def _beat(self, *, running: bool) -> None:
        now = read_local()
        for market in self._markets:
            following = market.pace.newest_due(self._now_of[market.base_dir]()) + market.pace.interval
            beat = WorkerBeat(
                pid=os.getpid(),
                running=running,
                started_at=self._started_at,
                written_at=from_ms(now.wall_ms),
                steady_ms=now.steady_ms,
                boot=now.boot,
                next_run_time=following,
                next_target=market.pace.target(following),
                last=self._last.get(market.base_dir),
            )
            write_signs(market.base_dir, WORKER_NAME, beat)


class Alarms:
    """Looks what is wrong in the markets' folders and tells it, from ``start`` to ``stop``."""

    def __init__(self, markets: Sequence[ServedMarket]) -> None:
        self._base_dirs = [market.base_dir for market in markets]
        self._attendant = Attendant()
        self._stop = threading.Event()
        self._wake = threading.Event()

    def start(self) -> None:
        """Begin to look. A bug in a look is logged and costs one look, no period and no later alarm."""
        in_daemon_thread(self._look).add_done_callback(self._looked)

    def stop(self) -> None:
        """Look no more. A letter that is being sent is left to whoever looks next."""
        self._stop.set()
        self._wake.set()

    def look_soon(self) -> None:
        """Something has happened. Returns at once."""
        self._wake.set()

    def _look(self) -> None:
        while not self._stop.is_set():
            self._attendant.attend(self._base_dirs)
            woken = self._wake.wait(LOOK_EVERY_S)
            self._wake.clear()
            if woken:
                self._stop.wait(LOOK_AFTER_END_S)

    def _looked(self, looking: Future[None]) -> None:
        error = looking.exception()
        if error is not None and not self._stop.wait(LOOK_EVERY_S):
            log.error("alarms.broke", exc_info=error)
            self.start()
