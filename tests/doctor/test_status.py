"""What ``python -m kit status`` says of a market: is it complete now, since when not, and what is missing."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from rich.console import Console

from kit.buffer.layout import Folder
from kit.buffer.ledger import Ledger, LedgerRecord
from kit.status import market_status, status_table
from kit.words import Interval, TradeType, from_ms, newest_run_time_ms, to_ms, utc_now
from tests.builders import unhurried

HALF_A_DAY = Interval.H12.delta


@pytest.fixture
def market(configure):
    folder = Folder(configure(interval="12h", **unhurried(Interval.H12)), TradeType.USDT_PERP, Interval.H12)
    folder.open_for_writing()
    return folder


def due():
    patience = timedelta(seconds=sum(unhurried(Interval.H12).values()))
    return from_ms(newest_run_time_ms(to_ms(utc_now() - patience), Interval.H12))


def judged(market, ago, missing=()):
    """The record of the run time so many periods before the newest due one."""
    record = LedgerRecord(
        run_time=due() - ago * HALF_A_DAY,
        expected=20,
        by_stream=20 - len(missing),
        by_rest=0,
        missing=list(missing),
        excused={},
        complete=not missing,
        seconds_to_complete=None if missing else 2.5,
    )
    Ledger(market).put([record])


def said(market, **options):
    console = Console(width=400, force_terminal=False)
    with console.capture() as captured:
        console.print(status_table(market_status(market.base_dir, **options)))
    return captured.get()


def local(moment):
    return moment.astimezone().strftime("%m-%d %H:%M:%S")


def test_what_is_missing_is_named_and_since_when_is_told(market):
    judged(market, ago=2)
    for ago in (1, 0):
        judged(market, ago, missing=["ETHUSDT", "SOLUSDT"])
    found = market_status(market.base_dir)
    assert (found["complete"], found["record"]["missing"]) == (False, ["ETHUSDT", "SOLUSDT"])
    assert found["last_complete"] == (due() - 2 * HALF_A_DAY).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert (
        f"NOT COMPLETE for {local(due())}; missing: ETHUSDT, SOLUSDT; last complete: {local(due() - 2 * HALF_A_DAY)}; "
        "window: 1 of" in said(market)
    )


def test_of_many_that_are_missing_some_are_named_and_the_rest_is_counted(market):
    judged(market, 0, missing=[f"C{number:02}USDT" for number in range(11)])
    assert "C06USDT, C07USDT and 3 more; no run time is complete yet;" in said(market)


def test_a_due_run_time_without_a_record_is_said_to_be_judged_by_nobody_and_one_with_a_record_never_is(market):
    judged(market, 1)
    assert f"NOT COMPLETE for {local(due())}; nobody has judged it yet; last complete:" in said(market)
    judged(market, 0, missing=["ETHUSDT"])
    assert "missing: ETHUSDT; last complete" in said(market, periods=0), "whether its row is shown or not"


def test_streams_that_are_silent_are_named(market):
    to_come = utc_now() + timedelta(hours=1)
    beat = {"written_at": to_come.isoformat(), "running": True, "pid": 7, "rss_bytes": 80_000_000}
    beat |= {"wanted_streams": 60, "delivering_streams": 57, "silent_streams": ["ARBUSDT", "BNBUSDT"]}
    (market.base_dir / "streamer.json").write_text(json.dumps(beat))
    assert "57 of 60 streams deliver (silent: ARBUSDT, BNBUSDT and 1 more), 80 MB" in said(market)


def test_a_run_time_that_is_complete_before_it_is_due_counts_as_on_the_page(market):
    judged(market, 0)
    found = market_status(market.base_dir)
    before = {**found, "due": (due() - HALF_A_DAY).strftime("%Y-%m-%dT%H:%M:%SZ"), "record": None, "complete": False}
    console = Console(width=400, force_terminal=False)
    with console.capture() as captured:
        console.print(status_table(before))
    assert f"complete for {local(due())}; window" in captured.get()
