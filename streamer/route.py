"""A route: one WebSocket address by one way, shared by all markets that are read there.

Markets say what they want; the route spreads all streams over its connections and changes as little as it can when
that changes.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import structlog

from kit.dialect.klines import stream_name
from kit.exchange_clock import read_local
from streamer.assignment import assign, move
from streamer.connection import Door
from streamer.intake import Intake, Sink
from streamer.life import Pace, Phase
from streamer.slot import Slot
from streamer.stats import RouteStats
from streamer.subscription import Wish

if TYPE_CHECKING:
    import random
    from collections.abc import Collection

    from streamer.timing import Timing

logger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True)
class RouteKey:
    """What two markets must have in common to share connections. The proxy may carry a password: not for logs."""

    url: str
    proxy: str | None
    max_streams: int


class _Wanted(NamedTuple):
    """What a market wants. ``leaving``: symbols that have stopped trading and may still have a last candle."""

    sink: Sink
    symbols: frozenset[str]
    leaving: frozenset[str]


class Route:
    """The connections to one address. ``run`` until cancelled."""

    def __init__(self, key: RouteKey, name: str, timing: Timing, pace: Pace, chance: random.Random) -> None:
        self.name = name
        self.stats = RouteStats()
        self._key = key
        self._timing = timing
        self._pace = pace
        self._chance = chance
        self._intake = Intake(timing)
        self._door = Door(key.url, key.proxy, timing, self._intake, self.stats)
        self._wanted: dict[str, _Wanted] = {}
        self._leaving: set[str] = set()
        self._listeners = 1
        self._assigned: dict[str, int] = {}
        self._intervals: dict[str, float] = {}
        self._moves: Counter[str] = Counter()  # how often a stream that stayed silent was tried elsewhere
        self._slots: dict[int, tuple[Slot, asyncio.Task[None]]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    def want(
        self, sink: Sink, symbols: Collection[str], *, listeners: int, leaving: Collection[str] = frozenset()
    ) -> None:
        """Let ``sink`` have the candles of ``symbols``. ``listeners``: connections its market asks for at most.

        ``leaving``: those of symbols that have stopped trading, too; nobody minds when they send nothing.
        """
        self._wanted[sink.name] = _Wanted(sink, frozenset(symbols), frozenset(leaving))
        self._listeners = max(self._listeners, listeners)
        targets: dict[tuple[str, str], tuple[str, list[Sink]]] = {}
        intervals: dict[str, float] = {}
        minded: set[str] = set()
        for each in self._wanted.values():
            for symbol in each.symbols | each.leaving:
                stream = stream_name(symbol, each.sink.interval)
                intervals[stream] = each.sink.interval.ms / 1000
                targets.setdefault((symbol, each.sink.interval.value), (stream, []))[1].append(each.sink)
                if symbol in each.symbols:
                    minded.add(stream)
        self._intervals = intervals
        self._leaving = intervals.keys() - minded
        self._intake.direct(targets)
        self._changed.set()

    def exchange_ms(self) -> int:
        """The exchange's clock in UTC milliseconds, as the frames of this route tell it."""
        return self._intake.clock.received_ms(read_local())

    def delivering(self, sink_name: str) -> tuple[int, int]:
        """How many streams a market wants, and how many of them send frames."""
        if sink_name not in self._wanted:
            return 0, 0
        sink, symbols, _ = self._wanted[sink_name]
        return len(symbols), len(self._alive() & {stream_name(symbol, sink.interval) for symbol in symbols})

    def silent(self, sink_name: str, most: int) -> list[str]:
        """The first few of a market's symbols whose streams send nothing, by name."""
        if sink_name not in self._wanted:
            return []
        sink, symbols, _ = self._wanted[sink_name]
        alive = self._alive()
        return sorted(symbol for symbol in symbols if stream_name(symbol, sink.interval) not in alive)[:most]

    def quiet_for(self, sink_name: str) -> float | None:
        """Seconds since the newest frame of that stream of a market which is quiet longest; None where none came."""
        if sink_name not in self._wanted:
            return None
        sink, symbols, _ = self._wanted[sink_name]
        wanted = {stream_name(symbol, sink.interval) for symbol in symbols}
        frames = [at for slot, _ in self._slots.values() for name, at in slot.last_frames().items() if name in wanted]
        return time.monotonic() - min(frames) if frames else None

    def phases(self) -> dict[str, int]:
        """How many connections are in which phase."""
        now = time.monotonic()
        phases = [slot.phase(now) for slot, _ in self._slots.values()]
        return {phase.value: phases.count(phase) for phase in Phase if phase in phases}

    def _alive(self) -> set[str]:
        now = time.monotonic()
        return set().union(*(slot.delivering(now) for slot, _ in self._slots.values()))

    async def run(self) -> None:
        """Keep the connections as wanted until cancelled. A slot that fails (a bug) ends the route with its error."""
        try:
            while True:
                self._assign()
                await self._wait()
        finally:
            tasks = self._ending | {task for _, task in self._slots.values()}
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    async def _wait(self) -> None:
        """Until the wanted streams change or a second has passed."""
        try:
            async with asyncio.timeout(self._timing.look_every_s):
                await self._changed.wait()
        except TimeoutError:
            pass
        self._changed.clear()
        for _, task in self._slots.values():
            if task.done():
                task.result()

    def _assign(self) -> None:
        limits = {"listeners": self._listeners, "max_streams": self._key.max_streams}
        assigned = assign(self._intervals, self._assigned, **limits)
        if self._moves:
            # What nobody wants any more is forgotten, too: a ticker that comes back is not stale.
            for stream in self._moves.keys() - (self._intervals.keys() - self._alive()):
                del self._moves[stream]
        for slot, _ in self._slots.values():
            for stream in slot.exhausted & assigned.keys():
                moved = move(stream, assigned, **limits)
                self._moves[stream] += moved != assigned
                assigned = moved
        if assigned != self._assigned:
            logger.info(
                "route.assigned", route=self.name, streams=len(assigned), connections=len(set(assigned.values()))
            )
            self._assigned = assigned
        by_slot: dict[int, dict[str, Wish]] = {}
        for stream, index in assigned.items():
            wish = Wish(self._intervals[stream], self._moves[stream], stream in self._leaving)
            by_slot.setdefault(index, {})[stream] = wish
        for index in [index for index in self._slots if index not in by_slot]:
            _, task = self._slots.pop(index)
            task.cancel()
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        for index, streams in by_slot.items():
            if index not in self._slots:
                slot = Slot(self._door, f"{self.name}#{index}", self._pace, self._chance)
                slot.carry(streams)
                self._slots[index] = (slot, asyncio.create_task(slot.run()))
            self._slots[index][0].carry(streams)
