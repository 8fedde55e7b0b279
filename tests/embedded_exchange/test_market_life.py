"""What can happen to a market for good: halts, quiet times, holes, listings and tickers that come back."""

import asyncio

import pytest

from kit.embedded_exchange import Clock
from kit.embedded_exchange.bars import aggregated
from kit.embedded_exchange.faults import Fault, Faults
from kit.embedded_exchange.faults.altered_tape import AlteredTape, Halt, Hole
from kit.embedded_exchange.tape import MadeUpTape
from kit.words import Venue
from tests.embedded_exchange.builders import HOUR, MINUTE, NOON, SECOND, market
from tests.embedded_exchange.stage import BTC, HeldClock, event, next_final, on_stage


@pytest.fixture
async def stage():
    async with on_stage(clock=HeldClock()) as running:
        yield running


def altered(*, halts=(), quiets=(), holes=()):
    tape = MadeUpTape(market().get(Venue.SPOT, "BTCUSDT"), 1)
    over = AlteredTape(tape)
    over.halts += halts
    over.quiets += quiets
    over.holes += holes
    return tape, over


@pytest.mark.parametrize("until_ms", [NOON + 11 * MINUTE + 40_500, None])
@pytest.mark.parametrize("kind", ["halts", "quiets"])
def test_every_interval_is_the_sum_of_what_is_left(kind, until_ms):
    period = Halt(NOON + 7 * MINUTE + 20_500, until_ms)
    tape, over = altered(**{kind: [period]})
    seconds = over.bars(SECOND, NOON, NOON + 20 * MINUTE - SECOND)
    for length_ms in (MINUTE, 5 * MINUTE, 20 * MINUTE):
        rows = over.bars(length_ms, NOON, NOON + 20 * MINUTE - length_ms)
        expected = aggregated(seconds, length_ms)
        assert [rows.row(i)[:10] for i in range(len(rows))] == [expected.row(i)[:10] for i in range(len(expected))]
        for index in range(len(rows)):
            begin_ms = int(rows.begin_ms[index])
            assert over.so_far(length_ms, begin_ms, begin_ms + length_ms) == rows.row(index)
    honest = tape.bars(SECOND, NOON, NOON + 7 * MINUTE + 20_000)
    before = seconds.between(NOON, NOON + 7 * MINUTE + 20_000)
    assert [before.row(i) for i in range(len(before))] == [honest.row(i) for i in range(len(honest))]


def test_nothing_is_traded_while_halted_and_prices_stand_still_while_quiet():
    period = Halt(NOON + MINUTE, NOON + 3 * MINUTE)
    _, halted = altered(halts=[period])
    assert halted.bars(MINUTE, NOON, NOON + 4 * MINUTE).begin_ms.tolist() == [
        NOON,
        NOON + 3 * MINUTE,
        NOON + 4 * MINUTE,
    ]
    assert halted.so_far(MINUTE, NOON + MINUTE, NOON + MINUTE + 30_000) is None
    tape, quiet = altered(quiets=[period])
    rows = quiet.bars(MINUTE, NOON, NOON + 4 * MINUTE)
    close = tape.bars(MINUTE, NOON, NOON).row(0).close
    for index in (1, 2):
        assert rows.row(index)[1:9] == (close, close, close, close, 0, 0, 0, 0)
    hour = quiet.bars(HOUR, NOON, NOON).row(0)
    assert 0 < hour.trades < tape.bars(HOUR, NOON, NOON).row(0).trades


def test_a_tape_without_periods_is_the_tape_under_it():
    tape, over = altered(holes=[Hole(Halt(NOON), lambda _: False, None)])
    for length_ms in (SECOND, MINUTE, HOUR):
        mine, its = (one.bars(length_ms, NOON - HOUR, NOON + HOUR) for one in (over, tape))
        assert mine.begin_ms.tolist() == its.begin_ms.tolist()
        assert mine.quote.tolist() == its.quote.tolist()


