"""One place among a route's connections: keeps one alive, replaces it beside itself before it must end."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, NamedTuple

import structlog

from streamer.connection import Connection, Door
from streamer.life import Backoff, Ended, EndKind, Pace, Phase, may_take_over
from streamer.stats import Disconnected

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    from streamer.subscription import Wish

logger = structlog.stdlib.get_logger(__name__)


class _Running(NamedTuple):
    connection: Connection
    task: asyncio.Task[Ended]
    started_at: float


class Slot:
    """Keeps ``streams`` flowing over one connection, two while it is replaced. ``run`` until cancelled."""

    def __init__(self, door: Door, name: str, pace: Pace, chance: random.Random) -> None:
        self._door = door
        self._name = name
        self._pace = pace
        self._chance = chance
        self._backoff = Backoff(door.timing, chance)
        self._streams: dict[str, Wish] = {}
        self._generation = 0
        self._current: _Running | None = None
        self._incoming: _Running | None = None
        self._leaving: list[_Running] = []
        self._next_try = 0.0

    def carry(self, streams: Mapping[str, Wish]) -> None:
        """Make these its streams."""
        if streams == self._streams:
            return
        self._streams = dict(streams)
        for running in (self._current, self._incoming):
            if running is not None:
                running.connection.carry(self._streams)

    @property
    def exhausted(self) -> set[str]:
        """Streams that stay silent here however often they are asked for."""
        return set() if self._current is None else set(self._current.connection.exhausted)

    def delivering(self, now: float) -> set[str]:
        """Those of its streams that send frames."""
        return set() if self._current is None else self._current.connection.subscription.delivering(now)

    def last_frames(self) -> dict[str, float]:
        """When the newest frame of each of its streams came, where one did."""
        return {} if self._current is None else self._current.connection.subscription.last_frames()

    def phase(self, now: float) -> Phase:
        """Where its connection is in its life."""
        return Phase.CLOSED if self._current is None else self._current.connection.phase(now)

    async def run(self) -> None:
        """Keep it so until cancelled; then close what is open."""
        try:
            while True:
                self._start_due(time.monotonic())
                tasks = {running.task for running in self._all()}
                if tasks:
                    await asyncio.wait(tasks, timeout=self._door.timing.tick_s, return_when=asyncio.FIRST_COMPLETED)
                else:
                    await asyncio.sleep(min(self._door.timing.tick_s, max(0.0, self._next_try - time.monotonic())))
                self._settle(time.monotonic())
        finally:
            tasks = {running.task for running in self._all()}
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    def _all(self) -> list[_Running]:
        return [running for running in (self._current, self._incoming, *self._leaving) if running is not None]

    def _start_due(self, now: float) -> None:
        if now < self._next_try:
            return
        if self._current is None:
            self._current = self._launch(now)
        elif self._incoming is None and self._current.connection.replacement_due(now):
            self._incoming = self._launch(now)

    def _launch(self, now: float) -> _Running:
        self._generation += 1
        timing = self._door.timing
        connection = Connection(
            self._door,
            self._name,
            self._generation,
            self._streams,
            rotate_after_s=timing.rotate_after_s - self._chance.uniform(0.0, timing.rotate_jitter_s),
            strikes=self._backoff.strikes,
        )
        return _Running(connection, asyncio.create_task(self._run_in_turn(connection)), now)

    async def _run_in_turn(self, connection: Connection) -> Ended:
        await asyncio.sleep(self._pace.wait_s(time.monotonic()))
        return await connection.run()

    def _settle(self, now: float) -> None:
        """See who has ended and who may take over."""
        self._leaving = [running for running in self._leaving if not running.task.done()]
        if self._incoming is not None and self._incoming.task.done():
            self._next_try = now + self._end(self._incoming, counts_as_loss=False)
            self._incoming = None
        if self._current is not None and self._current.task.done():
            delay = self._end(self._current, counts_as_loss=True)
            self._current, self._incoming = self._incoming, None
            self._next_try = now + delay
        if self._current is not None and self._incoming is not None:
            self._consider_replacing(self._current, self._incoming, now)

    def _consider_replacing(self, old: _Running, new: _Running, now: float) -> None:
        timing = self._door.timing
        asked_at = new.connection.asked_all_at
        if asked_at is not None and may_take_over(
            old.connection.subscription.delivered_since(asked_at),
            new.connection.subscription.delivered_since(asked_at),
            open_for_s=now - asked_at,
            timing=timing,
        ):
            old.connection.drain()
            self._leaving.append(old)
            self._current, self._incoming = new, None
            self._door.stats.rotated += 1
            logger.info("connection.rotated", connection=self._name, generation=new.connection.generation)
        elif now - new.started_at > timing.overlap_cap_s:
            logger.warning(
                "connection.replacement_useless", connection=self._name, generation=new.connection.generation
            )
            new.connection.drain()
            self._leaving.append(new)
            self._incoming = None
            self._next_try = now + timing.backoff_cap_s

    def _end(self, running: _Running, *, counts_as_loss: bool) -> float:
        """Note the end of a connection; returns the seconds to wait before the next attempt."""
        ended = running.task.result()
        first_silence = self._backoff.strikes == 0
        delay = self._backoff.after(ended)
        stats = self._door.stats
        connection = running.connection
        if ended.kind is EndKind.REFUSED:
            stats.refused += 1
        elif counts_as_loss:
            stats.lost += 1
            stats.last_disconnects.append(self._disconnected(connection, ended))
        # A quiet market is left and joined again for ever: worth a line, once.
        known = ended.kind is EndKind.SILENT and not first_silence
        event = "connection.refused" if ended.kind is EndKind.REFUSED else "connection.lost"
        if not self._door.hushed.allows(event, time.monotonic()):
            return delay
        logger.log(
            logging.INFO if known else logging.WARNING,
            event,
            connection=self._name,
            generation=connection.generation,
            kind=ended.kind.value,
            reason=ended.reason,
            streams=len(self._streams),
            lived_s=round(ended.lived_s, 1),
            next_try_s=round(delay, 1),
        )
        return delay

    def _disconnected(self, connection: Connection, ended: Ended) -> Disconnected:
        ago_s = time.monotonic() - (connection.silent_since or time.monotonic())
        return Disconnected(
            connection=self._name,
            generation=connection.generation,
            streams=len(self._streams),
            since_ms=int((time.time() - ago_s) * 1000),
            kind=ended.kind.value,
            reason=ended.reason,
        )
