"""What one connection asks for: every wanted stream, in small messages, slowly, until it really arrives."""

from __future__ import annotations

import json
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.subscription import Review, Subscription, Wish
from streamer.timing import Timing

MINUTE = Wish(60.0)
SYMBOLS = st.sets(
    st.text(alphabet="abcdefgh123币安人生", min_size=1, max_size=20).map(lambda base: f"{base}usdt@kline_1m")
)


class Exchange:
    """The exchange's side of one connection, as a set."""

    def __init__(self) -> None:
        self.subscribed: set[str] = set()
        self.sent_at: list[float] = []
        self.sizes: list[int] = []

    def take(self, text: str, now: float) -> int:
        message = json.loads(text)
        self.sent_at.append(now)
        self.sizes.append(len(text.encode()))
        if message["method"] == "SUBSCRIBE":
            self.subscribed |= set(message["params"])
        elif message["method"] == "UNSUBSCRIBE":
            self.subscribed -= set(message["params"])
        return message["id"]


def talk(subscription: Subscription, exchange: Exchange, *, start: float, seconds: float) -> float:
    """Let them talk for a while, everything answered; returns the time after it."""
    steps = int(seconds / 0.1)
    for step in range(steps):
        now = start + step * 0.1
        while (text := subscription.next_message(now)) is not None:
            request_id = exchange.take(text, now)
            if "LIST" in text:
                subscription.listed(request_id, tuple(exchange.subscribed), now)
            else:
                subscription.answered(request_id, refused=False, now=now)
    return start + steps * 0.1


def wanting(streams) -> Subscription:
    subscription = Subscription(Timing())
    subscription.want(dict.fromkeys(streams, MINUTE))
    return subscription


@settings(deadline=None)
@given(SYMBOLS, st.lists(SYMBOLS, max_size=3))
def test_the_exchange_ends_with_exactly_the_wanted_streams_whatever_was_wanted_before(first, changes):
    subscription, exchange, now = wanting(first), Exchange(), 100.0
    now = talk(subscription, exchange, start=now, seconds=0.3)
    wanted = first
    for wanted in changes:
        subscription.want(dict.fromkeys(wanted, MINUTE))
        now = talk(subscription, exchange, start=now, seconds=0.3)
    talk(subscription, exchange, start=now, seconds=10.0)
    assert exchange.subscribed == wanted


@settings(deadline=None, max_examples=25)
@given(SYMBOLS, st.integers(0, 1024))
def test_messages_are_small_and_at_most_three_in_any_second(odd, count):
    streams = odd | {f"symbol{number}usdt@kline_1m" for number in range(count)}
    subscription, exchange = wanting(streams), Exchange()
    talk(subscription, exchange, start=100.0, seconds=20.0)
    assert exchange.subscribed == streams
    assert all(size < 4000 for size in exchange.sizes)
    for index in range(len(exchange.sent_at) - 3):
        assert exchange.sent_at[index + 3] - exchange.sent_at[index] >= 0.999


def test_750_streams_are_asked_for_within_two_seconds():
    subscription, exchange = wanting(f"symbol{number}usdt@kline_1m" for number in range(750)), Exchange()
    talk(subscription, exchange, start=100.0, seconds=2.0)
    assert len(exchange.subscribed) == 750


def test_a_listing_and_a_delisting_ask_for_nothing_else():
    subscription, exchange = wanting(["a", "b"]), Exchange()
    now = talk(subscription, exchange, start=100.0, seconds=5.0)
    subscription.want({"b": MINUTE, "c": MINUTE})
    leave, join = subscription.next_message(now), subscription.next_message(now)
    assert json.loads(leave or "") == {"method": "UNSUBSCRIBE", "params": ["a"], "id": 3}
    assert json.loads(join or "") == {"method": "SUBSCRIBE", "params": ["c"], "id": 4}


