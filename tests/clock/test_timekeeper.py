"""When the exchange is asked again, and who goes by what it said."""

from __future__ import annotations

from dataclasses import dataclass

from flows.worker.timekeeper import ASK_AGAIN_MS, OLD_MS, Watch
from kit.budget import ClockView, WeightBudget, known_clock
from kit.exchange_clock import Local, read_local
from kit.times import next_run_time, now_time
from kit.words import to_ms

NOON = 1_795_348_800_000


@dataclass
class Known:
    """Stands for ``ExchangeTime``: what is known."""

    view_now: ClockView
    pool: str = "futures"

    def view(self) -> ClockView:
        return self.view_now


def watch(age_ms: int | None) -> Watch:
    return Watch(Known(ClockView(NOON, 10, 0, age_ms)))  # type: ignore[arg-type] # what it uses of it


def test_the_exchange_is_asked_at_the_start_when_the_answer_is_old_and_after_a_jump():
    assert watch(None).due(1_000_000, jumped=False)
    assert watch(OLD_MS).due(1_000_000, jumped=False)
    assert watch(5).due(1_000_000, jumped=True)
    assert not watch(OLD_MS - 1).due(1_000_000, jumped=False)


def test_an_exchange_that_does_not_answer_is_asked_again_only_now_and_then():
    one = watch(None)
    asked = [
        moment for moment in range(1_000_000, 1_000_000 + 4 * ASK_AGAIN_MS, 1_000) if one.due(moment, jumped=False)
    ]
    assert asked == list(range(1_000_000, 1_000_000 + 4 * ASK_AGAIN_MS, ASK_AGAIN_MS))


def test_what_one_process_learned_every_reader_of_the_machine_goes_by():
    assert known_clock("futures") is None
    here = read_local()
    budget = WeightBudget("futures")
    budget.hear_time(here.wall_ms + 3_600_000, here, here)
    budget.close()
    view = known_clock("futures")
    assert view is not None
    assert abs(view.offset_ms - 3_600_000) < 1_000  # the two clocks are read one after the other
    assert abs(to_ms(now_time()) - here.wall_ms - 3_600_000) < 60_000
    assert 0 < to_ms(next_run_time("1m")) - here.wall_ms - 3_600_000 < 130_000


def test_a_ban_is_waited_out_though_the_local_clock_is_set_forward_and_back(tmp_path):
    wall = Local(NOON, 1_000, "this")
    budget = WeightBudget("futures", tmp_path)
    budget._local = lambda: wall  # the seam: this machine's two clocks
    budget.hear_time(NOON, wall, wall)
    before_ms = budget.now_ms()
    for jump in (86_400_000, -86_400_000):
        wall = Local(NOON + jump, 2_000, "this")
        assert budget.now_ms() - before_ms == 1_000
    budget.close()
