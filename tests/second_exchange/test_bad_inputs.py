"""Whatever is wrong with what the product is given: one clear message, the right exit code, nothing lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kit import Market
from tests.ports import nobodys_port
from tests.second_exchange.double import Double, now_ms
from tests.second_exchange.judge import moment, stored, wrong_values
from tests.second_exchange.product import LEAVES_WITHIN_S, Outcome, Product
from tests.second_exchange.universe import MINUTE_MS

pytestmark = [pytest.mark.xdist_group("second_quick"), pytest.mark.timeout(600)]


@pytest.fixture
def product(tmp_path: Path) -> Iterator[Product]:
    with Product(tmp_path) as started:
        yield started


@pytest.fixture
def double() -> Iterator[Double]:
    close = now_ms() // MINUTE_MS * MINUTE_MS
    with Double((close - 60 * MINUTE_MS, close - 30 * MINUTE_MS)) as running:
        yield running


@pytest.fixture
def dead_port() -> Iterator[int]:
    with nobodys_port() as port:
        yield port


def small(product: Product, double: Double, name: str = "small", **more: Any) -> Path:
    """A market of three symbols and ten candles on the double."""
    config: dict[str, Any] = {
        "interval": "1m",
        "trade_type": "coin_perp",
        "num_candles": 10,
        "keep_symbols": ["BTCUSD_PERP", "ETHUSD_PERP", "XRPUSD_PERP"],
        "endpoints": {"rest": double.rest_url, "ws": double.ws_urls["cm"]},
    }
    return product.base(name, **(config | more))


def assert_clear(outcome: Outcome, code: int, *words: str) -> None:
    assert outcome.code == code, outcome
    assert "Traceback" not in outcome.err, outcome.err
    for word in words:
        assert word in outcome.err, outcome.err


BAD_CONFIGS: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("unknown key", {"trade_type": "coin_perp", "interval": "1m", "num_candle": 5}, ("num_candle", "num_candles")),
    ("unknown trade type", {"trade_type": "usdt_prep", "interval": "1m"}, ("trade_type", "usdt_perp")),
    ("unknown interval", {"trade_type": "usdt_perp", "interval": "7m"}, ("interval", "15m")),
    ("1s on futures", {"trade_type": "usdt_perp", "interval": "1s"}, ("interval", "spot")),
    ("missing key", {"interval": "1m"}, ("trade_type",)),
    ("too many candles", {"trade_type": "usdt_perp", "interval": "1m", "num_candles": 10001}, ("num_candles", "10000")),
    ("text for a number", {"trade_type": "usdt_perp", "interval": "1m", "num_candles": "many"}, ("num_candles",)),
    ("bad save_type", {"trade_type": "usdt_perp", "interval": "1m", "save_type": "csv"}, ("save_type", "feather")),
    ("bad endpoint", {"trade_type": "usdt_perp", "interval": "1m", "endpoints": {"rest": "nonsense"}}, ("rest",)),
    ("unknown endpoint", {"trade_type": "usdt_perp", "interval": "1m", "endpoints": {"wss": "ws://h"}}, ("wss", "ws")),
    ("bad resample", {"trade_type": "usdt_perp", "interval": "5m", "resample": {"interval": "7m"}}, ("resample",)),
    ("shorter resample", {"trade_type": "usdt_perp", "interval": "5m", "resample": {"interval": "1m"}}, ("resample",)),
]


@pytest.mark.parametrize(("config", "words"), [c[1:] for c in BAD_CONFIGS], ids=[c[0] for c in BAD_CONFIGS])
def test_a_bad_config_ends_both_commands_with_2_and_names_the_key(
    product: Product, config: dict[str, Any], words: tuple[str, ...]
) -> None:
    base = product.base("bad", **config)
    streamer, flow = product.start("streamer", base), product.start("flows", "period", base)
    for process in (streamer, flow):
        assert_clear(product.outcome(process), 2, *words)
    assert sorted(path.name for path in base.iterdir()) == ["config.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"interval": "1m", "interval": "5m"}', "\xff\xfe"])
def test_a_config_that_is_no_json_object_ends_both_commands_with_2(product: Product, text: str) -> None:
    base = product.base("bad")
    (base / "config.json").write_bytes(text.encode("latin-1"))
    for process in (product.start("streamer", base), product.start("flows", "period", base)):
        assert_clear(product.outcome(process), 2, "config.json")


def test_a_folder_that_is_not_there_ends_both_commands_with_2(product: Product) -> None:
    for words in (("streamer",), ("flows", "period")):
        assert_clear(product.run(*words, product.root / "nowhere"), 2, "nowhere")


def test_one_bad_folder_of_two_ends_the_streamer_with_2(product: Product, double: Double) -> None:
    good, bad = small(product, double), product.base("bad", interval="1m", trade_type="coin_prep")
    assert_clear(product.run("streamer", good, bad), 2, "bad", "coin_perp")


@pytest.mark.parametrize(
    "text",
    ["2026-11-22T07:05:00", "yesterday", "2026-13-01T00:00:00Z", "", "1795363500", "0001-01-01T00:00:00+14:00"],
)
def test_a_run_time_without_a_zone_or_sense_is_refused_with_2(product: Product, double: Double, text: str) -> None:
    outcome = product.period(small(product, double), "--run-time", text)
    assert_clear(outcome, 2)
    assert any(word in outcome.err for word in ("zone", "no time such as")), outcome.err
    assert double.asked == []


@pytest.mark.parametrize("shift_ms", [30_000, 1])
def test_a_run_time_that_is_no_close_is_refused_with_2(product: Product, double: Double, shift_ms: int) -> None:
    odd = moment(now_ms() // MINUTE_MS * MINUTE_MS - 5 * MINUTE_MS + shift_ms)
    assert_clear(product.period(small(product, double), "--run-time", odd.isoformat()), 2, "run time", "multiple")
    assert double.asked == []


@pytest.mark.parametrize("year", [1, 1969, 2017])
def test_a_run_time_before_the_exchange_s_first_candle_is_refused(product: Product, double: Double, year: int) -> None:
    outcome = product.period(small(product, double), "--run-time", f"{year:04}-01-01T00:00:00Z")
    assert_clear(outcome, 2, "run time", "first candle")
    assert double.asked == []


def test_a_run_time_far_in_the_future_is_refused_and_not_waited_for(product: Product, double: Double) -> None:
    later = moment(now_ms() // MINUTE_MS * MINUTE_MS + 600 * MINUTE_MS)
    outcome = product.period(small(product, double), "--run-time", later.isoformat())
    assert_clear(outcome, 2, "future")


def test_a_run_time_in_another_zone_is_the_same_period(product: Product, double: Double) -> None:
    base, close = small(product, double), now_ms() // MINUTE_MS * MINUTE_MS - MINUTE_MS
    shanghai = moment(close + 8 * 3_600_000).strftime("%Y-%m-%dT%H:%M:%S+08:00")
    outcome = product.period(base, "--run-time", shanghai)
    assert outcome.code == 0, outcome
    assert outcome.record["run_time"] == moment(close).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_symbol_to_keep_that_does_not_exist_is_told_and_the_rest_goes_on(product: Product, double: Double) -> None:
    base = small(product, double, keep_symbols=["BTCUSD_PERP", "BTCUSDPERP"])
    outcome = product.period(base)
    assert outcome.record["expected"] == 1, outcome
    assert "BTCUSDPERP" in outcome.err


def as_nobody() -> tuple[str, ...]:
    """Words that run a command without root's power to write everywhere."""
    if os.geteuid() != 0:
        return ()
    setpriv = shutil.which("setpriv") or pytest.skip("needs setpriv to give up root")
    return (setpriv, "--bounding-set=-all", "--inh-caps=-all", "--reuid=0")


