"""Several processes' budgets over one state folder, beside an exchange that counts, on a virtual clock.

A "process" is a ``WeightBudget`` of its own with a pid of its own; the file, the locks, the waiting and the polling are
the real ones. What the rules alone promise is tested in ``tests/budget``; here it is what a caller gets.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections import Counter
from contextlib import ExitStack
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Never
from unittest import mock

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kit.budget import Reservation, Urgency, WeightBudget
from kit.budget.store import BusyError
from kit.errors import BannedError, ForbiddenError, RateLimitedError, StopError
from tests.models.virtual_time import VirtualLoop, VirtualTime

LIMIT = 100
MINUTE = 60_000
CLOCK_ERROR_MS = 250  # that of a clock that was asked; below the guard of 300
ANSWER_WITHIN_S = 5.0
MOST_PROCESSES = 5
PID: ContextVar[int] = ContextVar("pid")


@dataclass(eq=False)
class Request:
    """A caller's request, from its wish to its end."""

    weight: int
    pid: int
    task: asyncio.Task[None] | None = None
    counted: bool = False


@dataclass(eq=False)
class Process:
    """One program of the machine."""

    pid: int
    budget: WeightBudget
    under_way: set[Request] = field(default_factory=set)  # promised, not ended
    waiting: set[Request] = field(default_factory=set)


