from __future__ import annotations

import json

import pytest
from structlog.testing import capture_logs

from kit.dialect.symbols import SymbolInfo, belongs, decode_exchange_info, select, trades
from kit.errors import BadAnswerError
from kit.words import TradeType, Venue
from tests.dialect.recorded import recorded

LIMIT = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400}


def entry(**changes: object) -> dict[str, object]:
    """A USD-M perpetual; the test changes what it is about."""
    sound = {"symbol": "BTCUSDT", "pair": "BTCUSDT", "contractType": "PERPETUAL", "status": "TRADING"}
    assets = {"baseAsset": "BTC", "quoteAsset": "USDT", "marginAsset": "USDT", "underlyingType": "COIN"}
    dates = {"deliveryDate": 4133404800000, "onboardDate": 1569398400000, "underlyingSubType": ["PoW"]}
    filters = [
        {"filterType": "PRICE_FILTER", "tickSize": "0.10", "minPrice": "1"},
        {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.002"},
        {"filterType": "MIN_NOTIONAL", "notional": "100"},
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
    ]
    return sound | assets | dates | {"filters": filters} | changes


def answer(*entries: object, limits: list[object] | None = None) -> bytes:
    limits = [LIMIT] if limits is None else limits
    return json.dumps({"timezone": "UTC", "rateLimits": limits, "symbols": entries}).encode()


def info(venue: Venue = Venue.UM, **changes: object) -> SymbolInfo:
    return decode_exchange_info(venue, answer(entry(**changes))).symbols[0]


def spot(base: str, quote: str = "USDT", **changes: object) -> SymbolInfo:
    plain = {"symbol": base + quote, "status": "TRADING", "baseAsset": base, "quoteAsset": quote}
    return decode_exchange_info(Venue.SPOT, answer(plain | changes)).symbols[0]


def test_a_symbol_is_read_with_its_steps_and_dates():
    assert info() == SymbolInfo(
        venue="um",
        symbol="BTCUSDT",
        status="TRADING",
        base_asset="BTC",
        quote_asset="USDT",
        margin_asset="USDT",
        pair="BTCUSDT",
        contract_type="PERPETUAL",
        onboard_ms=1569398400000,
        delivery_ms=4133404800000,
        tick_size="0.10",
        step_size="0.001",
        min_quantity="0.002",
        min_notional="100",
        underlying_type="COIN",
        underlying_sub_type=("PoW",),
    )


def test_coin_margined_says_contract_status_and_size():
    coin = info(Venue.CM, status=None, contractStatus="PRE_SETTLE", contractSize=100)
    assert (coin.status, coin.contract_size) == ("PRE_SETTLE", "100")


def test_spot_has_its_own_names_for_the_least_value():
    pair = spot("ETH", filters=[{"filterType": "NOTIONAL", "minNotional": "5.0", "maxNotional": "9"}])
    assert (pair.min_notional, pair.pair, pair.onboard_ms) == ("5.0", "ETHUSDT", None)


def test_a_symbol_goes_through_a_plain_dict_and_back():
    plain = json.loads(json.dumps(info().to_dict()))
    assert SymbolInfo.from_dict(plain | {"of a later version": 1}) == info()
    with pytest.raises(BadAnswerError):
        SymbolInfo.from_dict({"symbol": "BTCUSDT"})


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ([LIMIT], 2400),
        ([{}, {"rateLimitType": "ORDERS", "interval": "MINUTE", "limit": 9}, LIMIT], 2400),
        ([LIMIT | {"intervalNum": 2}], 1200),
        ([LIMIT | {"interval": "SECOND"}], None),
        (["new kind", LIMIT], 2400),
        ([], None),
    ],
)
def test_the_weight_limit_is_per_minute(limits: list[object], expected: int | None):
    assert decode_exchange_info(Venue.UM, answer(entry(), limits=limits)).weight_limit == expected


