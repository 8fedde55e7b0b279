"""The weight budget as a process uses it: reserve before sending, settle after.

    budget = WeightBudget("futures", limit=2400)
    async with budget.reserve(7, Urgency.HISTORY) as reservation:
        answer = await send(...)
        reservation.settle(used_header=answer.used_weight, date_ms=answer.date_ms)

Every process of this machine with the same pool and folder shares the weight, whoever started it and when.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import structlog

from kit.budget import rules
from kit.budget.place import file_name, state_folder
from kit.budget.rules import Never, Promise, State, Stop, StopKind, Terms, Urgency, Wait
from kit.budget.store import BusyError, Store
from kit.budget.views import ClockView, KnownStop, Snapshot
from kit.errors import (
    BannedError,
    FolderNotWritableError,
    ForbiddenError,
    RateLimitedError,
    RefusedRequestError,
    StopError,
)
from kit.exchange_clock import Local, read_local
from kit.words import from_ms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

# The careful one of the exchange's limits (futures); spot has 6000. A host's own is set once exchangeInfo told it.
CAREFUL_LIMIT = 2400
MINUTE = timedelta(minutes=1)
# A 429 lasts until the next minute and is waited out; a ban is not: whoever called must hear of it.
LONGEST_STOP_WAITED_OUT = timedelta(seconds=90)
# While waiting for a known moment, look now and then whether it still holds.
LOOK_AGAIN_SECONDS = 1.0
ERROR_OF = {StopKind.RATE: RateLimitedError, StopKind.BAN: BannedError, StopKind.FORBIDDEN: ForbiddenError}

T = TypeVar("T")
log = structlog.get_logger(__name__)


class Reservation:
    """Weight promised to one request. What is not settled or cancelled when its block ends counts as sent."""

    def __init__(self, budget: WeightBudget, promise: Promise) -> None:
        self._budget = budget
        self._promise = promise
        self._done = False

    def settle(self, *, used_header: int | None, date_ms: int | None = None) -> None:
        """The request ended; ``used_header`` and ``date_ms`` (UTC, the exchange's Date) come from its answer."""
        if not self._done:
            self._done = True
            self._budget._settle(self._promise, used_header, date_ms)  # noqa: SLF001 - its own budget

    def cancel(self) -> None:
        """Nothing was sent: the weight is free again."""
        if not self._done:
            self._done = True
            self._budget._cancel(self._promise.id)  # noqa: SLF001 - its own budget


class WeightBudget:
    """The weight of one pool (``Host.pool``), shared with every other process that names the same pool and folder.

    ``limit`` is per ``window`` and holds until ``set_limit`` told the host's own, which is remembered. ``clock_ms``
    stands for both clocks of this machine, in milliseconds since the epoch; None: its own.

    Raises:
        FolderNotWritableError: there is no place for the state.
    """

    def __init__(
        self,
        pool: str,
        folder: Path | None = None,
        *,
        limit: int = CAREFUL_LIMIT,
        window: timedelta = MINUTE,
        longest_stop: timedelta = LONGEST_STOP_WAITED_OUT,
        clock_ms: Callable[[], int] | None = None,
    ) -> None:
        self.pool = pool
        self.folder = folder or state_folder()
        self._terms = Terms(limit, window // timedelta(milliseconds=1))
        self._longest_stop_ms = longest_stop // timedelta(milliseconds=1)
        self._local = read_local if clock_ms is None else lambda: Local(clock_ms(), clock_ms(), "given")
        self._store = Store(self.folder / file_name(pool))
        # Only the first of each urgency asks; the others stand behind it. So waiting costs the same for 1 and for 600.
        self._queues = {urgency: asyncio.Lock() for urgency in Urgency}
        self._backlog: list[Callable[[State, int], State]] = []
        self._looked_for_dead = 0.0

    def close(self) -> None:
        """Give the file back. The state stays for the next process."""
        self._store.close()

    def reserve(
        self, weight: int, urgency: Urgency = Urgency.NEWEST, *, deadline_ms: int | None = None
    ) -> contextlib.AbstractAsyncContextManager[Reservation]:
        """Wait until ``weight`` can be spent; the block it guards sends one request.

        ``deadline_ms`` is by the exchange's clock (``now_ms``). None waits as long as the weight needs to come free,
        but never out a stop that ends later than ``longest_stop`` from now.

        Raises:
            RateLimitedError, BannedError, ForbiddenError: it cannot be had in time; ``until_ms`` says when.
            RefusedRequestError: more than the whole limit.
            FolderNotWritableError: the state cannot be kept.
        """
        return self._reserved(weight, urgency, deadline_ms)

    def now_ms(self) -> int:
        """The exchange's clock as this pool knows it, in milliseconds since the epoch."""
        return self._exchange_ms(self._store.read())

    def check(self) -> None:
        """Raise what ``reserve`` would, were there a stop now; for a request that waited after its reservation."""
        state = self._store.read()
        now_ms = self._exchange_ms(state)
        active = rules.advance(state, now_ms, self._terms).stop
        if active is not None:
            raise _stop_error(self.pool, active)

    def stop(self, error: StopError) -> None:
        """The exchange answered 429, 418 or 403: nobody sends before ``error.until_ms``, restarts included."""
        kinds = {BannedError: StopKind.BAN, ForbiddenError: StopKind.FORBIDDEN}
        new = Stop(kinds.get(type(error), StopKind.RATE), error.until_ms, str(error)[:500])
        log.warning("budget.stop", pool=self.pool, kind=new.kind.value, until=from_ms(new.until_ms).isoformat())
        self._do(lambda state, now_ms: rules.stop(state, self._terms, now_ms, new))

    def set_limit(self, limit: int) -> None:
        """The limit that the host itself told (exchangeInfo); remembered."""
        self._do(lambda state, _: rules.with_limit(state, limit))

    def set_clock_offset(self, offset_ms: int) -> None:
        """The exchange's clock minus this machine's; remembered."""
        self._do(lambda state, _: rules.with_clock(state, offset_ms))

    def hear_time(self, server_ms: int, sent: Local, received: Local) -> None:
        """An answer of /time (UTC milliseconds) with this machine's clocks around it; remembered for all processes."""
        self._do(lambda state, _: rules.with_time_answer(state, server_ms, sent, received))

    def clock(self) -> ClockView:
        """What is known of the exchange's clock, and how far this machine's wall clock is from it."""
        state, local = self._store.read(), self._local()
        exchange_ms = rules.exchange_ms(state, local)
        known_here = state.clock_asked and state.boot == local.boot
        return ClockView(
            exchange_ms=exchange_ms,
            error_ms=rules.clock_error_ms(state, local),
            offset_ms=exchange_ms - local.wall_ms,
            age_ms=rules.local_ms(state, local) - state.clock_at_ms if known_here else None,
        )

    def known_stop(self) -> KnownStop | None:
        """The stop that holds now, or None."""
        state = self._store.read()
        stop = rules.advance(state, self._exchange_ms(state), self._terms).stop
        return None if stop is None else KnownStop(stop.kind, stop.until_ms, stop.message)

    def snapshot(self) -> Snapshot:
        """How the pool stands, for metrics and people."""
        state = self._store.read()
        state = rules.advance(state, self._exchange_ms(state), self._terms)
        return Snapshot(
            pool=self.pool,
            limit=rules.limit_of(state, self._terms),
            used=rules.used(state),
            outstanding=sum(promise.weight for promise in state.promises),
            window_ends_ms=(state.window + 1) * self._terms.window_ms,
            stop_kind=None if state.stop is None else state.stop.kind.value,
            stop_until_ms=None if state.stop is None else state.stop.until_ms,
            clock_offset_ms=self.clock().offset_ms,
        )

    @contextlib.asynccontextmanager
    async def _reserved(self, weight: int, urgency: Urgency, deadline_ms: int | None) -> AsyncIterator[Reservation]:
        reservation = Reservation(self, await self._acquire(weight, urgency, deadline_ms))
        try:
            yield reservation
        finally:
            reservation.settle(used_header=None)

    async def _acquire(self, weight: int, urgency: Urgency, deadline_ms: int | None) -> Promise:
        seconds = None if deadline_ms is None else max(0.0, (deadline_ms - self.now_ms()) / 1000)
        try:
            async with asyncio.timeout(seconds), self._queues[urgency]:
                return await self._wait_for_promise(weight, urgency, deadline_ms)
        except TimeoutError:
            until_ms = self.snapshot().window_ends_ms
            why = f"pool {self.pool}: no weight before the deadline; next window at {from_ms(until_ms).isoformat()}"
            raise RateLimitedError(why, until_ms) from None

    async def _wait_for_promise(self, weight: int, urgency: Urgency, deadline_ms: int | None) -> Promise:
        wanted = Promise(uuid.uuid4().hex[:12], os.getpid(), weight, 0, 0)
        promise = None
        try:
            while promise is None:
                answer, now_ms = self._ask(wanted, urgency)
                if isinstance(answer, Promise):
                    promise = answer
                else:
                    self._refuse_long_wait(answer, now_ms, deadline_ms)
                    self._bury_dead()
                    await asyncio.sleep(_seconds_to_sleep(answer, now_ms))
        finally:
            if promise is None:  # given up or cancelled: whoever is behind must not wait for a ticket of nobody
                self._cancel(wanted.id)
        return promise

    def _ask(self, wanted: Promise, urgency: Urgency) -> tuple[Promise | Wait, int]:
        try:
            answer, now_ms = self._update(
                lambda state, now_ms: _with_moment(rules.ask(state, self._terms, now_ms, wanted, urgency), now_ms)
            )
        except BusyError:
            now_ms = self.now_ms()
            return Wait(now_ms, "another process holds the budget's file", poll=True), now_ms
        if isinstance(answer, Never):
            raise RefusedRequestError(f"pool {self.pool}: weight {wanted.weight} is more than the limit {answer.limit}")
        return answer, now_ms

    def _refuse_long_wait(self, wait: Wait, now_ms: int, deadline_ms: int | None) -> None:
        too_late = deadline_ms is not None and not wait.poll and wait.until_ms > deadline_ms
        if wait.stop is not None and (too_late or wait.until_ms - now_ms > self._longest_stop_ms):
            raise _stop_error(self.pool, wait.stop)
        if too_late:
            until = from_ms(wait.until_ms).isoformat()
            raise RateLimitedError(f"pool {self.pool}: {wait.why}; there is weight again at {until}", wait.until_ms)

    def _exchange_ms(self, state: State) -> int:
        return rules.exchange_ms(state, self._local())

    def _settle(self, promise: Promise, used_header: int | None, date_ms: int | None) -> None:
        self._do(
            lambda state, now_ms: rules.settle(
                state, self._terms, now_ms, promise, used_header=used_header, date_ms=date_ms
            )
        )

    def _cancel(self, promise_id: str) -> None:
        self._do(lambda state, now_ms: rules.cancel(state, self._terms, now_ms, promise_id))

    def _bury_dead(self) -> None:
        """Look, once a second at most, whether those who hold weight or wait still live."""
        if time.monotonic() - self._looked_for_dead < LOOK_AGAIN_SECONDS:
            return
        self._looked_for_dead = time.monotonic()
        dead = frozenset(pid for pid in rules.owners(self._store.read()) if not _alive(pid))
        if dead:
            log.info("budget.dead_buried", pool=self.pool, pids=sorted(dead))
            self._do(lambda state, now_ms: rules.bury(state, self._terms, now_ms, dead))

    def _do(self, change: Callable[[State, int], State]) -> None:
        """A change that must not be lost and must not fail the caller: what cannot be written now is done with the
        next one."""
        self._backlog.append(change)
        try:
            self._update(lambda state, _: (state, None))
        except BusyError:
            log.debug("budget.busy", pool=self.pool, backlog=len(self._backlog))
        except FolderNotWritableError as error:
            log.error("budget.not_saved", pool=self.pool, problem=str(error))  # noqa: TRY400 - said, not traced

    def _update(self, change: Callable[[State, int], tuple[State, T]]) -> T:
        """One change under the lock, after those that could not be written before it."""
        earlier = tuple(self._backlog)

        def whole(state: State) -> tuple[State, T]:
            state = rules.adopted(state, self._local())
            for each in earlier:
                state = each(state, self._exchange_ms(state))
            return change(state, self._exchange_ms(state))

        result = self._store.update(whole)
        del self._backlog[: len(earlier)]
        return result


def _with_moment(
    outcome: tuple[State, Promise | Wait | Never], now_ms: int
) -> tuple[State, tuple[Promise | Wait | Never, int]]:
    state, answer = outcome
    return state, (answer, now_ms)


def _seconds_to_sleep(wait: Wait, now_ms: int) -> float:
    until = max(0.001, (wait.until_ms - now_ms) / 1000)
    return min(until, rules.POLL_MS / 1000) if wait.poll else min(until, LOOK_AGAIN_SECONDS)


def _stop_error(pool: str, stop: Stop) -> StopError:
    until = from_ms(stop.until_ms).isoformat()
    return ERROR_OF[stop.kind](f"pool {pool}: no requests until {until}: {stop.message}", stop.until_ms)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's, but there
        return True
    return True
