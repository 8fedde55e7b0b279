"""A step that fails again and again while the candles are there: from what is noted of each period to what is seen."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.outcomes import ended_as, ended_now, failing_after, note_begin, note_cut, note_end
from flows.steps import Outcome
from flows.verdict import Named
from kit.alarms.book import Say
from kit.alarms.conditions import Kind, Sight
from kit.alarms.judge import TOLD_CHARS, judge
from kit.alarms.look import look
from kit.alarms.signs import PERIOD_NAME, PeriodSigns, read_signs
from kit.config import load_config
from tests.alarms.folders import put_well, write_market
from tests.alarms.test_book import Reading
from tests.flows_prefect.builders import RUN_TIME, ending, outcome, report

KEY = "step factors"
FAILS: dict[str, str | None] = {"factors": "cannot be read", "funding": None}
WELL: dict[str, str | None] = dict.fromkeys(FAILS)
NOTHING_REACHED: dict[str, str | None] = {}


@pytest.fixture
def base_dir(tmp_path: Path) -> Path:
    folder = write_market(tmp_path / "m")
    put_well(folder)
    return folder.base_dir


def done(base_dir: Path, number: int, steps: dict[str, str | None], name: Named = Named.COMPLETED) -> None:
    """The period of that number is worked on from its beginning to its end."""
    run_time = RUN_TIME + number * timedelta(minutes=1)
    note_begin(base_dir, run_time)
    note_end(base_dir, ended_now(run_time, name, "", [report(step, error) for step, error in steps.items()]))


def seen(base_dir: Path, interval: str = "1m", *open_keys: str) -> Sight:
    """What is seen of steps in the folder of a market of that interval."""
    readings = look(load_config(base_dir))
    config = load_config(write_market(base_dir.parent / interval, interval=interval).base_dir)
    sight = judge(replace(readings, config=config), frozenset(open_keys))
    return replace(sight, conditions=tuple(each for each in sight.conditions if each.kind is Kind.STEP_FAILING))


def told(sight: Sight) -> list[dict[str, Any]]:
    return [dict(each.facts) for each in sight.conditions]


def test_a_step_is_told_when_it_has_failed_in_three_periods_in_a_row_or_in_a_long_one(base_dir: Path) -> None:
    for number, (short, long) in enumerate([([], [1]), ([], [2]), ([3], [3])]):
        done(base_dir, number, FAILS)
        assert [each["count"] for each in told(seen(base_dir))] == short
        assert [each["count"] for each in told(seen(base_dir, "5m"))] == short
        assert [each["count"] for each in told(seen(base_dir, "15m"))] == long
    (facts,) = told(seen(base_dir))
    assert (facts["step"], facts["reason"]) == ("factors", "cannot be read")
    done(base_dir, 3, WELL, Named.INCOMPLETE)
    assert told(seen(base_dir, "1d")) == [], "it went well, whatever became of the candles"


def test_one_that_went_well_in_between_begins_anew(base_dir: Path) -> None:
    for number, steps in enumerate([FAILS, FAILS, WELL, FAILS, FAILS]):
        done(base_dir, number, steps)
        assert told(seen(base_dir)) == []


def test_a_period_that_is_done_again_counts_once_and_changes_nothing(base_dir: Path) -> None:
    for _ in range(5):
        done(base_dir, 0, FAILS, Named.ALREADY_DONE)
    assert told(seen(base_dir)) == []
    for number in (1, 2, 2):
        done(base_dir, number, FAILS)
        done(base_dir, number, FAILS, Named.ALREADY_DONE)
    assert [each["count"] for each in told(seen(base_dir))] == [3]


def test_what_comes_to_no_end_says_nothing_of_steps(base_dir: Path) -> None:
    for number in range(3):
        done(base_dir, number, FAILS)
        done(base_dir, number, NOTHING_REACHED, Named.FAILED)
        note_begin(base_dir, RUN_TIME)
        note_cut(base_dir)
        note_begin(base_dir, RUN_TIME)  # and nobody comes to its end: it has crashed
    note_begin(base_dir, RUN_TIME)
    assert [each["count"] for each in told(seen(base_dir))] == [3]


def test_each_step_is_a_condition_of_its_own_and_what_happens_at_once_is_one_message(base_dir: Path) -> None:
    people, open_keys = Reading(), frozenset[str]()
    both: dict[str, str | None] = {"factors": "no", "resample": "no"}
    for number, steps in enumerate([both, both, both, both | {"factors": None}]):
        done(base_dir, number, steps)
        people.look(seen(base_dir, "1m", *open_keys), seconds=60)
        open_keys = people.pages["m"].open_keys
    first, second = (lines for _, lines in people.told)
    assert [(line.say, line.facts["step"]) for line in first] == [(Say.ALARM, "factors"), (Say.ALARM, "resample")]
    assert [(line.say, line.facts["step"]) for line in second] == [(Say.WELL, "factors")]


def test_where_the_file_is_lost_what_was_told_stays_until_the_step_goes_well(base_dir: Path) -> None:
    for number in range(3):
        done(base_dir, number, FAILS)
    (base_dir / PERIOD_NAME).unlink()
    assert KEY in seen(base_dir, "1m", KEY).blind
    done(base_dir, 3, FAILS)
    assert len(told(seen(base_dir, "1m", KEY))) == 1
    assert told(seen(base_dir)) == []
    done(base_dir, 4, WELL)
    sight = seen(base_dir, "1m", KEY)
    assert told(sight) == []
    assert KEY not in sight.blind
    assert sight.well[KEY] == {"step": "factors"}


def test_what_an_earlier_version_wrote_is_read_and_goes_on(base_dir: Path) -> None:
    done(base_dir, 0, FAILS)
    path = base_dir / PERIOD_NAME
    signs = json.loads(path.read_bytes())
    del signs["failing"], signs["last"]["steps"]
    path.write_text(json.dumps(signs))
    read = read_signs(base_dir, PERIOD_NAME, PeriodSigns)
    assert read is not None
    assert read.last is not None
    assert (read.last.run_time, read.failing) == (RUN_TIME, {})
    done(base_dir, 1, FAILS)
    assert [each["count"] for each in told(seen(base_dir, "15m"))] == [1]


def test_of_a_step_done_twice_the_second_time_counts_and_an_error_without_words_is_one_too() -> None:
    steps = (report("history", "no"), report("compact"), report("history"), report("compact", ""))
    ended = ended_as(RUN_TIME, ending(Outcome(outcome().record, steps, already_done=False)))
    assert ended.steps == {"history": None, "compact": ""}
    assert failing_after({}, ended).keys() == {"compact"}
    failed = ended_as(RUN_TIME, ending(error=TimeoutError("cut")))
    assert failed.steps == {}


def test_of_a_reason_no_secret_is_kept_or_told_and_no_more_than_fits(base_dir: Path) -> None:
    done(base_dir, 0, {"funding": "http://trader:hunter2@proxy:3128 refused" + 50_000 * " it"})
    kept = (base_dir / PERIOD_NAME).read_text()
    assert "hunter2" not in kept
    assert len(kept) < 5_000
    (facts,) = told(seen(base_dir, "1h"))
    assert "proxy:3128" in facts["reason"]
    assert "hunter2" not in facts["reason"]
    assert len(facts["reason"]) <= TOLD_CHARS + len("...")
