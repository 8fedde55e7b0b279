"""What the chaos runs found, each as small as it can be told: an exchange, a base directory, and no process."""

from __future__ import annotations

import asyncio
from math import ceil
from pathlib import Path

import pytest

from flows.steps.audits import AUDIT_AT_ONCE, AUDIT_CANDLES, AUDIT_SHARE, AUDIT_TURN, whose_turn
from kit.buffer.states import States, SymbolState, load_states, save_states
from kit.embedded_exchange import Fault
from kit.words import from_ms
from tests.builders import MINUTE, candle, stream
from tests.flows.market_on_disk import beside

HOUR = 60 * MINUTE
TOLD_TO_WAIT_S = 60


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
def test_every_symbol_has_its_turn_before_a_candle_could_be_left_out(count: int, step_ms: int) -> None:
    names = [f"S{number}USDT" for number in range(count)]
    states = States(symbols={name: SymbolState(status="TRADING") for name in names})
    at_ms = 1_795_348_800_000
    last = dict.fromkeys(names, at_ms)
    every_ms = max(step_ms, 4000)
    for _ in range(4 * AUDIT_CANDLES):
        at_ms += every_ms
        turn = whose_turn(states, names, at_ms, step_ms)
        assert len(turn) <= max(AUDIT_AT_ONCE, ceil(count / AUDIT_SHARE))
        if turn:
            states.audited_at_ms = at_ms
        for name in turn:
            states.symbols[name].audited_ms = last[name] = at_ms
        assert at_ms - min(last.values()) <= AUDIT_CANDLES * step_ms
    if AUDIT_TURN.total_seconds() * 1000 > AUDIT_CANDLES * step_ms:
        assert at_ms - min(last.values()) < AUDIT_TURN.total_seconds() * 1000
