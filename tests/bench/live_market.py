"""The whole service at work: 750 symbols, updates each 250 ms, a streamer, a flow, and a strategy that waits.

First some periods whose finals come in one burst, then some whose finals spread over five seconds. The flow's process
does each period at its close + offset.

The exchange's clock is set back by less than a minute, so that its first close comes soon after the history is there:
nothing in the service depends on the local clock being the exchange's. All moments here are the exchange's.
"""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from kit.market import Market
from kit.words import Source
from tests.bench.figures import Figure, percentile
from tests.bench.processes import Child, Usage, sleep_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.bench.reference import Reference

MINUTE_MS = 60_000
OFFSET_MS = 3_000
UNLIMITED_WEIGHT = 1_000_000  # the history must be there soon; the weight is another benchmark's matter
QUIET_MS = 3_000  # the streamer's use is counted from so long before a close to the same moment of the next minute
MB = 1e6


@dataclass(frozen=True)
class Plan:
    """How much is measured. ``lead_ms``: from the exchange's start to its next close; history is filled in it."""

    symbols: int = 750
    num_candles: int = 1500
    bursts: int = 3
    spreads: int = 3
    lead_ms: int = 45_000
    last_stretch_s: float = 25.0  # the streamer's use after the last close is counted for so long

    @property
    def periods(self) -> int:
        """All of them."""
        return self.bursts + self.spreads


QUICK = Plan(num_candles=100, bursts=1, spreads=1, lead_ms=30_000, last_stretch_s=15.0)


@dataclass
class Observed:
    """Raw results. ``finals`` (sent), ``received`` (by the streamer), ``readable``: exchange milliseconds by run time
    and symbol.
    """

    plan: Plan
    first_run_ms: int
    usages: list[Usage] = field(default_factory=list)
    rss: list[int] = field(default_factory=list)
    periods: list[dict[str, Any]] = field(default_factory=list)
    readable: dict[int, dict[str, int]] = field(default_factory=dict)
    finals: dict[int, dict[str, int]] = field(default_factory=dict)
    received: dict[int, dict[str, int]] = field(default_factory=dict)
    fill: dict[str, Any] = field(default_factory=dict)

    def delays(self, reached: dict[int, dict[str, int]], first: int, count: int) -> list[int]:
        """Milliseconds from each final to ``reached``, of ``count`` periods from number ``first`` on.

        Of finals sent before the flow begins only: of the later ones REST may be first. One that never got there
        counts with a whole minute.
        """
        found = []
        for number in range(first, first + count):
            run_ms = self.first_run_ms + number * MINUTE_MS
            for symbol, event_ms in self.finals.get(run_ms, {}).items():
                if event_ms < run_ms + OFFSET_MS:
                    found.append(reached.get(run_ms, {}).get(symbol, run_ms + MINUTE_MS) - event_ms)
        return found


def write_config(base_dir: Path, exchange: dict[str, Any], num_candles: int) -> None:
    """A market on the embedded exchange."""
    base_dir.mkdir(parents=True)
    config = {
        "trade_type": "usdt_perp",
        "interval": "1m",
        "num_candles": num_candles,
        "endpoints": {"rest": exchange["rest"], "ws": exchange["ws"]},
    }
    (base_dir / "config.json").write_text(json.dumps(config))


def skew_for(second_of_minute_ms: int) -> int:
    """The skew (0 to -60 s) that makes the exchange's clock stand at that place of a minute now."""
    return -((int(time.time() * 1000) - second_of_minute_ms) % MINUTE_MS)


def observe(plan: Plan, scratch: Path) -> Observed:
    """Run it all; the raw results. BenchError: a process failed."""
    scratch.mkdir()
    base_dir = scratch / "market"
    skew_ms = skew_for(MINUTE_MS - plan.lead_ms)
    arguments = ["--symbols", plan.symbols, "--weight-limit", UNLIMITED_WEIGHT, "--skew-ms", skew_ms, "--bursts"]
    with Child("exchange", ["tests.bench.exchange_process", *map(str, arguments)], scratch) as exchange:
        write_config(base_dir, exchange.line(30), plan.num_candles)
        with (
            Child("flow", ["tests.bench.flow_process", str(base_dir), str(skew_ms)], scratch) as flow,
            Child("streamer", ["streamer", str(base_dir)], scratch) as streamer,
        ):
            flow.line(60)
            newest_ms = exchange_ms(skew_ms) // MINUTE_MS * MINUTE_MS
            flow.send({"run_ms": newest_ms, "start_ms": 0})
            fill = period_done(flow, 300)
            first_run_ms = (exchange_ms(skew_ms) + 6_000) // MINUTE_MS * MINUTE_MS + MINUTE_MS
            observed = Observed(plan, first_run_ms, fill=fill)
            exchange.send({"spread_from_ms": first_run_ms + (plan.bursts - 1) * MINUTE_MS})
            arguments = [base_dir, first_run_ms, plan.periods, skew_ms]
            with Child("reader", ["tests.bench.reader_process", *map(str, arguments)], scratch) as reader:
                reader.line(30)
                _watch(observed, skew_ms, flow=flow, streamer=streamer, reader=reader)
            exchange.send({"report": True})
            report = exchange.line(30)
            observed.finals = {int(begin) + MINUTE_MS: sent for begin, sent in report["finals"].items()}
            observed.received = received(base_dir, observed, skew_ms)
    (scratch / "observed.json").write_text(json.dumps(asdict(observed)))
    return observed


