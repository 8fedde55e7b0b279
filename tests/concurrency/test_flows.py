"""Several period flows on one folder at once: of the same run time, of others, one killed while it works."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from datetime import datetime, timedelta

import polars as pl
import pytest

from kit.buffer.layout import Folder
from kit.buffer.locks import is_held
from kit.market import Market
from kit.words import from_ms, utc_now
from tests.bench.processes import BenchError, Child
from tests.concurrency.stage import eventually, stage

pytestmark = pytest.mark.xdist_group("concurrency")

MINUTE = timedelta(minutes=1)
CANDLES = 180


def run_time_word(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def stopped_at_work(folder: Folder) -> int | None:
    """The process that has the folder's lock, stopped; None also where it let go of the lock before it stood still."""
    lock = folder.lock("flow")
    word = lock.read_text() if lock.exists() else ""
    if not word:
        return None
    os.kill(int(word), signal.SIGSTOP)
    if is_held(folder, "flow") and lock.read_text() == word:
        return int(word)
    os.kill(int(word), signal.SIGCONT)
    return None


def test_flows_of_the_same_and_of_other_run_times_beside_a_killed_one_leave_what_one_alone_would(tmp_path):
    newest = utc_now().replace(second=0, microsecond=0) - MINUTE
    with stage(tmp_path, symbols=12) as here, ExitStack() as children:
        kind = {"trade_type": "usdt_perp", "interval": "1m", "num_candles": CANDLES}
        resampled = {"resample": {"interval": "1h", "base_offset": "30m"}}
        together, alone = here.market("together", **kind, **resampled), here.market("alone", **kind, **resampled)

        def flow(name: str, base_dir: object, moment: datetime) -> Child:
            words = ("flows", "period", base_dir, "--run-time", run_time_word(moment), "--logs", "json")
            return children.enter_context(here.start(name, *words))

        flows = {
            "older": flow("older", together, newest - 3 * MINUTE),
            "same": flow("same", together, newest),
            "same again": flow("same again", together, newest),
            "later": flow("later", together, newest),
        }
        holder = eventually(lambda: stopped_at_work(Market(together).folder), "one of them works")
        os.kill(holder, signal.SIGKILL)
        killed = [name for name, child in flows.items() if child.pid == holder]
        assert len(killed) == 1

        records = {name: child.line(120) for name, child in flows.items() if name not in killed}
        with pytest.raises(BenchError, match=f"exit code -{signal.SIGKILL:d}"):
            flows[killed[0]].line(60)
        assert all(record["complete"] for record in records.values())
        same = [record for name, record in records.items() if name != "older"]
        assert all(record["run_time"] == run_time_word(newest) for record in same)
        assert {(record["expected"], record["by_rest"]) for record in same} == {(12, 12)}

        assert flow("older again", together, newest - 3 * MINUTE).line(120)["complete"]
        assert flow("alone", alone, newest).line(120)["complete"]
        first = from_ms(0) + ((newest - from_ms(0)) // MINUTE - CANDLES) * MINUTE
        in_window = pl.col("candle_begin_time") >= first
        one, other = (Market(path).candles().filter(in_window) for path in (together, alone))
        assert one.equals(other)
        assert one["symbol"].n_unique() == 12
        assert len(one.filter(pl.col("symbol") == "BTCUSDT")) == CANDLES
        for offset in ("0m", "30m"):
            longer = [Market(path).candles(interval="1h", offset=offset) for path in (together, alone)]
            assert longer[0].join(longer[1], on=longer[0].columns, how="anti", nulls_equal=True).is_empty()
            assert not longer[1].is_empty()
        assert Market(together).ledger(newest - 3 * MINUTE).complete