def test_an_unwritable_folder_is_told_with_2_and_what_is_in_it_stays_readable(product: Product, double: Double) -> None:
    base = small(product, double)
    assert product.period(base).code == 0
    before = stored(base)
    folders = [base, *(p for p in base.rglob("*") if p.is_dir())]
    try:
        for folder in folders:
            folder.chmod(0o555)
        for words in (("streamer",), ("flows", "period")):
            assert_clear(product.run(*words, base, prefix=as_nobody()), 2, "writ")
        assert stored(base).equals(before)
    finally:
        for folder in folders:
            folder.chmod(0o755)


def test_a_folder_of_a_later_version_is_refused_with_2_and_left_alone(product: Product, double: Double) -> None:
    base = small(product, double)
    assert product.period(base).code == 0
    described = json.loads((base / "format.json").read_text())
    version_key = next(key for key in described if "version" in key or "format" in key)
    (base / "format.json").write_text(json.dumps(described | {version_key: 99}))

    def left() -> dict[Path, bytes]:
        """All files but the locks, and what the alarms are told of the period's work by: that it was refused."""
        files = (path for path in base.rglob("*") if path.is_file())
        return {path: path.read_bytes() for path in files if path.suffix != ".lock" and path.name != "period.json"}

    before = left()
    for words in (("streamer",), ("flows", "period")):
        assert_clear(product.run(*words, base), 2, "99")
    status = product.run("kit", "status", base)
    assert status.code != 0
    assert "Traceback" not in status.err
    assert left() == before


