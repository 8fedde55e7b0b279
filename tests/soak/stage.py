"""The long run: a 1s market, its exchange, streamer, worker and reader, each a process, and a life in the middle of it.

While it runs connections rotate all the time. Between the thirds that are compared a symbol is listed, another
delisted, all connections are torn once and closed once.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import psutil

from kit.errors import BmacError
from kit.market import Market
from kit.words import from_ms, to_ms
from tests.bench.processes import BenchError, Child
from tests.chaos.control import Control, ControlError
from tests.soak.sampling import TIME, Recorder
from tests.soak.verdict import Thirds, thirds

SEED = 1
SYSTEM_POOL = {"ARROW_DEFAULT_MEMORY_POOL": "system"}  # as streamer.__main__ sets it before pyarrow is imported
FILLED_WITHIN_S = 120.0
RUN_MS = 1000  # an interval of the market
CUT_OFF_MS = 10_000
"""At both ends of the run periods are not looked at: work was still going on, or had not begun."""
SETTLES_S = 180.0
"""Until the folder can be at rest: absorbed files stay for 120 s, blocks are built 30 s after the close."""
CYCLE_S = 256.0
"""The largest block: so many periods leave the window at a time."""
LISTED, LIKE, DELISTED = "SOAKUSDT", "BTCUSDT", "ETHUSDT"
UNLIMITED_WEIGHT = 1_000_000  # what a 1s market of this size needs of it is the budget's tests' matter


@dataclass(frozen=True)
class Plan:
    """``total_s``: after the first fill. ``leak``: the streamer forgets to close and to free (``streamer_process``)."""

    total_s: float = 600.0
    symbols: int = 300
    num_candles: int = 300
    rotate_s: float = 120.0
    leak: bool = False

    @property
    def compared(self) -> Thirds:
        """What is compared with what."""
        return thirds(self.total_s, warm_up_s=min(SETTLES_S, self.total_s / 4), cycle_s=CYCLE_S)

    @property
    def rest_leaves_s(self) -> float:
        """Until then the folder has blocks of the first fill. A row of theirs takes a quarter less room than one by
        stream, mostly because they all were received at one moment: the folder grows while they leave."""
        return self.num_candles + CYCLE_S

    @property
    def middle(self) -> list[float]:
        """When something happens, in seconds: four moments between the thirds.

        Soon after the first one: what REST fills then lies in files of its own until its block is built, and GRACE.
        """
        begin, end = self.compared.first.end_s, self.compared.last.first_s
        return [begin + (end - begin) * share for share in (0.02, 0.08, 0.14, 0.20)]


@dataclass
class Observed:
    """What came of it. ``happened``: what was done in the middle; ``problems``: what went wrong beside growth."""

    recorder: Recorder = field(default_factory=Recorder)
    happened: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    waits: int = 0
    waits_in_vain: int = 0
    periods: int = 0
    periods_skipped: int = 0
    attempts_failed: int = 0


def observe(plan: Plan, scratch: Path) -> Observed:
    """Run it all. BenchError: a process failed."""
    observed = Observed()
    base_dir = scratch / "market"
    environment = {"PREFECT_HOME": str(scratch / "prefect"), "PREFECT_API_URL": ""}
    options = {
        "--symbols": plan.symbols,
        "--seed": SEED,
        "--illiquid-share": 0,
        "--spot-weight-limit": UNLIMITED_WEIGHT,
        "--control-port": 0,
    }
    arguments = [str(word) for option in options.items() for word in option]
    rotation = ["tests.soak.streamer_process", str(plan.rotate_s), str(int(plan.leak)), str(base_dir)]
    with Child("exchange", ["kit.embedded_exchange", *arguments], scratch) as exchange:
        urls = exchange.line(30)
        _write_config(base_dir, urls["spot"], plan.num_candles)
        with (
            Child("streamer", rotation, scratch, SYSTEM_POOL) as streamer,
            Child("worker", ["flows", "worker", str(base_dir), "--logs", "json"], scratch, environment) as worker,
        ):
            _wait_filled(base_dir, plan.num_candles)
            reading = ["tests.soak.reader_process", str(base_dir), str(SEED), DELISTED]
            with Child("reader", reading, scratch) as reader:
                reader.line(30)
                life = _life(Control(urls["control"]))
                _watch(plan, observed, base_dir, {"streamer": streamer, "worker": worker, "reader": reader}, life)
    _take_periods(observed, scratch / "worker.log")
    _check(plan, observed, base_dir)
    return observed


def _write_config(base_dir: Path, endpoints: dict[str, str], num_candles: int) -> None:
    base_dir.mkdir()
    config = {"trade_type": "usdt_spot", "interval": "1s", "num_candles": num_candles, "endpoints": endpoints}
    (base_dir / "config.json").write_text(json.dumps(config))


def _wait_filled(base_dir: Path, num_candles: int) -> None:
    """Until the window's oldest period is complete by the ledger. BenchError: it never was."""
    deadline = time.monotonic() + FILLED_WITHIN_S
    while time.monotonic() < deadline:
        oldest_ms = int(time.time() - num_candles * 0.9) * RUN_MS
        with contextlib.suppress(BmacError):
            record = Market(base_dir).ledger(from_ms(oldest_ms))
            if record is not None and record.complete:
                return
        time.sleep(0.2)
    raise BenchError(f"the window was not filled within {FILLED_WITHIN_S:.0f} s")


