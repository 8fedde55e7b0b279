"""The streamer's side of the buffer: closed candles in, one file a period out.

Within a period the file is written anew whenever finals have come, always with all rows so far, so that a reader
opens one file for the newest period and sees either the old set of rows or the new one.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from kit.buffer.files import candle_table, remove_temporaries, write_table
from kit.buffer.layout import Folder, sealed_after_ms
from kit.exchange_clock import steady_ms
from kit.words import Candle, Source


@dataclass(frozen=True)
class Flushed:
    """What one flush made readable: run times written (milliseconds), new rows, bytes on disk.

    ``too_late`` counts rows given up because the disk refused until their period was sealed; REST fills them.
    """

    run_times_ms: tuple[int, ...] = ()
    rows: int = 0
    bytes: int = 0
    too_late: int = 0


class SliceWriter:
    """Collects closed candles and writes them. ``add`` may be called from any thread, ``flush`` from one.

    A candle for a sealed period is refused: the flow may have compacted that period already. REST fills it.
    Sealing goes by the exchange's clock, as the frames tell it, so a wrong local clock refuses nothing; between frames
    it goes on by the steady clock, so what waited while this process stood still is not taken for new.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._interval_ms = folder.interval.ms
        self._sealed_after_ms = sealed_after_ms(folder.interval)
        # A new incarnation never touches the files of an earlier one, so it need not read them. It counts as the later
        # one even when the clock has gone back: what was readable first stays what is read.
        earlier = (file.seq for file in folder.list_candle_files() if file.kind == "stream")
        self._incarnation = max(time.time_ns(), 1 + max(earlier, default=0))
        self._lock = threading.Lock()
        self._rows: dict[int, dict[str, tuple[Candle, int]]] = {}
        self._unwritten: dict[int, int] = {}
        self._too_late = 0
        self._exchange_ms = 0
        self._heard_at_ms = steady_ms()
        self._forgotten_ms = 0
        remove_temporaries(folder.candles)

    @property
    def pending(self) -> int:
        """Candles that are not on disk yet."""
        return sum(self._unwritten.values())

    def add(self, candle: Candle, event_ms: int, received_ms: int) -> bool:
        """Take a closed candle; False when it is already held, or its period is sealed.

        ``event_ms`` is the exchange's stamp of the frame, ``received_ms`` its clock at the arrival here: later, by
        minutes where the frame waited for a process that was stopped.
        """
        run_ms = candle.begin_ms + self._interval_ms
        if event_ms - run_ms > self._sealed_after_ms:
            return False
        with self._lock:
            self._exchange_ms, self._heard_at_ms = max(event_ms, received_ms), steady_ms()
            if run_ms <= self._forgotten_ms:
                return False  # its file would be written anew without the rows that are forgotten
            period = self._rows.setdefault(run_ms, {})
            if candle.symbol in period:
                return False
            period[candle.symbol] = (candle, received_ms)
            self._unwritten[run_ms] = self._unwritten.get(run_ms, 0) + 1
        return True

    def contradicts(self, candle: Candle) -> bool:
        """Whether another candle is held of that symbol and period. What came first stays."""
        with self._lock:
            held = self._rows.get(candle.begin_ms + self._interval_ms, {}).get(candle.symbol)
        return held is not None and held[0] != candle

    def flush(self) -> Flushed:
        """Write what is pending. Blocks for the disk. OSError when it refuses: everything stays pending."""
        with self._lock:
            work = {run_ms: (list(self._rows[run_ms].values()), count) for run_ms, count in self._unwritten.items()}
        horizon = self._exchange_now_ms() - 2 * self._sealed_after_ms
        # Given up first: while the disk refuses, what can still be written must not be dropped for lack of room.
        for run_ms in [run_ms for run_ms in work if run_ms < horizon]:
            _, count = work.pop(run_ms)
            self._mark_written(run_ms, count)
            self._too_late += count
        self._forget_before(horizon)
        written: list[int] = []
        rows = size = 0
        for run_ms, (candles, count) in sorted(work.items(), reverse=True):
            path = self._folder.stream_path(run_ms, self._incarnation)
            size += write_table(path, candle_table(candles, Source.STREAM), self._folder.save_type)
            self._mark_written(run_ms, count)
            written.append(run_ms)
            rows += count
        too_late, self._too_late = self._too_late, 0
        return Flushed(tuple(written), rows, size, too_late)

    def _exchange_now_ms(self) -> int:
        return self._exchange_ms + int(steady_ms() - self._heard_at_ms)

    def _mark_written(self, run_ms: int, count: int) -> None:
        with self._lock:
            self._unwritten[run_ms] -= count
            if not self._unwritten[run_ms]:
                del self._unwritten[run_ms]

    def _forget_before(self, horizon_ms: int) -> None:
        with self._lock:
            for run_ms in [run_ms for run_ms in self._rows if run_ms < horizon_ms and run_ms not in self._unwritten]:
                del self._rows[run_ms]
                self._forgotten_ms = max(self._forgotten_ms, run_ms)
