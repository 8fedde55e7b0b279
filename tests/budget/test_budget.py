"""The budget as a process uses it: waiting, yielding, stopping, remembering."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from kit.budget import Urgency, WeightBudget, state_folder
from kit.budget.place import file_name
from kit.errors import BannedError, ForbiddenError, RateLimitedError, RefusedRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOON = 1_795_348_800_000


class Clock:
    """A clock that only moves when told."""

    def __init__(self, ms: int = NOON + 10_000) -> None:
        self.ms = ms

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def budget(tmp_path: Path, clock: Clock) -> Iterator[WeightBudget]:
    with contextlib.closing(WeightBudget("futures", tmp_path, limit=100, clock_ms=clock)) as made:
        yield made


async def spend(budget: WeightBudget, weight: int, header: int | None = None) -> None:
    async with budget.reserve(weight) as reservation:
        reservation.settle(used_header=header, date_ms=budget.now_ms())


async def test_what_one_process_spends_another_sees(tmp_path: Path, budget: WeightBudget, clock: Clock):
    await spend(budget, 7, header=40)
    with contextlib.closing(WeightBudget("futures", tmp_path, limit=100, clock_ms=clock)) as other:
        assert other.snapshot().used == 40


async def test_pools_do_not_share(tmp_path: Path, budget: WeightBudget, clock: Clock):
    await spend(budget, 7, header=40)
    with contextlib.closing(WeightBudget("spot", tmp_path, limit=100, clock_ms=clock)) as other:
        assert other.snapshot().used == 0


async def test_a_block_that_fails_counts_as_sent(budget: WeightBudget):
    with pytest.raises(ZeroDivisionError):
        async with budget.reserve(7):
            _ = 1 / 0
    assert (budget.snapshot().used, budget.snapshot().outstanding) == (7, 0)


async def test_a_cancelled_reservation_gives_its_weight_back(budget: WeightBudget):
    async with budget.reserve(7) as reservation:
        assert budget.snapshot().outstanding == 7
        reservation.cancel()
    assert budget.snapshot().used == 0


async def test_a_ban_outlives_the_process_and_names_its_end(tmp_path: Path, budget: WeightBudget, clock: Clock):
    until = NOON + 3_600_000
    budget.stop(BannedError("banned", until))
    with contextlib.closing(WeightBudget("futures", tmp_path, clock_ms=clock)) as later:
        with pytest.raises(BannedError, match="2026-11-22T13:00:00") as caught:
            await spend(later, 1)
        assert caught.value.until_ms == until
        with pytest.raises(BannedError):
            later.check()
        assert (later.snapshot().stop_kind, later.snapshot().stop_until_ms) == ("ban", until)
        clock.ms = until + 1_000 + 300
        await spend(later, 1)
        later.check()


async def test_a_forbidden_address_is_told_as_such(budget: WeightBudget):
    budget.stop(ForbiddenError("the firewall refused", NOON + 300_000))
    with pytest.raises(ForbiddenError):
        await spend(budget, 1)


async def test_a_short_stop_is_waited_out(budget: WeightBudget, clock: Clock):
    budget.stop(RateLimitedError("used up", NOON + 60_000))
    task = asyncio.create_task(spend(budget, 1))
    await asyncio.sleep(0.01)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_deadline_that_cannot_be_kept_raises_at_once_and_says_when(budget: WeightBudget):
    await spend(budget, 10, header=95)
    with pytest.raises(RateLimitedError) as caught:
        async with budget.reserve(10, deadline_ms=NOON + 30_000):
            pass
    assert caught.value.until_ms == NOON + 60_000 + 300 + 1_000  # the clock was never asked: the longer guard


async def test_a_deadline_ends_the_waiting_behind_others(budget: WeightBudget):
    async with budget.reserve(90):
        with pytest.raises(RateLimitedError):
            async with budget.reserve(50, deadline_ms=budget.now_ms() + 30):
                pass


async def test_more_than_the_limit_is_refused_for_good(budget: WeightBudget):
    with pytest.raises(RefusedRequestError):
        await spend(budget, 101)


async def test_a_release_lets_the_next_one_go(budget: WeightBudget):
    async with budget.reserve(90) as first:
        second = asyncio.create_task(spend(budget, 50))
        await asyncio.sleep(0.01)
        assert not second.done()
        first.cancel()
    await asyncio.wait_for(second, 60)


async def test_newest_overtakes_history_that_waits(budget: WeightBudget):
    order = []

    async def one(name: str, weight: int, urgency: Urgency) -> None:
        async with budget.reserve(weight, urgency) as reservation:
            order.append(name)
            reservation.cancel()

    async with budget.reserve(85) as first:
        waiting = [asyncio.create_task(one(f"history {number}", 10, Urgency.HISTORY)) for number in range(3)]
        await asyncio.sleep(0.01)
        waiting.append(asyncio.create_task(one("newest", 20, Urgency.NEWEST)))
        await asyncio.sleep(0.01)
        first.cancel()
    await asyncio.wait_for(asyncio.gather(*waiting), 60)
    assert order[0] == "newest"


async def test_many_who_wait_ask_one_at_a_time(budget: WeightBudget, monkeypatch: pytest.MonkeyPatch):
    asked = []
    ask = budget._ask
    monkeypatch.setattr(budget, "_ask", lambda wanted, urgency: asked.append(wanted.id) or ask(wanted, urgency))
    await spend(budget, 1, header=99)
    asked.clear()
    waiting = [asyncio.create_task(spend(budget, 5)) for _ in range(50)]
    await asyncio.sleep(0.02)
    assert len(set(asked)) == 1
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_who_stops_waiting_leaves_nothing_behind(budget: WeightBudget):
    await spend(budget, 1, header=95)
    task = asyncio.create_task(spend(budget, 50))
    await asyncio.sleep(0.01)
    assert budget._store.read().tickets
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not budget._store.read().tickets


async def test_what_could_not_be_written_while_the_file_was_held_is_written_later(tmp_path: Path, budget: WeightBudget):
    async with budget.reserve(7) as reservation:
        with (tmp_path / file_name("futures")).open("rb") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            reservation.settle(used_header=33, date_ms=budget.now_ms())
            assert budget.snapshot().outstanding == 7
    await spend(budget, 1)
    assert budget.snapshot().used == 33 + 1
    assert budget.snapshot().outstanding == 0


async def test_the_told_limit_and_clock_are_remembered(tmp_path: Path, budget: WeightBudget, clock: Clock):
    budget.set_limit(6000)
    budget.set_clock_offset(-1234)
    with contextlib.closing(WeightBudget("futures", tmp_path, limit=100, clock_ms=clock)) as later:
        assert (later.snapshot().limit, later.snapshot().clock_offset_ms) == (6000, -1234)
        assert later.now_ms() == clock.ms - 1234


async def test_a_wider_window_is_a_budget_of_its_own(tmp_path: Path, clock: Clock):
    window = timedelta(minutes=5)
    with contextlib.closing(WeightBudget("f-funding", tmp_path, limit=10, window=window, clock_ms=clock)) as budget:
        await spend(budget, 9)
        clock.ms += 200_000
        assert budget.snapshot().used == 9
        clock.ms += 100_000
        assert budget.snapshot().used == 0


def test_file_names_are_safe_and_different():
    names = [file_name(pool) for pool in ("a/b", "a:b", "a_b", "..", "x" * 300, "币安")]
    assert len(set(names)) == len(names)
    assert all("/" not in name and len(name) < 120 and not name.startswith("..") for name in names[:3] + names[4:])
    assert all("/" not in name for name in names)


def test_the_state_folder_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("BMAC_STATE_DIR", str(tmp_path / "state"))
    assert state_folder() == tmp_path / "state"
    monkeypatch.delenv("BMAC_STATE_DIR")
    assert state_folder().name == "bmac"
