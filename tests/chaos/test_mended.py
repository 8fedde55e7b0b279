"""What the chaos runs found, each as small as it can be told: an exchange, a base directory, and no process."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from flows.steps import exchange_info
from flows.steps.audits import AUDIT_AT_ONCE, AUDIT_SHARE, AUDIT_TURN, audited_candles, whose_turn
from kit.buffer.slices import SliceWriter
from kit.buffer.states import States, SymbolState, load_states, save_states
from kit.config import load_config
from kit.dialect.klines import ClosedKline, stream_name
from kit.dialect.rest import RestClient
from kit.dialect.symbols import ExchangeInfo
from kit.embedded_exchange import Fault
from kit.words import Candle, Venue, from_ms, utc_now
from streamer.app import Streamer
from streamer.intake import Intake, Sink
from streamer.stats import MarketStats, RouteStats
from streamer.status import status_record, write_status
from streamer.timing import Timing
from tests.builders import MINUTE, candle, stream
from tests.flows.market_on_disk import Beside, beside

if TYPE_CHECKING:
    from collections.abc import Callable

    from kit.buffer.layout import Folder
    from kit.buffer.ledger import LedgerRecord

HOUR = 60 * MINUTE
TOLD_TO_WAIT_S = 60
SOON = timedelta(seconds=0.05)


async def test_a_period_that_the_stream_completed_is_not_held_up_by_an_exchange_that_says_wait(tmp_path: Path) -> None:
    async with beside(tmp_path, symbols=3, config={"num_candles": 5}) as at:
        run_ms = at.run_ms(2)
        await at.run(run_ms)
        told = [row for name in at.stored() for row in at.truth(name, run_ms, run_ms)]
        stream(at.market.folder, told)
        at.exchange.faults.switch_on(Fault("rest_429", retry_after_s=TOLD_TO_WAIT_S))
        async with asyncio.timeout(TOLD_TO_WAIT_S - 15):
            outcome = await at.run(run_ms + MINUTE)
        assert outcome.record.complete
        assert outcome.record.by_stream == 3


async def test_what_neither_stream_nor_rest_gives_is_called_missing_in_time_when_told_to_wait(
    tmp_path: Path,
) -> None:
    config: dict[str, object] = {"num_candles": 5, "candle_close_timeout_sec": 1}
    async with beside(tmp_path, symbols=3, config=config) as at:
        run_ms = at.run_ms(2)
        await at.run(run_ms)
        at.exchange.faults.switch_on(Fault("rest_429", retry_after_s=TOLD_TO_WAIT_S))
        work = asyncio.create_task(at.run(run_ms + MINUTE))
        async with asyncio.timeout(TOLD_TO_WAIT_S - 15):
            while (record := at.market.ledger(from_ms(run_ms + MINUTE))) is None:  # noqa: ASYNC110 - it appears on disk
                await asyncio.sleep(0.05)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        assert not record.complete
        assert record.missing == sorted(at.stored())


HANGS_S = 60
"""How long the client would wait for an exchange that hangs: far longer than the tests do."""
PATIENT: dict[str, object] = {"num_candles": 5, "http_timeout_sec": HANGS_S}


async def record_of(at: Beside, run_ms: int, expected: int) -> LedgerRecord:
    """The complete record of a run time, as soon as the ledger has one of so many symbols."""
    async with asyncio.timeout(HANGS_S - 15):
        while True:
            record = at.market.ledger(from_ms(run_ms))
            if record is not None and record.complete and record.expected == expected:
                return record
            await asyncio.sleep(0.05)


def deliver(at: Beside, begin_ms: int) -> None:
    """The stream's finals of all symbols known so far."""
    stream(at.market.folder, [row for name in at.stored() for row in at.truth(name, begin_ms, begin_ms)])


async def test_a_period_that_the_stream_completed_does_not_wait_for_an_exchange_that_hangs(tmp_path: Path) -> None:
    async with beside(tmp_path, symbols=3, config=PATIENT) as at:
        run_ms = at.run_ms(2)
        await at.run(run_ms)
        deliver(at, run_ms)
        at.exchange.faults.switch_on(Fault("rest_timeout", for_ms=5 * HANGS_S * 1000))
        work = asyncio.create_task(at.run(run_ms + MINUTE))
        record = await record_of(at, run_ms + MINUTE, 3)
        assert record.by_stream == 3
        assert not work.done(), "its answer would still be used"
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


async def test_a_listing_that_a_slow_answer_tells_is_in_the_record_at_the_end_of_the_same_run(tmp_path: Path) -> None:
    async with beside(tmp_path, symbols=3, config=PATIENT) as at:
        run_ms = at.run_ms(2)
        await at.run(run_ms)
        deliver(at, run_ms)
        at.exchange.list_symbol(Venue.UM, "NEWUSDT", base="NEW", at_ms=run_ms)
        answering, real = asyncio.Event(), RestClient.exchange_info

        async def slow(self: RestClient, **options: Any) -> ExchangeInfo:
            await answering.wait()
            return await real(self, **options)

        with mock.patch.object(RestClient, "exchange_info", slow):
            work = asyncio.create_task(at.run(run_ms + MINUTE))
            await record_of(at, run_ms + MINUTE, 3)
            answering.set()
            outcome = await work
        assert (outcome.record.expected, outcome.record.by_rest, outcome.record.complete) == (4, 1, True)
        assert at.stored()["NEWUSDT"] == at.truth("NEWUSDT", run_ms, run_ms)


