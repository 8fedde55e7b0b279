"""``python -m tests.concurrency.writer_process streamer|flow BASE_DIR PERIODS``: what they do to the buffer, no more.

Both are the real functions of ``kit.buffer`` at full speed. The streamer writes 747 symbols a period in three flushes;
the flow fills the three symbols that it leaves out, writes the ledger, compacts, and deletes what has been absorbed
after half a second, where the real one leaves it for two minutes. The periods begin once a line comes on stdin.
"""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from pathlib import Path
from unittest import mock

from kit.buffer import compaction
from kit.buffer.fills import store_rest
from kit.buffer.layout import Folder
from kit.buffer.ledger import Ledger, LedgerRecord
from kit.buffer.read import Span, current_view, read_view
from kit.buffer.slices import SliceWriter
from kit.words import Interval, TradeType, from_ms
from tests.builders import MINUTE, NOON, candle

PARTS = {"P0": 250, "P1": 250, "P2": 247}
BY_REST = [f"R0{number}" for number in range(3)]
PAUSE_S = 0.02


def names(part: str) -> list[str]:
    """The symbols of a flush."""
    return [f"{part}{number:03}" for number in range(PARTS[part])]


def stream(folder: Folder, periods: int) -> None:
    """All periods as a streamer."""
    writer = SliceWriter(folder)
    for run_ms in range(NOON + MINUTE, NOON + (periods + 1) * MINUTE, MINUTE):
        for part in PARTS:
            for symbol in names(part):
                writer.add(candle(symbol, run_ms - MINUTE), run_ms + 100, run_ms + 110)
            writer.flush()
        time.sleep(PAUSE_S)


def flow(folder: Folder, periods: int) -> None:
    """All periods as a flow, each once the streamer has it."""
    compaction.GRACE = timedelta(seconds=0.5)  # type: ignore[attr-defined]  # the module's own name for it
    total = sum(PARTS.values()) + len(BY_REST)
    last_ms = NOON + periods * MINUTE
    done_ms = NOON
    while done_ms < last_ms:
        newest_ms = min(current_view(folder).newest_run_ms or 0, last_ms)
        # The period before the newest is whole: the streamer writes one after the other.
        whole_ms = newest_ms if newest_ms == last_ms and _whole(folder, last_ms) else newest_ms - MINUTE
        for run_ms in range(done_ms + MINUTE, whole_ms + 1, MINUTE):
            rows = [candle(symbol, run_ms - MINUTE) for symbol in BY_REST]
            store_rest(folder, rows, received_ms=run_ms + 3000, racing_from_ms=run_ms - MINUTE)
            Ledger(folder).put(
                [
                    LedgerRecord(
                        run_time=from_ms(run_ms),
                        expected=total,
                        by_stream=total - len(rows),
                        by_rest=len(rows),
                        missing=[],
                        excused={},
                        complete=True,
                    )
                ]
            )
            done_ms = run_ms
        window_ms = NOON - 256 * MINUTE
        compaction.compact(folder, exchange_ms=done_ms, window_ms=window_ms, active=[])


def _whole(folder: Folder, run_ms: int) -> bool:
    span = Span(run_ms, run_ms)
    return len(read_view(folder, current_view(folder), ["symbol", "candle_begin_time"], span=span)) >= sum(
        PARTS.values()
    )


if __name__ == "__main__":
    where = Folder(Path(sys.argv[2]), TradeType.USDT_PERP, Interval.M1)
    where.open_for_writing()
    print('{"begins": true}', flush=True)  # noqa: T201 - whoever started it waits for this line
    sys.stdin.readline()
    with mock.patch("os.fsync", int):  # that is for power cuts; here the disk would only slow the race down
        (stream if sys.argv[1] == "streamer" else flow)(where, int(sys.argv[3]))