def _life(control: Control) -> Iterator[Callable[[], str]]:
    """What happens in the middle, one after the other; each tells what it did."""

    def told(what: str, act: Callable[[], object]) -> Callable[[], str]:
        return lambda: f"{what}: {act()}"

    yield told("listed", lambda: control.market("list", venue="spot", symbol=LISTED, like=LIKE))
    yield told("connections torn", lambda: control.end_connections("abort"))
    yield told("delisted", lambda: control.market("delist", venue="spot", symbol=DELISTED))
    yield told("connections closed", lambda: control.end_connections("close"))


def _watch(
    plan: Plan, observed: Observed, base_dir: Path, children: dict[str, Child], life: Iterator[Callable[[], str]]
) -> None:
    meters = {name: psutil.Process(child.pid) for name, child in children.items()}
    began, observed.recorder.began_ms = time.monotonic(), time.time_ns() // 1_000_000
    moments = plan.middle
    while (at_s := time.monotonic() - began) < plan.total_s:
        for name, child in children.items():
            child.usage()  # says so when it has ended
            observed.recorder.note_process(name, meters[name], at_s)
        observed.recorder.note_folder(base_dir, at_s)
        _hear(observed, children["reader"], at_s)
        if moments and at_s >= moments[0]:
            moments.pop(0)
            try:
                observed.happened.append(f"{at_s:.0f} s: {next(life)()}")
            except ControlError as error:
                observed.problems.append(str(error))
        time.sleep(max(0.0, 1.0 - (time.monotonic() - began - at_s)))


def _hear(observed: Observed, reader: Child, at_s: float) -> None:
    for told in reader.lines():
        observed.waits += 1
        if "missing" in told:
            observed.waits_in_vain += 1
        else:
            observed.recorder.note("final to readable", TIME, at_s, told["delay_ms"])


def _take_periods(observed: Observed, log: Path) -> None:
    """How long each period's work took, by the worker's log."""
    begun: dict[str, datetime] = {}
    for line in log.read_text().splitlines():
        event = json.loads(line) if line.startswith("{") else {}
        name, run_time = event.get("event"), event.get("run_time", "")
        if name == "period.begin":
            begun[run_time] = datetime.fromisoformat(event["timestamp"])
            observed.periods_skipped += event["skipped"]
        elif name == "period.attempt_failed":
            observed.attempts_failed += 1
        elif name == "period.done" and run_time in begun:
            observed.periods += 1
            took = (datetime.fromisoformat(event["timestamp"]) - begun.pop(run_time)).total_seconds()
            at_s = (to_ms(datetime.fromisoformat(run_time)) - observed.recorder.began_ms) / 1000
            observed.recorder.note("flow: a period's work", TIME, at_s, took * 1000)


def _check(plan: Plan, observed: Observed, base_dir: Path) -> None:
    """Every period of the window is complete by the ledger, but for the newest, which the end cut off."""
    market = Market(base_dir)
    newest = market.candles(columns=[], last=1)["candle_begin_time"].max()
    if not isinstance(newest, datetime):
        raise BenchError("there are no candles")
    last_ms = to_ms(newest) - CUT_OFF_MS
    first_ms = max(observed.recorder.began_ms // RUN_MS * RUN_MS, last_ms - plan.num_candles * RUN_MS) + CUT_OFF_MS
    for run_ms in range(first_ms, last_ms, RUN_MS):
        record = market.ledger(from_ms(run_ms))
        if record is None or not record.complete:
            observed.problems.append(f"{from_ms(run_ms).isoformat()}: {record and record.missing[:5]}")
