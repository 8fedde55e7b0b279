"""Carries out the faults that act by themselves: on open connections, on the tapes, and when their time is over."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from kit.embedded_exchange.faults.active import Active, Faults
from kit.embedded_exchange.faults.altered_tape import Hole
from kit.embedded_exchange.faults.lines import some_of
from kit.words import Venue

if TYPE_CHECKING:
    from kit.embedded_exchange.clock import Clock
    from kit.embedded_exchange.connection import Connection
    from kit.embedded_exchange.market import Market
    from kit.embedded_exchange.port import Port

HOWS = ("abort", "close", "server_shutdown", "life")
_HOW_OF = {"abort": "abort", "close": "close", "server_shutdown": "server_shutdown", "forced_disconnect": "life"}
_STILL = ("silence", "freeze")
_TICK_S = 0.1
_GOING_AWAY = 1001


class Conductor:
    """Started with the exchange; does nothing while no fault is on."""

    def __init__(self, faults: Faults, ports: Sequence[Port], market: Market, clock: Clock) -> None:
        self._faults = faults
        self._ports = ports
        self._market = market
        self._clock = clock
        self._picked: dict[int, set[int]] = {}  # numbers of the connections that a fault was switched on for
        self._agenda: list[tuple[int, Callable[[], object]]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        faults.watch(self._changed)

    def start(self) -> None:
        """From now on, in the running loop."""
        self._loop = asyncio.get_running_loop()
        self._do(self._tick)

    async def stop(self) -> None:
        """Ends what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def end(self, how: str, *, code: int | None = None, venue: Venue | None = None, share: float = 1.0) -> int:
        """Ends open connections at once. ``how``: one of ``HOWS``. Returns: how many."""
        numbered = [(one.number, one) for one in self._open() if venue in (None, one.venue)]
        chosen = some_of(numbered, share, "end", self._faults.seed)
        for connection in chosen:
            self._end(connection, how, _GOING_AWAY if code is None else code)
        return len(chosen)

    def at(self, moment_ms: int, work: Callable[[], object]) -> None:
        """Does something once the exchange's clock has come to that moment."""
        self._agenda.append((moment_ms, work))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            due = [entry for entry in self._agenda if entry[0] <= self._clock.now_ms()]
            for entry in due:
                self._agenda.remove(entry)
                entry[1]()
            if self._faults.active() or self._picked:
                self._act()

    def _changed(self, active: Active, on: bool) -> None:  # Faults.watch's own form
        if on and active.fault.name in ("klines_hole", "quiet"):
            self._alter(active)
        if on and active.fault.name in _STILL:
            self._picked[active.number] = {one.number for one in self._chosen(active)}
            active.hits += len(self._picked[active.number])
        elif not on:
            self._picked.pop(active.number, None)
        if self._loop is not None:
            self._act()

    def _act(self) -> None:
        for connection in self._open():
            frozen = self._is_hit("freeze", connection)
            connection.disturb(muted=frozen or self._is_hit("silence", connection), frozen=frozen)
        for one in self._faults.named(*_HOW_OF):
            self._fire(one)

    def _is_hit(self, name: str, connection: Connection) -> bool:
        for one in self._faults.named(name):
            picked = self._picked.get(one.number, set())
            newer = connection.opened > one.since and bool(one.fault.own["new"])
            chosen = newer and one.fault.picks(self._faults.seed, connection.number)
            if chosen and connection.number not in picked and self._concerns(one, connection):
                picked.add(connection.number)
                self._faults.hit(one)
            if connection.number in picked:
                return True
        return False

    def _fire(self, active: Active) -> None:
        repeat_ms = active.fault.own.get("repeat_ms")
        now = time.monotonic()
        if active.fired is not None and (not isinstance(repeat_ms, int) or now - active.fired < repeat_ms / 1000):
            return
        active.fired = now
        for connection in self._chosen(active):
            after_ms = active.fault.whole("after_ms") if "after_ms" in active.fault.own else 0
            code = active.fault.whole("code") if "code" in active.fault.own else _GOING_AWAY
            self._end(connection, _HOW_OF[active.fault.name], code, after_ms)
            self._faults.hit(active)
            if active.until_ms is not None:  # that was the last of its times
                return
        if repeat_ms is None:
            self._faults.switch_off(active.number)

    def _chosen(self, active: Active) -> list[Connection]:
        concerned = [(one.number, one) for one in self._open() if self._concerns(active, one)]
        return some_of(concerned, active.fault.share, active.fault.name, self._faults.seed)

    def _concerns(self, active: Active, connection: Connection) -> bool:
        return active.fault.concerns(connection.venue, connection.symbols)

    def _open(self) -> list[Connection]:
        return [connection for port in self._ports for connection in port.connections]

    def _end(self, connection: Connection, how: str, code: int, after_ms: int = 0) -> None:
        if how == "abort":
            connection.abort()
        elif how == "close":
            self._do(partial(connection.close, code, "Going away"))
        elif how == "life":
            self._do(connection.live_out)
        else:
            connection.announce_shutdown(self._clock.now_ms())
            self._do(partial(connection.close, code, "Server shutdown"), after_ms)

    def _alter(self, active: Active) -> None:
        """Changes the past of every symbol that the fault is about."""
        for venue in Venue:
            for instrument in self._market.instruments(venue):
                if active.fault.concerns(venue, (instrument.symbol,)):
                    self._alter_one(active, venue, instrument.symbol)
        self.renew()

    def _alter_one(self, active: Active, venue: Venue, symbol: str) -> None:
        fault, seed = active.fault, self._faults.seed
        if fault.name == "quiet":
            if fault.picks(seed, symbol):
                tape = self._market.altered(venue, symbol)
                tape.quiets.append(active)
                tape.announced += [active] if fault.own["kind"] == "flat" else []
                active.hits += 1
            return
        begins = fault.own["begins"]
        hole = Hole(active, _chooser(active, seed, symbol), frozenset(begins) if isinstance(begins, tuple) else None)
        self._market.altered(venue, symbol).holes.append(hole)
        active.hits += 1

    def renew(self) -> None:
        """The market or the clock was changed from outside: what is being sent follows."""
        for port in self._ports:
            port.wake()

    def _do(self, work: Callable[[], Awaitable[None]], after_ms: int = 0) -> None:
        async def carry_out() -> None:
            await asyncio.sleep(after_ms / 1000)
            with contextlib.suppress(ConnectionError):  # the connection ended by itself
                await work()

        task = asyncio.create_task(carry_out())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _chooser(active: Active, seed: int, symbol: str) -> Callable[[int], bool]:
    return lambda begin_ms: active.fault.picks(seed, symbol, begin_ms)
