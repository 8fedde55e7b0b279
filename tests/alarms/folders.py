"""Folders as they lie on the disk after one thing or another, and the configs that name who is told."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from kit.alarms.signs import STREAMER_NAME, WORKER_NAME, StreamerBeat, WorkerBeat
from kit.buffer.layout import Folder
from kit.buffer.ledger import Ledger, LedgerRecord
from kit.buffer.states import States, SymbolState, save_states
from kit.config import load_config
from kit.exchange_clock import read_local
from kit.times import due_run_ms
from kit.words import Interval, TradeType, from_ms, to_ms, utc_now
from tests.builders import unhurried
from tests.notify.receiver import SECRET, TOKEN, Receiver

ROBOT = {"access_token": TOKEN, "secret": SECRET}
NOBODY = {"rest": "http://127.0.0.1:1", "ws": "ws://127.0.0.1:1"}


def write_market(base_dir: Path, receiver: Receiver | None = None, **keys: Any) -> Folder:
    """A market of a day, of which no run time becomes due while a test looks; told are a JSON receiver and DingTalk."""
    base_dir.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = {
        "interval": "1d",
        "trade_type": "usdt_perp",
        "time_zone": "UTC",
        "endpoints": dict(NOBODY),
        **unhurried(Interval.D1),
    }
    if receiver is not None:
        config |= {"notify": [f"json://127.0.0.1:{receiver.port}/hook"], "dingding": {"error": ROBOT}}
        config["endpoints"]["dingding"] = receiver.host
    (base_dir / "config.json").write_text(json.dumps(config | keys), encoding="utf-8")
    folder = Folder(base_dir, TradeType.USDT_PERP, Interval.D1)
    folder.open_for_writing()
    return folder


def due_ms(folder: Folder) -> int:
    return due_run_ms(load_config(folder.base_dir), to_ms(utc_now()))


def put_record(folder: Folder, missing: list[str] | None = None, back: int = 0) -> LedgerRecord:
    """The record of the due run time, or of an earlier one."""
    lost = missing or []
    record = LedgerRecord(
        run_time=from_ms(due_ms(folder) - back * folder.interval.ms),
        expected=600,
        by_stream=600 - len(lost),
        by_rest=0,
        missing=lost,
        excused={},
        complete=not lost,
    )
    Ledger(folder).put([record])
    return record


def put_symbols(folder: Folder, trading: str, stopped: str = "") -> None:
    """Symbols of one letter each."""
    states = {f"{letter}USDT": SymbolState(status="TRADING") for letter in trading}
    states |= {f"{letter}USDT": SymbolState(status="SETTLING", stopped_ms=1) for letter in stopped}
    save_states(folder, States(symbols=states))


def moment(ago_s: float = 0.0) -> datetime:
    return utc_now() - timedelta(seconds=ago_s)


def stamp(ago_s: float) -> dict[str, Any]:
    local = read_local()
    return {
        "pid": 4242,
        "started_at": moment(ago_s + 3600),
        "written_at": moment(ago_s),
        "steady_ms": local.steady_ms - int(ago_s * 1000),
        "boot": local.boot,
    }


def put_streamer(folder: Folder, ago_s: float = 0.0, *, running: bool = True, **facts: Any) -> None:
    sound = {"wanted_streams": 600, "delivering_streams": 600, "last_run_time": from_ms(due_ms(folder))}
    beat = StreamerBeat(running=running, **stamp(ago_s), **(sound | facts))
    (folder.base_dir / STREAMER_NAME).write_bytes(msgspec.json.encode(beat))


def put_worker(folder: Folder, ago_s: float = 0.0, *, running: bool = True, pid: int = 4242) -> None:
    beat = WorkerBeat(running=running, **(stamp(ago_s) | {"pid": pid}))
    (folder.base_dir / WORKER_NAME).write_bytes(msgspec.json.encode(beat))


def put_well(folder: Folder) -> None:
    """Everything as it should be. The heartbeats are of an hour to come: a test may take its time."""
    put_record(folder)
    put_record(folder, back=1)
    put_streamer(folder, -3600)
    put_worker(folder, -3600)