class WeightMachine(RuleBasedStateMachine):
    """``counted``: the exchange's counter by its own minute. ``stops``: until when nobody may send, and since when."""

    @initialize(error_ms=st.integers(-CLOCK_ERROR_MS, CLOCK_ERROR_MS), slow=st.integers(-9000, 9000))
    def begin(self, error_ms: int, slow: int) -> None:
        self.loop = VirtualLoop()
        self.time = VirtualTime(self.loop)
        self.path = Path(tempfile.mkdtemp(prefix="weight-"))
        self.slow_ms, self.error_ms = slow, error_ms
        self.counted: Counter[int] = Counter()
        self.answers_after_s = 0.1
        self.stop_until_ms = 0
        self.next_pid = 1
        self.processes: list[Process] = []
        self.over: list[str] = []
        self.stack = ExitStack()
        self.stack.enter_context(mock.patch("kit.budget.budget.time", self.time))
        fake_os = SimpleNamespace(getpid=PID.get, kill=self.signal, environ=os.environ)
        self.stack.enter_context(mock.patch("kit.budget.budget.os", fake_os))
        for _ in range(3):
            self.a_process_starts()
        self.processes[0].budget.set_clock_offset(self.offset_ms)

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            self.everybody_gets_a_turn()
        finally:
            self.loop.end()
            for process in self.processes:
                process.budget.close()
            self.stack.close()
            shutil.rmtree(self.path)

    @property
    def now_ms(self) -> int:
        """The exchange's clock."""
        return self.time.time_ns() // 1_000_000

    @property
    def offset_ms(self) -> int:
        """What a process measures: the exchange's clock minus the machine's, and an error."""
        return self.slow_ms + self.error_ms

    def signal(self, pid: int, _number: int) -> None:
        if pid not in [process.pid for process in self.processes]:
            raise ProcessLookupError

    # What happens.

    @precondition(lambda self: len(self.processes) < MOST_PROCESSES)
    @rule()
    def a_process_starts(self) -> None:
        budget = WeightBudget("model", self.path, limit=LIMIT, clock_ms=lambda: self.now_ms - self.slow_ms)
        self.processes.append(Process(self.next_pid, budget))
        self.next_pid += 1

    @precondition(lambda self: len(self.processes) > 1)
    @rule(index=st.integers(0, 5), counted=st.booleans())
    def a_process_is_killed(self, index: int, counted: bool) -> None:
        """Nothing of it is settled; what it had sent may be counted all the same."""
        process = self.processes.pop(index % len(self.processes))
        for request in process.under_way:
            if counted and not request.counted:
                self.count(request)
        process.budget._store.close()
        process.budget._store = mock.Mock(update=_dead, read=process.budget._store.read)
        process.budget._store.read = _dead
        for request in process.under_way | process.waiting:
            assert request.task is not None
            request.task.cancel()
        self.loop.after(0.0)

    @rule(
        index=st.integers(0, 5),
        weights=st.lists(st.sampled_from([1, 1, 2, 5, 10, 33]), min_size=1, max_size=25),
        urgency=st.sampled_from(Urgency),
        deadline_s=st.sampled_from([None, None, 0.5, 20.0]),
    )
    def requests_come(self, index: int, weights: list[int], urgency: Urgency, deadline_s: float | None) -> None:
        process = self.processes[index % len(self.processes)]
        for weight in weights:
            request = Request(weight, process.pid)
            process.waiting.add(request)
            PID.set(process.pid)
            deadline_ms = None if deadline_s is None else process.budget.now_ms() + int(deadline_s * 1000)
            request.task = self.loop.create_task(self.send(process, request, urgency, deadline_ms))
        self.loop.after(0.0)

    async def send(self, process: Process, request: Request, urgency: Urgency, deadline_ms: int | None) -> None:
        try:
            async with process.budget.reserve(request.weight, urgency, deadline_ms=deadline_ms) as reservation:
                process.waiting.discard(request)
                process.under_way.add(request)
                if self.now_ms < self.stop_until_ms:
                    self.over.append("a request was let through during a stop")
                await self.ask_exchange(process, request, reservation)
        except StopError:
            pass  # told so: a caller that hears of it comes again later
        finally:
            process.waiting.discard(request)
            process.under_way.discard(request)

    async def ask_exchange(self, process: Process, request: Request, reservation: Reservation) -> None:
        delay = self.answers_after_s
        await asyncio.sleep(delay / 2)  # on its way; the order of answers changes with ``answers_are``
        if not request.counted:
            self.count(request)
        used, date_ms = self.counted[self.now_ms // MINUTE], self.now_ms // 1000 * 1000
        await asyncio.sleep(delay / 2)
        if delay < ANSWER_WITHIN_S:
            reservation.settle(used_header=used, date_ms=date_ms)

    def count(self, request: Request) -> None:
        request.counted = True
        minute = self.now_ms // MINUTE
        self.counted[minute] += request.weight

    @rule(seconds=st.sampled_from([0.0, 0.05, 0.2, 3.0, ANSWER_WITHIN_S, 20.0]))
    def answers_are_late_by(self, seconds: float) -> None:
        """Of the requests to come; so answers overtake each other. From ``ANSWER_WITHIN_S`` on they are given up."""
        self.answers_after_s = seconds

    @rule(seconds=st.sampled_from([0.01, 0.3, 2.0, 11.0, 45.0]))
    def passes(self, seconds: float) -> None:
        self.loop.after(seconds)

    @rule(ms=st.integers(-400, 700))
    def passes_to_a_turn(self, ms: int) -> None:
        self.loop.after(max(0.0, (MINUTE - self.now_ms % MINUTE + ms) / 1000))

    @rule(slow=st.integers(-70_000, 70_000), error_ms=st.integers(-CLOCK_ERROR_MS, CLOCK_ERROR_MS))
    def the_machines_clock_is_set_and_the_exchange_asked(self, slow: int, error_ms: int) -> None:
        self.slow_ms, self.error_ms = slow, error_ms
        self.processes[0].budget.set_clock_offset(self.offset_ms)

    @rule(
        index=st.integers(0, 5),
        seconds=st.sampled_from([1, 7, 30, 200]),
        kind=st.sampled_from([RateLimitedError, BannedError, ForbiddenError]),
    )
    def the_exchange_says_stop(
        self, index: int, seconds: int, kind: type[RateLimitedError | BannedError | ForbiddenError]
    ) -> None:
        until_ms = self.now_ms + seconds * 1000
        self.stop_until_ms = max(self.stop_until_ms, until_ms)
        self.processes[index % len(self.processes)].budget.stop(kind("stop", until_ms))

    # What must hold.

    @invariant()
    def the_exchange_never_counts_more_than_its_limit(self) -> None:
        if hasattr(self, "counted"):
            assert max(self.counted.values(), default=0) <= LIMIT
            assert not self.over, self.over[0]

    @invariant()
    def every_promise_that_is_under_way_is_in_the_shared_sum(self) -> None:
        if hasattr(self, "processes"):
            promised = sum(request.weight for process in self.processes for request in process.under_way)
            for process in self.processes:
                assert process.budget.snapshot().outstanding >= promised, "a reservation was lost"

    @invariant()
    def a_process_that_starts_now_knows_of_the_stop(self) -> None:
        if getattr(self, "stop_until_ms", 0) > getattr(self, "now_ms", 0) + 2 * CLOCK_ERROR_MS:
            for process in self.processes:
                stop_until_ms = process.budget.snapshot().stop_until_ms
                assert stop_until_ms is not None
                assert stop_until_ms >= self.stop_until_ms

    def everybody_gets_a_turn(self) -> None:
        """Nobody comes any more: who waits is served within the minutes that the weight takes, and not much later."""
        self.answers_after_s = 0.1
        weight = sum(request.weight for process in self.processes for request in process.waiting | process.under_way)
        minutes = 3 + 2 * weight // LIMIT + max(0, self.stop_until_ms - self.now_ms) // MINUTE
        for _ in range(minutes):
            if not any(process.waiting | process.under_way for process in self.processes):
                break
            self.loop.after(60.0)
            self.the_exchange_never_counts_more_than_its_limit()
        assert not any(process.waiting | process.under_way for process in self.processes), "somebody starves"
        alive = {process.pid for process in self.processes}
        state = self.processes[0].budget._store.read()
        assert not [each for each in state.promises + state.tickets if each.pid in alive], "kept by nobody"


def _dead(*_: object) -> Never:
    """What a killed process does: its clean-up in here must reach nothing."""
    raise BusyError("killed")
