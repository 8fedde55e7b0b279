"""What is seen in a folder, each kind from the files that it shows in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from flows.outcomes import note_begin, note_cut, note_end
from flows.verdict import Named
from kit.alarms import look as look_module
from kit.alarms.conditions import Condition, Kind, Reason, Sight
from kit.alarms.judge import GB, PERIOD, disk_needs, judge
from kit.alarms.look import look
from kit.alarms.signs import Disconnect, Ended, RouteSigns, StreamerBeat
from kit.budget import WeightBudget
from kit.buffer.layout import Folder
from kit.buffer.locks import hold
from kit.buffer.states import Hole, States, SymbolState, save_states
from kit.config import load_config
from kit.errors import BannedError, RateLimitedError
from kit.exchange_clock import read_local
from kit.times import host_of_market
from kit.words import from_ms, to_ms, utc_now
from tests.alarms import folders
from tests.alarms.folders import (
    due_ms,
    moment,
    put_record,
    put_streamer,
    put_symbols,
    put_well,
    put_worker,
    write_market,
)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = write_market(tmp_path / "m")
    put_well(made)
    return made


def seen(folder: Folder, open_keys: frozenset[str] = frozenset()) -> Sight:
    return judge(look(load_config(folder.base_dir)), open_keys)


def kinds(folder: Folder) -> set[Kind]:
    return {condition.kind for condition in seen(folder).conditions}


def only(folder: Folder) -> Condition:
    (condition,) = seen(folder).conditions
    return condition


def test_where_all_is_well_nothing_is_seen(folder: Folder) -> None:
    assert seen(folder).conditions == ()


def test_a_new_folder_that_nobody_works_on_is_no_trouble(tmp_path: Path) -> None:
    assert seen(write_market(tmp_path / "new")).conditions == ()


def test_an_incomplete_period_names_symbols_with_their_reasons(folder: Folder) -> None:
    missing = [f"{letter}USDT" for letter in "ABCDEFGHIJ"]
    put_record(folder, missing)
    begin_ms = due_ms(folder) - folder.interval.ms
    asked = SymbolState(status="TRADING", unanswered=[Hole(begin_ms, begin_ms, asked_ms=begin_ms)])
    save_states(folder, States(symbols={"AUSDT": asked, "BUSDT": SymbolState(status="TRADING")}))
    found = only(folder)
    assert (found.kind, found.facts["count"], found.facts["run_ms"]) == (Kind.INCOMPLETE, 10, due_ms(folder))
    assert len(found.facts["symbols"]) == 8
    assert found.facts["symbols"]["AUSDT"] == Reason.UNANSWERED
    assert found.facts["symbols"]["BUSDT"] == Reason.UNDELIVERED


def test_a_period_without_a_record_is_nobodys_work_only_where_somebody_worked_before(folder: Folder) -> None:
    for path in folder.ledger.glob("*"):
        path.unlink()
    assert kinds(folder) == set()
    put_record(folder, back=2)
    assert kinds(folder) == {Kind.NO_RECORD}
    put_worker(folder, ago_s=30)
    assert kinds(folder) == {Kind.WORKER_SILENT}, "why nobody did it is told once"
    assert PERIOD in seen(folder).blind


def ended(folder: Folder, verdict: str) -> None:
    run_time = from_ms(due_ms(folder))
    note_end(folder.base_dir, Ended(run_time=run_time, ended_at=utc_now(), verdict=verdict, message="nobody answers"))


def test_a_failed_period_is_told_with_its_reason_until_one_succeeds(folder: Folder) -> None:
    ended(folder, Named.FAILED)
    assert only(folder).facts["reason"] == "nobody answers"
    note_begin(folder.base_dir, from_ms(due_ms(folder)))
    with hold(folder, "flow"):
        assert kinds(folder) == {Kind.FAILED}, "the next one has not succeeded yet"
    ended(folder, Named.COMPLETED)
    assert kinds(folder) == set()


@pytest.fixture
def worker_of_a_moment(folder: Folder) -> Iterator[subprocess.Popen[bytes]]:
    """A process that begins a period, holds the folder, and waits."""
    code = f"""