def test_unknown_words_are_carried_counted_and_logged():
    odd = entry(symbol="A", status="SLEEPING", contractType="PERPETUAL_2", underlyingType="MOON")
    with capture_logs() as logs:
        read = decode_exchange_info(Venue.UM, answer(odd, entry(symbol="B", status="SLEEPING"), entry(symbol="C")))
    assert [each.status for each in read.symbols] == ["SLEEPING", "SLEEPING", "TRADING"]
    assert read.unknown == {"status=SLEEPING": 2, "contract_type=PERPETUAL_2": 1, "underlying_type=MOON": 1}
    assert [log["event"] for log in logs] == ["exchange_info.odd"]


@pytest.mark.parametrize(
    "bad",
    [
        {"symbol": 5},
        {"symbol": ""},
        {"baseAsset": None},
        {"status": None},
        {"onboardDate": "soon"},
        {"filters": [{"filterType": 5}]},
    ],
)
def test_one_malformed_entry_is_skipped_and_counted(bad: dict[str, object]):
    with capture_logs():
        read = decode_exchange_info(Venue.UM, answer(entry(**({"symbol": "X"} | bad)), entry()))
    assert ([each.symbol for each in read.symbols], read.malformed) == (["BTCUSDT"], 1)


def test_a_name_that_comes_twice_is_taken_once():
    with capture_logs():
        read = decode_exchange_info(Venue.UM, answer(entry(), entry(status="SETTLING")))
    assert ([each.status for each in read.symbols], read.malformed) == (["TRADING"], 1)


@pytest.mark.parametrize("bad", [b"", b"[]", b"{}", b"<html>", b'{"symbols":[]}', b'{"symbols":[1]}', b'{"symbols":5}'])
def test_an_answer_without_a_symbol_is_a_bad_answer(bad: bytes):
    with capture_logs(), pytest.raises(BadAnswerError):
        decode_exchange_info(Venue.UM, bad)


def slices(symbol: SymbolInfo) -> set[str]:
    return {trade_type.value for trade_type in TradeType if belongs(trade_type, symbol)}


@pytest.mark.parametrize(
    ("kind", "quote", "expected"),
    [
        ("PERPETUAL", "USDT", {"usdt_perp", "usdt_swap"}),
        ("PERPETUAL_DELIVERING", "USDT", {"usdt_perp", "usdt_swap"}),
        ("PERPETUAL", "USDC", {"usdc_perp"}),
        ("PERPETUAL", "BTC", {"btc_perp"}),
        ("PERPETUAL", "USD1", set()),
        ("TRADIFI_PERPETUAL", "USDT", {"usdt_tradfi"}),
        ("TRADIFI_PERPETUAL", "USD1", set()),
        ("CURRENT_QUARTER", "USDT", {"usdt_deli"}),
        ("NEXT_QUARTER", "USDT", {"usdt_deli"}),
        ("CURRENT_QUARTER DELIVERING", "USDT", {"usdt_deli"}),
        ("CURRENT_QUARTER_DELIVERING", "USDT", {"usdt_deli"}),
        ("NEXT_QUARTER", "USDC", set()),
        ("", "USDT", set()),
        ("SOMETHING_NEW", "USDT", set()),
    ],
)
def test_usd_margined_slices_go_by_kind_and_quote(kind: str, quote: str, expected: set[str]):
    with capture_logs():
        assert slices(info(contractType=kind, quoteAsset=quote)) == expected


def test_coin_margined_slices_go_by_kind():
    assert slices(info(Venue.CM, quoteAsset="USD")) == {"coin_perp", "coin_swap"}
    assert slices(info(Venue.CM, quoteAsset="USD", contractType="NEXT_QUARTER_DELIVERING")) == {"coin_deli"}


@pytest.mark.parametrize("base", ["BTC", "JUP", "SUPER", "PAXG", "USTC", "TSLAB", "币安人生", "EURX"])
def test_coins_are_of_the_spot_slice(base: str):
    assert slices(spot(base)) == {"usdt_spot"}
    assert slices(spot(base, "USDC")) == {"usdc_spot"}
    assert slices(spot(base, "BTC")) == {"btc_spot"}