async def test_a_halted_symbol_has_no_candles_until_it_trades_again(stage):
    socket = await stage.socket(BTC)
    await event(socket)
    first = stage.begin_ms
    told = await stage.control("POST", "/market/halt", {"venue": "spot", "symbol": "BTCUSDT"})
    assert told["halted_ms"] == stage.now_ms
    info = (await stage.rest("/api/v3/exchangeInfo", symbol="BTCUSDT"))[2]
    assert '"status":"HALT"' in info
    stage.advance(3 * SECOND)
    assert (await next_final(socket))["k"]["t"] == first
    assert [row[0] for row in await stage.klines(startTime=first)] == [first]
    await stage.control("POST", "/market/resume", {"venue": "spot", "symbol": "BTCUSDT"})
    stage.advance(2 * SECOND)
    assert (await next_final(socket))["k"]["t"] == first + 4 * SECOND
    assert [row[0] for row in await stage.truth(first, stage.now_ms)] == [first, first + 4 * SECOND]
    (symbol,) = [one for one in await stage.control("GET", "/truth/symbols?venue=spot") if one["symbol"] == "BTCUSDT"]
    assert symbol["halts"] == [[first + 500, first + 3500]]
    assert symbol["status"] == "TRADING"


async def test_a_halted_contract_refuses_its_klines(stage):
    await stage.control("POST", "/market/halt", {"venue": "um", "symbol": "BTCUSDT"})
    status, _, text = await stage.rest("/fapi/v1/klines", spot=False, symbol="BTCUSDT", interval="1m")
    assert (status, text) == (400, '{"code":-1122,"msg":"Invalid symbol status."}')


