"""Listings, delistings, refusals and tickers that come back, against an exchange that does these things."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest import mock

import pytest

from flows.steps import gaps
from flows.steps.exchange_info import update_states
from kit import CandleFileReader
from kit.buffer.assets import add_boundary
from kit.buffer.states import Hole, States, SymbolState, load_states, save_states
from kit.dialect.rest import RestClient
from kit.dialect.symbols import SymbolInfo
from kit.embedded_exchange import Fault
from kit.errors import FolderError, SymbolRefusedError
from kit.words import Candle, Venue, from_ms
from tests.builders import MINUTE, NOON, candle, stream
from tests.flows.market_on_disk import CANDLES, Beside, beside


def info(symbol: str = "AUSDT", status: str = "TRADING", onboard_ms: int | None = NOON) -> SymbolInfo:
    return SymbolInfo(
        venue="um", symbol=symbol, status=status, base_asset="A", quote_asset="USDT", onboard_ms=onboard_ms
    )


async def test_a_symbol_listed_inside_the_window_is_expected_from_its_first_candle_on(tmp_path: Path) -> None:
    async with beside(tmp_path, symbols=3) as at:
        run_ms = at.run_ms()
        listed_ms = run_ms - 50 * MINUTE
        await at.run(run_ms)
        at.exchange.list_symbol(Venue.UM, "NEWUSDT", base="NEW", at_ms=listed_ms + 20_000)
        outcome = await at.run(run_ms)
        assert (outcome.record.expected, outcome.record.complete) == (4, True)
        assert at.stored()["NEWUSDT"] == at.truth("NEWUSDT", listed_ms, run_ms - MINUTE)
        before = at.market.ledger(from_ms(listed_ms))  # the candle that closed as it was listed
        assert before is not None
        assert before.complete
        assert before.excused == {"NEWUSDT": "listed later"}
        earlier = at.market.ledger(from_ms(listed_ms - MINUTE))
        assert earlier is not None
        assert earlier.expected == 3
        at.exchange.clock.skew_ms += 2 * MINUTE  # its patience and more: each run knows the clock to some ms only
        await at.run(run_ms)
        assert load_states(at.market.folder).symbols["NEWUSDT"].first_ms == listed_ms
        asked = len(at.asked())
        await at.run(run_ms)
        assert len(at.asked()) == asked, "what is older than the listing is not asked for again once it is sure"


async def test_a_past_that_rest_lacks_for_a_moment_does_not_make_a_symbol_younger(tmp_path: Path) -> None:
    async with beside(tmp_path, symbols=2, config={"num_candles": 60}) as at:
        run_ms = at.run_ms()
        older = [run_ms - minutes * MINUTE for minutes in range(31, 61)]
        hole = at.exchange.faults.switch_on(Fault("klines_hole_for_a_while", symbols=["ETHUSDT"], begins=older))
        await at.run(run_ms)
        record = at.market.ledger(from_ms(older[10] + MINUTE))
        assert record is not None
        assert (record.expected, record.missing) == (2, ["ETHUSDT"])
        at.exchange.faults.switch_off(hole)
        await at.run(run_ms)
        assert at.stored()["ETHUSDT"] == at.truth("ETHUSDT", older[-1], run_ms - MINUTE)


async def test_a_delisted_symbol_is_excused_and_stays_readable(tmp_path: Path) -> None:
    async with beside(tmp_path, symbols=3) as at:
        run_ms = at.run_ms(0)
        await at.run(run_ms - MINUTE)
        before = at.stored(["ETHUSDT"])["ETHUSDT"]
        at.exchange.delist_symbol(Venue.UM, "ETHUSDT")
        await at.run(run_ms - MINUTE)
        at.exchange.clock.skew_ms += 3 * MINUTE
        outcome = await at.run(run_ms + 3 * MINUTE)
        assert outcome.record.complete
        assert outcome.record.excused == {"ETHUSDT": "settling"}
        assert at.stored(["ETHUSDT"])["ETHUSDT"][: len(before)] == before
        assert "ETHUSDT" in at.market.symbols()
        asked = len([params for params in at.asked() if params["symbol"] == "ETHUSDT"])
        await at.run(run_ms + 3 * MINUTE)
        assert len([params for params in at.asked() if params["symbol"] == "ETHUSDT"]) == asked


async def test_what_rest_refused_during_a_halt_is_fetched_when_the_halt_is_over(tmp_path: Path) -> None:
    async with beside(tmp_path, symbols=2) as at:
        run_ms = at.run_ms()
        await at.run(run_ms - 30 * MINUTE)
        at.exchange.market.halt(Venue.UM, "ETHUSDT", at.exchange.clock.now_ms())
        halted = await at.run(run_ms)  # the last half an hour, in which it traded, is refused
        assert halted.record.excused == {"ETHUSDT": "close"}
        at.exchange.market.resume(Venue.UM, "ETHUSDT", at.exchange.clock.now_ms())
        states = load_states(at.market.folder)
        states.audited_at_ms = at.exchange.clock.now_ms()  # no audit comes to the rescue
        save_states(at.market.folder, states)
        resumed = await at.run(run_ms)
        assert (resumed.record.complete, resumed.record.excused) == (True, {})
        assert at.stored()["ETHUSDT"][-30:] == at.truth("ETHUSDT", run_ms - 30 * MINUTE, run_ms - MINUTE)


async def test_a_symbol_that_trades_and_is_refused_is_missing_and_never_excused(tmp_path: Path) -> None:
    async with beside(tmp_path, symbols=3, config={"num_candles": 20, "candle_close_timeout_sec": 1}) as at:
        run_ms = at.run_ms(2)
        await at.run(run_ms)
        real = RestClient.klines

        async def refusing(self: RestClient, symbol: str, *rest: Any, **more: Any) -> list[Candle]:
            if symbol == "ETHUSDT":
                raise SymbolRefusedError("Invalid symbol status.", code=-1122)
            return await real(self, symbol, *rest, **more)

        with mock.patch.object(RestClient, "klines", refusing), mock.patch.object(gaps, "PATIENCE_MS", 0):
            for _ in range(3):
                outcome = await at.run(run_ms + MINUTE)
                assert outcome.record.missing == ["ETHUSDT"]
        assert (await at.run(run_ms + MINUTE)).record.complete


async def test_newest_candles_that_rest_does_not_have_yet_are_missing_until_it_has_a_later_one(tmp_path: Path) -> None:
    """The exchange's candles by REST can lag for minutes; a lagging market must not be called complete."""
    async with beside(tmp_path, symbols=3, config={"num_candles": 20, "candle_close_timeout_sec": 1}) as at:
        run_ms = at.run_ms(6)
        await at.run(run_ms)
        real = RestClient.klines
        hidden_ms = {run_ms, run_ms + MINUTE}  # begin times

        async def lagging(self: RestClient, *rest: Any, **more: Any) -> list[Candle]:
            return [row for row in await real(self, *rest, **more) if row.begin_ms not in hidden_ms]

        with mock.patch.object(RestClient, "klines", lagging), mock.patch.object(gaps, "PATIENCE_MS", 0):
            for _ in range(3):
                outcome = await at.run(run_ms + 2 * MINUTE)
                assert len(outcome.record.missing) == 3, "twice without an answer, but nothing later is there"
            later = await at.run(run_ms + 3 * MINUTE)
            assert later.record.complete
            again = await at.run(run_ms + 3 * MINUTE)
            record = at.market.ledger(from_ms(run_ms + 2 * MINUTE))
        assert again.record.complete
        assert record is not None
        assert record.complete
        assert set(record.excused.values()) == {"no candle at the exchange"}