def test_a_second_streamer_on_the_same_folder_is_refused_and_the_first_goes_on(
    product: Product, double: Double
) -> None:
    base = small(product, double)
    first = product.start("streamer", base)
    product.until(first, "connection.open")
    assert_clear(product.run("streamer", base), 2, str(base))
    assert first.poll() is None
    first.send_signal(signal.SIGTERM)
    assert product.outcome(first, LEAVES_WITHIN_S).code == 0


def test_an_exchange_that_answers_html_is_an_incomplete_period_and_loses_nothing(
    product: Product, double: Double
) -> None:
    base = small(product, double)
    first = product.period(base)
    assert first.code == 0
    before = set(stored(base).select("symbol", "begin_ms").iter_rows())
    double.answers_html = True
    again = product.period(base, "--run-time", first.record["run_time"])
    assert again.code == 0, again  # a period that is there already stays complete without any answer
    empty = small(product, double, "empty")
    outcome = product.period(empty)
    assert_clear(outcome, 3)
    assert outcome.record["complete"] is not True
    streamer = product.start("streamer", empty)
    product.until(streamer, "exchange_info.unavailable")
    streamer.send_signal(signal.SIGTERM)
    assert_clear(product.outcome(streamer, LEAVES_WITHIN_S), 0)
    assert before <= set(stored(base).select("symbol", "begin_ms").iter_rows())


def test_without_a_network_the_flow_says_3_and_the_streamer_waits_for_the_exchange(
    product: Product, double: Double, dead_port: int
) -> None:
    nowhere = {"rest": f"http://127.0.0.1:{dead_port}", "ws": f"ws://127.0.0.1:{dead_port}"}
    base = small(product, double, endpoints=nowhere)
    streamer, flow = product.start("streamer", base), product.start("flows", "period", base)
    outcome = product.outcome(flow)
    assert_clear(outcome, 3)
    assert outcome.record["complete"] is not True
    product.until(streamer, "streamer.started")
    assert streamer.poll() is None, product.log(streamer)
    streamer.send_signal(signal.SIGINT)
    assert_clear(product.outcome(streamer, LEAVES_WITHIN_S), 0)


def test_the_streamer_starts_streaming_when_the_network_comes_back(product: Product, double: Double) -> None:
    base = small(product, double)
    double.answers_html = True
    streamer = product.start("streamer", base)
    product.until(streamer, "exchange_info.unavailable")
    double.answers_html = False
    product.until(streamer, "connection.open")
    streamer.send_signal(signal.SIGTERM)
    assert_clear(product.outcome(streamer, LEAVES_WITHIN_S), 0)