async def test_an_old_exchange_info_is_not_enough_to_judge_a_period_early(tmp_path: Path) -> None:
    async with beside(tmp_path, symbols=3, config=PATIENT) as at:
        run_ms = at.run_ms(2)
        await at.run(run_ms)
        deliver(at, run_ms)
        states = load_states(at.market.folder)
        states.exchange_info_at_ms -= 2 * HOUR
        save_states(at.market.folder, states)
        at.exchange.list_symbol(Venue.UM, "NEWUSDT", base="NEW", at_ms=run_ms)
        asked, answering, real = asyncio.Event(), asyncio.Event(), RestClient.exchange_info

        async def slow(self: RestClient, **options: Any) -> ExchangeInfo:
            asked.set()
            await answering.wait()
            return await real(self, **options)

        with (
            mock.patch.object(RestClient, "exchange_info", slow),
            mock.patch.object(exchange_info, "ANSWER_WITHIN", SOON),
        ):
            work = asyncio.create_task(at.run(run_ms + MINUTE))
            await asked.wait()
            await asyncio.sleep(10 * SOON.total_seconds())
            assert at.market.ledger(from_ms(run_ms + MINUTE)) is None
            answering.set()
            assert (await work).record.expected == 4


async def test_a_wrong_final_of_any_symbol_is_found_within_a_turn_of_the_audits(tmp_path: Path) -> None:
    symbols = AUDIT_AT_ONCE + 6
    async with beside(tmp_path, symbols=symbols, config={"num_candles": 5}) as at:
        run_ms = at.run_ms(2)
        await at.run(run_ms)
        audited = load_states(at.market.folder)
        spared = min(name for name, state in audited.symbols.items() if not state.audited_ms)
        wrong = candle(spared, run_ms, variant=5)
        right = [row for name in at.stored() if name != spared for row in at.truth(name, run_ms, run_ms)]
        stream(at.market.folder, [wrong, *right])
        audited.audited_at_ms -= HOUR  # as if so much had passed
        save_states(at.market.folder, audited)
        await at.run(run_ms + MINUTE)
        (revision,) = at.market.revisions()
        assert (revision.old, revision.old_source) == (wrong, "stream")
        assert at.stored([spared])[spared][-1:] == at.truth(spared, run_ms, run_ms)


async def test_of_two_different_finals_the_one_that_rest_confirms_is_read_after_the_next_period(tmp_path: Path) -> None:
    async with beside(tmp_path, symbols=3, config={"num_candles": 60}) as at:  # no audit's turn soon
        run_ms = at.run_ms(2)
        await at.run(run_ms)
        wrong = candle("ETHUSDT", run_ms, variant=5)
        right = at.truth("ETHUSDT", run_ms, run_ms)
        told = [row for name in at.stored() if name != "ETHUSDT" for row in at.truth(name, run_ms, run_ms)]
        market = heard_in_turn(at.market.folder, [wrong, *told, *right])
        write_status(at.base_dir, heartbeat(market))
        await at.run(run_ms + MINUTE)
        (revision,) = at.market.revisions()
        assert (revision.old, revision.old_source) == (wrong, "stream")
        assert at.stored(["ETHUSDT"])["ETHUSDT"][-1:] == right
        asked = len(at.asked())
        await at.run(run_ms + MINUTE)
        assert len(at.asked()) == asked, "it was looked into once"


def heard_in_turn(folder: Folder, rows: list[Candle]) -> MarketStats:
    """The streamer's counts after these finals; what it keeps of them is on disk."""
    writer, stats = SliceWriter(folder), MarketStats()
    intake = Intake(Timing())
    sink = Sink("market", folder.interval, writer, lambda: None, stats)
    intake.direct({(row.symbol, "1m"): (stream_name(row.symbol, folder.interval), [sink]) for row in rows})
    for row in rows:
        stream_of = stream_name(row.symbol, folder.interval)
        intake.closed(ClosedKline(row, "1m", row.begin_ms + MINUTE + 300), stream_of, {stream_of})
    writer.flush()
    return stats


def heartbeat(market: MarketStats) -> dict[str, Any]:
    """What the streamer writes then."""
    return status_record(
        started_at=utc_now().isoformat(), running=True, market=market, pending=0, wanted=3, delivering=3, silent=(),
        route=RouteStats(), phases={},
    )  # fmt: skip


