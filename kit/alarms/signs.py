"""Signs of life on disk, each a small JSON file that appears whole in the base directory.

    streamer.json   the streamer's heartbeat, every 5 s
    worker.json     the flows' worker's, every 5 s
    period.json     which period was begun last and what became of the last one that ended, whoever did it

Ages go by the steady clock, where both looks are of one boot: a wall clock that is set makes nobody silent.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import structlog

from kit.buffer.files import write_atomically
from kit.exchange_clock import Local
from kit.outside import MEGABYTE, UNREADABLE, read_bounded
from kit.words import LAST_MS, to_ms

log = structlog.stdlib.get_logger(__name__)

STREAMER_NAME, WORKER_NAME, PERIOD_NAME = "streamer.json", "worker.json", "period.json"
MAX_BYTES = 4 * MEGABYTE  # the largest, the streamer's, has some 5 kB

BEAT_EVERY_S = 5.0
SILENT_AFTER_S = 20.0
"""Four heartbeats missed: a process that is starved for that long is as bad as one that is gone."""
STOPPED_FOR_S = 600.0
"""After an orderly end: an update takes less, and is nobody's trouble."""

Ms = Annotated[int, msgspec.Meta(ge=0, le=LAST_MS)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
S = TypeVar("S", bound=msgspec.Struct)


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A period's end: ``verdict`` is the name of its state (``Completed``, ``Failed`` ...), ``message`` one line.

    ``steps``: why a step failed, None for one that went well; empty where the work did not come to its end.
    """

    run_time: Moment
    ended_at: Moment
    verdict: str
    message: str = ""
    attempts: int = 1
    steps: dict[str, str | None] = {}


class FailingStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step that failed in the last ``periods`` periods that came to their end; ``reason``: in ``run_time``'s."""

    run_time: Moment
    periods: int
    reason: str


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """A period's beginning, by the process ``pid``."""

    run_time: Moment
    begun_at: Moment
    pid: int


class PeriodSigns(msgspec.Struct, frozen=True, kw_only=True):
    """``begun``: None when nobody is at work; ``last``: the newest that ended; ``failing``: steps by their names."""

    begun: Begun | None = None
    last: Ended | None = None
    failing: dict[str, FailingStep] = {}


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """What every heartbeat has. ``running`` is false after an orderly end; ``steady_ms`` counts from ``boot``."""

    pid: int
    running: bool
    started_at: Moment
    written_at: Moment
    steady_ms: int = 0
    boot: str = ""

    def age_s(self, now: Local) -> float:
        """Seconds since it was written."""
        if self.boot == now.boot:
            return (now.steady_ms - self.steady_ms) / 1000
        return (now.wall_ms - to_ms(self.written_at)) / 1000

    def silent(self, now: Local) -> bool:
        """Whether its process should be heard of by now: at once when it was running, later after an orderly end."""
        return self.age_s(now) > (SILENT_AFTER_S if self.running else STOPPED_FOR_S)


class WorkerBeat(Beat, frozen=True, kw_only=True):
    """The worker's. ``next_run_time`` and ``next_target`` are the exchange's times."""

    next_run_time: Moment | None = None
    next_target: Moment | None = None
    last: Ended | None = None


class Disconnect(msgspec.Struct, frozen=True, kw_only=True):
    """A connection that was lost: since when, how and why."""

    connection: str
    since: Moment | None
    kind: str
    reason: str


class RouteSigns(msgspec.Struct, frozen=True, kw_only=True):
    """What the streamer says of its connections: how many are in which phase, and the last ones that were lost."""

    connections: dict[str, int] = {}
    last_disconnects: list[Disconnect] = []


class Contradicted(msgspec.Struct, frozen=True, kw_only=True):
    """A candle of which the stream told a second, different final, at ``seen_ms`` of the exchange's clock."""

    symbol: str
    begin_ms: Ms
    seen_ms: Ms


class StreamerBeat(Beat, frozen=True, kw_only=True):
    """What alarms and flows need of the streamer's heartbeat. ``silent_streams``: some of those that send nothing."""

    wanted_streams: int = 0
    delivering_streams: int = 0
    silent_streams: list[str] = []
    last_run_time: Moment | None = None
    disk_error: str | None = None
    route: RouteSigns = RouteSigns()
    contradicted: list[Contradicted] = []


def read_signs(base_dir: Path, name: str, kind: type[S]) -> S | None:
    """A file of signs; None when there is none that can be read."""
    try:
        return msgspec.json.decode(read_bounded(base_dir / name, MAX_BYTES), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, *UNREADABLE) as error:
        log.warning("signs.unreadable", path=str(base_dir / name), error=str(error))
        return None


def write_signs(base_dir: Path, name: str, signs: msgspec.Struct) -> bool:
    """Put a file of signs there, whole; whether the disk took it. A disk that refuses must not stop the work."""
    try:
        write_atomically(base_dir / name, msgspec.json.format(msgspec.json.encode(signs), indent=1) + b"\n")
    except OSError as error:
        log.warning("signs.unwritable", path=str(base_dir / name), error=str(error))
        return False
    return True