async def test_a_list_cut_short_is_not_believed(tmp_path: Path) -> None:
    async with beside(tmp_path, symbols=5) as at:
        run_ms = at.run_ms()
        await at.run(run_ms)
        kept = {each.symbol for each in at.exchange.market.instruments(Venue.UM)[:2]}
        with mock.patch.object(
            at.exchange.market, "instruments", lambda venue: [at.exchange.market.get(venue, name) for name in kept]
        ):
            outcome = await at.run(run_ms)
        assert outcome.record.expected == 5


async def test_a_symbol_whose_entry_cannot_be_read_is_in_the_market_as_it_was(tmp_path: Path) -> None:
    async with beside(tmp_path, symbols=3) as at:
        run_ms = at.run_ms()
        await at.run(run_ms - MINUTE)
        instrument = at.exchange.market.get(Venue.UM, "ETHUSDT")
        assert instrument is not None
        at.exchange.market._put(replace(instrument, record={**instrument.record, "baseAsset": ["ETH"]}))
        assert (await at.run(run_ms)).record.by_rest == 3
        assert load_states(at.market.folder).symbols["ETHUSDT"].stopped_ms is None, "it would be excused from now on"
        assert "ETHUSDT" in at.market.exchange_info()["symbol"], "it would not be streamed any more"


