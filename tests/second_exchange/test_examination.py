"""The product run by its commands through two closes against the second exchange, killed on the way, and judged.

The closes are those of the real clock. When the minute is young, the first of the two is the one just past (its period
is the cold start by REST); so the whole takes 75 to 130 s whenever it begins.
"""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Self

import pytest

from kit import Market
from tests.second_exchange.double import Double, now_ms
from tests.second_exchange.judge import doubled, moment, not_stored, stored, wrong_in_pandas, wrong_values
from tests.second_exchange.product import LEAVES_WITHIN_S, Outcome, Product
from tests.second_exchange.universe import MINUTE_MS, Instrument

pytestmark = pytest.mark.timeout(600)

NUM_CANDLES = 300
YOUNG_MINUTE_MS = 35_000
PATIENCE_S = 62
VENUE = {"usdt_perp": "um", "usdt_spot": "spot", "coin_perp": "cm"}
SPOT_KEPT = ["BTCUSDT", "ETHUSDT", "XRPUSDT", "ADAUSDT", "SUPERUSDT", "C98USDT", "TUSDT", "币安人生USDT"]


def sleep_until(ms: int) -> None:
    time.sleep(max(0, ms - now_ms()) / 1000)


def two_closes() -> tuple[int, int]:
    now = now_ms()
    past = now - now % MINUTE_MS
    first = past if now - past < YOUNG_MINUTE_MS else past + MINUTE_MS
    return first, first + MINUTE_MS


def audited(outcome: Outcome) -> int:
    """How many symbols a period's work has looked at once more because it was their turn, as its log tells."""
    told = [json.loads(line) for line in outcome.err.splitlines() if line.startswith("{")]
    return sum(int(each["symbols"]) for each in told if each["event"] == "audit.done")


def klines_asked(double: Double, since: int = 0) -> list[tuple[str, int]]:
    return [(one.params["symbol"], one.rows) for one in double.asked[since:] if one.path.endswith("klines")]


class Watcher:
    """Reads the newest candles all the time, as a strategy does, and judges each."""

    def __init__(self, bases: dict[str, Path], double: Double) -> None:
        self.wrong: set[str] = set()
        self.reads = 0
        self._bases, self._double, self._end = bases, double, threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(60)

    def _watch(self) -> None:
        while not self._end.wait(0.4):
            for trade_type, base in self._bases.items():
                if not (base / "format.json").exists():
                    continue
                frame = stored(base, last=2)
                now = now_ms()
                early = frame.filter(frame["begin_ms"] + MINUTE_MS > now)
                self.wrong |= {f"{symbol} stored before its close" for symbol in early["symbol"]}
                listed = self._double.listed[VENUE[trade_type]]
                self.wrong |= set(wrong_values(frame, self._double.truth, listed, "1m"))
                self.reads += 1


class Examination:
    """Everything the run left, for the judgements below."""

    def __init__(self, product: Product, double: Double, closes: tuple[int, int]) -> None:
        self.product, self.double, self.closes = product, double, closes
        self.bases = {
            trade_type: product.base(
                f"{trade_type}_1m",
                interval="1m",
                trade_type=trade_type,
                num_candles=NUM_CANDLES,
                endpoints={"rest": double.rest_url, "ws": double.ws_urls[venue]},
            )
            for trade_type, venue in VENUE.items()
        }
        self.first: dict[str, Outcome] = {}
        self.second: dict[str, Outcome] = {}
        self.again: dict[str, Outcome] = {}
        self.asked_at_second: list[tuple[str, int]] = []
        self.asked_again: list[tuple[str, int]] = []
        self.finals_by_stream: dict[str, set[str]] = {}
        self.streamer_log = ""
        self.streamer_end: Outcome | None = None
        self.ended_ms = 0
        self.watched: Watcher | None = None

    def periods(self, *more: str, but: str = "") -> dict[str, subprocess.Popen[str]]:
        return {
            name: self.product.start("flows", "period", base, *more) for name, base in self.bases.items() if name != but
        }

    def finish(self, processes: dict[str, subprocess.Popen[str]]) -> dict[str, Outcome]:
        return {name: self.product.outcome(process) for name, process in processes.items()}

    def run(self) -> None:
        first, second = self.closes
        streamer = self.product.start("streamer", *self.bases.values())
        with Watcher(self.bases, self.double) as self.watched:
            sleep_until(first + 3000)
            interrupted = self.periods()
            self._kill_in_the_download(interrupted.pop("usdt_perp"))
            self.first = self.finish(self.periods())  # two of them beside the first ones, which are still at work
            self.finish(interrupted)
            looked = time.monotonic()
            sleep_until(first + 40_000)
            time.sleep(2)
            streamer.kill()
            streamer.wait()
            restarted = self.product.start("streamer", *self.bases.values())
            sleep_until(second + 300)
            mark = len(self.double.asked)
            early = {"coin_perp": self.product.start("flows", "period", self.bases["coin_perp"])}
            sleep_until(second + 1500)  # Python needs a second to start; the flow itself runs at about +3 s
            processes = early | self.periods(but="coin_perp")
            time.sleep(2.2)
            processes["usdt_spot"].kill()
            self.finish({"usdt_spot": processes.pop("usdt_spot")})
            self.second = self.finish(processes)
            self.second["usdt_spot"] = self.product.period(self.bases["usdt_spot"])
            self.asked_at_second = klines_asked(self.double, mark)
            sleep_until(second + 9000)
            # What the exchange did not have at the first look is believed not to exist a minute later.
            time.sleep(max(0.0, looked + PATIENCE_S - time.monotonic()))
            repeated = "--run-time", moment(second).isoformat()
            self.again = self.finish(self.periods(*repeated))  # confirms the exchange's own gaps by a second look
            mark = len(self.double.asked)
            self.again = self.finish(self.periods(*repeated))
            self.asked_again = klines_asked(self.double, mark)
        restarted.send_signal(signal.SIGTERM)
        self.streamer_end = self.product.outcome(restarted, LEAVES_WITHIN_S)
        self.ended_ms = now_ms()

    def _kill_in_the_download(self, process: subprocess.Popen[str]) -> None:
        give_up = time.monotonic() + 30
        while len(klines_asked(self.double)) < 15 and time.monotonic() < give_up:
            time.sleep(0.01)
        process.kill()
        process.wait()

    def due(self, trade_type: str, close_ms: int) -> dict[str, Instrument]:
        """The symbols that trade at that close, by the contract's words."""
        listed = self.double.listed[VENUE[trade_type]].values()
        return {one.symbol: one for one in listed if one.want == trade_type and one.state(close_ms) == "TRADING"}


