"""Resampled candles against the exchange's own, and against an independent aggregation of its decimals."""

from __future__ import annotations

import pytest

from kit.embedded_exchange import EmbeddedExchange, Settings
from kit.words import Interval, Venue
from tests.embedded_exchange.stage import HeldClock
from tests.resample.builders import Resampled, as_candle, by_hand

DAY = Interval.D1.ms
TARGETS = ("15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d")


@pytest.fixture(scope="module")
def exchange():
    return EmbeddedExchange(Settings(symbols=4, history_days=5), HeldClock())


def sample(exchange, venue):
    names = [one.symbol for one in exchange.market.instruments(venue) if one.has_klines]
    return sorted(names)[:4]


def history(exchange, base, days, venue=Venue.UM):
    """The exchange's rows of some days before the last midnight, by symbol, and that midnight."""
    now_ms = exchange.clock.now_ms()
    midnight_ms = now_ms - now_ms % DAY
    first_ms = midnight_ms - int(days * DAY)
    rows = {
        symbol: exchange.candles(venue, symbol, base, first_ms, midnight_ms - base.ms)
        for symbol in sample(exchange, venue)
    }
    return rows, midnight_ms


def stored(tmp_path, rows, base, target, **more):
    market = Resampled(tmp_path / f"{base}-{target}", base, target, **more)
    market.store(as_candle(symbol, row) for symbol, each in rows.items() for row in each)
    return market


@pytest.mark.parametrize("target", TARGETS)
def test_at_offset_zero_they_are_the_exchanges_own_to_the_last_bit(tmp_path, exchange, target):
    rows, midnight_ms = history(exchange, Interval.M5, 3)
    market = stored(tmp_path, rows, "5m", target)
    market.update(midnight_ms)
    own = [
        as_candle(symbol, row)
        for symbol in sorted(rows)
        for row in exchange.candles(Venue.UM, symbol, Interval(target), midnight_ms - 3 * DAY, midnight_ms - 1)
    ]
    assert own
    assert market.candles() == own


@pytest.mark.parametrize("venue", [Venue.SPOT, Venue.CM])
def test_the_other_venues_give_their_own_candles_too(tmp_path, exchange, venue):
    trade_type = {Venue.SPOT: "usdt_spot", Venue.CM: "coin_perp"}[venue]
    rows, midnight_ms = history(exchange, Interval.M5, 1, venue)
    market = stored(tmp_path, rows, "5m", "4h", trade_type=trade_type)
    market.update(midnight_ms)
    own = [
        as_candle(symbol, row)
        for symbol in sorted(rows)
        for row in exchange.candles(venue, symbol, Interval.H4, midnight_ms - DAY, midnight_ms - 1)
    ]
    assert own
    assert market.candles() == own


@pytest.mark.parametrize(
    ("base", "target", "days"), [("5m", "1h", 1), ("1h", "1d", 4), ("30m", "12h", 2), ("1m", "15m", 0.25)]
)
def test_at_every_other_offset_they_are_what_an_independent_aggregation_gives(tmp_path, exchange, base, target, days):
    rows, midnight_ms = history(exchange, Interval(base), days)
    market = stored(tmp_path, rows, base, target)
    market.update(midnight_ms)
    assert len(market.offsets_ms) == Interval(target).ms // Interval(base).ms
    for offset_ms in market.offsets_ms:
        expected = [
            candle
            for symbol in sorted(rows)
            for candle in by_hand(symbol, rows[symbol], Interval(base), Interval(target), offset_ms)
        ]
        assert expected
        assert market.candles(offset_ms) == expected, offset_ms


def test_period_by_period_gives_what_making_all_at_once_gives(tmp_path, exchange):
    rows, midnight_ms = history(exchange, Interval.M5, 0.5)
    at_once = stored(tmp_path / "once", rows, "5m", "1h")
    at_once.update(midnight_ms)
    market = Resampled(tmp_path / "live", "5m", "1h")
    for index in range(len(next(iter(rows.values())))):
        period = [as_candle(symbol, each[index]) for symbol, each in rows.items()]
        market.store(period)
        written = market.update(period[0].begin_ms + Interval.M5.ms)
        assert written == (len(rows) if index >= 11 else 0), "only the offset that closes now"
    for offset_ms in market.offsets_ms:
        assert market.candles(offset_ms) == at_once.candles(offset_ms)
