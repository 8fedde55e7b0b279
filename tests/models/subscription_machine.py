"""Streams over several connections: listings, delistings, lost answers, forgotten streams, cuts, in any order.

Pure: ``assign`` spreads the streams, a ``Subscription`` a connection says what to send, and ``Side`` is the exchange's
end of it, which keeps the documents' limits: streams a connection, messages a second, bytes a message.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from streamer.assignment import assign, connections_needed
from streamer.subscription import Subscription, Wish
from streamer.timing import Timing
from tests.models.stream_exchange import MESSAGE_BYTES, MESSAGES_A_SECOND

TICK_S = 1.0
MINUTE = Wish(60.0)
ALL = [f"{'龙虾' if number % 7 == 0 else 'symbol'}{number}usdt@kline_1m" for number in range(260)]
BLOCKS = st.tuples(st.integers(0, 259), st.integers(0, 259)).map(lambda ends: {*ALL[min(ends) : max(ends)]})
NAMES = st.sets(st.sampled_from(ALL), max_size=5) | BLOCKS
FAULTS = ("no answers", "refuses", "forgets", "does not leave")
# A lost UNSUBSCRIBE shows in the next list, which is asked for every ten minutes; what never came is asked for again
# after its patience, which doubles.
CONVERGED_S = 2600.0


@dataclass
class Side:
    """The exchange's side of one connection."""

    max_streams: int
    subscribed: set[str] = field(default_factory=set)
    sent_at: list[float] = field(default_factory=list)
    faults: set[str] = field(default_factory=set)
    sound: bool = True  # it never ignored an UNSUBSCRIBE, so what it carries is what it was asked for

    def take(self, text: str, now: float) -> tuple[int, list[str] | None, bool]:
        """Obey a control message; the request's id, the list that was asked for, whether it was refused."""
        assert len(text.encode()) <= MESSAGE_BYTES, "a message that meets silence"
        self.sent_at = [*self.sent_at[-MESSAGES_A_SECOND:], now]
        assert len(self.sent_at) <= MESSAGES_A_SECOND or now - self.sent_at[0] >= 1.0, "too many messages"
        message = json.loads(text)
        if "refuses" in self.faults:
            return message["id"], None, True
        if message["method"] == "SUBSCRIBE":
            more = self.subscribed | set(message["params"][:: 2 if "forgets" in self.faults else 1])
            if len(more) > self.max_streams:
                assert not self.sound, "more streams than a connection may carry"
                return message["id"], None, True
            self.subscribed = more
        elif message["method"] == "UNSUBSCRIBE" and "does not leave" not in self.faults:
            self.subscribed -= set(message["params"])
        elif message["method"] == "LIST_SUBSCRIPTIONS":
            return message["id"], sorted(self.subscribed), False
        return message["id"], None, False


class SubscriptionMachine(RuleBasedStateMachine):
    """``wanted`` is what all connections together must end up with, each stream once."""

    @initialize(listeners=st.integers(1, 5), max_streams=st.sampled_from([40, 200, 1024]), first=NAMES)
    def begin(self, listeners: int, max_streams: int, first: set[str]) -> None:
        self.timing = Timing()
        self.limits = {"listeners": listeners, "max_streams": max_streams}
        self.now = 1000.0
        self.wanted: set[str] = set()
        self.assigned: dict[str, int] = {}
        self.ends: dict[int, tuple[Subscription, Side]] = {}
        self.changes(first, set())

    def teardown(self) -> None:
        if not hasattr(self, "ends"):
            return
        for _, side in self.ends.values():
            side.faults.clear()
        self.passes(CONVERGED_S)
        assert sorted(name for _, side in self.ends.values() for name in side.subscribed) == sorted(self.wanted)
        for slot, (subscription, side) in self.ends.items():
            assert side.subscribed == {name for name, at in self.assigned.items() if at == slot}
            assert subscription.delivering(self.now) == side.subscribed
            assert len(side.subscribed) <= self.limits["max_streams"]

    @rule(listed=NAMES, gone=NAMES)
    def changes(self, listed: set[str], gone: set[str]) -> None:
        before, self.wanted = self.assigned, (self.wanted | listed) - gone
        self.assigned = assign(self.wanted, before, **self.limits)
        slots = connections_needed(len(self.wanted), *self.limits.values())
        kept = {before[name] for name in self.wanted & before.keys()}
        moved = [name for name in self.wanted & before.keys() if self.assigned[name] != before[name]]
        # Only a connection that is no more, and one that has nothing to carry, make streams move.
        may_move = sum(1 for name in self.wanted & before.keys() if before[name] >= slots)
        assert len(moved) <= may_move + sum(1 for slot in range(slots) if slot not in kept)
        assert set(self.assigned.values()) == set(range(slots))
        self.carry()

    def carry(self) -> None:
        for slot in set(self.ends) - set(self.assigned.values()):
            del self.ends[slot]
        for slot in set(self.assigned.values()):
            if slot not in self.ends:
                self.ends[slot] = (Subscription(self.timing), Side(self.limits["max_streams"]))
            mine = {name: MINUTE for name, at in self.assigned.items() if at == slot}
            self.ends[slot][0].want(mine)

    @rule(data=st.data())
    def a_connection_is_cut_and_comes_back_empty(self, data: st.DataObject) -> None:
        if self.ends:
            del self.ends[data.draw(st.sampled_from(sorted(self.ends)))]
            self.carry()

    @rule(data=st.data(), fault=st.sampled_from(FAULTS), on=st.booleans())
    def a_connection_falls_ill(self, data: st.DataObject, fault: str, on: bool) -> None:
        if self.ends:
            _, side = self.ends[data.draw(st.sampled_from(sorted(self.ends)))]
            side.faults ^= {fault} if on != (fault in side.faults) else set()
            side.sound &= not side.faults & {"refuses", "does not leave"}

    @rule(data=st.data())
    def the_exchange_drops_streams(self, data: st.DataObject) -> None:
        if self.ends:
            _, side = self.ends[data.draw(st.sampled_from(sorted(self.ends)))]
            side.subscribed -= set(sorted(side.subscribed)[::3])

    @rule(seconds=st.sampled_from([1.0, 3.0, 12.0, 70.0, 200.0]))
    def passes(self, seconds: float) -> None:
        for _ in range(int(seconds / TICK_S)):
            for subscription, side in self.ends.values():
                self.talk(subscription, side)
                if self.now % 5.0 == 0.0:
                    for name in side.subscribed:
                        subscription.frame(name, self.now)
                subscription.review(self.now)
            self.now += TICK_S

    def talk(self, subscription: Subscription, side: Side) -> None:
        while (text := subscription.next_message(self.now)) is not None:
            request_id, listing, refused = side.take(text, self.now)
            if "no answers" in side.faults:
                continue
            if listing is None:
                subscription.answered(request_id, refused=refused, now=self.now)
            else:
                subscription.listed(request_id, listing, self.now)

    @invariant()
    def each_wanted_stream_is_on_the_list_of_one_connection(self) -> None:
        if hasattr(self, "ends"):
            assert sorted(name for end, _ in self.ends.values() for name in end.states) == sorted(self.wanted)
