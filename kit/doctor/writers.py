"""Who works on the folder: the streamer and the worker, by their locks and heartbeats."""

from __future__ import annotations

from kit.alarms.signs import SILENT_AFTER_S, STREAMER_NAME, WORKER_NAME, Beat, StreamerBeat, WorkerBeat, read_signs
from kit.buffer.layout import Folder
from kit.buffer.locks import is_held
from kit.config import MarketConfig
from kit.doctor.finding import Finding, ok, warning, wrong
from kit.exchange_clock import Local, read_local
from kit.words import from_ms


def check_writers(config: MarketConfig) -> list[Finding]:
    """Do both run, and are they well?"""
    folder = Folder(config.base_dir, config.trade_type, config.interval, config.save_type)
    now = read_local()
    streamer = read_signs(config.base_dir, STREAMER_NAME, StreamerBeat)
    worker = read_signs(config.base_dir, WORKER_NAME, WorkerBeat)
    return [judge_streamer(config, streamer, now, held=is_held(folder, "streamer")), judge_worker(config, worker, now)]


def judge_streamer(config: MarketConfig, beat: StreamerBeat | None, now: Local, *, held: bool) -> Finding:
    """``held``: a process has the streamer's lock."""
    start = f"python -m streamer {config.base_dir}"
    if not held:
        return _not_running("streamer", beat, now, start)
    if beat is None or not beat.running or beat.age_s(now) > SILENT_AFTER_S:
        who = "a process" if beat is None else f"pid {beat.pid}"
        seen = f"{who} holds the folder and says nothing: it hangs, is stopped, has just begun, or the disk refuses"
        return wrong("streamer", seen, "look at its log; when it does not come back, kill -9 it and start it again")
    if beat.disk_error is not None:
        return wrong("streamer", f"pid {beat.pid}: the disk refuses ({beat.disk_error})", "make the folder writable")
    seen = f"pid {beat.pid}: {beat.delivering_streams} of {beat.wanted_streams} streams deliver"
    if beat.delivering_streams < beat.wanted_streams:
        some = ", ".join(beat.silent_streams[:5])
        todo = f"it looks after them itself{f' ({some})' if some else ''}; coins that nobody trades are silent, too"
        return warning("streamer", seen, todo)
    return ok("streamer", seen)


def judge_worker(config: MarketConfig, beat: WorkerBeat | None, now: Local) -> Finding:
    """The long-lived worker. Hourly markets may do without: Prefect's process worker begins a process a period."""
    start = f"python -m flows worker {config.base_dir}, or let Prefect's process worker or cron do each period"
    if beat is None or not beat.running or beat.age_s(now) > SILENT_AFTER_S:
        return _not_running("worker", beat, now, start)
    last = "" if beat.last is None else f", last period {beat.last.run_time:%H:%M:%SZ}: {beat.last.verdict}"
    return ok("worker", f"pid {beat.pid}{last}")


def _not_running(name: str, beat: Beat | None, now: Local, start: str) -> Finding:
    if beat is None:
        return warning(name, "none has run here", f"start it: {start}")
    if not beat.running:
        return warning(name, f"stopped {_ago(beat, now)}", f"start it: {start}")
    return wrong(name, f"gone without a word {_ago(beat, now)} (pid was {beat.pid})", f"start it: {start}")


def _ago(beat: Beat, now: Local) -> str:
    seconds = beat.age_s(now)
    return f"at {from_ms(now.wall_ms - int(seconds * 1000)):%Y-%m-%d %H:%M:%SZ}, {seconds:.0f} s ago"
