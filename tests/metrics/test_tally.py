"""What is counted of periods."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec

from flows.board import Work
from flows.steps import Outcome
from flows.verdict import Named
from flows.worker.tally import STEPS, Tally
from kit.words import Source
from tests.flows_prefect.builders import RUN_TIME, ending, market, report
from tests.flows_prefect.stand_in import record_of

PLACE = Path("/somewhere")


def record(missing=(), **changes):
    return msgspec.structs.replace(record_of(RUN_TIME, list(missing)), **changes)


def tallied(end, *, late_s=0.004, skipped=0, reports=()):
    tally = Tally([PLACE])
    work = Work(market(PLACE), RUN_TIME, late_s=late_s, skipped=skipped)
    tally.begun(work)
    for each in reports:
        work.report(each)
    tally.ended(work, end)
    with tally.at(PLACE) as counts:
        return counts


def test_a_complete_period_counts_its_candles_by_source_and_its_time():
    done = record(by_stream=2, by_rest=1, filled=4, revised=1, seconds_to_complete=3.4)
    counts = tallied(ending(Outcome(done, (), already_done=False)), skipped=2)
    assert counts.candles == {Source.STREAM: 2, Source.REST: 1}
    assert (counts.filled, counts.revised, counts.skipped) == (4, 1, 2)
    assert (counts.last_time_to_complete_s, sum(counts.time_to_complete.counts)) == (3.4, 1)
    assert (counts.last_run_time, counts.verdicts) == (RUN_TIME, {Named.COMPLETED: 1})
    assert (counts.lateness.total, sum(counts.lateness.counts)) == (0.004, 1)


def test_a_period_that_somebody_else_had_done_counts_no_candle_twice():
    done = record(filled=4, seconds_to_complete=3.4)
    counts = tallied(ending(Outcome(done, (), already_done=True)))
    assert (counts.candles.total(), counts.filled, sum(counts.time_to_complete.counts)) == (0, 0, 0)
    assert counts.verdicts == {Named.ALREADY_DONE: 1}


def test_an_incomplete_period_has_no_time_to_complete():
    torn = record(["BTCUSDT"], seconds_to_complete=3.4)  # it was complete, and a candle is gone
    counts = tallied(ending(Outcome(torn, (), already_done=False)))
    assert sum(counts.time_to_complete.counts) == 0
    assert counts.verdicts == {Named.INCOMPLETE: 1}


def test_a_failed_period_is_counted_with_the_steps_that_were_done():
    failing = [report("exchange_info"), report("newest", "the exchange is away")]
    counts = tallied(ending(error=OSError("away")), reports=failing)
    assert counts.verdicts == {Named.FAILED: 1}
    assert counts.step_failures == {"exchange_info": 0, "newest": 1}
    assert [name for name in STEPS if sum(counts.steps[name].counts)] == ["exchange_info", "newest"]


def test_what_is_caught_up_at_a_start_is_no_lateness():
    assert sum(tallied(ending(), late_s=None).lateness.counts) == 0


def test_each_market_is_counted_for_itself():
    tally = Tally([PLACE, Path("/elsewhere")])
    work = Work(market(PLACE), RUN_TIME + timedelta(minutes=5))
    tally.ended(work, ending())
    with tally.at(Path("/elsewhere")) as counts:
        assert counts.ended == 0
