"""The long run: a 1s market, its exchange, streamer, worker and reader, each a process, and what happens to a market.

It begins with a folder that has been in use for long (``tests.soak.prefill``). While it runs connections rotate all the
time. Before each of the thirds that are compared a symbol is listed, another delisted, all connections are torn once
and closed once.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import count
from pathlib import Path

import psutil

from kit.errors import BmacError
from kit.market import Market
from kit.words import from_ms, to_ms
from tests.bench.processes import BenchError, Child
from tests.chaos.control import Control, ControlError
from tests.soak.prefill import prefill
from tests.soak.sampling import TIME, Recorder
from tests.soak.verdict import Thirds, thirds

SEED = 1
SYSTEM_POOL = {"ARROW_DEFAULT_MEMORY_POOL": "system"}  # as streamer.__main__ sets it before pyarrow is imported
STARTED_WITHIN_S = 90.0
FILLED_WITHIN_S = 150.0
RUN_MS = 1000  # an interval of the market
CUT_OFF_MS = 10_000
"""At both ends of the run periods are not looked at: work was still going on, or had not begun."""
SETTLES_S = 180.0
"""Until everything can be at rest: absorbed files stay for 120 s, blocks are built 30 s after the close; what the
streamer missed before it ran lies in files of its own until both have passed."""
CYCLE_S = 256.0
"""The largest block: so many periods leave the window at a time."""
JUDGED = ("streamer", "worker", "reader")
LISTED, LIKE, DELISTED = "SOAK{}USDT", "BTCUSDT", "ETHUSDT"
UNLIMITED_WEIGHT = 1_000_000  # what a 1s market of this size needs of it is the budget's tests' matter


@dataclass(frozen=True)
class Plan:
    """``total_s``: after the first fill. ``leak``: the streamer forgets to close and to free (``streamer_process``).
    ``look_s``: how often the figures are taken."""

    total_s: float = 600.0
    symbols: int = 300
    num_candles: int = 300
    rotate_s: float = 120.0
    leak: bool = False
    look_s: float = 1.0

    @property
    def compared(self) -> Thirds:
        """What is compared with what."""
        return thirds(self.total_s, warm_up_s=min(SETTLES_S, self.total_s / 4), cycle_s=CYCLE_S)

    @property
    def moments(self) -> list[float]:
        """When something happens, in seconds: four moments before each third that is compared, as long before the one
        as before the other. What is dearer when it happens for the first time is then no difference between them.

        Soon after the third before: what REST fills lies in files of its own until its block is built, and GRACE.
        """
        first, last = self.compared.first, self.compared.last
        lead_s = min(first.first_s, last.first_s - first.end_s)
        return [third.first_s - lead_s * (1 - share) for third in (first, last) for share in (0.02, 0.08, 0.14, 0.20)]


@dataclass
class Observed:
    """What came of it. ``happened``: what was done to the market; ``problems``: what went wrong beside growth."""

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
        urls = exchange.line(STARTED_WITHIN_S)
        write_config(base_dir, urls["spot"], plan.num_candles)
        prefill(base_dir, scratch / "state", SEED)
        with (
            Child("streamer", rotation, scratch, SYSTEM_POOL) as streamer,
            Child("worker", ["flows", "worker", str(base_dir), "--logs", "json"], scratch, environment) as worker,
        ):
            _wait_filled(base_dir, plan.num_candles)
            reading = ["tests.soak.reader_process", str(base_dir), str(SEED), DELISTED]
            with (
                Child("reader", reading, scratch) as reader,
                Child("yardstick", ["tests.soak.yardstick_process", str(scratch)], scratch) as yardstick,
            ):
                reader.line(STARTED_WITHIN_S)
                yardstick.line(STARTED_WITHIN_S)
                life = _life(Control(urls["control"]))
                children = {"streamer": streamer, "worker": worker, "reader": reader, "yardstick": yardstick}
                _watch(plan, observed, base_dir, children, life)
    _take_periods(observed, scratch / "worker.log")
    _check(plan, observed, base_dir)
    return observed


def write_config(base_dir: Path, endpoints: dict[str, str], num_candles: int) -> None:
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
    """What happens, one after the other, again and again; each tells what it did."""

    def told(what: str, act: Callable[[], object]) -> Callable[[], str]:
        return lambda: f"{what}: {act()}"

    leaves = DELISTED
    for number in count():
        comes = LISTED.format(number)
        yield told("listed", partial(control.market, "list", venue="spot", symbol=comes, like=LIKE))
        yield told("connections torn", partial(control.end_connections, "abort"))
        yield told("delisted", partial(control.market, "delist", venue="spot", symbol=leaves))
        yield told("connections closed", partial(control.end_connections, "close"))
        leaves = comes


def _watch(
    plan: Plan, observed: Observed, base_dir: Path, children: dict[str, Child], life: Iterator[Callable[[], str]]
) -> None:
    meters = {name: psutil.Process(children[name].pid) for name in JUDGED}
    began, observed.recorder.began_ms = time.monotonic(), time.time_ns() // 1_000_000
    moments = plan.moments
    while (at_s := time.monotonic() - began) < plan.total_s:
        for name, child in children.items():
            child.usage()  # says so when it has ended
            if name in JUDGED:
                observed.recorder.note_process(name, meters[name], at_s)
        observed.recorder.note_folder(base_dir, at_s)
        _hear(observed, children["reader"], at_s)
        for told in children["yardstick"].lines():
            observed.recorder.note_yardstick(**told)
        if moments and at_s >= moments[0]:
            moments.pop(0)
            try:
                observed.happened.append(f"{at_s:.0f} s: {next(life)()}")
            except ControlError as error:
                observed.problems.append(str(error))
        time.sleep(max(0.0, plan.look_s - (time.monotonic() - began - at_s)))


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
