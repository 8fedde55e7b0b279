"""``python -m tests.soak.virtual_hours HOURS``: hours of a streamer's life in seconds; does anything in it grow?

The whole streamer on a real folder, but for sockets, threads and clocks: the exchange is the model in memory of
``tests.models``, the clock jumps to the next timer, and disk work is done in turn. Each ten minutes everything happens
that may happen to it: rotations, cuts, refusals, silent connections, a symbol listed and one delisted, a stream that
stays silent, garbage, events of new kinds, a disk that refuses.

A JSON line at the end of each hour, all at the same point of that cycle: ``tests.soak.census`` and what happened. With
``--trace`` the last lines tell where what has been added since the hour before was made. With ``--leak`` the streamer
keeps a text of each connection: what must be found.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import json
import random
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from kit.buffer.exchange_info import ExchangeInfoStore
from kit.buffer.files import write_table
from kit.buffer.layout import Folder
from kit.config import parse_config
from kit.dialect.klines import stream_name
from kit.dialect.symbols import SymbolInfo
from kit.errors import FolderError
from kit.logs import configure
from kit.words import Interval, from_ms
from streamer.app import Streamer
from streamer.connection import Connection
from streamer.timing import Timing
from tests.models.stream_exchange import ATTEMPTS_IN_FIVE_MINUTES, StreamExchange
from tests.models.virtual_time import VirtualLoop, VirtualTime
from tests.soak.census import census
from tests.streamer.exchange_double import MINUTE, frame

# The real proportions, with fewer looks between: what they cost is what hours take to play. What is remembered of the
# last openings is full after the first hour.
TIMING = Timing(
    tick_s=1.0,
    own_pause_s=8.0,
    rotate_after_s=1500.0,
    rotate_jitter_s=900.0,
    status_every_s=60.0,
    worker_look_s=60.0,
    opens_in_five_minutes=60,
)
TIMED_MODULES = (
    *("streamer." + name for name in ("app", "connection", "flusher", "intake", "route", "slot", "watching")),
    "kit.buffer.slices",
    "kit.exchange_clock",
)
SYMBOLS = [f"P{number}USDT" for number in range(12)]
CHATTER_S = 5
"""How often open candles come."""


class Clocks(VirtualTime):
    """What else is asked of ``time``."""

    process_time = staticmethod(time.process_time)


class InTurn(ThreadPoolExecutor):
    """Does all work when it comes: a virtual clock cannot wait for a thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except (OSError, FolderError) as error:
            future.set_exception(error)
        return future