@pytest.fixture(scope="module")
def examined(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examination]:
    closes = two_closes()
    with Double(closes) as double, Product(tmp_path_factory.mktemp("second")) as product:
        examination = Examination(product, double, closes)
        examination.run()
        yield examination


each_market = pytest.mark.parametrize("trade_type", list(VENUE))
slow = pytest.mark.xdist_group("second")


@slow
def test_no_rule_of_the_exchange_was_broken(examined: Examination) -> None:
    assert examined.double.broken_rules == []
    assert examined.double.peak_weight <= examined.double.weight_limit


@slow
@each_market
def test_both_periods_are_complete(examined: Examination, trade_type: str) -> None:
    for outcomes in (examined.first, examined.second, examined.again):
        outcome = outcomes[trade_type]
        assert outcome.code == 0, outcome
        assert outcome.record["complete"] is True
        assert "Traceback" not in outcome.err


@slow
@each_market
def test_exactly_the_symbols_of_the_trade_type_are_there(examined: Examination, trade_type: str) -> None:
    have = set(stored(examined.bases[trade_type])["symbol"])
    ever = {one.symbol for one in examined.double.listed[VENUE[trade_type]].values() if one.want == trade_type}
    assert have <= ever
    assert set(examined.due(trade_type, examined.closes[1])) <= have
    assert set(Market(str(examined.bases[trade_type])).ready(moment(examined.closes[1]))) == set(
        examined.due(trade_type, examined.closes[1])
    )


@slow
@each_market
def test_every_stored_candle_is_the_exchanges_to_the_last_bit(examined: Examination, trade_type: str) -> None:
    frame = stored(examined.bases[trade_type])
    listed = examined.double.listed[VENUE[trade_type]]
    assert wrong_values(frame, examined.double.truth, listed, "1m") == []
    assert doubled(frame) == []
    folder = examined.bases[trade_type] / f"{trade_type}_1m"
    assert wrong_in_pandas(folder, "parquet", examined.double.truth, listed, "1m") == []


@slow
@each_market
def test_no_candle_of_the_window_is_lacking(examined: Examination, trade_type: str) -> None:
    frame = stored(examined.bases[trade_type])
    due = examined.due(trade_type, examined.closes[1]).values()
    # Candles that were streamed since push out old ones, where all this took until the next close.
    later = (frame["begin_ms"].max() + MINUTE_MS - examined.closes[1]) // MINUTE_MS  # type: ignore[operator]
    assert 0 <= later <= (examined.ended_ms - examined.closes[1]) // MINUTE_MS
    assert not_stored(frame, due, "1m", examined.closes[1], NUM_CANDLES - later) == []


@slow
@each_market
def test_the_ledger_counts_what_is_stored(examined: Examination, trade_type: str) -> None:
    market = Market(str(examined.bases[trade_type]))
    frame = stored(examined.bases[trade_type])
    for close in examined.closes:
        record = market.ledger(moment(close))
        assert record is not None
        due = set(examined.due(trade_type, close))
        of_close = frame.filter(frame["begin_ms"] == close - MINUTE_MS)
        there = {s for s in due if s in set(of_close["symbol"])}
        assert there == due
        assert not record.missing
        assert record.by_stream + record.by_rest == len(due), record
        assert record.expected == len(due) + len(record.excused), record
        assert not set(record.excused) & due
    silent = {s for s, one in examined.due(trade_type, examined.closes[1]).items() if one.final == "never"}
    newest = frame.filter(frame["begin_ms"] == examined.closes[1] - MINUTE_MS)
    by_rest = set(newest.filter(newest["source"] != "stream")["symbol"])
    assert silent <= by_rest


