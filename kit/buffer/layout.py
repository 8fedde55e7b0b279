"""Every path of a base directory, and what the name of each file says.

    BASE_DIR/
      config.json
      format.json                         version of this layout; anything else is refused
      streamer.lock  flow.lock            held by the two writers, one of each kind
      usdt_perp_5m/                       the candles of the market
        stream_20261122T070500Z_<id>.parquet          streamer: one period; <id> tells its incarnations apart
        rest_20261122T060000Z_20261122T070500Z_<seq>.parquet       flow: filled by REST, run times first to last
        revision_..._..._<seq>.parquet                flow: corrected candles
        block_20261122T064000Z_20261122T071500Z_<seq>.parquet      flow: compacted, every candle of its run times
        retired_..._..._<seq>.parquet                 flow: a block of run times that left the window, of which only
                                                      the symbols remain that are no longer in the market
        damaged_<name>                                flow: a file that could not be read any more, or is named for the
                                                      future; left to people
        ledger/20261122T000000Z.jsonl                 flow: records of 64 run times a file
        revisions/<seq>.jsonl                         flow: what each revision changed, kept for ever
        symbols.json                                  flow: what is known of each symbol's history
        assets.json                                   flow: tickers that came back as another asset, where there are any
      exginfo_5m/20261122T070001Z.parquet             one file a change
      funding_5m/202611.parquet                       one file a month; damaged_202611.parquet as above
      factors_5m/  resample_1h/

The rules that let two writers and any number of readers do without a lock between them:

- A file appears whole under its final name or not at all (``kit.buffer.files``). The streamer writes ``stream_*``
  only, the flow everything else; nobody writes a file of the other.
- ``seq`` grows with every file of the flow. A block holds all that was readable of its run times when it was made:
  files of those run times with a smaller ``seq``, and the streamer's slices, are *absorbed* and no longer read.
- The streamer is done with a period when it is *sealed*; a block is only made of periods that have been sealed.
- Only regular files (or links to them) are ours: a folder or a pipe under such a name is passed over.
- Absorbed files are deleted long after the block appeared (``GRACE``), so that a reader which listed the folder
  before still finds what it chose.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

from kit.buffer.files import write_atomically
from kit.durable import make_folder
from kit.errors import FolderError, FolderNotWritableError, FolderVersionError
from kit.outside import MEGABYTE, read_bounded
from kit.words import Interval, TradeType, from_ms, to_ms

FORMAT_VERSION = 1

GRACE = timedelta(seconds=120)
"""How long absorbed files stay: far longer than any reader takes from listing the folder to opening the files."""

BLOCK_SIZES = (256, 64, 8)
"""Run times a block, largest first. With 8 a reader meets at most about 11 loose slices; 256 keep what is read beyond
the window, and what one build costs, small."""

ASIDE = "damaged_"
"""Before the name of a file that was put aside: nobody takes it for one of ours."""

KINDS = ("stream", "rest", "revision", "block", "retired")

_TIME_WORD = r"\d{8}T\d{6}Z"
# One spelling a file, so that two names never mean the same; 20 digits hold nanoseconds and each number of the flow.
_NAME = re.compile(
    rf"(?:(stream)_({_TIME_WORD})|({'|'.join(KINDS[1:])})_({_TIME_WORD})_({_TIME_WORD}))_(\d{{1,20}})\.(?:parquet|feather)",
    re.ASCII,
)


def sealed_after_ms(interval: Interval) -> int:
    """Milliseconds after a run time from which the streamer adds nothing more to it.

    A final comes within seconds of the close; a minute covers a stalled process, and what is later still is filled
    by REST. Short intervals seal sooner so that their many slices are compacted soon.
    """
    return min(60_000, max(10_000, interval.ms))


@dataclass(frozen=True, order=True)
class CandleFile:
    """What a file name of the candle folder says. Times are run times in milliseconds, both ends included."""

    kind: str
    first_ms: int
    last_ms: int
    seq: int
    name: str

    def contains(self, other: CandleFile) -> bool:
        """Whether the other's run times all lie within this one's."""
        return self.first_ms <= other.first_ms and other.last_ms <= self.last_ms


def is_utf8(path: str) -> bool:
    """Whether a path is text. Python keeps other bytes of a name as halves of characters, which polars refuses."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def time_word(ms: int) -> str:
    """A run time as file names spell it: ``20261122T070500Z``."""
    return from_ms(ms).strftime("%Y%m%dT%H%M%SZ")


def parse_time_word(word: str) -> int:
    """The milliseconds of a run time spelled by ``time_word``; ValueError when it is not one."""
    return to_ms(datetime.strptime(word, "%Y%m%dT%H%M%S%z"))


