"""Real streamers whose wall clock is wrong and is set while they run, beside exchanges whose clock is another."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from kit.embedded_exchange import EmbeddedExchange, Finals, Settings
from kit.exchange_clock import OFF_MS
from kit.words import Interval, Venue
from tests.clock.programs import DAY, HOUR, Program, configure, program, until

pytestmark = pytest.mark.xdist_group("clock")

SECOND = 1_000


@dataclass(frozen=True)
class Case:
    """How far the exchange is ahead of the test's clock, and where the streamer's own is set, step by step."""

    exchange_ms: int
    shifts_ms: tuple[int, ...]


CASES = (
    Case(400, (0, 0)),
    Case(-3_000, (-HOUR, HOUR, -DAY, 0)),
    Case(HOUR, (HOUR, -DAY, DAY)),
    Case(-HOUR, (0, *range(0, 4_000, 50))),  # a slow drift, then right again
)


def stored(base_dir: Path) -> dict[tuple[str, int], dict[str, object]]:
    rows: dict[tuple[str, int], dict[str, object]] = {}
    for path in sorted((base_dir / "usdt_spot_1s").glob("stream_*.parquet")):
        for row in pq.ParquetFile(path).read().to_pylist():
            rows[row["symbol"], int(row["candle_begin_time"].timestamp() * SECOND)] = row
    return rows


def periods(base_dir: Path) -> int:
    return len({begin_ms for _, begin_ms in stored(base_dir)})


def whole_periods(base_dir: Path, exchange: EmbeddedExchange) -> set[int]:
    """The periods with a candle of every symbol that the two connections have subscribed."""
    streams = [name for connection in exchange.connections for name in connection.streams]
    count = Counter(begin_ms for _, begin_ms in stored(base_dir))
    return {begin_ms for begin_ms in count if len(exchange.connections) == 2 and count[begin_ms] == len(streams)}


async def live(case: Case, place: Path) -> tuple[Program, EmbeddedExchange]:
    """The streamer's life: some periods with each setting of its clock."""
    settings = Settings(
        symbols=4, skew_ms=case.exchange_ms, spot_update_ms=250, finals=Finals("spread", 0.3), illiquid_share=0.0
    )
    async with AsyncExitStack() as stack:
        exchange = await stack.enter_async_context(EmbeddedExchange(settings))
        base_dir = configure(
            place / "m",
            exchange.spot.rest,
            exchange.spot.ws,
            interval="1s",
            trade_type="usdt_spot",
            num_socket_listeners=2,
        )
        command = ("streamer", str(base_dir), "--log-format", "json")
        running = await stack.enter_async_context(program(place, case.shifts_ms[0], *command))
        await until(lambda: len(whole_periods(base_dir, exchange)) > 1, f"the first periods of {case}")
        pause_s = 1.2 if len(case.shifts_ms) < 10 else 0.04
        for shift_ms in case.shifts_ms[1:]:
            running.shift(shift_ms)
            await asyncio.sleep(pause_s)
        count = periods(base_dir)
        await until(lambda: periods(base_dir) >= count + 2, f"periods after the last setting of {case}")
        rows, now_ms = stored(base_dir), exchange.clock.now_ms()
        assert max(begin_ms for _, begin_ms in rows) + SECOND <= now_ms, "a candle came before its close"
        for (symbol, begin_ms), row in rows.items():
            (true,) = exchange.candles(Venue.SPOT, symbol, Interval.S1, begin_ms, begin_ms)
            assert [row[name] for name in ("open", "high", "low", "close", "volume")] == [float(x) for x in true[1:6]]
    return running, exchange


async def test_no_final_is_refused_or_lost_and_none_is_early_whatever_the_local_clock_does(tmp_path: Path) -> None:
    places = [tmp_path / str(number) for number in range(len(CASES))]
    lives = await asyncio.gather(*(live(case, place) for case, place in zip(CASES, places, strict=True)))
    for case, place, (running, _) in zip(CASES, places, lives, strict=True):
        status = json.loads((place / "m" / "streamer.json").read_text())
        assert status["refused"] == {}, case
        assert status["dropped"] == 0, case
        by_begin: dict[int, set[str]] = defaultdict(set)
        for (symbol, begin_ms), row in stored(place / "m").items():
            by_begin[begin_ms].add(symbol)
            after_close = int(row["received_time"].timestamp() * SECOND) - begin_ms - SECOND  # type: ignore[attr-defined]
            assert 0 <= after_close < 120 * SECOND, f"{case}: received {after_close} ms after its close"
        # The first streams are subscribed while others are not yet, and the end cuts off the last period.
        everything = set().union(*by_begin.values())
        first = min(begin_ms for begin_ms in by_begin if by_begin[begin_ms] == everything)
        whole = [begin_ms for begin_ms in sorted(by_begin) if begin_ms >= first][:-1]
        assert whole == list(range(whole[0], whole[-1] + SECOND, SECOND)), case
        assert all(by_begin[begin_ms] == everything for begin_ms in whole), case
        off = [case.exchange_ms - shift_ms for shift_ms in case.shifts_ms]
        if max(off) > 2_000:
            assert running.events("clock.off"), case
        elif min(off) > -OFF_MS:  # one that is ahead is told once a whole span was heard: only where this takes so long
            assert not running.events("clock.off"), case
        assert abs(status["route"]["clock_offset_ms"] - off[-1]) < 2_000, case
