"""``python -m tests.chaos.judge_process SCENE.json``: reads the markets of a scene all the while and judges.

Findings go to ``findings.jsonl`` beside the scene, a line each. Orders come as JSON lines on stdin, each with one line
as answer: ``{"skew_ms": [N, M]}`` (the exchange's clock is between so far ahead), ``{"healed": MARKET, "first_ms": N,
"last_ms": M}``, ``{"summary": true}``. It ends when stdin does.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from kit import Market
from kit.buffer.files import VALUE_COLUMNS
from kit.errors import FolderError
from kit.words import Candle, from_ms
from tests.chaos.control import Control, ControlError
from tests.chaos.judge import Finding, Key, Listed, Memory, Reading, Record, Values, unhealed
from tests.chaos.lines import say

PAUSE_S = 0.3
RECENT_RECORDS = 30
FETCHED_EVERY_MS = 2000
OUTSIDE = frozenset(
    f"{base}USDT" for base in ("USDC", "FDUSD", "TUSD", "USDP", "DAI", "EUR", "MARGIN", "XAU", "XAG", "TSLA", "NVDA")
)
"""Of the embedded exchange's USDT pairs those that no market here takes: stablecoins, fiat, stocks, metals."""


class ExchangeClock:
    """The exchange's clock while somebody sets it: at a moment of change it is known to within both values only."""

    def __init__(self) -> None:
        self._skews_ms = (0, 0)
        self.latest_ms = 0

    def set(self, skews_ms: tuple[int, int]) -> None:
        """From now on it is between so far ahead."""
        self.now_ms()
        self._skews_ms = skews_ms

    def now_ms(self) -> int:
        """The latest it has been: set back, it tells nothing about what was closed before."""
        self.latest_ms = max(self.latest_ms, time.time_ns() // 1_000_000 + max(self._skews_ms))
        return self.latest_ms

    def surely_ms(self) -> int:
        """The earliest it can be now: what has not closed by then has no truth yet."""
        return time.time_ns() // 1_000_000 + min(self._skews_ms)


class Truth:
    """What is true of one market, fetched once it is closed; ``listed``: its symbols."""

    def __init__(self, control: Control, venue: str, interval: str, step_ms: int) -> None:
        self._control, self._venue, self._interval, self._step_ms = control, venue, interval, step_ms
        self.rows: dict[Key, Values] = {}
        self.listed: dict[str, Listed] = {}
        self.until_ms = self._listed_at_ms = 0

    def refresh(self, first_ms: int, exchange_ms: int) -> None:
        """Everything from ``first_ms`` on that has closed since the last time."""
        if exchange_ms - self._listed_at_ms >= FETCHED_EVERY_MS:
            self._refresh_listed(exchange_ms)
            self._listed_at_ms = exchange_ms
        last_ms = exchange_ms // self._step_ms * self._step_ms - 2 * self._step_ms
        start_ms = max(first_ms, self.until_ms + self._step_ms)
        if last_ms - start_ms < FETCHED_EVERY_MS - self._step_ms:
            return
        for symbol in self.listed:
            self._fetch(symbol, start_ms, last_ms)
        self.until_ms = last_ms

    def again(self, first_ms: int, last_ms: int) -> None:
        """Fetched anew: a fault may have made a hole where there was none."""
        last_ms = min(last_ms, self.until_ms)
        for symbol in self.listed:
            for key in [key for key in self.rows if key[0] == symbol and first_ms <= key[1] <= last_ms]:
                del self.rows[key]
            self._fetch(symbol, first_ms, last_ms)

    def _fetch(self, symbol: str, first_ms: int, last_ms: int) -> None:
        for row in self._control.truth(self._venue, symbol, self._interval, first_ms, last_ms):
            self.rows[symbol, row[0]] = tuple(map(float, row[1:]))

    def _refresh_listed(self, exchange_ms: int) -> None:
        at_the_start = not self.listed
        for one in self._control.symbols(self._venue):
            name, trading = one["symbol"], one["status"] == "TRADING"
            before = self.listed.get(name)
            if not name.endswith("USDT") or name in OUTSIDE or (before is None and not trading):
                continue
            noticed = 0 if at_the_start else exchange_ms
            now = Listed(name, trading, one["listed_ms"], one["delisted_ms"], noticed)
            if before is None or (before.trading, before.listed_ms) != (now.trading, now.listed_ms):
                self.listed[name] = now
                if before is None and self.until_ms:
                    # Listed in mid-period, so it has candles from before it was noticed.
                    self._fetch(name, now.listed_ms, self.until_ms)


class Judged:
    """One market under judgement."""

    def __init__(self, scene: dict[str, Any], control: Control) -> None:
        self.name = scene["name"]
        self._base_dir = Path(scene["base_dir"])
        self._market: Market | None = None
        config = json.loads((self._base_dir / "config.json").read_text())
        self._step_ms = {"1s": 1000, "1m": 60_000}[config["interval"]]
        self._window_ms = config["num_candles"] * self._step_ms
        self.truth = Truth(control, scene["venue"], config["interval"], self._step_ms)
        self.memory = Memory(self._step_ms, config["num_candles"])
        self.reads = self.failed_reads = self.compared = 0
        self.first_incomplete: dict[int, list[str]] = {}

    def look(self, clock: ExchangeClock, *, records: int = RECENT_RECORDS) -> tuple[Reading | None, list[Finding]]:
        """One reading and its findings; no reading while there is nothing to read, or when it fails."""
        if self._market is None:
            if not (self._base_dir / "format.json").exists():
                return None, []
            self._market = Market(self._base_dir)
        self.truth.refresh(clock.now_ms() - self._window_ms - 30 * self._step_ms, clock.surely_ms())
        self.reads += 1
        try:
            reading = self._read(self._market, clock.now_ms, records)
        except (OSError, FolderError, pl.exceptions.PolarsError) as error:
            self.failed_reads += 1
            return None, [Finding("unreadable", "", clock.now_ms(), f"{type(error).__name__}: {error}")]
        self.compared += len(reading.rows.keys() - self.memory.seen.keys())
        return reading, self.memory.look(reading)

    def _read(self, market: Market, now: Callable[[], int], records: int) -> Reading:
        newest = now() // self._step_ms * self._step_ms
        found = [market.ledger(from_ms(newest - back * self._step_ms)) for back in range(records)]
        ledger = [_record(record.as_dict()) for record in found if record is not None]
        for record in ledger:
            if not record.complete:
                self.first_incomplete.setdefault(record.run_ms, sorted(record.missing))
        frame = market.candles(market.symbols(), source=True)
        keys = list(zip(frame["symbol"].to_list(), frame["candle_begin_time"].dt.epoch("ms").to_list(), strict=True))
        revised: dict[Key, list[tuple[Values, Values]]] = {}
        for one in market.revisions():
            pair = (_values(one.old), _values(one.new))
            revised.setdefault((one.symbol, one.new.begin_ms), []).append(pair)
        return Reading(
            rows=dict(zip(keys, frame.select(VALUE_COLUMNS).cast(pl.Float64).rows(), strict=True)),
            sources=dict(zip(keys, frame["source"].to_list(), strict=True)),
            revised=revised,
            records=ledger,
            listed=self.truth.listed,
            truth=self.truth.rows,
            truth_until_ms=self.truth.until_ms,
            exchange_ms=now(),
        )

    def healed(self, clock: ExchangeClock, first_ms: int, last_ms: int) -> dict[str, Any]:
        """Whether the window is as it must be in the end."""
        self.truth.again(first_ms, last_ms)
        reading, findings = self.look(clock, records=(clock.now_ms() - first_ms) // self._step_ms + 1)
        if reading is None:
            return {"problems": ["nothing to read"], "count": 1, "findings": [one.as_dict() for one in findings]}
        problems = unhealed(reading, self._step_ms, first_ms, min(last_ms, self.truth.until_ms))
        if self.truth.until_ms < last_ms:
            problems.append(f"the truth is known until {self.truth.until_ms} only")
        return {"problems": problems[:20], "count": len(problems), "findings": [one.as_dict() for one in findings]}

    def summary(self) -> dict[str, Any]:
        """Counts so far."""
        memory = self.memory
        return {
            "reads": self.reads,
            "failed_reads": self.failed_reads,
            "compared": self.compared,
            "wrong_for_a_while": len(memory.ever_wrong - memory.wrong.keys()),
            "wrong_now": [f"{symbol} {begin}" for symbol, begin in sorted(memory.wrong)],
            "incomplete": self.first_incomplete,
        }


def _record(plain: dict[str, Any]) -> Record:
    return Record(
        run_ms=int(datetime.fromisoformat(plain["run_time"]).timestamp() * 1000),
        expected=plain["expected"],
        by_stream=plain["by_stream"],
        by_rest=plain["by_rest"],
        missing=frozenset(plain["missing"]),
        excused=plain["excused"],
        complete=plain["complete"],
    )


def _values(candle: Candle) -> Values:
    return tuple(map(float, candle[2:]))


class Process:
    """The loop: judge, obey, judge."""

    def __init__(self, scene_file: Path) -> None:
        scene = json.loads(scene_file.read_text())
        control = Control(scene["control"])
        self._markets = {one["name"]: Judged(one, control) for one in scene["markets"]}
        self._findings = scene_file.with_name("findings.jsonl").open("a", buffering=1)
        self._found: list[dict[str, Any]] = []
        self._orders: queue.Queue[str] = queue.Queue()
        self._clock = ExchangeClock()

    def run(self) -> None:
        """Until stdin ends."""
        threading.Thread(target=self._listen, daemon=True).start()
        say({"ready": True})
        while True:
            for market in self._markets.values():
                try:
                    self._tell(market, market.look(self._clock)[1])
                except ControlError as error:
                    sys.stderr.write(f"{error}\n")
            try:
                order = self._orders.get(timeout=PAUSE_S)
            except queue.Empty:
                continue
            if not order:
                return
            say(self._obey(json.loads(order)))

    def _obey(self, order: dict[str, Any]) -> dict[str, Any]:
        if "skew_ms" in order:
            self._clock.set(tuple(order["skew_ms"]))
            return order
        if "healed" in order:
            market = self._markets[order["healed"]]
            answer = market.healed(self._clock, order["first_ms"], order["last_ms"])
            self._tell(market, [Finding(**one) for one in answer["findings"]])
            return answer
        return {"findings": self._found, "markets": {name: one.summary() for name, one in self._markets.items()}}

    def _tell(self, market: Judged, findings: list[Finding]) -> None:
        for finding in findings:
            line = {"market": market.name, **finding.as_dict(), "at_ms": self._clock.latest_ms}
            self._found.append(line)
            self._findings.write(json.dumps(line, ensure_ascii=False) + "\n")

    def _listen(self) -> None:
        for line in sys.stdin:
            self._orders.put(line)
        self._orders.put("")


if __name__ == "__main__":
    Process(Path(sys.argv[1])).run()
