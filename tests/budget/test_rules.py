"""The rules one by one: who may send, who waits, until when."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from kit.budget import rules
from kit.budget.rules import Never, Promise, State, Stop, StopKind, Terms, Urgency, Wait

MINUTE = 60_000
NOON = 1_795_348_800_000
TERMS = Terms(default_limit=1000, window_ms=MINUTE)


def state(**changes: object) -> State:
    return replace(State(window=NOON // MINUTE, clock_asked=True), **changes)


def promise(name: str = "a", weight: int = 10, *, pid: int = 1, made_ms: int = NOON + 10_000) -> Promise:
    return Promise(name, pid, weight, made_ms // MINUTE, made_ms)


def ask(now: State, weight: int, urgency: Urgency = Urgency.NEWEST, *, at: int = NOON + 10_000, name: str = "x"):
    return rules.ask(now, TERMS, at, promise(name, weight), urgency)


def settle(now: State, of: Promise, header: int | None, date_ms: int | None, *, at: int) -> State:
    return rules.settle(now, TERMS, at, of, used_header=header, date_ms=date_ms)


def test_newest_may_use_all_but_the_margin():
    assert isinstance(ask(state(header=980), 10)[1], Promise)
    assert isinstance(ask(state(header=981), 10)[1], Wait)


def test_history_leaves_a_tenth_free():
    assert isinstance(ask(state(header=880), 10, Urgency.HISTORY)[1], Promise)
    assert isinstance(ask(state(header=881), 10, Urgency.HISTORY)[1], Wait)


def test_header_unheadered_and_promised_weight_all_count():
    used = state(header=900, unheadered=50, promises=(promise(weight=40),))
    assert rules.used(used) == 990
    assert isinstance(ask(used, 1)[1], Wait)


def test_who_does_not_fit_waits_for_the_next_window_and_the_guard_behind_it():
    _, answer = ask(state(header=990), 10)
    assert isinstance(answer, Wait)
    assert (answer.until_ms, answer.poll) == (NOON + MINUTE + rules.TURN_GUARD_MS, False)


def test_who_would_fit_if_others_ended_looks_again_soon():
    _, answer = ask(state(header=900, promises=(promise(weight=90),)), 10)
    assert isinstance(answer, Wait)
    assert answer.poll


def test_right_after_the_turn_nobody_sends():
    _, answer = ask(state(), 1, at=NOON + 299)
    assert isinstance(answer, Wait)
    assert answer.until_ms == NOON + 300
    assert isinstance(ask(state(), 1, at=NOON + 300)[1], Promise)


def test_the_guard_is_longer_while_the_clock_was_never_asked():
    assert isinstance(ask(state(clock_asked=False), 1, at=NOON + 1_299)[1], Wait)
    assert isinstance(ask(state(clock_asked=False), 1, at=NOON + 1_300)[1], Promise)


def test_history_yields_while_a_newest_waits_even_if_it_would_fit():
    waiting, answer = ask(state(header=500), 600)
    assert isinstance(answer, Wait)
    _, answer = ask(waiting, 1, Urgency.HISTORY, name="y")
    assert isinstance(answer, Wait)
    assert answer.poll


def test_history_goes_on_when_the_newest_gave_up_or_its_ticket_ran_out():
    waiting, _ = ask(state(header=500), 600)
    given_up = rules.cancel(waiting, TERMS, NOON + 11_000, "x")
    assert isinstance(ask(given_up, 1, Urgency.HISTORY, name="y")[1], Promise)
    later = NOON + 2 * MINUTE + 30_000
    assert isinstance(ask(waiting, 1, Urgency.HISTORY, at=later, name="y")[1], Promise)


def test_a_granted_newest_leaves_no_ticket_behind():
    waiting, _ = ask(state(header=500), 600)
    granted, answer = ask(waiting, 600, at=NOON + MINUTE + 400)
    assert isinstance(answer, Promise)
    assert granted.tickets == ()


def test_more_than_the_limit_is_never_granted_and_says_so():
    assert ask(state(limit=500), 501)[1] == Never(500)


def test_history_heavier_than_its_share_goes_alone():
    assert isinstance(ask(state(), 950, Urgency.HISTORY)[1], Promise)
    assert isinstance(ask(state(header=1), 950, Urgency.HISTORY)[1], Wait)


def test_promises_survive_the_turn_of_the_minute():
    turned = rules.advance(state(header=900, promises=(promise(weight=90),)), NOON + MINUTE + 10, TERMS)
    assert rules.used(turned) == 90


def test_a_request_without_a_header_counts_as_sent():
    one = promise(weight=10)
    after = settle(state(promises=(one,)), one, None, None, at=NOON + 20_000)
    assert (after.unheadered, after.promises) == (10, ())


def test_a_request_without_a_header_near_the_turn_counts_in_both_minutes():
    one = promise(weight=10, made_ms=NOON + 59_000)
    after = settle(state(promises=(one,)), one, None, None, at=NOON + 59_500)
    assert rules.used(after) == 10
    assert rules.used(rules.advance(after, NOON + MINUTE, TERMS)) == 10
    assert rules.used(rules.advance(after, NOON + 2 * MINUTE, TERMS)) == 0


def test_the_largest_header_of_the_minute_counts_whatever_the_order():
    first, second = promise("a", made_ms=NOON + 1_000), promise("b", made_ms=NOON + 1_000)
    after = settle(state(promises=(first, second)), second, 20, NOON + 2_000, at=NOON + 2_100)
    after = settle(after, first, 10, NOON + 2_000, at=NOON + 2_200)
    assert after.header == 20


def test_a_header_of_the_minute_before_is_forgotten_with_it():
    one = promise(made_ms=NOON - 5_000)
    after = settle(state(promises=(one,)), one, 900, NOON - 1_000, at=NOON + 400)
    assert rules.used(after) == 0


def test_a_straddling_answer_that_can_only_mean_the_old_minute_does_not_block_the_new_one():
    one = promise(weight=10, made_ms=NOON - 50)
    after = settle(state(promises=(one,)), one, 990, NOON, at=NOON + 400)
    assert rules.used(after) == 10


def test_a_straddling_answer_that_may_mean_the_new_minute_counts():
    one = promise(weight=10, made_ms=NOON - 50)
    after = settle(state(promises=(one,)), one, 10, NOON, at=NOON + 400)
    assert after.header == 10


def test_an_answer_dated_in_a_minute_that_we_have_not_begun_begins_it():
    one = promise(made_ms=NOON + 59_800)
    after = settle(state(header=800, promises=(one,)), one, 10, NOON + MINUTE, at=NOON + 59_900)
    assert (after.window, after.header) == (NOON // MINUTE + 1, 10)


def test_a_clock_ahead_of_the_exchange_is_set_back_and_nothing_is_forgotten():
    one = promise(made_ms=NOON + 2_000)
    after = settle(state(header=5, clock_asked=False, promises=(one,)), one, 700, NOON - 4_000, at=NOON + 2_100)
    assert (after.window, after.header) == (NOON // MINUTE - 1, 700)
    assert after.clock_offset_ms == -5_000


def test_a_clock_that_nobody_asked_for_is_set_forward_by_a_date():
    one = promise(made_ms=NOON + 10_000)
    after = settle(state(clock_asked=False, promises=(one,)), one, 1, NOON + 15_000, at=NOON + 10_100)
    assert (after.clock_offset_ms, after.clock_asked) == (4_900, False)


def test_a_date_ahead_of_what_the_exchange_told_is_the_date_of_something_before_it():
    one = promise(made_ms=NOON + 10_000)
    after = settle(state(promises=(one,)), one, 1, NOON + 15_000, at=NOON + 10_100)
    assert (after.clock_offset_ms, after.clock_asked) == (0, True)


def test_a_machine_whose_clock_is_set_back_an_hour_goes_on():
    back = NOON - 60 * MINUTE + 10_000
    granted, answer = ask(state(header=100), 10, at=back)
    assert isinstance(answer, Promise)
    assert rules.used(granted) == 110


@pytest.mark.parametrize("urgency", Urgency)
def test_a_stop_holds_everyone_until_its_end(urgency: Urgency):
    end = NOON + 10 * MINUTE
    banned = rules.stop(state(), TERMS, NOON, Stop(StopKind.BAN, end))
    _, answer = ask(banned, 1, urgency, at=end)
    assert isinstance(answer, Wait)
    assert answer.stop is not None
    assert isinstance(ask(banned, 1, urgency, at=end + rules.STOP_GUARD_MS)[1], Promise)


def test_a_shorter_stop_does_not_shorten_a_ban():
    banned = rules.stop(state(), TERMS, NOON, Stop(StopKind.BAN, NOON + 10 * MINUTE))
    after = rules.stop(banned, TERMS, NOON, Stop(StopKind.RATE, NOON + MINUTE))
    assert after.stop == Stop(StopKind.BAN, NOON + 10 * MINUTE)


def test_what_a_dead_process_may_have_sent_counts_and_its_ticket_goes():
    dead, alive = promise("a", 30, pid=7), promise("b", 5, pid=8)
    waiting, _ = rules.ask(state(header=990), TERMS, NOON + 10_000, promise("c", 20, pid=7), Urgency.NEWEST)
    buried = rules.bury(replace(waiting, promises=(dead, alive)), TERMS, NOON + 20_000, frozenset({7}))
    assert (buried.unheadered, buried.promises, buried.tickets) == (30, (alive,), ())


def test_a_promise_nobody_settles_runs_out():
    old = promise(made_ms=NOON - rules.RESERVATION_LIFE_MS)
    assert rules.used(rules.advance(state(promises=(old,)), NOON + 10, TERMS)) == 0


def test_a_promise_that_runs_out_within_a_long_window_still_counts():
    terms = Terms(default_limit=1000, window_ms=300_000)
    begin = NOON // 300_000 * 300_000
    old = Promise("a", 1, 10, begin // 300_000, begin + 1_000)
    held = State(window=begin // 300_000, promises=(old,))
    assert rules.used(rules.advance(held, begin + 200_000, terms)) == 10


def test_the_limit_that_was_told_replaces_the_assumed_one():
    assert isinstance(ask(rules.with_limit(state(header=1000), 6000), 100)[1], Promise)


def test_what_a_dead_process_sent_long_ago_may_be_counted_only_now():
    slow = promise("a", 30, pid=7, made_ms=NOON - MINUTE - 5_000)
    buried = rules.bury(state(promises=(slow,)), TERMS, NOON + 400, frozenset({7}))
    assert rules.used(buried) == 30
