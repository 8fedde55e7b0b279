from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.dialect.funding import (
    HOUR_MS,
    FundingInfo,
    FundingRate,
    PremiumIndex,
    decode_funding_info,
    decode_funding_rates,
    decode_premium_index,
    funding_interval_hours,
    round_to_hour,
)
from kit.errors import BadAnswerError
from kit.words import Venue
from tests.dialect.recorded import recorded

DECODERS = [decode_premium_index, decode_funding_rates, decode_funding_info]


def as_body(*entries: dict[str, object]) -> bytes:
    return json.dumps(entries).encode()


PREMIUM = {
    "symbol": "BTCUSD_PERP",
    "pair": "BTCUSD",
    "markPrice": "11029.5",
    "indexPrice": "10979.25",
    "lastFundingRate": "0.00071003",
    "nextFundingTime": 1596096000000,
    "time": 1596094042000,
}


def test_a_premium_is_read():
    expected = PremiumIndex("BTCUSD_PERP", 11029.5, 10979.25, 0.00071003, 1596096000000, 1596094042000)
    assert decode_premium_index(Venue.CM, as_body(PREMIUM)) == (expected,)


def test_one_symbol_of_usd_margined_comes_without_a_list():
    assert len(decode_premium_index(Venue.UM, json.dumps(PREMIUM).encode())) == 1


def test_a_quarterly_has_no_rate_and_no_next_settlement():
    (quarterly,) = decode_premium_index(Venue.CM, as_body(PREMIUM | {"lastFundingRate": "", "nextFundingTime": 0}))
    assert (quarterly.last_funding_rate, quarterly.next_funding_ms) == (None, None)


def test_a_settlement_is_keyed_by_the_hour_and_keeps_its_own_time():
    settlement = {"symbol": "XAUUSDT", "fundingTime": 1790611200002, "fundingRate": "0.00019912", "markPrice": ""}
    (read,) = decode_funding_rates(Venue.UM, as_body(settlement))
    assert read == FundingRate("XAUUSDT", 1790611200000, 1790611200002, 0.00019912, None, "Regular")


def test_a_special_settlement_is_told_apart():
    special = {"symbol": "A", "fundingTime": HOUR_MS, "fundingRate": "-0.1", "rateType": "Special"}
    assert decode_funding_rates(Venue.UM, as_body(special))[0].rate_type == "Special"


def test_a_missing_interval_is_eight_hours():
    entries = [{"symbol": "A", "fundingIntervalHours": 4, "adjustedFundingRateCap": "0.02"}, {"symbol": "B"}]
    infos = {each.symbol: each for each in decode_funding_info(Venue.UM, as_body(*entries))}
    assert infos["A"] == FundingInfo("A", 4, 0.02, None)
    assert [funding_interval_hours(symbol, infos) for symbol in "ABC"] == [4, 8, 8]


@given(st.integers(0, 10**6), st.integers(-1_000, 1_000))
def test_a_jitter_of_milliseconds_never_changes_the_hour(hours: int, jitter: int):
    assert round_to_hour(hours * HOUR_MS + jitter) == hours * HOUR_MS


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize("bad", [b"", b"<html>", b"[1]", b"[{}]", b"null", b'[{"symbol":5}]', b"[" * 100_000])
def test_what_is_no_such_answer_is_a_bad_answer(decode, bad: bytes):
    with pytest.raises(BadAnswerError):
        decode(Venue.UM, bad)


@pytest.mark.parametrize("number", ["x", "nan", "-inf", "1e999"])
def test_what_is_no_number_is_a_bad_answer(number: str):
    with pytest.raises(BadAnswerError):
        decode_premium_index(Venue.UM, as_body(PREMIUM | {"markPrice": number}))


def test_nothing_is_an_answer_too():
    assert [decode(Venue.UM, b"[]") for decode in DECODERS] == [(), (), ()]


def test_recorded_answers_are_read():
    premium = decode_premium_index(Venue.UM, recorded("um/premiumIndex_um_2026-09-30_two_symbols.json"))
    assert [(each.symbol, each.last_funding_rate) for each in premium] == [
        ("BTCUSDT", 4.558e-05),
        ("XAUUSDT", 4.82e-05),
    ]
    rates = decode_funding_rates(Venue.UM, recorded("um/fundingRate_um_XAUUSDT_2026-09-28_to_30.json"))
    assert {later.funding_ms - one.funding_ms for one, later in itertools.pairwise(rates)} == {4 * HOUR_MS}


@pytest.mark.parametrize("venue", ["Usd", "Coin"])
def test_the_documents_answers_are_read(venue: str):
    premium = "GetMarkPrice" if venue == "Usd" else "GetMarkPrices"
    for name, decode in zip((premium, "GetFundingRates", "GetFundingInfo"), DECODERS, strict=True):
        assert decode(Venue.UM, recorded(f"doc_derived/{venue}Futures_ExchangeData_{name}.json"))
