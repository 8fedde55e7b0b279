"""Made-up candles: consistent in themselves, across intervals and restarts, and whole as well as still open."""

from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.embedded_exchange.bars import Bars, aggregated
from kit.embedded_exchange.minute import Minute, bar_of, trades_by
from kit.embedded_exchange.settings import Settings
from kit.words import Interval, Venue
from tests.embedded_exchange.builders import DAY, HOUR, MINUTE, NOON, SECOND, market

MARKET = market()
SYMBOLS = [(Venue.SPOT, "BTCUSDT"), (Venue.UM, "ETHUSDT"), (Venue.UM, "1000PEPEUSDT"), (Venue.CM, "BTCUSD_PERP")]
QUIET_MARKET = market(Settings(symbols=8, history_days=30, illiquid_share=1.0))
COLUMNS = tuple(Bars.__dataclass_fields__)


def tape_of(venue, symbol, where=MARKET):
    return where.tape(where.get(venue, symbol))


def same(left, right):
    return all(np.array_equal(getattr(left, column), getattr(right, column)) for column in COLUMNS)


@pytest.mark.parametrize(("venue", "symbol"), SYMBOLS)
@given(
    interval=st.sampled_from([one for one in Interval if one.ms > MINUTE]),
    back=st.integers(0, 300 * DAY),
    count=st.integers(1, 12),
)
def test_every_interval_is_the_exact_aggregate_of_its_minutes(venue, symbol, interval, back, count):
    tape = tape_of(venue, symbol)
    first = (NOON - back) // interval.ms * interval.ms
    last = first + (count - 1) * interval.ms
    minutes = tape.bars(MINUTE, first, last + interval.ms - MINUTE)
    assert same(tape.bars(interval.ms, first, last), aggregated(minutes, interval.ms))


@pytest.mark.parametrize("where", [MARKET, QUIET_MARKET])
@given(minute=st.integers(0, 20_000))
def test_sixty_seconds_make_exactly_their_minute(where, minute):
    tape = tape_of(Venue.SPOT, "XRPUSDT", where)
    begin = NOON - minute * MINUTE
    seconds = tape.bars(SECOND, begin, begin + 59 * SECOND)
    assert len(seconds) == 60
    assert same(aggregated(seconds, MINUTE), tape.bars(MINUTE, begin, begin))


@pytest.mark.parametrize(("venue", "symbol"), SYMBOLS)
@given(interval=st.sampled_from([Interval.M1, Interval.M5, Interval.H1, Interval.D1]), back=st.integers(0, 300 * DAY))
def test_a_candle_so_far_becomes_the_whole_candle_at_its_close(venue, symbol, interval, back):
    tape = tape_of(venue, symbol)
    begin = (NOON - back) // interval.ms * interval.ms
    assert tape.so_far(interval.ms, begin, begin + interval.ms) == tape.bars(interval.ms, begin, begin).row(0)


@given(
    begin=st.integers(0, 5000).map(lambda back: NOON - back * 5 * MINUTE),
    moments=st.lists(st.integers(1, 5 * MINUTE), min_size=1),
)
def test_a_candle_only_grows_and_the_final_holds_at_least_one_more_trade(begin, moments):
    tape = tape_of(Venue.UM, "BTCUSDT")
    whole = tape.so_far(5 * MINUTE, begin, begin + 5 * MINUTE)
    seen = [tape.so_far(5 * MINUTE, begin, begin + moment) for moment in sorted(moments)]
    for earlier, later in zip(seen, [*seen[1:], whole], strict=True):
        assert earlier.open == later.open
        assert earlier.trades <= later.trades
        assert earlier.high <= later.high
        assert earlier.low >= later.low
        assert earlier.volume <= later.volume
        assert earlier.quote <= later.quote
        assert earlier.first_id == later.first_id
    before_close = tape.so_far(5 * MINUTE, begin, begin + 5 * MINUTE - 1)
    assert before_close.trades < whole.trades