def test_a_small_weight_limit_is_never_exceeded_and_the_newest_candles_come_first(product: Product) -> None:
    close = now_ms() // MINUTE_MS * MINUTE_MS
    with Double((close - 60 * MINUTE_MS, close - 30 * MINUTE_MS), weight_limit=60) as double:
        base = product.base("tight", interval="1m", trade_type="usdt_perp", num_candles=300,
                            endpoints={"rest": double.rest_url, "ws": double.ws_urls["um"]})  # fmt: skip
        double.held_ms = close + 5_000
        flow = product.start("flows", "period", base, "--run-time", moment(close).isoformat())
        deadline = time.monotonic() + 200  # what is left of a minute, the next one, and a slow start
        while time.monotonic() < deadline and (
            len(Market(str(base)).ready(moment(close))) <= 20 or double.peak_weight <= 50
        ):
            time.sleep(0.5)
        assert len(Market(str(base)).ready(moment(close))) > 20  # readable before the whole window is there
        flow.kill()
        assert_clear(product.outcome(flow), -signal.SIGKILL)
        assert double.broken_rules == []
        assert 50 < double.peak_weight <= 60


def stale_market(product: Product, double: Double) -> Path:
    """Seconds of spot by REST alone, whose rows are still old for 8 s after their close."""
    kept = ["BTCUSDT", "ETHUSDT", "XRPUSDT"]
    double.listed["spot"] |= {symbol: replace(double.listed["spot"][symbol], stale_ms=8000) for symbol in kept}
    endpoints = {"rest": double.rest_url, "ws": double.ws_urls["spot"]}
    return small(product, double, trade_type="usdt_spot", interval="1s", keep_symbols=kept, endpoints=endpoints)


def test_a_minutes_stale_row_is_put_right_ten_seconds_after_its_close(product: Product, double: Double) -> None:
    kept = ["BTCUSD_PERP", "ETHUSD_PERP", "XRPUSD_PERP"]
    double.listed["cm"] |= {symbol: replace(double.listed["cm"][symbol], stale_ms=9000) for symbol in kept}
    close = now_ms() // MINUTE_MS * MINUTE_MS
    double.held_ms = close + 2500
    base = small(product, double)
    outcome = product.period(base, "--run-time", moment(close).isoformat())
    assert outcome.code == 0, outcome
    assert wrong_values(stored(base), double.truth, double.listed["cm"], "1m") == []
    klines = (one for one in double.asked if one.path.endswith("klines"))
    told_stale = {one.params["symbol"] for one in klines if one.at_ms < close + 9000}  # all, but on a stalled machine
    assert {revision.symbol for revision in Market(str(base)).revisions()} == told_stale
    assert double.now() - close > 10_000


def test_a_stale_row_that_was_stored_is_revised_when_it_is_read_again(product: Product, double: Double) -> None:
    base = stale_market(product, double)
    double.held_ms = now_ms()
    first = product.period(base)
    assert first.code == 0, first
    before = stored(base)
    wrong = wrong_values(before, double.truth, double.listed["spot"], "1s")
    double.clock_shift_ms += 70_000
    second = product.period(base, "--run-time", first.record["run_time"])
    assert second.code == 0, second
    frame = stored(base, sorted(set(before["symbol"])))  # by name: the market's own window has moved on
    assert wrong_values(frame, double.truth, double.listed["spot"], "1s") == []
    assert set(before.select("symbol", "begin_ms").iter_rows()) <= set(frame.select("symbol", "begin_ms").iter_rows())
    assert frame.filter(frame["source"] == "revision").height >= len(wrong) > 0
    assert len(Market(str(base)).revisions()) >= len(wrong)


def test_an_exchange_behind_our_clock_is_waited_for_and_nothing_unfinished_is_stored(
    product: Product, double: Double
) -> None:
    double.clock_shift_ms = -4000
    base = small(product, double, trade_type="usdt_spot", interval="1s", keep_symbols=["BTCUSDT", "ETHUSDT"])
    outcome = product.period(base)
    assert outcome.code == 0, outcome
    frame = stored(base)
    assert wrong_values(frame, double.truth, double.listed["spot"], "1s") == []
    assert frame.filter(frame["begin_ms"] + 1000 > double.now()).height == 0
