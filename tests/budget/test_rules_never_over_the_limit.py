"""A model of the exchange and of several processes with clocks of their own, driven by hypothesis in any order."""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kit.budget import rules
from kit.budget.rules import Promise, State, Stop, StopKind, Terms, Urgency

MINUTE = 60_000
START = 1_795_360_000_000 // MINUTE * MINUTE
LIMIT = 100
TERMS = Terms(default_limit=LIMIT, window_ms=MINUTE)
CLOCK_ERROR_MS = 250  # below the guard of 300


@dataclass(frozen=True)
class Flight:
    process: int
    promise: Promise
    header: int | None = None  # set when the exchange has counted it
    date_ms: int | None = None  # set when the exchange has answered


class Machine(RuleBasedStateMachine):
    """Requests are counted at any moment between their promise and their end; answers come in any order."""

    @initialize(errors=st.lists(st.integers(-CLOCK_ERROR_MS, CLOCK_ERROR_MS), min_size=3, max_size=3))
    def begin(self, errors: list[int]) -> None:
        self.now = START + 40_000
        self.errors = errors
        self.state = rules.with_clock(State(), 0)
        self.counted: dict[int, int] = {}
        self.flights: list[Flight] = []
        self.serial = 0
        self.told_stop_ms = 0

    def clock(self, process: int) -> int:
        return self.now + self.errors[process]

    @rule(ms=st.one_of(st.integers(0, 400), st.integers(0, 25_000)))
    def time_passes(self, ms: int) -> None:
        # No request lives longer than a promise.
        for flight in [each for each in self.flights if self.now + ms - each.promise.made_ms > 100_000]:
            self.flights.remove(flight)
            self.settle(flight, None, None)
        self.now += ms

    @rule(to_turn=st.integers(-300, 700))
    def time_jumps_to_a_turn(self, to_turn: int) -> None:
        self.time_passes(max(0, (self.now // MINUTE + 1) * MINUTE + to_turn - self.now))

    @rule(process=st.integers(0, 2), weight=st.sampled_from([1, 5, 10, 33]), urgency=st.sampled_from(Urgency))
    def asks_until_refused(self, process: int, weight: int, urgency: Urgency) -> None:
        while self.asks(process, weight, urgency):
            pass

    @rule(process=st.integers(0, 2), weight=st.sampled_from([1, 5, 10, 33]), urgency=st.sampled_from(Urgency))
    def asks_once(self, process: int, weight: int, urgency: Urgency) -> None:
        self.asks(process, weight, urgency)

    def asks(self, process: int, weight: int, urgency: Urgency) -> bool:
        self.serial += 1
        wanted = Promise(str(self.serial), process, weight, 0, 0)
        self.state, answer = rules.ask(self.state, TERMS, self.clock(process), wanted, urgency)
        if isinstance(answer, Promise):
            assert self.now >= self.told_stop_ms
            self.flights.append(Flight(process, answer))
            return True
        self.state = rules.cancel(self.state, TERMS, self.clock(process), wanted.id)
        return False

    @precondition(lambda self: any(each.header is None for each in self.flights))
    @rule(data=st.data())
    def exchange_counts(self, data: st.DataObject) -> None:
        index = data.draw(st.sampled_from([i for i, each in enumerate(self.flights) if each.header is None]))
        self.count(index)

    @rule()
    def exchange_counts_all(self) -> None:
        for index, flight in enumerate(self.flights):
            if flight.header is None:
                self.count(index)

    @rule(process=st.integers(0, 2), backwards=st.booleans())
    def the_rest_is_spent(self, process: int, backwards: bool) -> None:
        self.asks_until_refused(process, 33, Urgency.NEWEST)
        self.asks_until_refused(process, 1, Urgency.NEWEST)
        self.exchange_counts_all()
        self.all_answers_arrive_at_once(backwards)

    @rule(backwards=st.booleans())
    def all_answers_arrive_at_once(self, backwards: bool) -> None:
        for flight in [each for each in self.flights if each.header][:: -1 if backwards else 1]:
            self.flights.remove(flight)
            self.settle(flight, flight.header, flight.date_ms or self.now // 1000 * 1000)

    def count(self, index: int) -> None:
        window = self.now // MINUTE
        self.counted[window] = self.counted.get(window, 0) + self.flights[index].promise.weight
        self.flights[index] = replace(self.flights[index], header=self.counted[window])

    @precondition(lambda self: any(each.header and not each.date_ms for each in self.flights))
    @rule(data=st.data())
    def exchange_answers(self, data: st.DataObject) -> None:
        waiting = [i for i, each in enumerate(self.flights) if each.header and not each.date_ms]
        index = data.draw(st.sampled_from(waiting))
        self.flights[index] = replace(self.flights[index], date_ms=self.now // 1000 * 1000)

    @precondition(lambda self: any(each.date_ms for each in self.flights))
    @rule(data=st.data())
    def answer_arrives(self, data: st.DataObject) -> None:
        flight = data.draw(st.sampled_from([each for each in self.flights if each.date_ms]))
        self.flights.remove(flight)
        self.settle(flight, flight.header, flight.date_ms)

    @precondition(lambda self: bool(self.flights))
    @rule(data=st.data(), counted=st.booleans())
    def request_times_out(self, data: st.DataObject, counted: bool) -> None:
        index = data.draw(st.integers(0, len(self.flights) - 1))
        if counted and self.flights[index].header is None:
            self.count(index)
        self.settle(self.flights.pop(index), None, None)

    @precondition(lambda self: any(each.header is None for each in self.flights))
    @rule(data=st.data())
    def request_is_cancelled_before_it_was_sent(self, data: st.DataObject) -> None:
        flight = data.draw(st.sampled_from([each for each in self.flights if each.header is None]))
        self.flights.remove(flight)
        self.state = rules.cancel(self.state, TERMS, self.clock(flight.process), flight.promise.id)

    @rule(process=st.integers(0, 2), counted=st.booleans())
    def process_dies(self, process: int, counted: bool) -> None:
        for index, flight in enumerate(self.flights):
            if counted and flight.process == process and flight.header is None:
                self.count(index)
        self.flights = [each for each in self.flights if each.process != process]
        survivor = (process + 1) % 3
        self.state = rules.bury(self.state, TERMS, self.clock(survivor), frozenset({process}))

    @rule(process=st.integers(0, 2), seconds=st.integers(1, 10), kind=st.sampled_from(StopKind))
    def exchange_says_stop(self, process: int, seconds: int, kind: StopKind) -> None:
        until = self.now + seconds * 1000
        self.told_stop_ms = max(self.told_stop_ms, until)
        self.state = rules.stop(self.state, TERMS, self.clock(process), Stop(kind, until))

    @rule()
    def machine_restarts(self) -> None:
        self.state = msgspec.msgpack.decode(msgspec.msgpack.encode(self.state), type=State)

    def settle(self, flight: Flight, header: int | None, date_ms: int | None) -> None:
        self.state = rules.settle(
            self.state, TERMS, self.clock(flight.process), flight.promise, used_header=header, date_ms=date_ms
        )

    @invariant()
    def exchange_never_counts_more_than_the_limit(self) -> None:
        assert all(count <= LIMIT for count in getattr(self, "counted", {}).values())


TestNeverOverTheLimit = Machine.TestCase
TestNeverOverTheLimit.settings = settings(max_examples=250, stateful_step_count=50, deadline=None)