@slow
@each_market
def test_the_exchanges_own_gap_is_named_and_not_made_up(examined: Examination, trade_type: str) -> None:
    market = Market(str(examined.bases[trade_type]))
    for one in examined.due(trade_type, examined.closes[1]).values():
        for begin in range(*one.hole_ms, MINUTE_MS):
            record = market.ledger(moment(begin + MINUTE_MS))
            assert record is not None
            assert one.symbol in {*record.excused, *record.missing}, record
            assert record.complete is (not record.missing)


@slow
def test_a_killed_flow_does_not_download_again_what_it_had(examined: Examination) -> None:
    windows = sum(rows for _, rows in klines_asked(examined.double) if rows > NUM_CANDLES / 2)
    symbols = sum(len(examined.due(name, examined.closes[1])) for name in VENUE)
    in_flight = 3 * 8
    assert windows <= (symbols + in_flight) * NUM_CANDLES


@slow
def test_the_second_period_downloads_only_what_no_stream_brought(examined: Examination) -> None:
    assert sum(rows for _, rows in examined.asked_at_second) < 25 * NUM_CANDLES / 10, examined.asked_at_second


@slow
def test_repeating_a_complete_period_asks_for_no_candle_but_an_unconfirmed_gap(examined: Examination) -> None:
    holes = {one.symbol for v in examined.double.listed.values() for one in v.values() if one.hole_ms[1]}
    holes.add("LATERUSDT")  # before its first candle there is one, which takes two answers a minute apart as well
    beyond = [(symbol, rows) for symbol, rows in examined.asked_again if symbol not in holes or rows]
    # Each hour every symbol is looked at once more, in turns: one's turn may have come just then.
    assert len(beyond) == sum(map(audited, examined.again.values())), beyond


@slow
@each_market
def test_repeating_a_period_gives_the_same_record(examined: Examination, trade_type: str) -> None:
    same = ("run_time", "expected", "by_stream", "by_rest", "missing", "excused", "complete", "completed_at")
    first, again = examined.second[trade_type].record, examined.again[trade_type].record
    assert {key: first[key] for key in same} == {key: again[key] for key in same}


@slow
def test_readers_never_met_a_candle_that_was_not_final(examined: Examination) -> None:
    assert examined.watched is not None
    assert examined.watched.reads > 50
    assert examined.watched.wrong == set()


@slow
def test_only_streams_of_the_market_were_subscribed(examined: Examination) -> None:
    for trade_type, venue in VENUE.items():
        ever = {one.symbol for one in examined.double.listed[venue].values() if one.want == trade_type}
        names = {f"{''.join(c.lower() if c.isascii() else c for c in s)}@kline_1m" for s in ever}
        assert {name for v, name in examined.double.subscribed if v == venue} <= names


@slow
def test_the_streamer_leaves_when_told_with_0(examined: Examination) -> None:
    assert examined.streamer_end is not None
    assert examined.streamer_end.code == 0
    assert "Traceback" not in examined.streamer_end.err


@pytest.mark.xdist_group("second_of_seconds")
def test_seconds_of_spot_are_complete_across_a_network_failure(tmp_path: Path) -> None:
    close = now_ms() // MINUTE_MS * MINUTE_MS
    past = close - 60 * MINUTE_MS, close - 30 * MINUTE_MS
    with Double(past, seed="1s", weight_limit=6000) as double, Product(tmp_path) as product:
        double.lists_subscriptions = True
        base = product.base("spot_1s", interval="1s", trade_type="usdt_spot", num_candles=300, keep_symbols=SPOT_KEPT,
                            endpoints={"rest": double.rest_url, "ws": double.ws_urls["spot"]})  # fmt: skip
        streamer = product.start("streamer", base)
        product.until(streamer, "connection.open")
        time.sleep(4)
        first = product.period(base)
        assert first.code == 0, first
        double.drop_connections()
        time.sleep(8)
        second = product.period(base)
        assert second.code == 0, second
        assert "Traceback" not in second.err
        streamer.send_signal(signal.SIGTERM)
        assert product.outcome(streamer, LEAVES_WITHIN_S).code == 0
        frame = stored(base)
        listed = double.listed["spot"]
        assert wrong_values(frame, double.truth, listed, "1s") == []
        assert doubled(frame) == []
        assert set(frame["symbol"]) == set(SPOT_KEPT)
        run_ms = round(datetime.fromisoformat(second.record["run_time"]).timestamp() * 1000)
        later = (
            max(frame["begin_ms"].to_list()) + 1000 - run_ms
        ) // 1000  # seconds streamed since then push out old ones
        assert 0 <= later < 250
        assert not_stored(frame, [listed[s] for s in SPOT_KEPT], "1s", run_ms, 300 - later) == []
        assert double.broken_rules == []
