"""The one long-lived process: a clock for each market, and the mirror that shows in Prefect what the clocks do."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import structlog

from flows.board import board
from flows.exchange_time import ExchangeTime
from flows.worker.attendant import Alarms, Heart
from flows.worker.clock import MarketClock
from flows.worker.mirror import Mirror, prepare_environment
from flows.worker.tally import Tally
from flows.worker.timekeeper import Timekeeper, watches_of
from kit.config import load_config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prometheus_client.registry import Collector

    from flows.attempts import RunPeriod
    from flows.board import Ending, Work
    from flows.markets import ServedMarket
    from kit.logs import LogFormat
    from kit.metrics import Address

log = structlog.stdlib.get_logger(__name__)

SWITCH_INTERVAL_SEC = 0.0005
"""How long a thread may keep the interpreter while another wants it. Python's 5 ms would add up: a clock's thread needs
the interpreter several times to start a period."""
ENDS_WITHIN_SEC = 4.0
"""The promise is 5 s from SIGTERM to the end. Prefect's own shutdown, which drains its queues, gets no time."""
STOPPED = (signal.SIGTERM, signal.SIGINT)


class Worker:
    """The clocks of some markets with their mirror. ``run`` blocks until SIGTERM or SIGINT (main thread only).

    Raises:
        ConfigError, FolderNotWritableError: a config is gone, or there is no place for the weight budget.
    """

    def __init__(self, markets: Sequence[ServedMarket], run_period: RunPeriod, *, mirror: Mirror | None) -> None:
        self._mirror = mirror
        self._tally = Tally(market.base_dir for market in markets)
        times = {market.base_dir: ExchangeTime(load_config(market.base_dir)) for market in markets}
        self._times = times
        self._heart = Heart(markets, {base_dir: clock.now for base_dir, clock in times.items()})
        self._alarms = Alarms(markets)
        self._timekeeper = Timekeeper(watches_of(times))
        self._clocks = [
            MarketClock(market, run_period, on_begin=self._begun, on_end=self._ended, now=times[market.base_dir].now)
            for market in markets
        ]
        self._stop = threading.Event()

    def run(self) -> int:
        """Serve until told to stop; the exit code: 0, or 1 when a clock died (a supervisor then restarts all)."""
        for number in STOPPED:
            signal.signal(number, lambda *_: self._stop.set())
        self._timekeeper.start()
        self._heart.start()
        self._alarms.start()
        for clock in self._clocks:
            clock.start()
        if self._mirror is not None:
            self._mirror.start()
        while not self._stop.wait(1.0):
            if not all(clock.alive for clock in self._clocks):
                log.critical("worker.clock_died")
                self._end(orderly=False)
                return 1
        self._end(orderly=True)
        return 0

    def metrics(self) -> Collector:
        """What Prometheus is told of this worker."""
        from flows.metrics import WorkerCollector  # noqa: PLC0415 - only for those who want it

        return WorkerCollector(self._times, self._tally, lambda: 0 if self._mirror is None else self._mirror.waiting)

    def _begun(self, work: Work) -> None:
        self._tally.begun(work)
        self._heart.begun(work)
        if self._mirror is not None:  # nobody else joins a work
            board.put(work)
            self._mirror.show(work)

    def _ended(self, work: Work, ending: Ending) -> None:
        self._tally.ended(work, ending)
        self._heart.ended(work, ending)
        self._alarms.look_soon()

    def _end(self, *, orderly: bool) -> None:
        deadline = time.monotonic() + ENDS_WITHIN_SEC
        for clock in self._clocks:
            clock.stop()
        if self._mirror is not None:
            self._mirror.stop()
        for clock in self._clocks:
            clock.join(max(0.0, deadline - time.monotonic()))
        if self._mirror is not None:
            self._mirror.join(max(0.0, deadline - time.monotonic()))
        self._timekeeper.stop()
        self._alarms.stop()
        self._heart.stop(orderly=orderly)
        log.info("worker.end")


def serve(
    markets: Sequence[ServedMarket],
    run_period: RunPeriod,
    log_format: LogFormat = "auto",
    metrics: Address | None = None,
) -> int:
    """Run the worker in this process, and serve its metrics where that is asked for; its exit code.

    Raises:
        MetricsError: the address cannot be listened on.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_SEC)
    shown = load_prefect(log_format)
    name = f"bmac {socket.gethostname()} {os.getpid()}"
    log.info("worker.start", name=name, markets=[market.label for market in markets], prefect=shown)
    # What was imported lives for ever: the collector must not walk through it (100 ms and more) at a target.
    gc.collect()
    gc.freeze()
    worker = Worker(markets, run_period, mirror=Mirror(markets, board, name) if shown else None)
    with ExitStack() as served:
        if metrics is not None:
            from kit.metrics.endpoint import serving  # noqa: PLC0415 - only for those who want it

            served.enter_context(serving(metrics, worker.metrics()))
        return worker.run()


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
