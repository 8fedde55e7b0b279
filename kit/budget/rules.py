"""The weight budget's rules: a state, a moment and an event in; a new state and a decision out. No I/O, no clock.

What is promised: in no window of the exchange's clock does it count more than ``limit`` for us. It rests on one
invariant, in which ``used`` is what this module thinks::

    counted by the exchange in this window  <=  used = header + unheadered + outstanding

- ``header`` is the largest used-weight the exchange itself told in this window. It includes everything, ours and
  others', that was counted before that answer.
- ``unheadered`` is the weight of requests of ours that ended without telling (time-outs, answers of a gateway).
- ``outstanding`` is what was promised to requests whose answer is not in. It survives the turn of the window: such a
  request may be counted in the old one or in the new one.

All times are UTC milliseconds of the *exchange's* clock, as well as it is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from kit.exchange_clock import Local, Offset, aged, merged, offset_of_answer

# The exchange's counter may run ahead of its header by what other programs behind the same address send meanwhile.
SAFETY_MARGIN = 0.01
# What HISTORY leaves for the newest candles.
HISTORY_LEAVES = 0.10
# Our clock follows the exchange's to some tens of milliseconds once it was asked; a request sent right after the turn
# must not be counted in the window before.
TURN_GUARD_MS = 300
# Without an answer of /time the clock is only known from Date headers, which are cut to the second.
TURN_GUARD_UNSURE_MS = 1_300
# A request that ends this near the turn without the exchange's Date may have been counted behind it.
CARRY_MS = 1_000
# Longer than any request lives; a process that was stopped (SIGSTOP, swap) for longer has lost its connection anyway.
RESERVATION_LIFE_MS = 120_000
# Until someone who waits asks again, and a little more.
TICKET_SLACK_MS = 2_000
# A wait for others looks again this often: they may be other processes, who cannot wake us.
POLL_MS = 50
# The ban's end is told in milliseconds; being early would make it longer.
STOP_GUARD_MS = 1_000
# A Date header is off by less than a second; a difference beyond this is our clock's, and is corrected.
CLOCK_TOLERANCE_MS = 300
# So that is how well the clock is known without an answer of /time.
UNSURE_MS = 1_000 + CLOCK_TOLERANCE_MS


class Urgency(StrEnum):
    """Who goes first when weight is short."""

    NEWEST = "newest"  # the candles of the period that just closed: may use all
    HISTORY = "history"  # older gaps: leaves a tenth free, and waits while anyone NEWEST waits


class StopKind(StrEnum):
    """Why the exchange asked us to stop."""

    RATE = "rate"  # 429
    BAN = "ban"  # 418
    FORBIDDEN = "forbidden"  # 403, 451


class Stop(msgspec.Struct, frozen=True):
    """Nobody sends before ``until_ms``."""

    kind: StopKind
    until_ms: int
    message: str = ""


class Promise(msgspec.Struct, frozen=True):
    """Weight promised to one request of process ``pid``; ``window`` is the one in which it was promised."""

    id: str
    pid: int
    weight: int
    window: int
    made_ms: int


class Ticket(msgspec.Struct, frozen=True):
    """Somebody NEWEST waits, so HISTORY yields."""

    id: str
    pid: int
    until_ms: int


class State(msgspec.Struct, frozen=True):
    """All that the processes share about a pool. ``limit`` is None until it was told."""

    window: int = 0
    header: int = 0
    unheadered: int = 0
    carried: int = 0  # unheadered weight that may be counted in the next window instead
    limit: int | None = None
    clock_offset_ms: int = 0  # exchange's clock minus this machine's (``local_ms``)
    clock_asked: bool = False  # by /time, to ``clock_error_ms``; otherwise by Date headers, to a second
    clock_error_ms: int = 0
    clock_at_ms: int = 0  # when /time was asked last, by the machine's clock
    boot: str = ""  # whose steady clock ``boot_ms`` belongs to
    boot_ms: int = 0  # what the wall clock said at that boot; the machine's clock is this plus the steady one
    promises: tuple[Promise, ...] = ()
    tickets: tuple[Ticket, ...] = ()
    stop: Stop | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What does not change while a pool lives: the limit to assume until it was told, and the window's length."""

    default_limit: int
    window_ms: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now. Ask again at ``until_ms``, or sooner (``poll``) where it depends on what others do meanwhile."""

    until_ms: int
    why: str
    poll: bool = False
    stop: Stop | None = None


@dataclass(frozen=True, slots=True)
class Never:
    """More than the limit: no waiting will help."""

    limit: int


def used(state: State) -> int:
    """The most that the exchange can have counted for us in this window."""
    return state.header + state.unheadered + sum(promise.weight for promise in state.promises)


def limit_of(state: State, terms: Terms) -> int:
    """The limit per window that was told, or the one to assume."""
    return terms.default_limit if state.limit is None else state.limit


def advance(state: State, now_ms: int, terms: Terms) -> State:
    """The state at ``now_ms``: windows turn, promises and tickets run out, a stop ends."""
    window = now_ms // terms.window_ms
    if window > state.window:
        carried = state.carried if window == state.window + 1 else 0
        state = replace(state, window=window, header=0, unheadered=carried, carried=0)
    elif window < state.window - 1:  # the clock was set back; what was used stays used
        state = replace(state, window=window)
    return _without_expired(state, now_ms)


def ask(
    state: State, terms: Terms, now_ms: int, wanted: Promise, urgency: Urgency
) -> tuple[State, Promise | Wait | Never]:
    """May a request be sent now? ``wanted`` is the promise it asks for; its window and time are filled in here.

    Granted, the promise is in the new state; otherwise a NEWEST leaves a ticket there.
    """
    state = advance(state, now_ms, terms)
    if wanted.weight > _cap(state, terms, Urgency.NEWEST):
        return state, Never(limit_of(state, terms))
    wait = _wait(state, terms, now_ms, wanted, urgency)
    if wait is None:
        promise = replace(wanted, window=state.window, made_ms=now_ms)
        return _without_ticket(replace(state, promises=(*state.promises, promise)), wanted.id), promise
    if urgency is Urgency.NEWEST and wait.stop is None:
        state = _without_ticket(state, wanted.id)
        ticket = Ticket(wanted.id, wanted.pid, (now_ms if wait.poll else wait.until_ms) + TICKET_SLACK_MS)
        state = replace(state, tickets=(*state.tickets, ticket))
    return state, wait


def _wait(state: State, terms: Terms, now_ms: int, wanted: Promise, urgency: Urgency) -> Wait | None:
    """Why a request cannot be sent now, None when it can."""
    if state.stop is not None:
        return Wait(state.stop.until_ms + STOP_GUARD_MS, state.stop.message, stop=state.stop)
    guard = TURN_GUARD_MS if state.clock_asked else TURN_GUARD_UNSURE_MS
    opens_ms = state.window * terms.window_ms + guard
    if now_ms < opens_ms:
        return Wait(opens_ms, "the window has just turned")
    next_ms = (state.window + 1) * terms.window_ms + guard
    if urgency is Urgency.HISTORY and any(ticket.id != wanted.id for ticket in state.tickets):
        return Wait(next_ms, "more urgent requests wait", poll=True)
    cap = _cap(state, terms, urgency)
    if used(state) + wanted.weight <= cap or (wanted.weight > cap and used(state) == 0):
        return None
    fits_later = state.header + state.unheadered + wanted.weight <= cap
    return Wait(next_ms, f"{used(state)} of {limit_of(state, terms)} are used", poll=fits_later)


def _cap(state: State, terms: Terms, urgency: Urgency) -> int:
    limit = limit_of(state, terms)
    margin = SAFETY_MARGIN + (HISTORY_LEAVES if urgency is Urgency.HISTORY else 0)
    return int(limit * (1 - margin))


def settle(
    state: State, terms: Terms, now_ms: int, promise: Promise, *, used_header: int | None, date_ms: int | None
) -> State:
    """A request ended. ``used_header`` is the used weight its answer told, ``date_ms`` the answer's Date header.

    The Date decides which window the header speaks of: it is the exchange's own clock, at or after the counting.
    """
    state = advance(state, now_ms, terms)
    if date_ms is not None:
        state = _with_clock_checked(state, now_ms, promise, date_ms)
    known = used(state)
    if promise not in state.promises:  # it ran out, or the file was lost: its weight is in no sum yet
        known += promise.weight
    state = _without_promise(state, promise.id)
    if used_header is None:
        return _with_unheadered(state, terms, now_ms, promise.weight)
    told = (now_ms if date_ms is None else date_ms) // terms.window_ms
    if told < state.window:
        return _told_late(state, promise, told, used_header)
    state = advance(state, told * terms.window_ms, terms) if told > state.window else state
    if promise.window < told and used_header > known:
        # Sent before the turn, answered after it. Had it been counted after it, the exchange could not have told
        # more than all we know of: so it told the old window's sum.
        return _with_unheadered(state, terms, now_ms, promise.weight)
    if date_ms is None and _near_turn(terms, now_ms):
        state = replace(state, carried=state.carried + promise.weight)
    return replace(state, header=max(state.header, used_header))


def _told_late(state: State, promise: Promise, told: int, used_header: int) -> State:
    """An answer that speaks of a window before the present one."""
    if promise.window <= told:
        return state  # all of it belongs to a window that is over
    # Promised in a window that the exchange has not begun: our clock was ahead. Go back, forget nothing.
    return replace(state, window=told, header=max(state.header, used_header))


def cancel(state: State, terms: Terms, now_ms: int, promise_id: str) -> State:
    """A promise was not used, nothing was sent; or a wait was given up."""
    return _without_ticket(_without_promise(advance(state, now_ms, terms), promise_id), promise_id)


def stop(state: State, terms: Terms, now_ms: int, new: Stop) -> State:
    """The exchange asked to stop. The later end counts; a ban is not shortened by a 429."""
    state = advance(state, now_ms, terms)
    if state.stop is not None and state.stop.until_ms >= new.until_ms:
        return state
    return replace(state, stop=new)


def bury(state: State, terms: Terms, now_ms: int, dead: frozenset[int]) -> State:
    """Processes died: nobody will settle their promises. What they may have sent counts in this window, however old
    the promise: the exchange may have been slow to count it. Their tickets go."""
    state = advance(state, now_ms, terms)
    left = [promise for promise in state.promises if promise.pid in dead]
    weight = sum(promise.weight for promise in left)
    state = replace(
        state,
        promises=tuple(promise for promise in state.promises if promise.pid not in dead),
        tickets=tuple(ticket for ticket in state.tickets if ticket.pid not in dead),
    )
    return _with_unheadered(state, terms, now_ms, weight)


def with_limit(state: State, limit: int) -> State:
    """The host told its limit per window."""
    return replace(state, limit=limit)


def with_clock(state: State, offset_ms: int) -> State:
    """The exchange's clock was asked: it is ``offset_ms`` ahead of this machine's."""
    return replace(state, clock_offset_ms=offset_ms, clock_asked=True)


def with_time_answer(state: State, server_ms: int, sent: Local, received: Local) -> State:
    """The exchange's clock was asked, and answered ``server_ms`` between two moments of this machine's."""
    fresh = offset_of_answer(server_ms, local_ms(state, sent), local_ms(state, received))
    best = merged(_asked(state), fresh)
    return replace(
        state, clock_offset_ms=best.offset_ms, clock_error_ms=best.error_ms, clock_at_ms=best.at_ms, clock_asked=True
    )


def local_ms(state: State, local: Local) -> int:
    """This machine's clock, in milliseconds since the epoch as it was believed once in this boot.

    It may be wrong, which is what the offset is for, but unlike the wall clock it is never set.
    """
    return state.boot_ms + local.steady_ms if state.boot == local.boot else local.wall_ms


def exchange_ms(state: State, local: Local) -> int:
    """The exchange's clock, as well as it is known."""
    return local_ms(state, local) + state.clock_offset_ms