@given(
    prices=st.tuples(*[st.integers(20, 10**7)] * 4),
    trades=st.integers(4, 100_000),
    lots=st.tuples(st.integers(0, 10**8), st.integers(64, 191)),
    cuts=st.lists(st.integers(1, MINUTE - 1), max_size=20),
    inverse=st.sampled_from([0, 10**11]),
)
def test_a_minute_cut_anywhere_adds_up(prices, trades, lots, cuts, inverse):
    extra, taker = lots
    minute = Minute(0, prices, trades, trades + extra, taker, 77, inverse)
    whole = bar_of(minute, 0, MINUTE)
    edges = [0, *sorted(cuts), MINUTE]
    parts = [bar_of(minute, low, high) for low, high in pairwise(edges)]
    joined = parts[0]
    for part in parts[1:]:
        joined = joined.then(part)
        assert part.taker_base <= part.volume
        assert part.taker_quote <= part.quote or inverse
        if part.trades:
            assert part.volume >= part.trades
    assert joined == whole._replace(begin_ms=joined.begin_ms)


@given(trades=st.integers(4, 10**6), moment=st.integers(1, MINUTE - 1))
def test_a_minutes_first_trade_comes_at_once_and_its_last_only_at_the_close(trades, moment):
    assert 1 <= trades_by(trades, moment) < trades == trades_by(trades, MINUTE)


@pytest.mark.parametrize(("venue", "symbol"), SYMBOLS)
def test_candles_are_plausible(venue, symbol):
    bars = tape_of(venue, symbol).bars(MINUTE, NOON - 2000 * MINUTE, NOON)
    assert (bars.low <= np.minimum(bars.open, bars.close)).all()
    assert (bars.high >= np.maximum(bars.open, bars.close)).all()
    assert (bars.low > 0).all()
    assert (bars.trades >= 4).all()
    assert (bars.taker_base < bars.volume).all()
    step = np.abs(np.diff(np.log(bars.close.astype(float))))
    assert 0.0001 < step.mean() < 0.003
    if venue is not Venue.CM:  # the mean price lies inside the candle
        assert (bars.quote >= bars.volume * bars.low).all()
        assert (bars.quote <= bars.volume * bars.high).all()


def test_prices_stay_near_their_level_for_years():
    days = tape_of(Venue.UM, "BTCUSDT").bars(DAY, NOON - 390 * DAY, NOON)
    assert days.close.min() / days.close.max() > 0.1


def test_coin_margined_turnover_is_base_asset():
    instrument = MARKET.get(Venue.CM, "BTCUSD_PERP")
    bar = MARKET.tape(instrument).bars(HOUR, NOON - HOUR, NOON - HOUR).row(0)
    contracts, coins = (
        Decimal(instrument.scales.quantity.text(bar.volume)),
        Decimal(instrument.scales.turnover.text(bar.quote)),
    )
    price = contracts * instrument.record["contractSize"] / coins
    assert Decimal(instrument.scales.price.text(bar.low)) * Decimal("0.9999") <= price
    assert price <= Decimal(instrument.scales.price.text(bar.high)) * Decimal("1.0001")


def test_quiet_minutes_stay_at_the_last_close_without_volume():
    bars = tape_of(Venue.UM, "BNBUSDT", QUIET_MARKET).bars(MINUTE, NOON - 1000 * MINUTE, NOON)
    quiet = np.flatnonzero(bars.trades[1:] == 0) + 1
    assert 200 < len(quiet) < 400
    for column in ("open", "high", "low", "close"):
        assert (getattr(bars, column)[quiet] == bars.close[quiet - 1]).all()
    for column in ("volume", "quote", "taker_base", "taker_quote"):
        assert (getattr(bars, column)[quiet] == 0).all()
    assert (bars.first_id[quiet] == -1).all()


def test_a_restart_changes_nothing_and_a_seed_changes_everything():
    again = tape_of(Venue.UM, "ETHUSDT", market())
    other = tape_of(Venue.UM, "ETHUSDT", market(Settings(symbols=8, seed=2)))
    window = (MINUTE, NOON - 100 * MINUTE, NOON)
    assert same(again.bars(*window), tape_of(Venue.UM, "ETHUSDT").bars(*window))
    assert not np.array_equal(other.bars(*window).close, again.bars(*window).close)


def test_a_page_is_the_same_wherever_it_starts():
    tape = tape_of(Venue.UM, "BNBUSDT", QUIET_MARKET)
    whole = tape.bars(MINUTE, NOON - 500 * MINUTE, NOON)
    for start in (1, 7, 8, 250):
        part = tape.bars(MINUTE, NOON - (500 - start) * MINUTE, NOON)
        assert same(part, whole.part(slice(start, None)))