@pytest.mark.parametrize("base", ["USDC", "FDUSD", "USD1", "EUR", "TRY", "AEUR", "BTCUP", "ETHBEAR", "BULL"])
def test_stablecoins_currencies_and_leveraged_tokens_are_not(base: str):
    assert slices(spot(base)) == set()


def test_a_pair_that_is_not_traded_on_spot_is_not_of_the_slice():
    assert slices(spot("BTC", isSpotTradingAllowed=False)) == set()


def test_a_slice_is_whatever_the_status_and_only_trading_trades():
    assert belongs(TradeType.USDT_PERP, info(status="SETTLING"))
    assert [trades(info(status=status)) for status in ("TRADING", "SETTLING", "PENDING_TRADING")] == [
        True,
        False,
        False,
    ]


INFOS = [info(symbol=name) for name in ("B", "A", "C")] + [info(symbol="Q", contractType="CURRENT_QUARTER")]


def names(**wishes: list[str] | None) -> list[str]:
    return [each.symbol for each in select(TradeType.USDT_PERP, INFOS, **wishes).symbols]


def test_without_wishes_the_whole_slice_is_taken_by_name():
    assert names() == names(keep_symbols=[], exclude_symbols=[]) == ["A", "B", "C"]


def test_wishes_narrow_the_slice():
    assert names(keep_symbols=["C", "A"]) == ["A", "C"]
    assert names(exclude_symbols=["A", "unknown"]) == ["B", "C"]
    assert names(keep_symbols=["C", "A"], exclude_symbols=["A"]) == ["C"]


def test_a_wish_that_the_slice_does_not_have_is_reported_not_fatal():
    selection = select(TradeType.USDT_PERP, INFOS, ["A", "Q", "DELISTED"])
    assert ([each.symbol for each in selection.symbols], selection.unknown_keep) == (["A"], ("DELISTED", "Q"))


@pytest.mark.parametrize(
    ("venue", "name", "limit", "counts"),
    [
        (Venue.SPOT, "spot/exchangeInfo_spot_2021.json", 1200, {"usdt_spot": (279, 267)}),
        (Venue.UM, "um/exchangeInfo_um_2021.json", 2400, {"usdt_perp": (117, 117), "usdt_deli": (2, 2)}),
        (Venue.CM, "cm/exchangeInfo_cm_2021.json", 2400, {"coin_perp": (18, 18), "coin_deli": (18, 18)}),
        (
            Venue.UM,
            "um/exchangeInfo_um_demo_2026-03-31_nulls_stripped.json",
            6000,
            {
                "usdt_perp": (634, 531),
                "usdt_deli": (12, 4),
                "usdc_perp": (38, 37),
                "btc_perp": (1, 1),
                "usdt_tradfi": (20, 17),
            },
        ),
    ],
)
def test_recorded_exchange_info_falls_into_its_slices(
    venue: Venue, name: str, limit: int, counts: dict[str, tuple[int, int]]
):
    read = decode_exchange_info(venue, recorded(name))
    assert (read.weight_limit, read.malformed, dict(read.unknown)) == (limit, 0, {})
    for trade_type, expected in counts.items():
        chosen = select(TradeType(trade_type), read.symbols).symbols
        assert (len(chosen), sum(map(trades, chosen))) == expected
    assert all(SymbolInfo.from_dict(each.to_dict()) == each for each in read.symbols)


@pytest.mark.parametrize("name", ["Spot", "UsdFutures", "CoinFutures"])
def test_the_documents_exchange_info_is_read(name: str):
    venue = {"Spot": Venue.SPOT, "UsdFutures": Venue.UM, "CoinFutures": Venue.CM}[name]
    with capture_logs():
        assert decode_exchange_info(venue, recorded(f"doc_derived/{name}_ExchangeData_GetExchangeInfo.json")).symbols