async def relist(at: Beside, symbol: str, onboard_ms: int) -> None:
    """The exchange says another listing date."""
    instrument = at.exchange.market.get(Venue.UM, symbol)
    assert instrument is not None
    at.exchange.market._put(replace(instrument, record={**instrument.record, "onboardDate": onboard_ms}))


async def test_a_ticker_that_comes_back_as_another_asset_is_not_joined_to_the_old_one(tmp_path: Path) -> None:
    async with beside(tmp_path, symbols=3) as at:
        run_ms = at.run_ms()
        await at.run(run_ms)
        before = at.stored(["ETHUSDT"])["ETHUSDT"]
        onboard_ms = run_ms - 30 * MINUTE
        await relist(at, "ETHUSDT", onboard_ms + 10_000)
        outcome = await at.run(run_ms)
        assert outcome.record.complete
        assert at.stored()["ETHUSDT"] == before[-30:]
        assert at.stored(["ETHUSDT"])["ETHUSDT"] == before[-30:]
        former = at.stored(["ETHUSDT#1"])["ETHUSDT#1"]
        assert former == [row._replace(symbol="ETHUSDT#1") for row in before[:-30]]
        reader = CandleFileReader(at.market.folder.candles)
        assert len(reader.read_candle("ETHUSDT")) == 30
        assert len(reader.read_candle("ETHUSDT#1")) == CANDLES - 30
        assert reader.get_all_symbols() == ["BTCUSDT", "ETHUSDT", "ETHUSDT#1", "SOLUSDT"]
        assert at.market.ready(from_ms(run_ms)) == {"BTCUSDT", "ETHUSDT", "SOLUSDT"}
        at.market.folder.symbol_states.unlink()
        await at.run(run_ms)
        assert at.stored(["ETHUSDT"])["ETHUSDT"] == before[-30:], "nor when what was known of symbols is lost"
        assert load_states(at.market.folder).symbols["ETHUSDT"].since_ms == onboard_ms


async def test_a_corrected_listing_date_is_no_other_asset(tmp_path: Path) -> None:
    async with beside(tmp_path, symbols=3) as at:
        run_ms = at.run_ms()
        await at.run(run_ms)
        before = at.stored(["ETHUSDT"])["ETHUSDT"]
        instrument = at.exchange.market.get(Venue.UM, "ETHUSDT")
        assert instrument is not None
        await relist(at, "ETHUSDT", instrument.record["onboardDate"] + MINUTE)
        await at.run(run_ms)
        assert at.stored(["ETHUSDT"])["ETHUSDT"] == before
        assert not at.market.folder.assets.exists()


async def test_reading_refuses_when_it_cannot_tell_the_assets_apart(tmp_path: Path) -> None:
    async with beside(tmp_path, symbols=1) as at:
        await at.run()
        at.market.folder.assets.write_bytes(b"{")
        with pytest.raises(FolderError, match="changed their asset"):
            at.market.candles()


def test_a_former_asset_that_left_the_window_is_kept_by_compaction(tmp_path: Path) -> None:
    from kit.buffer.compaction import compact  # noqa: PLC0415 - only here
    from kit.buffer.read import read_candles  # noqa: PLC0415 - only here
    from tests.builders import candles, folder_in  # noqa: PLC0415 - only here

    folder = folder_in(tmp_path)
    stream(folder, [*candles(["LITUSDT"], NOON, 20), candle("LITUSDT", NOON + 40 * MINUTE)])
    add_boundary(folder, "LITUSDT", NOON + 30 * MINUTE)
    for days in (1, 2):
        now_ms = NOON + days * 1440 * MINUTE
        compact(folder, exchange_ms=now_ms, window_ms=now_ms - 60 * MINUTE, active=["LITUSDT"])
    assert read_candles(folder, symbols=["LITUSDT#1"], retired=True).height == 20
    assert read_candles(folder, symbols=["LITUSDT"], retired=True).height == 0


