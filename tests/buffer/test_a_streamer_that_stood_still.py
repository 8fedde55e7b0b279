"""A streamer that was stopped for minutes (SIGSTOP, a paused container) finds old finals waiting."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from kit.buffer import slices
from kit.buffer.layout import Folder
from kit.buffer.read import read_candles
from kit.buffer.slices import SliceWriter
from tests.builders import MINUTE, NOON, candle, folder_in

RUN_MS = NOON + MINUTE


class Stopped:
    """A writer, and a steady clock that goes on while it stands still."""

    def __init__(self, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ms = RUN_MS
        monkeypatch.setattr(slices, "steady_ms", lambda: float(self.now_ms - NOON))
        self.writer = SliceWriter(folder)

    def hear(self, symbol: str, sent_ms: int) -> bool:
        """A final of the candle that closed at RUN_MS, sent so long after that; it is read now."""
        self.now_ms = max(self.now_ms, RUN_MS + sent_ms)
        return self.writer.add(candle(symbol, NOON), RUN_MS + sent_ms, self.now_ms)


def readable(folder: Folder) -> list[str]:
    return read_candles(folder)["symbol"].cast(pl.String).to_list()


def test_what_was_readable_before_it_stood_still_stays_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_in(tmp_path)
    at = Stopped(folder, monkeypatch)
    at.hear("AUSDT", 300)
    at.hear("BUSDT", 310)
    at.writer.flush()
    at.hear("CUSDT", 400)
    at.now_ms += 5 * MINUTE
    assert at.writer.flush().too_late == 1
    assert not at.hear("DUSDT", 500)
    at.writer.flush()
    assert readable(folder) == ["AUSDT", "BUSDT"]


def test_finals_that_waited_until_their_period_may_be_compacted_are_left_to_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_in(tmp_path)
    at = Stopped(folder, monkeypatch)
    at.now_ms += 5 * MINUTE
    at.hear("AUSDT", 500)
    flushed = at.writer.flush()
    assert (flushed.rows, flushed.too_late) == (0, 1)
    assert readable(folder) == []
