"""A candle's whole way: the exchange's socket, the streamer, the buffer, the worker with a real Prefect server, and the
data frame of a consumer. The demo is all of that, so the demo is what is run."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from msgspec import structs

from deployments.demo.screen import Screen
from deployments.demo.stage import SYMBOLS, Scene
from kit import Market
from kit.buffer.files import VALUE_COLUMNS
from kit.buffer.ledger import Ledger, LedgerRecord
from kit.embedded_exchange import EmbeddedExchange, Settings
from kit.words import Interval, Venue, utc_now
from tests.builders import folder_in

REPOSITORY = Path(__file__).parents[2]
SOUND = LedgerRecord(run_time=utc_now(), expected=2, by_stream=2, by_rest=0, missing=[], excused={}, complete=True)
ROW_PLACES = (1, 2, 3, 4, 5, 7, 8, 9, 10)
"""Where the exchange's row has the values of ``VALUE_COLUMNS``."""

MINUTES_OF_A_DEMO = 15
"""At most; it takes two on an idle machine."""


def test_the_demo_counts_its_own_complete_periods_as_far_as_its_goal_and_no_other(tmp_path):
    base_dir = tmp_path / "markets" / "usdt_perp_1m"
    folder = folder_in(base_dir)
    (base_dir / "config.json").write_text('{"interval": "1m", "trade_type": "usdt_perp"}')
    began = utc_now().replace(second=0, microsecond=0) - timedelta(minutes=20)
    minutes = [began + timedelta(minutes=minute) for minute in range(-3, 15)]
    Ledger(folder).put(
        structs.replace(SOUND, run_time=run_time, complete=run_time != minutes[5]) for run_time in minutes
    )
    counted = Screen(Scene(tmp_path, 1, 2), began, goal=12).complete_periods()
    assert [record.run_time for record in counted] == [minutes[4], *minutes[6:17]]


def begins_of(rows):
    return rows["candle_begin_time"].dt.epoch("ms").to_list()


@pytest.mark.xdist_group("demo")
@pytest.mark.timeout(900)
def test_one_period_of_the_demo(tmp_path):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    demo = subprocess.run(
        [sys.executable, "-m", "deployments.demo", "--periods", "1", "--folder", str(tmp_path / "demo")],
        cwd=REPOSITORY,
        env=inherited,
        capture_output=True,
        text=True,
        check=False,
        timeout=60 * MINUTES_OF_A_DEMO - 60,
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    records = [json.loads(line) for line in demo.stdout.splitlines() if line.startswith("{")]
    assert len(records) == 1
    assert records[0]["complete"]
    assert records[0]["expected"] == records[0]["by_stream"] + records[0]["by_rest"] == SYMBOLS
    assert records[0]["by_stream"] > SYMBOLS / 2
    asyncio.run(_candles_equal_the_exchange(tmp_path / "demo" / "markets" / "usdt_perp_1m"))
    assert "PctChg_60" in demo.stdout
    _run_is_shown_by_prefect(tmp_path / "demo" / "prefect" / "prefect.db", records[0])


async def _candles_equal_the_exchange(base_dir):
    """The exchange's prices follow from its seed, so another one tells the truth after the demo's has ended."""
    frame = Market(base_dir).candles(source=True)
    assert frame["symbol"].n_unique() == SYMBOLS
    async with EmbeddedExchange(Settings(symbols=SYMBOLS, history_days=6)) as exchange:
        for (symbol,), rows in frame.group_by("symbol"):
            # One symbol was listed two hours before its exchange started, so here some minutes later than there.
            rows_here = exchange.candles(Venue.UM, str(symbol), Interval.M1, begins_of(rows)[0], begins_of(rows)[-1])
            there = rows.filter(pl.col("candle_begin_time").dt.epoch("ms") >= rows_here[1][0])
            truth = rows_here[1:] if len(rows_here) < rows.height else rows_here[-there.height :]
            assert rows.height - len(truth) <= MINUTES_OF_A_DEMO
            assert begins_of(there) == [row[0] for row in truth]
            for name, place in zip(VALUE_COLUMNS, ROW_PLACES, strict=True):
                assert there[name].to_list() == [float(row[place]) for row in truth], (symbol, name)
    newest = frame.filter(frame["candle_begin_time"] == frame["candle_begin_time"].max())
    assert "stream" in newest["source"].to_list()


def _run_is_shown_by_prefect(database, record):
    with sqlite3.connect(database) as connection:
        names = [name for (name,) in connection.execute("select name from flow_run where state_type = 'COMPLETED'")]
    shown = record["run_time"].replace("T", " ")[:16]
    assert any(name.startswith("usdt_perp 1m") and shown in name for name in names), names