def clock_error_ms(state: State, local: Local) -> int:
    """How far ``exchange_ms`` may be off."""
    asked = _asked(state)
    return UNSURE_MS if asked is None else aged(asked, local_ms(state, local)).error_ms


def adopted(state: State, local: Local) -> State:
    """The state in this boot: what was kept against the steady clock of an earlier one tells no time any more."""
    if state.boot == local.boot:
        return state
    return replace(state, boot=local.boot, boot_ms=local.wall_ms - local.steady_ms, clock_asked=False)


def _asked(state: State) -> Offset | None:
    return Offset(state.clock_offset_ms, state.clock_error_ms, state.clock_at_ms) if state.clock_asked else None


def owners(state: State) -> frozenset[int]:
    """The processes that hold a promise or a ticket."""
    return frozenset({each.pid for each in state.promises} | {each.pid for each in state.tickets})


def _near_turn(terms: Terms, now_ms: int) -> bool:
    return terms.window_ms - now_ms % terms.window_ms <= CARRY_MS


def _with_unheadered(state: State, terms: Terms, now_ms: int, weight: int) -> State:
    carried = state.carried + (weight if _near_turn(terms, now_ms) else 0)
    return replace(state, unheadered=state.unheadered + weight, carried=carried)


def _with_clock_checked(state: State, now_ms: int, promise: Promise, date_ms: int) -> State:
    """Two things are certain: the answer came after its Date, and the request was made before its Date's end.

    Unless it is the Date of something before the exchange, whose clock is fast. So it never moves a clock forward that
    ``/time`` has told: candles would be held to be closed that are not.
    """
    behind = 0 if state.clock_asked else date_ms - now_ms
    ahead = promise.made_ms - (date_ms + 1_000)
    if max(behind, ahead) <= CLOCK_TOLERANCE_MS:
        return state
    correction = behind if behind > ahead else -ahead
    return replace(state, clock_offset_ms=state.clock_offset_ms + correction, clock_asked=False)


def _without_expired(state: State, now_ms: int) -> State:
    alive = tuple(each for each in state.promises if abs(now_ms - each.made_ms) <= RESERVATION_LIFE_MS)
    if len(alive) != len(state.promises):
        # Only a window longer than a promise's life can still hold its weight.
        lost = sum(each.weight for each in state.promises if each not in alive and each.window >= state.window)
        state = replace(state, promises=alive, unheadered=state.unheadered + lost)
    tickets = tuple(each for each in state.tickets if now_ms < each.until_ms)
    if len(tickets) != len(state.tickets):
        state = replace(state, tickets=tickets)
    if state.stop is not None and now_ms >= state.stop.until_ms + STOP_GUARD_MS:
        state = replace(state, stop=None)
    return state


def _without_promise(state: State, promise_id: str) -> State:
    return replace(state, promises=tuple(each for each in state.promises if each.id != promise_id))


def _without_ticket(state: State, ticket_id: str) -> State:
    return replace(state, tickets=tuple(each for each in state.tickets if each.id != ticket_id))