class Hours:
    """A streamer and its exchange; ``pass_ten_minutes`` again and again."""

    def __init__(self, base_dir: Path, loop: VirtualLoop) -> None:
        self.loop = loop
        self.exchange = StreamExchange(loop)
        self.exchange.time = Clocks(loop)
        self.exchange.attempts.extend([0.0] * ATTEMPTS_IN_FIVE_MINUTES)  # its memory of them is full from the beginning
        config = parse_config(base_dir, {"interval": "1m", "trade_type": "usdt_perp", "num_socket_listeners": 3})
        self.folder = Folder(base_dir, config.trade_type, config.interval)
        self.folder.open_for_writing()
        self.infos = ExchangeInfoStore(self.folder)
        self.streamer = Streamer([config], TIMING)
        self.chance = random.Random(1)
        self.disk_refuses = False
        self.round = 0

    def list_symbols(self) -> None:
        """Those that stay, one that is traded and one that is not; the latter two are new each time."""
        come = [f"NEW{self.round}USDT", f"QUIET{self.round}USDT"]
        quiet = (come[1], f"QUIET{self.round - 1}USDT")
        self.exchange.silent_streams = {stream_name(symbol, Interval.M1) for symbol in quiet}
        self.infos.save(
            [_info(symbol) for symbol in SYMBOLS + come], from_ms(self.exchange.time.time_ns() // 1_000_000)
        )
        for path in self.folder.exchange_info.iterdir():
            if path != self.infos.versions()[-1]:
                path.unlink()

    def write(self, path: Path, *rest: Any) -> int:
        """In place of ``write_table``: a disk that can refuse, each time in other words."""
        if self.disk_refuses:
            raise OSError(errno.ENOSPC, f"no space for {path.name}", str(path))
        return write_table(path, *rest)

    def pass_ten_minutes(self) -> None:
        """A round: what happens, and a minute in between."""
        self.round += 1
        self.list_symbols()
        for happens in (self.all_are_cut, self.one_announces_its_end, self.opens_are_refused, self.one_is_mute,
                        self.nonsense_comes, self.the_disk_fills, self.one_is_cut, self.nothing, self.nothing,
                        self.nothing):  # fmt: skip
            happens()
            self.pass_a_minute()
            self.exchange.manner, self.disk_refuses = "sound", False
        for path in self.folder.candles.glob("stream_*"):
            path.unlink()

    def pass_a_minute(self) -> None:
        """Open candles every few seconds, the finals twice, as the exchange may send them."""
        for second in range(0, 60, CHATTER_S):
            self.exchange.chatter()
            if second == CHATTER_S:
                self.exchange.finals()
                self.exchange.finals()
            self.loop.after(float(CHATTER_S))

    def nothing(self) -> None: ...

    def all_are_cut(self) -> None:
        for session in self.exchange.live:
            session.cut()

    def one_is_cut(self) -> None:
        self.exchange.live[0].cut()

    def one_announces_its_end(self) -> None:
        self.exchange.live[0].push('{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}')

    def opens_are_refused(self) -> None:
        self.exchange.manner = "503"
        self.one_is_cut()

    def one_is_mute(self) -> None:
        self.exchange.manner = "mute"
        self.one_is_cut()

    def the_disk_fills(self) -> None:
        self.disk_refuses = True

    def nonsense_comes(self) -> None:
        session, number = self.exchange.live[0], self.round
        now_ms = self.exchange.time.time_ns() // 1_000_000
        session.push("{" + str(number))
        for kind in range(8):  # an hour of them is more than are told apart
            session.push(json.dumps({"stream": "new", "data": {"e": f"kind{number}_{kind}", "E": now_ms}}))
        session.push(json.dumps({"error": {"code": number, "msg": f"refused {number}"}, "id": 10_000 + number}))
        session.push(json.dumps({"result": [f"x{number}usdt@kline_1m"], "id": 20_000 + number}))
        begin_ms = now_ms // MINUTE * MINUTE - MINUTE
        for symbol, begin in ((f"X{number}USDT", begin_ms), (SYMBOLS[0], begin_ms + 1), (SYMBOLS[1], now_ms)):
            session.push(frame(symbol, begin, closed=True, event_ms=now_ms))
        session.push(frame(SYMBOLS[2], begin_ms, closed=True, event_ms=now_ms + 86_400_000))


def _info(symbol: str) -> dict[str, Any]:
    base = symbol.removesuffix("USDT")
    return SymbolInfo(
        venue="um", symbol=symbol, status="TRADING", base_asset=base, quote_asset="USDT", contract_type="PERPETUAL"
    ).to_dict()


@contextmanager
def played(base_dir: Path) -> Iterator[Hours]:
    """A streamer that runs while the block lasts, with all its clocks virtual."""
    loop = VirtualLoop()
    loop.set_default_executor(InTurn(1))
    with ExitStack() as stack:
        clocks = Clocks(loop)
        for module in TIMED_MODULES:
            stack.enter_context(mock.patch(f"{module}.time", clocks))
        stack.enter_context(mock.patch("streamer.flusher.ThreadPoolExecutor", InTurn))
        stack.enter_context(mock.patch("os.fsync", int))  # a Mock would keep every call
        hours = Hours(base_dir, loop)
        stack.enter_context(mock.patch("streamer.connection.open_socket", hours.exchange.open))
        stack.enter_context(mock.patch("kit.buffer.slices.write_table", hours.write))
        hours.list_symbols()
        stop = asyncio.Event()
        running = loop.create_task(hours.streamer.run(stop))
        try:
            yield hours
        finally:
            stop.set()
            loop.run_until_complete(running)
            loop.end()


def counted(hours: Hours) -> dict[str, Any]:
    """What there is now, and what has happened."""
    route, stats = hours.streamer.markets[0].route.stats, hours.streamer.markets[0].stats
    return {
        **census(),
        "opened": route.opened,
        "rotated": route.rotated,
        "lost": route.lost,
        "refused": route.refused,
        "written": stats.rows_written,
        "tasks": len(asyncio.all_tasks(hours.loop)),
    }


def leaking(connection: Connection, *arguments: Any, **options: Any) -> None:
    """In place of ``Connection.__init__``: a text of each is kept, which the collector does not even know."""
    KEPT.append(f"{id(connection)}")
    INIT(connection, *arguments, **options)


KEPT: list[str] = []
INIT = Connection.__init__


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.virtual_hours", description=__doc__)
    parser.add_argument("hours", type=int)
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--leak", action="store_true")
    options = parser.parse_args()
    configure("json")
    if options.leak:
        Connection.__init__ = leaking  # type: ignore[method-assign, assignment]  # that is the leak
    before: tracemalloc.Snapshot | None = None
    with tempfile.TemporaryDirectory(prefix="bmac-hours-") as scratch, played(Path(scratch)) as hours:
        for hour in range(1, options.hours + 1):
            for _ in range(6):
                hours.pass_ten_minutes()
            told = {"hour": hour, **counted(hours)}
            if options.trace and hour == options.hours - 4:
                tracemalloc.start()
            if options.trace and hour >= options.hours - 2:
                after = tracemalloc.take_snapshot().filter_traces(
                    [tracemalloc.Filter(False, tracemalloc.__file__), tracemalloc.Filter(False, __file__)]
                )
                if before is not None:
                    told["added"] = [str(each) for each in after.compare_to(before, "lineno")[:25]]
                before = after
            print(json.dumps(told), flush=True)  # noqa: T201 - said so above
    return 0


if __name__ == "__main__":
    sys.exit(main())