def test_the_candle_of_the_listing_begins_at_its_aligned_time_and_is_shorter_inside():
    where = market()
    listed = NOON - 100 * MINUTE  # 10:20
    one = where.list_symbol(Venue.UM, "NEWUSDT", base="NEW", quote="USDT", at_ms=listed + 12_345, price=3.0)
    tape = where.tape(one)
    hours = tape.bars(HOUR, NOON - 5 * HOUR, NOON - HOUR)
    assert hours.begin_ms.tolist() == [NOON - 2 * HOUR, NOON - HOUR]
    minutes = tape.bars(MINUTE, NOON - 5 * HOUR, NOON - HOUR - MINUTE)
    assert (minutes.begin_ms[0], len(minutes)) == (listed, 40)
    assert hours.row(0) == aggregated(minutes, HOUR).row(0)
    assert tape.so_far(HOUR, NOON - 3 * HOUR, NOON - 2 * HOUR) is None
    assert tape.so_far(HOUR, NOON - 2 * HOUR, NOON - HOUR) == hours.row(0)


def test_a_delisted_symbol_ends_with_the_running_minute():
    where = market()
    tape = tape_of(Venue.UM, "ETHUSDT", where)
    before = tape.bars(HOUR, NOON - HOUR, NOON + HOUR)
    assert len(before) == 3
    assert where.delist(Venue.UM, "ETHUSDT", NOON + 30_500) == NOON + MINUTE
    assert tape.bars(MINUTE, NOON - MINUTE, NOON + 5 * MINUTE).begin_ms.tolist() == [NOON - MINUTE, NOON]
    assert tape.bars(HOUR, NOON, NOON + HOUR).row(0) == tape.so_far(HOUR, NOON, NOON + HOUR)
    assert tape.so_far(MINUTE, NOON + MINUTE, NOON + 2 * MINUTE) is None
    assert where.get(Venue.UM, "ETHUSDT").record["deliveryDate"] == NOON + MINUTE


def test_spot_writes_eight_places_and_futures_those_of_tick_and_step():
    spot, future = MARKET.get(Venue.SPOT, "BTCUSDT").scales, MARKET.get(Venue.UM, "BTCUSDT").scales
    assert (spot.price.text(970_001), spot.quantity.text(7), spot.turnover.text(1)) == (
        "97000.10000000",
        "0.00007000",
        "0.00000100",
    )
    assert (future.price.text(970_001), future.quantity.text(7), future.turnover.text(1)) == (
        "97000.1",
        "0.007",
        "0.0001",
    )


def test_the_default_market_has_what_real_clients_stumble_over():
    um = {one.symbol: one.record for one in MARKET.instruments(Venue.UM)}
    spot = {one.symbol: one.record for one in MARKET.instruments(Venue.SPOT)}
    assert {"币安人生USDT", "1000PEPEUSDT", "FRESHUSDT", "BTCUSDC"} <= set(um)
    assert {record["contractType"] for record in um.values()} == {
        "PERPETUAL", "TRADIFI_PERPETUAL", "CURRENT_QUARTER", "NEXT_QUARTER",
    }  # fmt: skip
    assert {record["status"] for record in um.values()} == {"TRADING", "SETTLING", "PENDING_TRADING"}
    assert {record["status"] for record in spot.values()} == {"TRADING", "BREAK"}
    assert not spot["MARGINUSDT"]["isSpotTradingAllowed"]
    assert spot["USDCUSDT"]["permissions"] == []
    assert isinstance(spot["USDCUSDT"]["permissionSets"][0], list)
    assert "contractStatus" in MARKET.instruments(Venue.CM)[0].record


@pytest.mark.parametrize("count", [1, 8, 60, 300, 750])
def test_the_number_of_symbols_is_that_of_each_usdt_market(count):
    where = market(Settings(symbols=count))
    perpetuals = [
        one for one in where.instruments(Venue.UM)
        if one.status == "TRADING" and one.record["contractType"] == "PERPETUAL" and one.record["quoteAsset"] == "USDT"
    ]  # fmt: skip
    no_coin = {"USDC", "FDUSD", "TUSD", "USDP", "DAI", "EUR"}
    pairs = [
        one for one in where.instruments(Venue.SPOT)
        if one.status == "TRADING" and one.record["isSpotTradingAllowed"]
        and one.record["quoteAsset"] == "USDT" and one.record["baseAsset"] not in no_coin
    ]  # fmt: skip
    assert len(perpetuals) == len(pairs) == count
    assert len({one.symbol for one in perpetuals}) == count