def test_a_stream_that_the_list_lacks_is_asked_for_again():
    subscription, exchange = wanting(["a", "b"]), Exchange()
    request = exchange.take(subscription.next_message(100.0) or "", 100.0)
    subscription.answered(request, refused=False, now=100.1)
    listing = json.loads(subscription.next_message(101.5) or "")
    assert listing == {"method": "LIST_SUBSCRIPTIONS", "id": 2}
    assert subscription.listed(2, ["a"], 101.6) == ("b",)
    assert json.loads(subscription.next_message(101.7) or "")["params"] == ["b"]


def test_a_listed_stream_that_nobody_wants_is_left():
    subscription = wanting(["a"])
    subscription.answered(json.loads(subscription.next_message(100.0) or "")["id"], refused=False, now=100.1)
    listing = json.loads(subscription.next_message(101.5) or "")
    subscription.listed(listing["id"], ["a", "ghost"], 101.6)
    assert json.loads(subscription.next_message(101.7) or "")["params"] == ["ghost"]


def test_an_exchange_that_never_answers_the_list_is_tolerated():
    subscription = wanting(["a"])
    subscription.answered(json.loads(subscription.next_message(100.0) or "")["id"], refused=False, now=100.1)
    subscription.frame("a", 100.2)
    sent = [text for step in range(300) if (text := subscription.next_message(100.3 + step * 0.1)) is not None]
    assert [json.loads(text)["method"] for text in sent] == ["LIST_SUBSCRIPTIONS"]


def test_an_unanswered_subscribe_is_sent_again_for_what_does_not_arrive():
    subscription = wanting(["a", "b"])
    subscription.next_message(100.0)
    subscription.frame("a", 101.0)
    assert subscription.next_message(109.0) is None
    assert json.loads(subscription.next_message(111.0) or "")["params"] == ["b"]


def test_a_stream_that_never_delivers_is_left_and_joined_again_ever_more_rarely():
    subscription, exchange = wanting(["a", "b"]), Exchange()
    joins, now = [], 100.0
    for _ in range(4 * 3600):
        now = talk(subscription, exchange, start=now, seconds=0.9)
        subscription.frame("a", now)
        if "b" in subscription.review(now).stale or subscription.states["b"].asked_at is None:
            joins.append(now)
    gaps = [later - earlier for earlier, later in pairwise(joins)]
    assert 160 < joins[0] < 163
    assert all(later > 1.5 * earlier for earlier, later in pairwise(gaps[:4]))
    assert "b" in exchange.subscribed


def test_a_stream_is_told_stale_once_and_recovered_once():
    subscription, exchange = wanting(["a"]), Exchange()
    now = talk(subscription, exchange, start=100.0, seconds=1.0)
    subscription.frame("a", now)
    assert subscription.review(now + 119).stale == ()
    assert subscription.review(now + 121).stale == ("a",)
    now = talk(subscription, exchange, start=now + 122, seconds=1.0)
    assert subscription.review(now + 241).stale == ()
    subscription.frame("a", now + 242)
    assert subscription.review(now + 243).recovered == ("a",)
    assert subscription.review(now + 244).recovered == ()


def test_a_stream_silent_after_two_remedies_is_offered_to_another_connection():
    subscription, exchange = wanting(["a"]), Exchange()
    now, exhausted = 100.0, []
    for _ in range(400):
        now = talk(subscription, exchange, start=now, seconds=0.9)
        exhausted += subscription.review(now).exhausted
    assert exhausted == ["a"]


def test_a_frame_of_a_stream_that_was_left_is_not_ours():
    subscription, exchange = wanting(["a", "b"]), Exchange()
    now = talk(subscription, exchange, start=100.0, seconds=1.0)
    subscription.want({"a": MINUTE})
    assert subscription.frame("b", now) is False
    assert subscription.frame("a", now) is True


def test_a_stream_that_was_silent_elsewhere_keeps_the_patience_it_had_reached_and_is_not_told_stale_again():
    subscription, exchange = Subscription(Timing()), Exchange()
    subscription.want({"a": Wish(60.0, moves=1)})
    now = talk(subscription, exchange, start=100.0, seconds=1.0)
    assert subscription.review(now + 200) == Review()
    assert subscription.states["a"].asked_at is not None
    assert subscription.review(now + 241).stale == ()
    assert subscription.states["a"].asked_at is None
