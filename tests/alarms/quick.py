"""``python -m tests.alarms.quick PROGRAM ARGUMENTS...``: the streamer or the flows in short time.

All patience of alarms is a tenth, heartbeats come each half second, a silent connection is left after two seconds; the
worker's periods of a 1s market come each four seconds. The work itself is the real one.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta

import kit.alarms.book
import kit.alarms.look
import kit.alarms.signs
from kit.alarms.conditions import RULES
from kit.config import MarketConfig

PERIOD = timedelta(seconds=4)
PERIOD_MS = 4_000


def shorten() -> None:
    for kind, rule in RULES.items():
        RULES[kind] = replace(rule, confirm_s=rule.confirm_s / 10, settle_s=rule.settle_s / 10)
    kit.alarms.signs.SILENT_AFTER_S = 3.0
    kit.alarms.look.due_run_ms = due_run_ms  # of the run times that the worker does
    kit.alarms.book.GATHER_MS = 300
    kit.alarms.book.MESSAGES = 60  # the limit is the book's tests' matter


def due_run_ms(config: MarketConfig, exchange_ms: int) -> int:
    patience_ms = int((config.offset + config.candle_close_timeout).total_seconds() * 1000)
    return (exchange_ms - patience_ms) // PERIOD_MS * PERIOD_MS


def stream(arguments: list[str]) -> int:
    import streamer.command  # noqa: PLC0415 - only one of the two programs is loaded
    from streamer.app import Streamer  # noqa: PLC0415
    from streamer.timing import Timing  # noqa: PLC0415

    quick = Timing(
        silent_after_s=2.0, silence_cap_s=3.0, first_frame_within_s=2.0, status_every_s=0.5, worker_look_s=0.5
    )
    streamer.command.Streamer = lambda configs: Streamer(configs, quick)
    return streamer.command.main(arguments)


def work(arguments: list[str]) -> None:
    import flows.markets  # noqa: PLC0415
    import flows.worker.attendant  # noqa: PLC0415
    from flows.__main__ import app  # noqa: PLC0415

    flows.markets.pace_of = lambda config: flows.markets.Pace(PERIOD, config.offset)
    flows.worker.attendant.BEAT_EVERY_S = flows.worker.attendant.LOOK_EVERY_S = 0.5
    app(arguments)


if __name__ == "__main__":
    shorten()
    _, program, *rest = sys.argv
    sys.exit(stream(rest) if program == "streamer" else work(rest))