import sys, time, pathlib
from flows.outcomes import note_begin
from kit.buffer.layout import Folder
from kit.buffer.locks import hold
from kit.words import Interval, TradeType, from_ms
base_dir = pathlib.Path({str(folder.base_dir)!r})
note_begin(base_dir, from_ms({due_ms(folder)}))
with hold(Folder(base_dir, TradeType.USDT_PERP, Interval.D1), "flow"):
    print("holds", flush=True)
    time.sleep(600)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"holds\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_process_that_is_killed_in_a_period_has_crashed_and_that_is_not_forgotten_by_the_next(
    folder: Folder, worker_of_a_moment: subprocess.Popen[bytes]
) -> None:
    assert kinds(folder) == set(), "it is at work"
    worker_of_a_moment.kill()
    worker_of_a_moment.wait()
    assert only(folder).kind is Kind.CRASHED
    note_begin(folder.base_dir, from_ms(due_ms(folder)))
    with hold(folder, "flow"):
        assert only(folder).kind is Kind.CRASHED
    ended(folder, Named.ALREADY_DONE)
    assert kinds(folder) == set()


def test_a_worker_that_waits_between_two_attempts_has_not_crashed(folder: Folder) -> None:
    note_begin(folder.base_dir, from_ms(due_ms(folder)))
    assert only(folder).kind is Kind.CRASHED, "a worker lives, and another process began it"
    put_worker(folder, -3600, pid=os.getpid())
    assert kinds(folder) == set()
    put_worker(folder, 15, pid=os.getpid(), running=False)
    assert only(folder).kind is Kind.CRASHED


def test_a_worker_that_is_stopped_in_a_period_has_not_crashed(folder: Folder) -> None:
    note_begin(folder.base_dir, from_ms(due_ms(folder)))
    note_cut(folder.base_dir)
    assert kinds(folder) == set()


@pytest.mark.parametrize(("put", "silent", "stopped"), [
    (put_streamer, Kind.STREAMER_SILENT, Kind.STREAMER_STOPPED),
    (put_worker, Kind.WORKER_SILENT, Kind.WORKER_STOPPED),
])  # fmt: skip
def test_who_is_silent_is_missed_soon_and_who_was_stopped_after_a_while(
    folder, monkeypatch, put, silent, stopped
) -> None:
    now = read_local()
    for module in (folders, look_module):
        monkeypatch.setattr(module, "read_local", lambda: now)
    for ago_s, running, expected in (
        (15, True, set()),
        (25, True, {silent}),
        (500, False, set()),
        (700, False, {stopped}),
    ):
        put(folder, ago_s, running=running)
        assert kinds(folder) == expected, (ago_s, running)


def test_what_a_silent_streamer_said_last_is_not_believed_any_more(folder: Folder) -> None:
    put_streamer(folder, 60, delivering_streams=0, disk_error="no space")
    sight = seen(folder)
    assert {condition.kind for condition in sight.conditions} == {Kind.STREAMER_SILENT}
    assert {"stream", "connections", "writing"} <= sight.blind


def test_a_wall_clock_that_is_set_makes_nobody_silent(folder: Folder) -> None:
    local = read_local()
    times = {"started_at": moment(9999), "written_at": moment(7200), "steady_ms": local.steady_ms}
    beat = StreamerBeat(pid=1, running=True, boot=local.boot, **times)
    assert not beat.silent(local)
    assert beat.silent(local._replace(boot="another")), "of another boot only the wall clock tells"


def loss(ago_s: float, kind: str = "lost") -> Disconnect:
    return Disconnect(connection="#0", since=moment(ago_s), kind=kind, reason="1006 (cut)")


def test_streams_are_judged_by_the_heartbeat(folder: Folder) -> None:
    cases = [
        ({"delivering_streams": 0}, {Kind.STALLED}),
        ({"last_run_time": moment(3 * 86_400 + 120)}, {Kind.STALLED}),
        ({"delivering_streams": 598, "silent_streams": ["AUSDT", "BUSDT"]}, {Kind.PART_SILENT}),
        ({"disk_error": "No space left on device"}, {Kind.UNWRITABLE}),
        ({"route": RouteSigns(connections={"live": 3, "closed": 1})}, {Kind.FAILING}),
        ({"route": RouteSigns(last_disconnects=[loss(200), loss(100), loss(1)])}, {Kind.LOSING}),
        ({"route": RouteSigns(last_disconnects=[loss(100 - 10 * number) for number in range(10)])}, {Kind.LOSING}),
        ({"route": RouteSigns(last_disconnects=[loss(900), loss(800), loss(1)])}, set()),
        ({"route": RouteSigns(last_disconnects=[loss(30 + number) for number in range(8)])}, set()),
        ({"route": RouteSigns(last_disconnects=[loss(ago_s, "silent") for ago_s in (200, 100, 1)])}, set()),
        ({"wanted_streams": 0, "delivering_streams": 0}, set()),
        ({"wanted_streams": 2, "delivering_streams": 0}, {Kind.PART_SILENT}),
        ({"wanted_streams": 2, "delivering_streams": 2, "last_run_time": moment(3 * 86_400)}, set()),
    ]
    for facts, expected in cases:
        put_streamer(folder, -3600, **facts)
        assert kinds(folder) == expected, facts


