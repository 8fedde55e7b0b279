"""The one long-lived process: a clock for each market, and the mirror that shows in Prefect what the clocks do."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING

import structlog

from flows.board import board
from flows.notice import Alarm, tell_after
from flows.worker.clock import MarketClock
from flows.worker.mirror import Mirror, prepare_environment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from flows.attempts import RunPeriod
    from flows.board import Ending, Work
    from flows.markets import ServedMarket
    from kit.logs import LogFormat

log = structlog.stdlib.get_logger(__name__)

SWITCH_INTERVAL_SEC = 0.0005
"""How long a thread may keep the interpreter while another wants it. Python's 5 ms would add up: a clock's thread needs
the interpreter several times to start a period."""
ENDS_WITHIN_SEC = 4.0
"""The promise is 5 s from SIGTERM to the end. Prefect's own shutdown, which drains its queues, gets no time."""
TELLER_ENDS_WITHIN_SEC = 0.5
STOPPED = (signal.SIGTERM, signal.SIGINT)


class Worker:
    """The clocks of some markets with their mirror. ``run`` blocks until SIGTERM or SIGINT (main thread only)."""

    def __init__(self, markets: Sequence[ServedMarket], run_period: RunPeriod, *, mirror: Mirror | None) -> None:
        self._mirror = mirror
        self._teller = Teller(markets)
        self._clocks = [
            MarketClock(market, run_period, on_begin=self._begun, on_end=self._teller.tell) for market in markets
        ]
        self._stop = threading.Event()

    def run(self) -> int:
        """Serve until told to stop; the exit code: 0, or 1 when a clock died (a supervisor then restarts all)."""
        for number in STOPPED:
            signal.signal(number, lambda *_: self._stop.set())
        self._teller.start()
        for clock in self._clocks:
            clock.start()
        if self._mirror is not None:
            self._mirror.start()
        while not self._stop.wait(1.0):
            if not all(clock.alive for clock in self._clocks):
                log.critical("worker.clock_died")
                self._end()
                return 1
        self._end()
        return 0

    def _begun(self, work: Work) -> None:
        board.put(work)
        if self._mirror is not None:
            self._mirror.show(work)

    def _end(self) -> None:
        deadline = time.monotonic() + ENDS_WITHIN_SEC
        for clock in self._clocks:
            clock.stop()
        if self._mirror is not None:
            self._mirror.stop()
        for clock in self._clocks:
            clock.join(max(0.0, deadline - time.monotonic()))
        if self._mirror is not None:
            self._mirror.join(max(0.0, deadline - time.monotonic()))
        self._teller.stop()
        log.info("worker.end")


class Teller:
    """Tells people after bad periods, in a thread of its own: a dead chat service must not wait in a clock's loop."""

    def __init__(self, markets: Sequence[ServedMarket]) -> None:
        self._alarms = {market.base_dir: Alarm(market.label) for market in markets}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="teller", daemon=True)

    def start(self) -> None:
        """Be ready to tell."""
        self._thread.start()

    def stop(self) -> None:
        """Tell nothing more, and give the thread back."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(TELLER_ENDS_WITHIN_SEC)
        if not self._thread.is_alive():
            self._loop.close()

    def tell(self, work: Work, ending: Ending) -> None:
        """Tell, where that is due. Returns at once."""
        alarm = self._alarms[work.market.base_dir]
        asyncio.run_coroutine_threadsafe(tell_after(alarm, work, ending), self._loop).add_done_callback(_log_broken)


def _log_broken(telling: Future[None]) -> None:
    error = telling.exception()
    if error is not None:
        log.error("notice.broke", exc_info=error)


def serve(markets: Sequence[ServedMarket], run_period: RunPeriod, log_format: LogFormat = "auto") -> int:
    """Run the worker in this process; its exit code."""
    sys.setswitchinterval(SWITCH_INTERVAL_SEC)
    shown = load_prefect(log_format)
    name = f"bmac {socket.gethostname()} {os.getpid()}"
    log.info("worker.start", name=name, markets=[market.label for market in markets], prefect=shown)
    # What was imported lives for ever: the collector must not walk through it (100 ms and more) at a target.
    gc.collect()
    gc.freeze()
    return Worker(markets, run_period, mirror=Mirror(markets, board, name) if shown else None).run()


def load_prefect(log_format: LogFormat) -> bool:
    """Import Prefect before the clocks start; whether a server is configured that could show anything."""
    prepare_environment()
    from prefect.settings import PREFECT_API_URL  # noqa: PLC0415

    import flows.worker.showing  # noqa: F401, PLC0415 - brings Prefect, whose settings had to be set first
    from flows.prefect_logs import take_over  # noqa: PLC0415

    take_over(log_format)
    if PREFECT_API_URL.value():
        return True
    log.warning("prefect.not_configured", hint="set PREFECT_API_URL; the periods run, but nothing shows them")
    return False
