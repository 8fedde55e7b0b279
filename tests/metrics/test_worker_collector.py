"""What the worker tells of a market on disk, of the weight budget and of the clock."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import timedelta

import pytest
import structlog.testing

from flows.exchange_time import ExchangeTime
from flows.metrics import Watched, WorkerCollector
from flows.worker.tally import Tally
from kit.budget import WeightBudget
from kit.buffer.ledger import Ledger, LedgerRecord
from kit.config import load_config
from kit.errors import BannedError
from kit.exchange_clock import read_local
from kit.words import Interval, from_ms, newest_run_time_ms, to_ms
from tests.builders import folder_in, unhurried

MARKET = "usdt_perp_1d"


@pytest.fixture
def base_dir(tmp_path):
    path = tmp_path / "market"
    path.mkdir()
    config = {"interval": "1d", "trade_type": "usdt_perp", "num_candles": 100, **unhurried(Interval.D1)}
    (path / "config.json").write_text(json.dumps(config))
    return path


@pytest.fixture
def time(base_dir):
    with closing(ExchangeTime(load_config(base_dir))) as made:
        yield made


@pytest.fixture
def tally(base_dir):
    return Tally([base_dir])


@pytest.fixture
def told(base_dir, time, tally):
    """What is told now: metric and sorted label values -> value."""
    collector = WorkerCollector({base_dir: time}, tally, lambda: 7)

    def tell() -> dict[tuple[str, ...], float]:
        return {
            (sample.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value
            for family in collector.collect()
            for sample in family.samples
        }

    return tell


@pytest.fixture
def ledger(base_dir):
    return Ledger(folder_in(base_dir, interval=Interval.D1))


@pytest.fixture
def due(time):
    patience = timedelta(seconds=sum(unhurried(Interval.D1).values()))
    return from_ms(newest_run_time_ms(to_ms(time.now() - patience), Interval.D1))


def record(run_time, missing=(), excused=None) -> LedgerRecord:
    return LedgerRecord(
        run_time=run_time,
        expected=9,
        by_stream=5,
        by_rest=9 - 5 - len(missing) - len(excused or {}),
        missing=list(missing),
        excused=excused or {},
        complete=not missing,
    )


def test_the_newest_due_run_time_is_told_as_the_ledger_has_it(told, ledger, due):
    ledger.put([record(due, ["BTCUSDT", "ETHUSDT"], {"OLDUSDT": "listed later"})])
    values = told()
    assert values["bmac_worker_complete", MARKET] == 0
    assert values["bmac_worker_due_timestamp_seconds", MARKET] == due.timestamp()
    assert values["bmac_worker_expected_candles", MARKET] == 9
    assert values["bmac_worker_missing_candles", MARKET] == 2
    assert values["bmac_worker_excused_candles", MARKET, "listed later"] == 1
    assert values["bmac_worker_readable_candles", MARKET, "stream"] == 5
    assert values["bmac_worker_readable_candles", MARKET, "rest"] == 1
    ledger.put([record(due)])
    values = told()
    assert (values["bmac_worker_complete", MARKET], values["bmac_worker_missing_candles", MARKET]) == (1, 0)


def test_what_nobody_judged_is_not_complete_and_nothing_is_said_to_be_missing(told, ledger, due):
    ledger.put([record(due - timedelta(days=1))])
    values = told()
    assert values["bmac_worker_complete", MARKET] == 0
    assert ("bmac_worker_missing_candles", MARKET) not in values


def test_gaps_of_the_window_are_read_again_after_each_period(told, ledger, due, tally, base_dir):
    ledger.put([record(due), record(due - timedelta(days=1), ["A"]), record(due - timedelta(days=5), ["A", "B"])])
    states = [("complete", 1), ("incomplete", 2), ("unknown", 97)]
    values = told()
    assert [(state, values["bmac_worker_window_run_times", MARKET, state]) for state, _ in states] == states
    assert values["bmac_worker_window_missing_candles", MARKET] == 3
    ledger.put([record(due - timedelta(days=5))])
    with tally.at(base_dir) as counts:
        counts.ended += 1
    assert told()["bmac_worker_window_missing_candles", MARKET] == 1


def test_a_run_time_that_becomes_due_while_nobody_works_is_unknown_in_the_window(time, ledger, due):
    ledger.put([record(due)])
    watched = Watched(time.config, time)
    assert watched.gaps(0, due).unknown == 99
    assert watched.gaps(0, due + timedelta(days=100)).unknown == 100


def test_a_ban_is_told_with_its_end_and_the_weight_with_its_limit(told, time):
    assert told()["bmac_rest_stop_seconds", time.pool, "ban"] == 0
    with closing(WeightBudget(time.pool)) as budget:
        budget.stop(BannedError("banned", budget.now_ms() + 3_600_000))
    values = told()
    assert 3500 < values["bmac_rest_stop_seconds", time.pool, "ban"] <= 3600
    assert values["bmac_rest_stop_seconds", time.pool, "rate"] == 0
    assert values["bmac_rest_weight_limit", time.pool] == 2400


def test_the_clock_is_told_once_somebody_has_asked_the_exchange(told, time):
    assert ("bmac_clock_offset_seconds", time.pool) not in told()
    with closing(WeightBudget(time.pool)) as budget:
        here = read_local()
        budget.hear_time(here.wall_ms + 7_000, here, here)
    assert told()["bmac_clock_offset_seconds", time.pool] == pytest.approx(7.0, abs=0.1)


def test_a_ledger_that_cannot_be_read_hides_nothing_else(told, base_dir, ledger, due):
    ledger.put([record(due)])
    (path,) = (base_dir / "usdt_perp_1d" / "ledger").iterdir()
    path.unlink()
    path.mkdir()
    with structlog.testing.capture_logs() as logs:
        values = told()
    assert [entry["market"] for entry in logs if entry["event"] == "metrics.unreadable"] == [MARKET]
    assert ("bmac_worker_complete", MARKET) not in values
    assert values["bmac_worker_interval_seconds", MARKET] == 86_400
    assert values["bmac_worker_prefect_backlog_periods",] == 7


def test_prefects_database_is_measured_with_its_log(told, tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    assert ("bmac_worker_prefect_database_bytes",) not in told()
    (tmp_path / "prefect.db").write_bytes(bytes(1000))
    (tmp_path / "prefect.db-wal").write_bytes(bytes(24))
    assert told()["bmac_worker_prefect_database_bytes",] == 1024