def test_no_secret_that_others_said_back_is_told(folder: Folder) -> None:
    said = "ProxyError: http://trader:hunter2@proxy:3128 refused, see https://hooks.slack.com/services/T0/B0/secret"
    put_streamer(folder, -3600, disk_error=said)
    reason = only(folder).facts["reason"]
    assert "proxy:3128" in reason
    assert "hunter2" not in reason
    assert "secret" not in reason


def test_when_nothing_comes_its_connections_are_no_second_alarm(folder: Folder) -> None:
    put_streamer(folder, -3600, delivering_streams=0, route=RouteSigns(connections={"closed": 3}))
    assert kinds(folder) == {Kind.STALLED}


def budget_of(folder: Folder) -> WeightBudget:
    return WeightBudget(host_of_market(load_config(folder.base_dir)).pool)


def test_a_ban_is_told_with_its_end_and_a_full_minute_is_not(folder: Folder) -> None:
    budget = budget_of(folder)
    now_ms = to_ms(utc_now())
    budget.stop(RateLimitedError("slow down", now_ms + 30_000))
    assert kinds(folder) == set()
    budget.stop(BannedError("IP banned", now_ms + 600_000))
    budget.close()
    found = only(folder)
    assert found.kind is Kind.BANNED
    assert now_ms + 600_000 <= found.facts["until_ms"] <= now_ms + 602_000


def test_a_stop_is_over_when_the_exchange_has_answered_not_when_its_time_is_up(folder: Folder) -> None:
    key = f"stop {host_of_market(load_config(folder.base_dir)).pool}"
    with closing(budget_of(folder)) as budget:
        now = read_local()
        long_ago = now._replace(wall_ms=now.wall_ms - 400_000, steady_ms=now.steady_ms - 400_000)
        budget.hear_time(long_ago.wall_ms, long_ago, long_ago)
        assert key in seen(folder, frozenset({key})).blind, "the next request may be refused again"
        assert key not in seen(folder).blind, "but what nobody was told of is no matter"
        budget.hear_time(now.wall_ms, now, now)
        assert key not in seen(folder, frozenset({key})).blind


def test_a_clock_that_is_off_is_told_and_one_that_nobody_measured_is_not_known(folder: Folder) -> None:
    key = f"clock {host_of_market(load_config(folder.base_dir)).pool}"
    assert key in seen(folder).blind
    budget, local = budget_of(folder), read_local()
    budget.hear_time(local.wall_ms - 2_000, local, local)
    assert only(folder).facts == {"seconds": "2.0", "direction": "ahead"}
    later = read_local()
    budget.set_clock_offset(0)
    budget.hear_time(later.wall_ms + 400, later, later)
    budget.close()
    assert seen(folder).conditions == ()
    assert [each.key for each in seen(folder, frozenset({key})).conditions] == [key], "until it is well within"


@pytest.mark.parametrize(("total", "free", "low"), [
    (100 * GB, 4 * GB, True),
    (100 * GB, 6 * GB, False),
    (8_000 * GB, 30 * GB, False),
    (8_000 * GB, 19 * GB, True),
    (20 * GB, 1 * GB, True),
    (5 * GB, 1.2 * GB, False),
])  # fmt: skip
def test_a_disk_is_low_by_its_size(folder, monkeypatch, total, free, low) -> None:
    usage = shutil._ntuple_diskusage(total, 0, int(free))
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    assert kinds(folder) == ({Kind.DISK_LOW} if low else set())
    assert (free < disk_needs(total)) == low


def test_symbols_that_trade_and_those_that_stopped_are_seen(folder: Folder) -> None:
    assert seen(folder).symbols is None
    put_symbols(folder, "AB", "C")
    found = seen(folder).symbols
    assert found is not None
    assert (found.trading, dict(found.stopped)) == ({"AUSDT", "BUSDT"}, {"CUSDT": "SETTLING"})


def test_files_that_are_broken_are_no_trouble_of_the_market(folder: Folder) -> None:
    for name in ("streamer.json", "worker.json", "period.json"):
        (folder.base_dir / name).write_bytes(b'{"pid": "x')
    assert seen(folder).conditions == ()
