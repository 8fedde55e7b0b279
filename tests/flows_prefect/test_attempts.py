from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from flows.attempts import Attempt, Patience, do_period, worth_another
from kit.errors import BannedError, ConfigError, RefusedRequestError, UnreachableError
from kit.words import to_ms, utc_now
from tests.flows_prefect.builders import RUN_TIME, outcome, report, work
from tests.flows_prefect.stand_in import record_of

if TYPE_CHECKING:
    from flows.board import Ending
    from flows.steps import Outcome

QUICK = Patience(attempts=4, first_wait=timedelta(milliseconds=5), longest_wait=timedelta(milliseconds=10))
INCOMPLETE = outcome(record_of(RUN_TIME, ["BTCUSDT"]))


class Scripted:
    """A work that does what it was told, one entry a call; the last one again and again."""

    def __init__(self, *script: Outcome | Exception) -> None:
        self.script = list(script)
        self.deadlines: list[datetime | None] = []
        self.begun: list[datetime] = []

    async def __call__(self, *_: object, history_deadline: datetime | None = None, **__: object) -> Outcome:
        self.begun.append(utc_now())
        self.deadlines.append(history_deadline)
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, Exception):
            raise step
        return step


async def done(script: Scripted, next_in: timedelta = timedelta(minutes=1)) -> Ending:
    return await do_period(script, work(), utc_now() + next_in, QUICK)


async def test_a_complete_period_is_worked_on_once() -> None:
    ending = await done(Scripted(outcome()))
    assert ending.complete
    assert ending.attempts == 1


async def test_an_exchange_that_comes_back_is_asked_again_until_the_period_is_complete() -> None:
    ending = await done(Scripted(UnreachableError("no"), UnreachableError("no"), outcome()))
    assert ending.complete
    assert ending.attempts == 3


async def test_an_incomplete_period_is_tried_again_and_ends_with_what_is_known() -> None:
    ending = await done(Scripted(INCOMPLETE))
    assert ending.attempts == QUICK.attempts
    assert ending.outcome is INCOMPLETE
    assert ending.error is None


async def test_an_outcome_is_kept_when_a_later_attempt_fails() -> None:
    ending = await done(Scripted(INCOMPLETE, UnreachableError("no")))
    assert ending.outcome is INCOMPLETE


@pytest.mark.parametrize("error", [ConfigError("config.json", ["wrong"]), RefusedRequestError("no")])
async def test_what_cannot_get_better_is_not_tried_again(error: Exception) -> None:
    ending = await done(Scripted(error))
    assert ending.attempts == 1
    assert ending.error is error


async def test_no_attempt_begins_after_the_next_period_is_due() -> None:
    script = Scripted(UnreachableError("no"))
    patience = Patience(attempts=100, first_wait=timedelta(milliseconds=20), longest_wait=timedelta(milliseconds=50))
    next_target = utc_now() + timedelta(seconds=0.5)
    await do_period(script, work(), next_target, patience)
    assert all(begun < next_target for begun in script.begun[1:])


async def test_nor_does_one_when_the_machine_stands_still_in_the_wait_before_it() -> None:
    script = Scripted(UnreachableError("no"))
    patience = Patience(attempts=100, first_wait=timedelta(milliseconds=200), longest_wait=timedelta(milliseconds=300))
    next_target = utc_now() + timedelta(seconds=1)
    asyncio.get_running_loop().call_later(0.05, time.sleep, 1.2)
    await do_period(script, work(), next_target, patience)
    assert all(begun < next_target for begun in script.begun[1:])


async def test_history_is_told_to_yield_half_a_second_before_the_next_target() -> None:
    script, next_target = Scripted(outcome()), utc_now() + timedelta(minutes=1)
    await do_period(script, work(), next_target, QUICK)
    assert script.deadlines == [next_target - timedelta(seconds=0.5)]


@pytest.mark.parametrize(("banned_for", "again"), [(timedelta(seconds=5), True), (timedelta(minutes=5), False)])
def test_a_ban_is_waited_out_only_if_it_ends_before_the_next_target(banned_for: timedelta, again: bool) -> None:
    until = to_ms(RUN_TIME + banned_for)
    attempt = Attempt(None, BannedError("banned", until))
    assert worth_another(attempt, RUN_TIME + timedelta(minutes=1)) is again


async def test_a_step_is_awaited_until_it_went_well_or_all_is_over() -> None:
    entry = work()
    entry.report(report("newest", error="refused"))

    async def run_period(*_: object, **__: object) -> Outcome:
        entry.report(report("newest"))
        return outcome()

    await do_period(run_period, entry, utc_now() + timedelta(minutes=1), QUICK)
    newest, never = await entry.step("newest"), await entry.step("factors")
    assert newest is not None
    assert newest.error is None
    assert never is None