def period_done(flow: Child, timeout: float, on_step: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """What the flow's process says at a period's end; ``on_step`` hears of each step before. BenchError: nothing."""
    while "record" not in (message := flow.line(timeout)):
        on_step(message["step"])
    return message


def received(base_dir: Path, observed: Observed, skew_ms: int) -> dict[int, dict[str, int]]:
    """When the streamer had each candle, as the buffer's own provenance tells."""
    frame = Market(base_dir).candles(columns=[], last=observed.plan.periods, source=True)
    by_stream = frame.filter(pl.col("source") == Source.STREAM.value).with_columns(
        pl.col("candle_begin_time", "received_time").dt.epoch("ms")
    )
    found: dict[int, dict[str, int]] = {}
    for symbol, begin_ms, received_ms in by_stream.select("symbol", "candle_begin_time", "received_time").rows():
        found.setdefault(begin_ms + MINUTE_MS, {})[symbol] = received_ms + skew_ms
    return found


def exchange_ms(skew_ms: int) -> int:
    """The exchange's clock."""
    return time.time_ns() // 1_000_000 + skew_ms


def _watch(observed: Observed, skew_ms: int, *, flow: Child, streamer: Child, reader: Child) -> None:
    plan = observed.plan
    for number in range(plan.periods):
        run_ms = observed.first_run_ms + number * MINUTE_MS
        flow.send({"run_ms": run_ms, "start_ms": run_ms + OFFSET_MS})
        sleep_until((run_ms - QUIET_MS - skew_ms) / 1000)
        observed.usages.append(streamer.usage())
        observed.readable[run_ms] = reader.line(30)["readable"]
        observed.periods.append(period_done(flow, 60))
        observed.rss.append(streamer.usage().rss)
    sleep_until(observed.usages[-1].at + plan.last_stretch_s)
    observed.usages.append(streamer.usage())


def figures(observed: Observed, reference: Reference) -> list[Figure]:
    """What it comes to."""
    return [
        *_delay_figures(observed, reference),
        *_streamer_figures(observed, reference),
        *_flow_figures(observed, reference),
    ]


def _delay_figures(observed: Observed, reference: Reference) -> list[Figure]:
    plan = observed.plan
    burst = observed.delays(observed.readable, 0, plan.bursts)
    spread = observed.delays(observed.readable, plan.bursts, plan.spreads)
    burst_in = observed.delays(observed.received, 0, plan.bursts)
    spread_in = observed.delays(observed.received, plan.bursts, plan.spreads)
    period_ms = reference.period_s * 1000
    how = f"{len(burst)} finals of {plan.bursts} periods; E of the frame to readable by another process"
    one_by_one = "reference: one file rewritten after the other"
    return [
        Figure("final to readable, burst, p50", "ms", percentile(burst, 50), 50, period_ms / 2, one_by_one),
        Figure("final to readable, burst, p99", "ms", percentile(burst, 99), 150, period_ms, how),
        Figure("final to readable, burst, max", "ms", max(burst, default=None), 300, period_ms, how),
        Figure("burst sent within, worst", "ms", _burst_length(observed), note="the exchange's own part"),
        Figure("final to received by the streamer, burst, p50", "ms", percentile(burst_in, 50)),
        Figure("final to received by the streamer, burst, max", "ms", max(burst_in, default=None)),
        Figure("final to readable, spread 5 s, p50", "ms", percentile(spread, 50)),
        Figure(
            "final to readable, spread 5 s, p99",
            "ms",
            percentile(spread, 99),
            100,
            note=f"{len(spread)} finals of {plan.spreads} periods, those before the flow begins",
        ),
        Figure("final to readable, spread 5 s, max", "ms", max(spread, default=None)),
        Figure("final to received by the streamer, spread 5 s, p99", "ms", percentile(spread_in, 99)),
    ]


def _burst_length(observed: Observed) -> float | None:
    runs = [observed.first_run_ms + number * MINUTE_MS for number in range(observed.plan.bursts)]
    sent = [list(observed.finals[run_ms].values()) for run_ms in runs if run_ms in observed.finals]
    return max((max(times) - min(times) for times in sent), default=None)


def _streamer_figures(observed: Observed, reference: Reference) -> list[Figure]:
    first, last = observed.usages[0], observed.usages[-1]
    share = (last.cpu_s - first.cpu_s) / (last.at - first.at) * 100
    shares = [
        (after.cpu_s - before.cpu_s) / (after.at - before.at) * 100
        for before, after in zip(observed.usages, observed.usages[1:], strict=False)
    ]
    cpu_a_minute = share / 100 * 60
    sizes = [usage.rss for usage in observed.usages] + observed.rss
    growth = observed.usages[-1].rss - observed.usages[min(1, len(observed.usages) - 1)].rss
    by_stretch = ", ".join(f"{value:.1f}" for value in shares)
    return [
        Figure("streamer CPU, 750 symbols", "% of a core", share, 15, note=f"from close to close: {by_stretch}"),
        Figure(
            "streamer CPU a period", "s", cpu_a_minute, None, reference.period_cpu_s, "updates of a minute included"
        ),
        Figure("streamer memory, highest", "MB", max(sizes) / MB, 150),
        Figure("streamer memory, growth", "MB", growth / MB, 5, note="from the second close to the end"),
    ]


def _flow_figures(observed: Observed, reference: Reference) -> list[Figure]:
    plan = observed.plan
    # The first period after the fill reads again what REST had filled just after its close.
    bursts = observed.periods[min(1, plan.bursts - 1) : plan.bursts]
    idle = [period for period in bursts if _idle(period)]
    spreads = observed.periods[plan.bursts :]
    done = [period["record"]["seconds_to_complete"] for period in spreads if period["record"]["complete"]]
    complete = max(done) if len(done) == len(spreads) and done else None
    slowest = max(idle, key=lambda period: period["wall"], default=None)
    steps = "" if slowest is None else ", ".join(f"{step['name']} {step['wall']:.2f}" for step in slowest["steps"])
    by_rest = ", ".join(str(period["record"]["by_rest"]) for period in spreads)
    written = [_written(observed, number) for number in range(plan.periods)]
    return [
        Figure(
            "period with nothing missing, wall", "s", _most(idle, "wall"), 0.5, note=f"{len(idle)} periods; {steps}"
        ),
        Figure("period with nothing missing, CPU", "s", _most(idle, "cpu"), 0.5, reference.period_cpu_s),
        Figure(
            "market complete after the close, worst",
            "s",
            complete,
            OFFSET_MS / 1000 + 1,
            note=f"{', '.join(f'{value:.2f}' for value in done)} s; by REST {by_rest}",
        ),
        Figure("flow's start after its target, worst", "s", _lateness(observed)),
        Figure(
            "written a period, burst",
            "MB",
            _mean(written[: plan.bursts]),
            None,
            reference.period_bytes / MB,
            "/proc/PID/io of streamer and flow, blocks left out",
        ),
        Figure("written a period, spread 5 s", "MB", _mean(written[plan.bursts :]), None, reference.period_bytes / MB),
        Figure(
            "first fill of this market, wall", "s", observed.fill["wall"], note="no weight limit: the machine's part"
        ),
    ]


def mean_written(observed: Observed) -> float:
    """Bytes a period over all periods, blocks left out."""
    return statistics.fmean(_written(observed, number) for number in range(observed.plan.periods)) * MB


def _written(observed: Observed, number: int) -> float:
    before, after = observed.usages[number], observed.usages[number + 1]
    minutes = (after.at - before.at) / 60 if number + 1 < observed.plan.periods else 1.0
    compacting = sum(float(step["written"]) for step in observed.periods[number]["steps"] if step["name"] == "compact")
    by_flow = float(observed.periods[number]["written"]) - compacting
    return ((after.written - before.written) / minutes + by_flow) / MB


def _idle(period: dict[str, Any]) -> bool:
    """Whether REST had nothing to fill."""
    return not period["record"].get("filled") and not period["record"]["missing"]


def _most(periods: list[dict[str, Any]], name: str) -> float | None:
    return max((float(period[name]) for period in periods), default=None)


def _mean(values: list[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _lateness(observed: Observed) -> float:
    return max(float(period["began_ms"] - period["run_ms"]) - OFFSET_MS for period in observed.periods) / 1000
