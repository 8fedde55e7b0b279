"""How far the filling of history has come, for people who watch: a small file beside the config."""

from __future__ import annotations

import msgspec

from flows.steps.context import Period
from kit.buffer.files import write_atomically
from kit.words import utc_now

PROGRESS_NAME = "history.json"


def report_progress(period: Period, done: int, total: int) -> None:
    """Write how many of the planned pages are done."""
    state = {"done": done, "total": total, "run_time": period.run_time, "at": utc_now()}
    write_atomically(period.folder.base_dir / PROGRESS_NAME, msgspec.json.encode(state))