@pytest.mark.parametrize("kind", ["no_frames", "flat"])
async def test_a_quiet_market_sends_no_open_events_and_rest_has_flat_rows(stage, kind):
    socket = await stage.socket(BTC)
    await event(socket)
    begin_ms = stage.begin_ms
    number = await stage.fault("quiet", symbols=["BTCUSDT"], kind=kind)
    finals = []
    for _ in range(6):
        stage.advance(SECOND // 2)
        await asyncio.sleep(0.03)
    await stage.off(number)
    stage.advance(2 * SECOND)
    while not finals or finals[-1]["k"]["t"] < begin_ms + 4 * SECOND:
        told = await event(socket)
        finals += [told] if told["k"]["x"] else []
    (row,) = await stage.klines(startTime=begin_ms + 2 * SECOND, limit=1)
    assert (row[5], row[8]) == ("0.00000000", 0)
    assert row[1] == row[2] == row[3] == row[4] == finals[0]["k"]["c"]
    rows = await stage.truth(begin_ms, begin_ms + 4 * SECOND)
    assert len(rows) == 5
    flat = [one["k"] for one in finals if one["k"]["n"] == 0]
    assert [candle["t"] for candle in flat] == ([begin_ms + s * SECOND for s in (1, 2, 3)] if kind == "flat" else [])
    assert all(candle["c"] == row[4] for candle in flat)


async def test_a_hole_is_missing_everywhere_and_for_good(stage):
    socket = await stage.socket(BTC)
    await event(socket)
    begin_ms = stage.begin_ms
    number = await stage.fault("klines_hole", begins=[begin_ms + SECOND])
    stage.advance(3 * SECOND)
    assert [(await next_final(socket))["k"]["t"] for _ in range(2)] == [begin_ms, begin_ms + 2 * SECOND]
    await stage.off(number)
    expected = [begin_ms, begin_ms + 2 * SECOND]
    assert [row[0] for row in await stage.klines(startTime=begin_ms, limit=2)] == expected
    assert [row[0] for row in await stage.truth(begin_ms, begin_ms + 2 * SECOND)] == expected


async def test_a_share_of_the_candles_of_a_time_never_existed(stage):
    begin_ms = stage.begin_ms
    number = await stage.fault("klines_hole", share=0.5, venue="spot")
    stage.advance(100 * SECOND)
    await stage.off(number)
    stage.advance(100 * SECOND)
    rows = [row[0] for row in await stage.truth(begin_ms, stage.now_ms)]
    during = [begin for begin in rows if begin <= begin_ms + 100 * SECOND]
    assert 30 < len(during) < 70
    assert len(rows) - len(during) == 99
    page = await stage.klines(startTime=begin_ms, endTime=rows[-1], limit=1000)
    assert [row[0] for row in page] == rows


async def test_a_listing_is_like_another_symbol(stage):
    keys = {"venue": "um", "symbol": "NEWUSDT", "like": "XAUUSDT"}
    told = await stage.control("POST", "/market/list", keys)
    assert told["listed_ms"] == stage.now_ms // MINUTE * MINUTE
    symbols = {one["symbol"]: one for one in await stage.control("GET", "/truth/symbols?venue=um")}
    assert symbols["NEWUSDT"]["contract_type"] == "TRADIFI_PERPETUAL"
    assert (symbols["NEWUSDT"]["base"], symbols["NEWUSDT"]["status"]) == ("NEW", "TRADING")
    assert "already" in (await stage.control("POST", "/market/list", keys, status=400))["error"]


async def test_a_listing_in_the_future_comes_when_its_moment_comes(stage):
    at_ms = stage.now_ms + 90_000
    keys = {"venue": "spot", "symbol": "NEWUSDT", "like": "BTCUSDT", "at_ms": at_ms}
    assert (await stage.control("POST", "/market/list", keys))["listed_ms"] == at_ms // MINUTE * MINUTE
    socket = await stage.socket("newusdt@kline_1s")
    assert (await stage.rest("/api/v3/klines", symbol="NEWUSDT", interval="1s"))[0] == 400
    stage.advance(90_000)
    assert (await event(socket))["s"] == "NEWUSDT"


@pytest.mark.parametrize("venue", ["spot", "um"])
async def test_a_delisted_ticker_comes_back_as_another_asset(stage, venue):
    keys = {"venue": venue, "symbol": "SOLUSDT"}
    assert "trades" in (await stage.control("POST", "/market/relist", {**keys, "seed": 5}, status=400))["error"]
    end_ms = (await stage.control("POST", "/market/delist", keys))["delisted_ms"]
    assert "until" in (await stage.control("POST", "/market/relist", {**keys, "seed": 5}, status=400))["error"]
    socket = await stage.socket("solusdt@kline_1m", spot=venue == "spot")
    stage.advance(2 * MINUTE)
    old = await stage.truth(end_ms - 3 * MINUTE, stage.now_ms, "SOLUSDT", "1m", venue)
    assert old[-1][0] == end_ms - MINUTE
    told = await stage.control("POST", "/market/relist", {**keys, "seed": 5})
    assert told["listed_ms"] == end_ms + MINUTE
    stage.advance(MINUTE)
    while (final := await next_final(socket))["k"]["t"] < end_ms + MINUTE:
        pass
    truth = await stage.truth(end_ms - 3 * MINUTE, stage.now_ms, "SOLUSDT", "1m", venue)
    assert truth[:-1] == old
    assert truth[-1][0] == final["k"]["t"] == end_ms + MINUTE
    assert truth[-1][4] == final["k"]["c"]
    path = "/api/v3/klines" if venue == "spot" else "/fapi/v1/klines"
    status, _, text = await stage.rest(path, spot=venue == "spot", symbol="SOLUSDT", interval="1m")
    assert (status, text.count("[")) == (200, 3)  # the new asset's closed candle and its open one
    (symbol,) = [one for one in await stage.control("GET", f"/truth/symbols?venue={venue}")
                 if one["symbol"] == "SOLUSDT"]  # fmt: skip
    assert (symbol["listed_ms"], symbol["delisted_ms"]) == (end_ms + MINUTE, None)
    assert [one["delisted_ms"] for one in symbol["earlier"]] == [end_ms]
    if venue == "um":
        info = (await stage.rest("/fapi/v1/exchangeInfo", spot=False))[2]
        assert f'"onboardDate":{end_ms + MINUTE}' in info


async def test_the_clock_may_be_wrong_and_may_jump(stage):
    socket = await stage.socket(BTC)
    await event(socket)
    begin_ms = stage.begin_ms
    assert (await stage.control("POST", "/clock", {"skew_ms": 5000}))["now_ms"] == begin_ms + 5500
    assert [(await next_final(socket))["k"]["t"] for _ in range(5)][-1] == begin_ms + 4 * SECOND
    assert (await stage.control("POST", "/clock", {"jump_ms": -60_000}))["skew_ms"] == -55_000
    begin_ms = stage.begin_ms
    stage.advance(SECOND)
    while (final := await next_final(socket))["k"]["t"] != begin_ms:
        assert final["k"]["t"] > begin_ms
    assert str(stage.now_ms) in (await stage.rest("/api/v3/time"))[2]


def test_a_fault_that_names_no_symbol_is_about_all_and_shares_differ_between_faults():
    faults = Faults(Clock(), seed=3)
    faults.switch_on(Fault("finals_dropped", share=0.5))
    faults.switch_on(Fault("finals_late", share=0.5))
    hit = {name: [faults.find(name, Venue.UM, "X", n) is not None for n in range(200)]
           for name in ("finals_dropped", "finals_late")}  # fmt: skip
    assert hit["finals_dropped"] != hit["finals_late"]
    assert all(60 < sum(one) < 140 for one in hit.values())
