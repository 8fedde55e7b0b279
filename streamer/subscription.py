"""What one connection should carry, what it was asked for, and what really arrives. Pure: time is an argument.

An acknowledgement proves nothing (an unknown stream or a wrong route is acknowledged too), so a stream counts as
sound only while frames of it arrive. The exchange's list of subscriptions is asked for and compared, but an exchange
that does not answer that is tolerated.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from streamer.timing import Timing


MAX_REMEDIES = 32  # patience has long met its cap by then


class Wish(NamedTuple):
    """A stream to carry. ``moves``: on how many connections it stayed silent before this one. ``leaving``: its symbol
    has stopped trading, so it may fall silent."""

    interval_s: float
    moves: int = 0
    leaving: bool = False


@dataclass(slots=True)
class StreamState:
    """One stream on one connection. ``asked_at``: when it was last asked for; None: it still is to be."""

    interval_s: float
    asked_at: float | None = None
    last_frame: float | None = None
    remedies: int = 0
    stale: bool = False
    leaving: bool = False


@dataclass(frozen=True)
class Review:
    """What a look at all streams found: newly ``stale``, ``recovered``, and ``exhausted`` (try another connection)."""

    stale: tuple[str, ...] = ()
    recovered: tuple[str, ...] = ()
    exhausted: tuple[str, ...] = ()


@dataclass(slots=True)
class _Request:
    method: str
    streams: tuple[str, ...]
    sent_at: float


@dataclass
class Subscription:
    """The subscription of one connection as a state machine; ``next_message`` says what to send now, if anything."""

    timing: Timing
    states: dict[str, StreamState] = field(default_factory=dict)
    _to_leave: dict[str, None] = field(default_factory=dict)  # a dict as an ordered set
    _open_requests: dict[int, _Request] = field(default_factory=dict)
    _sent_at: deque[float] = field(default_factory=deque)
    _next_id: int = 1
    _list_due: float | None = None
    _recovered: list[str] = field(default_factory=list)

    def want(self, streams: Mapping[str, Wish]) -> None:
        """Make ``streams`` the ones to carry; only what differs is sent."""
        for stream in [stream for stream in self.states if stream not in streams]:
            if self.states.pop(stream).asked_at is not None:
                self._to_leave[stream] = None
        for stream, wish in streams.items():
            if stream not in self.states:
                # A stream that was silent elsewhere is known to be stale, and gets the patience it had reached.
                remedies = min(wish.moves * self.timing.moves_after, MAX_REMEDIES)
                self.states[stream] = StreamState(wish.interval_s, remedies=remedies, stale=wish.moves > 0)
            self.states[stream].leaving = wish.leaving

    def frame(self, stream: str, now: float) -> bool:
        """A frame of ``stream`` arrived. False: this connection is not to carry it."""
        state = self.states.get(stream)
        if state is None:
            return False
        state.last_frame = now
        if state.stale:
            state.stale = False
            state.remedies = 0
            self._recovered.append(stream)
        return True

    @property
    def asked(self) -> bool:
        """Whether every stream has been asked for."""
        return all(state.asked_at is not None for state in self.states.values())

    @property
    def may_be_silent(self) -> bool:
        """Whether no frame need come: all that is carried is leaving."""
        return bool(self.states) and all(state.leaving for state in self.states.values())

    def delivering(self, now: float) -> set[str]:
        """The streams that sent a frame not longer ago than a sound stream pauses."""
        return {
            name
            for name, state in self.states.items()
            if state.last_frame is not None and now - state.last_frame <= state.interval_s + self.timing.stream_slack_s
        }

    def last_frames(self) -> dict[str, float]:
        """When the newest frame of each stream came, where one did."""
        return {name: state.last_frame for name, state in self.states.items() if state.last_frame is not None}

    def delivered_since(self, since: float) -> set[str]:
        """The streams whose newest frame is not older than ``since``."""
        return {name for name, state in self.states.items() if (state.last_frame or -1.0) >= since}

    def next_message(self, now: float) -> str | None:
        """The control message to send now (JSON text), or None: nothing to say, or not yet allowed to."""
        while self._sent_at and now - self._sent_at[0] >= 1.0:
            self._sent_at.popleft()
        if len(self._sent_at) >= self.timing.messages_per_second:
            return None
        self._forget_unanswered(now)
        request = self._next_request(now)
        if request is None:
            return None
        self._sent_at.append(now)
        request_id, self._next_id = self._next_id, self._next_id + 1
        self._open_requests[request_id] = request
        return _text(request.method, request.streams, request_id)

    def answered(self, request_id: int | None, *, refused: bool, now: float) -> bool:
        """An answer came. Refused streams are asked for again when their patience ends. False: nobody asked."""
        request = self._open_requests.pop(request_id, None) if request_id is not None else None
        if request is None:
            return False
        if request.method == "SUBSCRIBE" and not refused:
            self._list_due = now + 1.0  # asked a moment later, when several messages may have been answered
        return True

    def listed(self, request_id: int | None, streams: Collection[str], now: float) -> tuple[str, ...]:
        """The exchange's own list. Returns what it lacks, which will be asked for again; leaves what is not wanted."""
        request = self._open_requests.pop(request_id, None) if request_id is not None else None
        if request is None:
            return ()
        self._list_due = now + self.timing.list_every_s
        present = set(streams)
        lacking = tuple(
            name
            for name, state in self.states.items()
            if name not in present and state.asked_at is not None and state.asked_at < request.sent_at
        )
        for name in lacking:
            self.states[name].asked_at = None
        self._to_leave.update(dict.fromkeys(present - self.states.keys()))
        return lacking

    def review(self, now: float) -> Review:
        """Look at every stream's age; ask again for the silent ones, ever more patiently."""
        stale: list[str] = []
        exhausted: list[str] = []
        for name, state in self.states.items():
            if (
                state.leaving
                or state.asked_at is None
                or now - max(state.asked_at, state.last_frame or 0.0) <= self._patience(state)
            ):
                continue
            if not state.stale:
                stale.append(name)
            state.stale = True
            state.remedies = min(state.remedies + 1, MAX_REMEDIES)
            state.asked_at = None
            self._to_leave[name] = None  # a second SUBSCRIBE alone changes nothing for the exchange
            if state.remedies % self.timing.moves_after == 0:
                exhausted.append(name)
        recovered, self._recovered = tuple(self._recovered), []
        return Review(tuple(stale), recovered, tuple(exhausted))

    def _patience(self, state: StreamState) -> float:
        timing = self.timing
        after_frame = state.interval_s + timing.stream_slack_s
        first = after_frame if state.last_frame is not None else timing.stream_first_frame_within_s
        return max(first, min(first * 2.0**state.remedies, timing.stream_patience_cap_s))

    def _forget_unanswered(self, now: float) -> None:
        for request_id, request in list(self._open_requests.items()):
            if now - request.sent_at <= self.timing.answer_within_s:
                continue
            del self._open_requests[request_id]
            for name in request.streams if request.method == "SUBSCRIBE" else ():
                state = self.states.get(name)
                if state is not None and state.last_frame is None:
                    state.asked_at = None

    def _next_request(self, now: float) -> _Request | None:
        if self._to_leave:
            names = _fitting(self._to_leave, self.timing.max_message_bytes)
            for name in names:
                del self._to_leave[name]
            return _Request("UNSUBSCRIBE", names, now)
        unasked = [name for name, state in self.states.items() if state.asked_at is None]
        if unasked:
            names = _fitting(unasked, self.timing.max_message_bytes)
            for name in names:
                self.states[name].asked_at = now
            if self._list_due is None:  # an exchange that never answers must not keep what it was asked to leave
                self._list_due = now + self.timing.list_every_s
            return _Request("SUBSCRIBE", names, now)
        if self._list_due is not None and now >= self._list_due and self.states:
            self._list_due = now + self.timing.list_every_s
            return _Request("LIST_SUBSCRIPTIONS", (), now)
        return None


def _fitting(names: Collection[str], max_bytes: int) -> tuple[str, ...]:
    """As many of the first names as fit one message of ``max_bytes``; at least one."""
    size = len(_text("UNSUBSCRIBE", (), 2**53).encode())
    chosen: list[str] = []
    for name in names:
        size += len(json.dumps(name, ensure_ascii=False).encode()) + 1
        if chosen and size > max_bytes:
            break
        chosen.append(name)
    return tuple(chosen)


def _text(method: str, streams: Collection[str], request_id: int) -> str:
    """A control message. Non-ASCII names go as plain UTF-8; ids are unsigned integers, as futures demand."""
    body: dict[str, object] = {"method": method}
    if method != "LIST_SUBSCRIPTIONS":
        body["params"] = list(streams)
    return json.dumps({**body, "id": request_id}, ensure_ascii=False, separators=(",", ":"))