@pytest.mark.parametrize(("new_market", "onboard", "listed"), [
    (True, NOON - 5 * MINUTE, NOON - 5 * MINUTE),
    (True, NOON + 600 * MINUTE, NOON),  # it trades now, whatever the date says
    (True, None, None),
    (False, NOON - 5 * MINUTE, NOON - 5 * MINUTE),
    (False, NOON + 600 * MINUTE, NOON),
    (False, None, NOON),
])  # fmt: skip
def test_where_the_candles_of_a_new_symbol_should_begin(
    new_market: bool, onboard: int | None, listed: int | None
) -> None:
    states = States()
    update_states(states, [info(onboard_ms=onboard)], now_ms=NOON, step_ms=MINUTE, new_market=new_market)
    assert states.symbols["AUSDT"].listed_ms == listed


def test_a_symbol_stops_when_it_halts_or_leaves_the_list_and_goes_on_when_it_trades_again() -> None:
    states = States()
    kwargs = {"step_ms": MINUTE, "new_market": False}
    both = [info("AUSDT"), info("BUSDT")]
    assert [event for event, _ in update_states(states, both, now_ms=NOON, **kwargs)] == ["symbol.listed"] * 2
    events = update_states(states, [info("AUSDT", "HALT")], now_ms=NOON + 1, **kwargs)
    assert events == [("symbol.stopped", "AUSDT"), ("symbol.stopped", "BUSDT")]
    assert [state.stopped_ms for state in states.symbols.values()] == [NOON + 1, NOON + 1]
    assert update_states(states, [info("AUSDT", "HALT")], now_ms=NOON + 2, **kwargs) == []
    assert states.symbols["AUSDT"].stopped_ms == NOON + 1
    events = update_states(states, both, now_ms=NOON + 3, **kwargs)
    assert events == [("symbol.resumed", "AUSDT"), ("symbol.resumed", "BUSDT")]
    assert {state.stopped_ms for state in states.symbols.values()} == {None}


def test_only_what_closed_while_it_was_seen_halted_is_remembered_as_halted() -> None:
    states = States(exchange_info_at_ms=NOON)
    for status, at_ms in (("TRADING", 0), ("HALT", 30_000), ("HALT", 5 * MINUTE + 3_000), ("TRADING", 8 * MINUTE)):
        update_states(states, [info("AUSDT", status)], now_ms=NOON + at_ms, step_ms=MINUTE, new_market=False)
        states.exchange_info_at_ms = NOON + at_ms
    assert states.symbols["AUSDT"].halts == [Hole(NOON + MINUTE, NOON + 4 * MINUTE, "halt")]


def test_what_a_symbol_did_while_it_was_not_listed_is_not_known() -> None:
    states = States(exchange_info_at_ms=NOON)
    for listed, at_ms in ((True, 0), (False, 30_000), (False, 5 * MINUTE), (True, 8 * MINUTE)):
        infos = [info("AUSDT")] if listed else []
        update_states(states, infos, now_ms=NOON + at_ms, step_ms=MINUTE, new_market=False)
        states.exchange_info_at_ms = NOON + at_ms
    assert states.symbols["AUSDT"].halts == []


def test_another_asset_is_told_by_its_listing_date_and_the_candles_before_it() -> None:
    def events(held_ms: int | None, *, stopped: bool) -> list[str]:
        old = SymbolState(status="TRADING", onboard_ms=NOON - 9 * MINUTE, stopped_ms=NOON if stopped else None)
        held = {} if held_ms is None else {"AUSDT": held_ms}
        found = update_states(
            States(symbols={"AUSDT": old}),
            [info(onboard_ms=NOON)],
            now_ms=NOON + MINUTE,
            step_ms=MINUTE,
            new_market=False,
            oldest_held=MappingProxyType(held),
        )
        return [event for event, _ in found]

    assert events(None, stopped=True) == ["symbol.resumed", "symbol.another_asset"]
    assert events(NOON - MINUTE, stopped=False) == ["symbol.another_asset"]
    assert events(NOON, stopped=False) == []
    assert events(None, stopped=False) == []
