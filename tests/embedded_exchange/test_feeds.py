"""When which kline event is due, with a clock that the tests move by hand."""

import json

import pytest

from kit.embedded_exchange.feeds import Hub
from kit.embedded_exchange.settings import Finals, Settings, parse_finals
from kit.errors import UnknownWordError
from kit.words import Venue
from tests.embedded_exchange.builders import HOUR, MINUTE, NOON, market

BURST = Settings(symbols=8, history_days=30, finals=Finals("burst"), illiquid_share=0.0)


class Listener:
    """A hub with one client; ``advance`` lets time pass in steps and returns the events of that time."""

    def __init__(self, settings=BURST, *, spot=False, start_ms=NOON, where=None):
        self.market = where or market(settings, NOON)
        self.hub = Hub(self.market, settings, lambda client, venue: True, spot=spot)
        self.now_ms = start_ms

    def subscribe(self, *names):
        for name in names:
            self.hub.subscribe("client", name, self.now_ms, combined=True)
        return self

    def advance(self, ms, step_ms=10):
        events = []
        for _ in range(0, ms, step_ms):
            self.now_ms += step_ms
            while self.hub.finals_due(self.now_ms):
                events += self.hub.finals(self.now_ms).get("client", [])
            events += self.hub.updates(step_ms // self.hub.STEP_MS, self.now_ms).get("client", [])
        return [json.loads(frame[frame.index(b"{") :])["data"] for frame in events]


def finals(events):
    return [event for event in events if event["k"]["x"]]


def test_an_open_candle_is_pushed_four_times_a_second():
    events = Listener(start_ms=NOON + 10_000).subscribe("btcusdt@kline_1m").advance(2000)
    assert 7 <= len(events) <= 9
    assert all(event["E"] > NOON for event in events)
    assert [event["k"]["n"] for event in events] == sorted({event["k"]["n"] for event in events})


def test_updates_of_many_streams_do_not_come_in_one_lump():
    listener = Listener(start_ms=NOON + 10_000)
    names = [f"{one.symbol.lower()}@kline_{interval}" for one in listener.market.instruments(Venue.UM)
             if one.status == "TRADING" for interval in ("1m", "5m")]  # fmt: skip
    listener.subscribe(*names)
    times = [event["E"] for event in listener.advance(250)]
    assert len(times) >= 0.9 * len(names)
    assert max(times.count(moment) for moment in times) <= 2 + len(names) // 25


def test_the_final_comes_after_the_close_before_the_next_candle_and_holds_more():
    events = Listener(start_ms=NOON + 59_000).subscribe("btcusdt@kline_1m").advance(2000)
    last = next(index for index, event in enumerate(events) if event["k"]["x"])
    assert all(event["k"]["t"] == NOON for event in events[: last + 1])
    assert all(event["k"]["t"] == NOON + MINUTE for event in events[last + 1 :])
    assert events[last]["k"]["n"] > events[last - 1]["k"]["n"]
    assert events[last]["E"] >= NOON + MINUTE
    assert len(finals(events)) == 1


@pytest.mark.parametrize("interval", ["1m", "5m", "1h", "1d"])
def test_the_final_is_the_rest_row_to_the_character(interval):
    begin = {"1m": NOON - MINUTE, "5m": NOON - 5 * MINUTE, "1h": NOON - HOUR, "1d": NOON - 12 * HOUR}[interval]
    length = {"1m": MINUTE, "5m": 5 * MINUTE, "1h": HOUR, "1d": 24 * HOUR}[interval]
    listener = Listener(start_ms=begin + length - 500).subscribe(f"ethusdt@kline_{interval}")
    candle = finals(listener.advance(600))[0]["k"]
    instrument = listener.market.get(Venue.UM, "ETHUSDT")
    bar = listener.market.tape(instrument).bars(length, begin, begin).row(0)
    price, quantity, turnover = (
        instrument.scales.price.text,
        instrument.scales.quantity.text,
        instrument.scales.turnover.text,
    )
    assert (candle["o"], candle["h"], candle["l"], candle["c"]) == tuple(
        map(price, (bar.open, bar.high, bar.low, bar.close))
    )
    assert (candle["v"], candle["V"]) == (quantity(bar.volume), quantity(bar.taker_base))
    assert (candle["q"], candle["Q"]) == (turnover(bar.quote), turnover(bar.taker_quote))
    assert (candle["t"], candle["T"], candle["n"]) == (begin, begin + length - 1, bar.trades)


def test_a_burst_of_a_whole_market_is_due_at_once():
    settings = Settings(symbols=100, history_days=30, finals=Finals("burst"), illiquid_share=0.0)
    listener = Listener(settings, start_ms=NOON + 59_900)
    names = [
        f"{one.symbol.lower()}@kline_1m" for one in listener.market.instruments(Venue.UM) if one.status == "TRADING"
    ]
    done = finals(listener.subscribe(*names).advance(120))
    assert len(done) == len(names)
    assert {event["E"] for event in done} == {NOON + 60_010}


def test_spread_finals_fill_their_seconds_and_real_ones_come_late_as_recorded():
    spread = [Finals("spread", 5.0).delay_ms(1, f"S{number}", NOON, illiquid=False) for number in range(1000)]
    assert (min(spread) < 100, 4900 < max(spread) < 5000, 2300 < sum(spread) / 1000 < 2700) == (True, True, True)
    real = [Finals("real").delay_ms(1, f"S{number}", NOON, illiquid=False) for number in range(1000)]
    assert (min(real) >= 200, max(real) <= 800) == (True, True)
    assert 2000 <= Finals("real").delay_ms(1, "S", NOON, illiquid=True) <= 2010
    assert spread[0] == Finals("spread", 5.0).delay_ms(1, "S0", NOON, illiquid=False)
    assert spread[0] != Finals("spread", 5.0).delay_ms(2, "S0", NOON, illiquid=False)


def test_whoever_subscribes_just_after_the_close_still_gets_the_final_under_way():
    settings = Settings(symbols=8, history_days=30, finals=Finals("spread", 5.0), illiquid_share=0.0)
    delay = settings.finals.delay_ms(1, "BTCUSDT", NOON - MINUTE, illiquid=False)
    assert finals(Listener(settings, start_ms=NOON + delay - 50).subscribe("btcusdt@kline_1m").advance(100))
    assert not finals(Listener(settings, start_ms=NOON + delay + 50).subscribe("btcusdt@kline_1m").advance(100))


def test_a_minute_without_trades_has_no_events_at_all():
    settings = Settings(symbols=8, history_days=30, finals=Finals("burst"), illiquid_share=1.0)
    listener = Listener(settings).subscribe("bnbusdt@kline_1m")
    tape = listener.market.tape(listener.market.get(Venue.UM, "BNBUSDT"))
    events = listener.advance(30 * MINUTE, step_ms=100)
    bars = tape.bars(MINUTE, NOON, NOON + 29 * MINUTE)
    traded = bars.begin_ms[bars.trades > 0].tolist()
    assert 0 < len(traded) < 30
    assert [event["k"]["t"] for event in finals(events)] == [begin for begin in traded if begin < NOON + 29 * MINUTE]
    assert {event["k"]["t"] for event in events} == set(traded)


def test_seconds_stream_on_spot_only():
    listener = Listener(spot=True, start_ms=NOON + 100).subscribe("btcusdt@kline_1s")
    done = finals(listener.advance(5000))
    assert [event["k"]["t"] for event in done] == [NOON + second * 1000 for second in range(len(done))]
    assert len(done) == 5
    assert Listener().subscribe("btcusdt@kline_1s").advance(3000) == []


def test_a_clock_that_jumps_ahead_closes_every_candle_it_jumps_over():
    listener = Listener(start_ms=NOON + 5000).subscribe("btcusdt@kline_1m")
    listener.now_ms += 5 * MINUTE
    assert [event["k"]["t"] for event in finals(listener.advance(20))] == [NOON + n * MINUTE for n in range(5)]


def test_a_stream_of_a_symbol_that_is_listed_later_begins_then():
    listener = Listener(start_ms=NOON + 5000).subscribe("newusdt@kline_1m")
    assert listener.advance(1000) == []
    listener.market.list_symbol(Venue.UM, "NEWUSDT", base="NEW", quote="USDT", at_ms=listener.now_ms, price=2.0)
    listener.hub.wake(listener.now_ms)
    assert {event["s"] for event in listener.advance(1000)} == {"NEWUSDT"}


def test_a_delisted_contract_goes_on_closing_flat_candles_and_a_halted_pair_is_silent():
    for spot in (False, True):
        listener = Listener(spot=spot, start_ms=NOON + 5000).subscribe("ethusdt@kline_1m")
        listener.market.delist(Venue.SPOT if spot else Venue.UM, "ETHUSDT", listener.now_ms)
        events = finals(listener.advance(3 * MINUTE, step_ms=100))
        assert events[0]["k"]["t"] == NOON
        assert events[0]["k"]["n"] > 0
        after = [(event["k"]["t"], event["k"]["n"], event["k"]["o"], event["k"]["c"]) for event in events[1:]]
        close = events[0]["k"]["c"]
        assert after == ([] if spot else [(NOON + n * MINUTE, 0, close, close) for n in (1, 2)])


def test_a_stream_that_nobody_wants_any_more_stops():
    listener = Listener(start_ms=NOON + 5000).subscribe("btcusdt@kline_1m", "nosuch@kline_1m")
    listener.hub.unsubscribe("client", "btcusdt@kline_1m")
    listener.hub.unsubscribe("client", "nosuch@kline_1m")
    listener.hub.unsubscribe("client", "never@kline_1m")
    assert listener.advance(2000) == []
    assert listener.subscribe("btcusdt@kline_1m").advance(1000)


@pytest.mark.parametrize(
    "name", ["BTCUSDT@kline_1m", "btcusdt@kline_9m", "btcusdt@trade", "btcusdt", "", "nosuch@kline_1m"]
)
def test_other_names_are_silent(name):
    assert Listener(start_ms=NOON + 5000).subscribe(name).advance(1000) == []


def test_spot_is_pushed_every_two_seconds_when_futures_are_every_quarter():
    settings = Settings()
    assert (settings.update_ms_of(Venue.SPOT), settings.update_ms_of(Venue.UM)) == (2000, 250)
    assert Settings(spot_update_ms=100).update_ms_of(Venue.SPOT) == 100


def test_finals_are_read_from_words():
    assert (parse_finals("real"), parse_finals("burst"), parse_finals("spread:2.5")) == (
        Finals("real"), Finals("burst"), Finals("spread", 2.5),
    )  # fmt: skip
    for wrong in ("late", "spread", "spread:x", "spread:-1"):
        with pytest.raises(UnknownWordError):
            parse_finals(wrong)