async def test_an_audit_stores_what_was_wrongly_held_not_to_exist(tmp_path: Path) -> None:
    async with beside(tmp_path, symbols=2, config={"num_candles": 5}) as at:
        run_ms = at.run_ms(2)
        hole = at.exchange.faults.switch_on(
            Fault("klines_hole_for_a_while", symbols=["ETHUSDT"], begins=[run_ms - 3 * MINUTE])
        )
        await at.run(run_ms)
        states = load_states(at.market.folder)
        assert [row.first_ms for row in states.symbols["ETHUSDT"].unanswered] == [run_ms - 3 * MINUTE]
        states.symbols["ETHUSDT"].gaps = list(states.symbols["ETHUSDT"].unanswered)  # as after a minute's patience
        states.symbols["ETHUSDT"].unanswered = []
        states.audited_at_ms = 0
        save_states(at.market.folder, states)
        at.exchange.faults.switch_off(hole)
        await at.run(run_ms)
        assert at.stored(["ETHUSDT"])["ETHUSDT"] == at.truth("ETHUSDT", run_ms - 5 * MINUTE, run_ms - MINUTE)


@pytest.mark.parametrize("step_ms", [1000, MINUTE, 5 * MINUTE, HOUR, 24 * HOUR])
@pytest.mark.parametrize("count", [1, 7, 30, 300, 750])
@pytest.mark.parametrize("kept", [1500, 60])
def test_every_symbol_has_its_turn_before_a_candle_could_be_left_out(kept: int, count: int, step_ms: int) -> None:
    names = [f"S{number}USDT" for number in range(count)]
    states = States(symbols={name: SymbolState(status="TRADING") for name in names})
    at_ms = 1_795_348_800_000
    last = dict.fromkeys(names, at_ms)
    every_ms = max(step_ms, 4000)
    candles = min(kept, audited_candles(step_ms))
    for _ in range(4 * 99):
        at_ms += every_ms
        turn = whose_turn(states, names, at_ms, step_ms, kept)
        assert len(turn) <= max(AUDIT_AT_ONCE, ceil(count / AUDIT_SHARE))
        if turn:
            states.audited_at_ms = at_ms
        for name in turn:
            states.symbols[name].audited_ms = last[name] = at_ms
        assert at_ms - min(last.values()) <= candles * step_ms
    if AUDIT_TURN.total_seconds() * 1000 > candles * step_ms:
        assert at_ms - min(last.values()) < AUDIT_TURN.total_seconds() * 1000


async def test_the_last_candle_of_a_contract_that_is_delisted_in_mid_minute_comes_by_stream(tmp_path: Path) -> None:
    async with beside(tmp_path, symbols=3, config={"num_candles": 5}) as at:
        at.exchange.clock.skew_ms = MINUTE - at.exchange.clock.now_ms() % MINUTE - 6_000  # before a close
        streamer, stop = Streamer([load_config(at.base_dir)]), asyncio.Event()
        await at.run(at.run_ms(1))
        streaming = asyncio.create_task(streamer.run(stop))
        try:
            async with asyncio.timeout(150):
                await until(lambda: [market.stats.frames > 0 for market in streamer.markets] == [True])
                at.exchange.delist_symbol(Venue.UM, "ETHUSDT")
                begin_ms = at.run_ms(0)
                await at.run(at.run_ms(1))  # the exchange info that tells it
                await until(lambda: at.run_ms(0) > begin_ms)
                await until(lambda: all(begin_ms in [row.begin_ms for row in rows] for rows in at.stored().values()))
        finally:
            stop.set()
            await streaming
        assert at.stored()["ETHUSDT"][-1:] == at.truth("ETHUSDT", begin_ms, begin_ms)
        record = (await at.run(begin_ms + MINUTE)).record
        assert (record.by_stream, record.expected, record.complete) == (3, 3, True)


async def test_periods_of_a_halt_stay_excused_when_it_ends_until_rest_has_said_twice_that_there_is_nothing(
    tmp_path: Path,
) -> None:
    async with beside(tmp_path, symbols=3, config={"num_candles": 20}) as at:
        run_ms = at.run_ms(1)
        await at.run(run_ms - MINUTE)
        at.exchange.market.halt(Venue.UM, "ETHUSDT", at.exchange.clock.now_ms())
        await at.run(run_ms)
        for minutes in (1, 2, 3):
            at.exchange.clock.skew_ms += MINUTE
            halted = await at.run(run_ms + minutes * MINUTE)
            assert halted.record.complete
        assert halted.record.excused == {"ETHUSDT": "close"}
        at.exchange.market.resume(Venue.UM, "ETHUSDT", at.exchange.clock.now_ms())
        since = len(at.asked())
        for minutes in (4, 5, 6, 7):
            at.exchange.clock.skew_ms += MINUTE
            await at.run(run_ms + minutes * MINUTE)
            record = at.market.ledger(halted.record.run_time)
            assert record is not None
            assert (record.complete, list(record.excused)) == (True, ["ETHUSDT"])
        begin_ms = run_ms + 2 * MINUTE
        asked = [each for each in at.asked()[since:] if each["symbol"] == "ETHUSDT"]
        assert any(int(each["startTime"]) <= begin_ms <= int(each["endTime"]) for each in asked)
        state = load_states(at.market.folder).symbols["ETHUSDT"]
        assert any(gap.first_ms <= begin_ms <= gap.last_ms for gap in state.gaps)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until it holds; the caller bounds it."""
    while not condition():  # noqa: ASYNC110 - files and counters
        await asyncio.sleep(0.05)