def parse_name(name: str) -> CandleFile | None:
    """What a name says, or None when the file is not one of ours (temporary, a user's own, ...)."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    stream, run_time, kind, first, last, seq = match.groups()
    try:
        first_ms = parse_time_word(run_time or first)
        last_ms = first_ms if stream else parse_time_word(last)
    except ValueError:  # a month 13
        return None
    return CandleFile(stream or kind, first_ms, last_ms, int(seq), name) if 0 <= first_ms <= last_ms else None


def names_of_files(folder: Path) -> list[str]:
    """The names of the regular files in a folder, in no order; none where there is no folder.

    Whoever opened a pipe would wait for ever. What a name stands for comes with the listing: no look at each.
    """
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_file()]
    except FileNotFoundError:
        return []


@dataclass(frozen=True)
class Folder:
    """The base directory of one market: builds every path in it. Creates nothing by itself."""

    base_dir: Path
    trade_type: TradeType
    interval: Interval
    save_type: str = "parquet"

    @cached_property
    def candles(self) -> Path:
        """The folder of the market's candles."""
        return self.base_dir / f"{self.trade_type}_{self.interval}"

    @cached_property
    def exchange_info(self) -> Path:
        """The folder of the exchange info and its history."""
        return self.base_dir / f"exginfo_{self.interval}"

    @cached_property
    def funding(self) -> Path:
        """The folder of the funding rates."""
        return self.base_dir / f"funding_{self.interval}"

    @property
    def ledger(self) -> Path:
        """The folder of the ledger's files."""
        return self.candles / "ledger"

    @property
    def revisions(self) -> Path:
        """The folder of what each revision changed."""
        return self.candles / "revisions"

    @property
    def symbol_states(self) -> Path:
        """The file of what is known of each symbol's history."""
        return self.candles / "symbols.json"

    @cached_property
    def assets(self) -> Path:
        """The file of the tickers that came back as another asset."""
        return self.candles / "assets.json"

    @property
    def format_file(self) -> Path:
        """The file with the version of this layout."""
        return self.base_dir / "format.json"

    def lock(self, writer: str) -> Path:
        """The lock file of a writer, ``streamer`` or ``flow``."""
        return self.base_dir / f"{writer}.lock"

    def stream_path(self, run_ms: int, incarnation: int) -> Path:
        """The streamer's file of one period."""
        return self.candles / f"stream_{time_word(run_ms)}_{incarnation}.{self.save_type}"

    def flow_path(self, kind: str, first_ms: int, last_ms: int, seq: int) -> Path:
        """A file of the flow: ``rest``, ``revision``, ``block`` or ``retired``."""
        return self.candles / f"{kind}_{time_word(first_ms)}_{time_word(last_ms)}_{seq:012d}.{self.save_type}"

    def list_candle_files(self) -> list[CandleFile]:
        """What lies in the candle folder now; empty when it does not exist yet."""
        return [file for file in map(parse_name, names_of_files(self.candles)) if file is not None]

    def check_version(self) -> bool:
        """Whether the folder has been written before.

        Raises:
            FolderVersionError: it has, in another format.
            FolderError: its name is no text that polars could open.
        """
        if not is_utf8(str(self.base_dir)):
            raise FolderError(
                str(self.base_dir),
                "its name is not UTF-8, which candles cannot be read from; rename it (or is Python made to use another "
                "encoding than UTF-8 for names, by PYTHONUTF8=0 or the locale?)",
            )
        try:
            written = json.loads(read_bounded(self.format_file, MEGABYTE))
        except FileNotFoundError:
            return False
        except (OSError, ValueError, RecursionError) as error:
            raise FolderVersionError(str(self.format_file), f"cannot be read as a format version: {error}") from error
        version = written.get("format_version") if isinstance(written, dict) else None
        if version != FORMAT_VERSION:
            raise FolderVersionError(
                str(self.base_dir),
                f"has format version {version}, this program reads and writes {FORMAT_VERSION}; "
                "use the version that wrote it, or another folder",
            )
        return True

    def open_for_writing(self) -> None:
        """Create what is missing of the folder and check its version.

        Raises:
            FolderVersionError: written in another format.
            FolderNotWritableError: it cannot be created or written.
            FolderError: the path is no folder.
        """
        try:
            for path in (self.candles, self.ledger, self.revisions, self.exchange_info):
                make_folder(path)
            if not self.check_version():
                write_atomically(self.format_file, json.dumps({"format_version": FORMAT_VERSION}).encode())
        except (FileExistsError, NotADirectoryError) as error:
            raise FolderError(str(error.filename or self.base_dir), "is a file where a folder is needed") from error
        except OSError as error:
            raise FolderNotWritableError(
                str(error.filename or self.base_dir),
                f"cannot be written ({error.strerror}); check owner, mode and disk",
            ) from error
        if not os.access(self.candles, os.W_OK | os.X_OK):
            raise FolderNotWritableError(str(self.candles), "cannot be written; check its owner and mode")
