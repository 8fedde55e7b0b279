"""``python -m flows`` with a stand-in for the work and, where asked for, with periods of a few seconds.

The stand-in keeps what the real work promises: idempotent, one at a time in a folder, steps reported as they end.
It notes the start of its first step in ``BASE_DIR/starts.jsonl``.

    STAND_IN_PERIOD_SEC   the length of a period, whatever config.json says
    STAND_IN_WORK_SEC     how long the work takes (default 0.3)
    STAND_IN_HISTORY      set: the work tells how far its history has come, as the real one does
    STAND_IN_FAIL         an existing file of this name in BASE_DIR makes the exchange unreachable
"""

from __future__ import annotations

import asyncio
import json
import os
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING

from flows.steps import Outcome, StepReport
from kit.buffer.ledger import LedgerRecord
from kit.errors import UnreachableError
from kit.words import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

FAIL = "exchange_is_down"
A_DAY = "86400"
NAMES = ("exchange_info", "newest", "history", "audits", "funding", "compact")


def record_of(run_time: datetime, missing: list[str] | None = None) -> LedgerRecord:
    lost = missing or []
    return LedgerRecord(
        run_time=run_time,
        expected=3,
        by_stream=3 - len(lost),
        by_rest=0,
        missing=lost,
        excused={},
        complete=not lost,
        completed_at=None if lost else utc_now(),
    )


async def run_period(
    base_dir: Path,
    run_time: datetime,
    *,
    history_deadline: datetime | None = None,
    on_step: Callable[[StepReport], None] | None = None,
) -> Outcome:
    note(base_dir, run_time)
    if (base_dir / FAIL).exists():
        raise UnreachableError("nobody answers", url="http://127.0.0.1:1/fapi/v1/exchangeInfo")
    done = base_dir / f"done_{run_time:%Y%m%dT%H%M%S}"
    already = done.exists()
    reports = []
    for name in NAMES:
        started_at = utc_now()
        if name == "history" and "STAND_IN_HISTORY" in os.environ:
            await pretend_to_fill(base_dir, run_time)
        await asyncio.sleep(float(os.environ.get("STAND_IN_WORK_SEC", "0.3")) / len(NAMES))
        reports.append(StepReport(name, started_at, utc_now(), f"{name} went well"))
        if on_step is not None:
            on_step(reports[-1])
    done.touch()
    return Outcome(record_of(run_time), tuple(reports), already_done=already)


async def pretend_to_fill(base_dir: Path, run_time: datetime) -> None:
    from flows.steps.progress import report_progress  # noqa: PLC0415 - with polars, which few tests of this need

    period = SimpleNamespace(folder=SimpleNamespace(base_dir=base_dir), run_time=run_time)
    for done in range(0, 31, 3):
        report_progress(period, done, 30)  # type: ignore[arg-type]  # two fields of a period is all it reads
        await asyncio.sleep(0.3)


def note(base_dir: Path, run_time: datetime) -> None:
    now = utc_now()
    with (base_dir / "starts.jsonl").open("a") as file:
        file.write(json.dumps({"run_time": run_time.isoformat(), "at": now.isoformat()}) + "\n")


def install() -> None:
    """Put the stand-in, and the short period, where the real ones are."""
    import flows.markets  # noqa: PLC0415
    import flows.steps  # noqa: PLC0415

    flows.steps.run_period = run_period
    if seconds := os.environ.get("STAND_IN_PERIOD_SEC"):
        pace = flows.markets.Pace(timedelta(seconds=float(seconds)), timedelta(seconds=0.5))
        flows.markets.pace_of = lambda _config: pace


if __name__ == "__main__":
    install()
    from flows.__main__ import app

    app(prog_name="python -m flows")
