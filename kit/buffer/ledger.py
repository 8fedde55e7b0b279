"""The ledger: one record a run time, 64 run times a file, each file rewritten whole."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import msgspec
import structlog

from kit.buffer.files import write_atomically
from kit.buffer.layout import Folder, time_word
from kit.durable import sync_folder
from kit.errors import NaiveTimeError, TimeRangeError
from kit.outside import MEGABYTE, UNREADABLE, TooLargeError, read_bounded
from kit.words import to_ms

log = structlog.get_logger(__name__)

MAX_BYTES = 64 * MEGABYTE
"""64 records that each name 10000 symbols have 20 MB."""

RECORDS_A_FILE = 64
"""A rewrite costs about 15 KB a period then, and a look-up reads one small file."""


class LedgerRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """What is known of one run time.

    ``expected``: symbols that should have a candle. ``by_stream`` + ``by_rest`` + ``len(missing)`` + ``len(excused)``
    = ``expected``. ``complete``: nothing is missing. ``completed_at``: when that was first found to be so;
    ``seconds_to_complete``: counted from the run time. ``started_at``: when the period's work began. These times are
    the exchange's; ``clock_offset_ms`` is how far ahead of this machine's its clock was found to be then.
    """

    run_time: datetime
    expected: int
    by_stream: int
    by_rest: int
    missing: list[str]
    excused: dict[str, str]
    complete: bool
    completed_at: datetime | None = None
    seconds_to_complete: float | None = None
    started_at: datetime | None = None
    revised: int = 0
    filled: int = 0
    clock_offset_ms: int | None = None

    def as_dict(self) -> dict[str, object]:
        """The record as plain JSON values, times in UTC as ``2026-11-22T07:05:00Z``."""
        plain: dict[str, object] = msgspec.to_builtins(self)
        return plain

    @classmethod
    def from_dict(cls, plain: dict[str, object]) -> LedgerRecord:
        """The record that ``as_dict`` gave."""
        return msgspec.convert(plain, cls)


class Ledger:
    """The records of one market. Any number of readers; one writer, the flow that holds the folder."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._span_ms = RECORDS_A_FILE * folder.interval.ms

    def get(self, run_time: datetime) -> LedgerRecord | None:
        """The record of a run time, or None. NaiveTimeError for a time without a zone."""
        run_ms = to_ms(run_time)
        return self._read(self._path(run_ms)).get(run_ms)

    def between(self, first_ms: int, last_ms: int) -> dict[int, LedgerRecord]:
        """The records of the run times from first to last, in milliseconds, by run time."""
        records: dict[int, LedgerRecord] = {}
        for start in range(first_ms - first_ms % self._span_ms, last_ms + 1, self._span_ms):
            records.update(self._read(self._path(start)))
        return {run_ms: record for run_ms, record in sorted(records.items()) if first_ms <= run_ms <= last_ms}

    def put(self, records: Iterable[LedgerRecord]) -> None:
        """Write records; those of the same run time are replaced. OSError when the disk refuses."""
        by_path: dict[Path, dict[int, LedgerRecord]] = {}
        for record in records:
            run_ms = to_ms(record.run_time)
            by_path.setdefault(self._path(run_ms), {})[run_ms] = record
        # The streamer renames a slice before it makes the folder durable; what is called complete here must not outlive
        # the candles that it was seen in.
        sync_folder(self._folder.candles)
        for path, fresh in by_path.items():
            merged = self._read(path) | fresh
            lines = b"\n".join(msgspec.json.encode(merged[run_ms]) for run_ms in sorted(merged))
            write_atomically(path, lines + b"\n")

    def forget_before(self, run_ms: int) -> None:
        """Delete the files that hold only run times before ``run_ms``."""
        oldest = self._path(run_ms).name
        for path in self._folder.ledger.glob("*.jsonl"):
            if path.name < oldest:
                path.unlink(missing_ok=True)

    def _path(self, run_ms: int) -> Path:
        return self._folder.ledger / f"{time_word(run_ms - run_ms % self._span_ms)}.jsonl"

    def _read(self, path: Path) -> dict[int, LedgerRecord]:
        try:
            lines = read_bounded(path, MAX_BYTES).splitlines()
        except FileNotFoundError:
            return {}
        except TooLargeError as error:
            log.warning("ledger.damaged", path=str(path), error=str(error))
            return {}
        records = [record for line in lines if (record := _record_in(line, path)) is not None]
        return {to_ms(record.run_time): record for record in records}


def _record_in(line: bytes, path: Path) -> LedgerRecord | None:
    """The record of a line; None when it is damaged: the next period writes it anew from what is readable."""
    try:
        record = msgspec.json.decode(line, type=LedgerRecord)
        to_ms(record.run_time)
    except (NaiveTimeError, TimeRangeError, *UNREADABLE) as error:
        log.warning("ledger.damaged", path=str(path), error=str(error))
        return None
    return record
