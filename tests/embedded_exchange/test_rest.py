"""The REST side without sockets: paging, weights, refusals, exchange info, funding."""

import pytest

from kit.embedded_exchange.front import Front
from kit.embedded_exchange.settings import Settings
from kit.words import Venue
from tests.embedded_exchange.builders import DAY, HOUR, MINUTE, NOON, SMALL, front, get, market

UM_KLINES, CM_KLINES, SPOT_KLINES = "/fapi/v1/klines", "/dapi/v1/klines", "/api/v3/klines"
LATE = NOON + 30_500  # half a minute into an open candle


def opens(rows):
    return [row[0] for row in rows]


def grid(first, last, step=MINUTE):
    return list(range(first, last + 1, step))


def test_without_times_the_newest_rows_come_and_the_last_is_still_open():
    _, rows, _ = get(front(), UM_KLINES, LATE, symbol="BTCUSDT", interval="1m")
    assert opens(rows) == grid(NOON - 499 * MINUTE, NOON)
    _, later, _ = get(front(), UM_KLINES, NOON + 59_000, symbol="BTCUSDT", interval="1m", limit=1)
    assert later[0][0] == rows[-1][0]
    assert later[0][8] > rows[-1][8]
    _, closed, _ = get(front(), UM_KLINES, NOON + 61_000, symbol="BTCUSDT", interval="1m", limit=2)
    assert closed[0][8] > later[0][8]
    assert closed[0][6] == NOON + 59_999


@pytest.mark.parametrize(("path", "spot", "most"), [(UM_KLINES, False, 1500), (SPOT_KLINES, True, 1000)])
def test_usd_margined_and_spot_page_oldest_first_from_the_start(path, spot, most):
    start = NOON - 5000 * MINUTE
    _, rows, _ = get(front(spot=spot), path, LATE, symbol="BTCUSDT", interval="1m", startTime=start, limit=most)
    assert opens(rows) == grid(start, start + (most - 1) * MINUTE)
    _, both, _ = get(front(spot=spot), path, LATE, symbol="BTCUSDT", interval="1m", startTime=start - 1,
                     endTime=start + 3 * MINUTE)  # fmt: skip
    assert opens(both) == grid(start, start + 3 * MINUTE)
    _, until, _ = get(front(spot=spot), path, LATE, symbol="BTCUSDT", interval="1m", endTime=start, limit=3)
    assert opens(until) == grid(start - 2 * MINUTE, start)


def test_filters_are_on_open_times_and_inclusive_at_both_ends():
    ask = {"symbol": "BTCUSDT", "interval": "1m"}
    _, one, _ = get(front(), UM_KLINES, LATE, **ask, startTime=NOON - MINUTE, endTime=NOON - MINUTE)
    assert opens(one) == [NOON - MINUTE]
    _, none, _ = get(front(), UM_KLINES, LATE, **ask, startTime=NOON - MINUTE + 1, endTime=NOON - 1)
    assert none == []
    _, future, _ = get(front(), UM_KLINES, LATE, **ask, startTime=NOON + MINUTE)
    assert future == []


def test_coin_margined_gives_the_newest_rows_before_the_end_even_with_a_start():
    ask = {"symbol": "BTCUSD_PERP", "interval": "1h", "limit": 10}
    start = NOON - 300 * DAY
    _, rows, _ = get(front(), CM_KLINES, LATE, **ask, startTime=start, endTime=start + 100 * HOUR)
    assert opens(rows) == grid(start + 91 * HOUR, start + 100 * HOUR, HOUR)
    _, window, _ = get(front(), CM_KLINES, LATE, **ask, startTime=start)
    assert opens(window) == grid(start + 200 * DAY - 9 * HOUR, start + 200 * DAY, HOUR)
    _, newest, _ = get(front(), CM_KLINES, LATE, **ask)
    assert opens(newest) == grid(NOON - 9 * HOUR, NOON, HOUR)
    _, days, _ = get(front(), CM_KLINES, LATE, symbol="BTCUSD_PERP", interval="1d", endTime=NOON, limit=1500)
    assert len(days) == 200


def test_coin_margined_refuses_more_than_two_hundred_days():
    ask = {"symbol": "BTCUSD_PERP", "interval": "1d"}
    status, body, _ = get(front(), CM_KLINES, **ask, startTime=NOON - 201 * DAY, endTime=NOON)
    assert (status, body["code"]) == (400, -1127)


def test_usd_margined_and_coin_margined_answer_for_each_others_symbols():
    status, rows, _ = get(
        front(), UM_KLINES, LATE, symbol="BTCUSD_PERP", interval="1h", startTime=NOON - 300 * DAY, limit=5
    )
    assert (status, opens(rows)[0]) == (200, NOON - 300 * DAY)
    assert get(front(), CM_KLINES, LATE, symbol="BTCUSDT", interval="1h")[0] == 200


def test_spot_answers_in_microseconds_when_asked():
    ask = {"symbol": "BTCUSDT", "interval": "1m", "limit": 2, "endTime": NOON * 1000}
    _, rows, _ = get(front(spot=True), SPOT_KLINES, LATE, time_unit="MICROSECOND", **ask)
    assert [(row[0], row[6]) for row in rows][-1] == (NOON * 1000, NOON * 1000 + 59_999_999)
    assert get(front(spot=True), "/api/v3/time", LATE, time_unit="MICROSECOND")[1] == {"serverTime": LATE * 1000}
    assert get(front(), "/fapi/v1/time", LATE, time_unit="MICROSECOND")[1] == {"serverTime": LATE}


def test_spot_has_seconds_and_futures_have_not():
    _, rows, _ = get(front(spot=True), SPOT_KLINES, LATE, symbol="BTCUSDT", interval="1s", limit=3)
    assert opens(rows) == grid(NOON + 28_000, NOON + 30_000, 1000)
    status, body, _ = get(front(), UM_KLINES, symbol="BTCUSDT", interval="1s")
    assert (status, body) == (400, {"code": -1120, "msg": "Invalid interval."})


def test_there_is_nothing_before_the_listing():
    _, rows, _ = get(front(), UM_KLINES, LATE, symbol="FRESHUSDT", interval="1h", limit=1000)
    assert opens(rows) == grid(NOON - 2 * HOUR, NOON, HOUR)
    assert get(front(), UM_KLINES, LATE, symbol="FRESHUSDT", interval="1h", endTime=NOON - DAY)[1] == []
    assert get(front(), UM_KLINES, LATE, symbol="GAIBUSDT", interval="1h")[1] == []


def test_a_halted_spot_pair_keeps_its_history_and_has_no_newer_rows():
    _, rows, _ = get(front(spot=True), SPOT_KLINES, LATE, symbol="LUNCUSDT", interval="1d", limit=5)
    assert len(rows) == 5
    assert rows[-1][6] < NOON - 100 * DAY


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        (UM_KLINES, {"symbol": "NOPEUSDT", "interval": "1m"}, -1121),
        (UM_KLINES, {"symbol": "OMGUSDT", "interval": "1m"}, -1122),
        (CM_KLINES, {"symbol": "EGLDUSD_PERP", "interval": "1m"}, -1122),
        (UM_KLINES, {"symbol": "BTCUSDT", "interval": "7m"}, -1120),
        (UM_KLINES, {"symbol": "BTCUSDT", "interval": "1m", "limit": 1501}, -1130),
        (UM_KLINES, {"symbol": "BTCUSDT", "interval": "1m", "limit": 0}, -1130),
        (UM_KLINES, {"symbol": "BTCUSDT", "interval": "1m", "limit": "ten"}, -1100),
        (UM_KLINES, {"symbol": "BTCUSDT", "interval": "1m", "startTime": "-5"}, -1100),
        (UM_KLINES, {"interval": "1m"}, -1102),
        (UM_KLINES, {"symbol": "BTCUSDT"}, -1102),
        ("/dapi/v1/fundingRate", {}, -1102),
        ("/fapi/v1/fundingRate", {"symbol": "NOPE"}, -1121),
        ("/fapi/v1/premiumIndex", {"symbol": "NOPE"}, -1121),
    ],
)
def test_refusals_are_worded_as_the_real_ones(path, params, code):
    status, body, _ = get(front(), path, **params)
    assert (status, body["code"]) == (400, code)
    assert isinstance(body["msg"], str)


def test_spot_cuts_a_limit_that_is_too_large():
    assert len(get(front(spot=True), SPOT_KLINES, LATE, symbol="BTCUSDT", interval="1m", limit=5000)[1]) == 1000


def test_an_unknown_path_is_not_found():
    assert get(front(), "/fapi/v1/nothing")[0] == 404
    status, body, headers = get(front(spot=True), "/api/v1/klines")
    assert (status, headers["Content-Type"]) == (404, "text/html")
    assert body.startswith(b"<html>")


@pytest.mark.parametrize(
    ("path", "params", "weight"),
    [
        (UM_KLINES, {"limit": 99}, 1),
        (UM_KLINES, {"limit": 100}, 2),
        (UM_KLINES, {"limit": 499}, 2),
        (UM_KLINES, {}, 5),
        (UM_KLINES, {"limit": 1000}, 5),
        (CM_KLINES, {"limit": 1001}, 10),
        ("/fapi/v1/exchangeInfo", {}, 1),
        ("/fapi/v1/premiumIndex", {"symbol": "BTCUSDT"}, 1),
        ("/fapi/v1/premiumIndex", {}, 10),
        ("/dapi/v1/premiumIndex", {"symbol": "BTCUSD_PERP"}, 10),
        ("/fapi/v1/fundingRate", {}, 0),
        ("/dapi/v1/fundingRate", {"symbol": "BTCUSD_PERP"}, 1),
        ("/fapi/v1/fundingInfo", {}, 0),
        ("/fapi/v1/time", {}, 1),
    ],
)
def test_each_request_weighs_what_the_documents_say(path, params, weight):
    usual = {"symbol": "BTCUSDT", "interval": "1m"} if path.endswith("klines") else {}
    assert get(front(), path, **{**usual, **params})[2]["X-MBX-USED-WEIGHT-1M"] == str(weight)


def test_spot_weights_are_flat():
    assert (
        get(front(spot=True), SPOT_KLINES, symbol="BTCUSDT", interval="1m", limit=1)[2]["X-MBX-USED-WEIGHT-1M"] == "2"
    )
    assert get(front(spot=True), "/api/v3/exchangeInfo")[2]["X-MBX-USED-WEIGHT-1M"] == "20"


def test_both_futures_venues_share_one_pool_for_each_address_and_minute():
    desk = front()
    get(desk, "/fapi/v1/time")
    assert get(desk, "/dapi/v1/time")[2]["X-MBX-USED-WEIGHT-1M"] == "2"
    assert get(desk, "/dapi/v1/time", address="10.0.0.1")[2]["X-MBX-USED-WEIGHT-1M"] == "1"
    assert get(desk, "/fapi/v1/time", NOON + MINUTE)[2]["X-MBX-USED-WEIGHT-1M"] == "1"


def test_the_date_header_follows_the_exchanges_clock():
    assert get(front(), "/fapi/v1/time")[2]["Date"] == "Sun, 22 Nov 2026 12:00:00 GMT"


def test_too_much_weight_is_429_and_going_on_is_418_until_its_time():
    desk = front(Settings(symbols=2, futures_weight_limit=3, ban_after=10))
    assert [get(desk, "/fapi/v1/ping")[0] for _ in range(3)] == [200] * 3
    status, body, headers = get(desk, "/dapi/v1/ping")
    assert (status, body["code"]) == (429, -1003)
    assert "current limit is 3 requests per minute" in body["msg"]
    assert "Retry-After" not in headers
    assert [get(desk, "/fapi/v1/ping")[0] for _ in range(10)] == [429] * 9 + [418]
    status, body, _ = get(desk, "/fapi/v1/ping", NOON + 100_000)
    assert status == 418
    assert f"IP(127.0.0.1) banned until {NOON + 120_000}" in body["msg"]
    assert get(desk, "/fapi/v1/ping", address="10.0.0.1")[0] == 200
    assert get(desk, "/fapi/v1/ping", NOON + 120_000)[0] == 200


def test_spot_says_how_long_to_wait():
    desk = front(Settings(symbols=2, spot_weight_limit=25, ban_after=1), spot=True)
    assert get(desk, "/api/v3/exchangeInfo")[0] == 200
    status, body, headers = get(desk, "/api/v3/exchangeInfo", NOON + 20_000)
    assert (status, headers["Retry-After"]) == (429, "40")
    assert body["msg"].startswith("Too much request weight used; current limit is 25 request weight per 1 MINUTE.")
    status, body, headers = get(desk, "/api/v3/ping", NOON + 20_000)
    assert (status, headers["Retry-After"]) == (418, "120")
    assert f"IP banned until {NOON + 140_000}." in body["msg"]


def test_each_further_ban_is_longer():
    desk = front(Settings(symbols=2, futures_weight_limit=0, ban_after=0))
    assert f"until {NOON + 120_000}" in get(desk, "/fapi/v1/ping")[1]["msg"]
    assert f"until {NOON + 360_000}" in get(desk, "/fapi/v1/ping", NOON + 120_000)[1]["msg"]


def test_funding_endpoints_have_their_own_bucket_of_five_minutes():
    desk = front(Settings(symbols=2, funding_limit=3))
    answers = [get(desk, path)[0] for path in ("/fapi/v1/fundingInfo", "/fapi/v1/fundingRate") * 2]
    assert answers == [200, 200, 200, 429]
    assert get(desk, "/fapi/v1/klines", symbol="BTCUSDT", interval="1m")[0] == 200
    assert get(desk, "/dapi/v1/fundingInfo")[0] == 200
    assert get(desk, "/fapi/v1/fundingInfo", NOON + 4 * MINUTE)[0] == 429
    assert get(desk, "/fapi/v1/fundingInfo", NOON + 5 * MINUTE)[0] == 200


@pytest.mark.parametrize(
    ("path", "spot", "limit"), [("/fapi/v1/exchangeInfo", False, 99), ("/api/v3/exchangeInfo", True, 98)]
)
def test_exchange_info_tells_the_limit_in_force(path, spot, limit):
    settings = Settings(symbols=2, futures_weight_limit=99, spot_weight_limit=98)
    _, info, _ = get(front(settings, spot=spot), path)
    weight = next(entry for entry in info["rateLimits"] if entry["rateLimitType"] == "REQUEST_WEIGHT")
    assert weight == {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": limit}


def test_spot_exchange_info_can_be_narrowed():
    desk = front(spot=True)
    path = "/api/v3/exchangeInfo"
    assert [one["symbol"] for one in get(desk, path, symbol="ETHUSDT")[1]["symbols"]] == ["ETHUSDT"]
    two = get(desk, path, symbols='["BTCUSDT","币安人生USDT"]')[1]["symbols"]
    assert [one["symbol"] for one in two] == ["BTCUSDT", "币安人生USDT"]
    assert get(desk, path, symbols='["BTCUSDT","NOPE"]')[1]["code"] == -1121
    assert {one["status"] for one in get(desk, path, symbolStatus="BREAK")[1]["symbols"]} == {"BREAK"}
    assert get(desk, path, showPermissionSets="false")[1]["symbols"][0]["permissionSets"] == []


def test_premium_index_has_one_object_on_usd_margined_and_always_an_array_on_coin_margined():
    one = get(front(), "/fapi/v1/premiumIndex", LATE, symbol="BTCUSDT")[1]
    assert (one["symbol"], one["time"], one["nextFundingTime"]) == ("BTCUSDT", LATE, NOON + 4 * HOUR)
    rows = {row["symbol"]: row for row in get(front(), "/fapi/v1/premiumIndex", LATE)[1]}
    assert {"OMGUSDT", "XAUUSDT"} <= set(rows)
    assert "GAIBUSDT" not in rows
    quarterly = next(row for name, row in rows.items() if name.startswith("BTCUSDT_"))
    assert (quarterly["lastFundingRate"], quarterly["nextFundingTime"]) == ("0.00000000", 0)
    pair = get(front(), "/dapi/v1/premiumIndex", LATE, pair="BTCUSD")[1]
    assert pair[0]["symbol"] == "BTCUSD_PERP"
    assert len(pair) == 3
    assert pair[1]["lastFundingRate"] == ""
    assert isinstance(get(front(), "/dapi/v1/premiumIndex", LATE, symbol="BTCUSD_PERP")[1], list)


def test_the_mark_price_is_the_last_price():
    _, rows, _ = get(front(), UM_KLINES, LATE, symbol="BTCUSDT", interval="1m", limit=1)
    mark = get(front(), "/fapi/v1/premiumIndex", LATE, symbol="BTCUSDT")[1]["markPrice"]
    assert mark == rows[0][4] + "0000000"


def test_funding_rates_come_ascending_with_their_type_and_a_little_jitter():
    start = NOON - 10 * DAY
    _, rows, _ = get(front(), "/fapi/v1/fundingRate", LATE, symbol="BTCUSDT", startTime=start)
    assert len(rows) == 30
    assert all(row["fundingTime"] % (8 * HOUR) <= 2 for row in rows)
    assert [row["fundingTime"] for row in rows] == sorted(row["fundingTime"] for row in rows)
    assert rows[0]["rateType"] == "Regular"
    _, few, _ = get(front(), "/fapi/v1/fundingRate", LATE, symbol="BTCUSDT", startTime=start, limit=2)
    assert few == rows[:2]
    _, newest, _ = get(front(), "/fapi/v1/fundingRate", LATE, symbol="BTCUSDT")
    assert len(newest) == 200
    assert newest[-1] == rows[-1]
    assert len({row["symbol"] for row in get(front(), "/fapi/v1/fundingRate", LATE)[1]}) > 5
    _, coin, _ = get(front(), "/dapi/v1/fundingRate", LATE, symbol="BTCUSD_PERP")
    assert set(coin[0]) == {"symbol", "fundingTime", "fundingRate"}
    assert get(front(), "/fapi/v1/fundingRate", LATE, symbol="BTCUSDT", limit=1001)[1]["code"] == -1130


def test_funding_info_marks_the_default_interval():
    rows = {row["symbol"]: row for row in get(front(), "/fapi/v1/fundingInfo")[1]}
    assert rows["BTCUSDT"]["fundingIntervalHours"] == 8
    assert rows["BTCUSDT"]["disclaimer"] is True
    assert rows["BTCUSDT"]["updateTime"] is None
    assert not any("_" in symbol for symbol in rows)


def test_a_delisted_contract_stays_listed_as_settling_and_its_candles_are_refused():
    where = market()
    where.delist(Venue.UM, "ETHUSDT", NOON)
    desk = Front(where, SMALL, spot=False)
    record = next(one for one in get(desk, "/fapi/v1/exchangeInfo")[1]["symbols"] if one["symbol"] == "ETHUSDT")
    assert (record["status"], record["deliveryDate"]) == ("SETTLING", NOON + MINUTE)
    assert get(desk, UM_KLINES, LATE, symbol="ETHUSDT", interval="1m")[1]["code"] == -1122
    where.delist(Venue.SPOT, "ETHUSDT", NOON)
    desk = Front(where, SMALL, spot=True)
    status, rows, _ = get(desk, SPOT_KLINES, NOON + DAY, symbol="ETHUSDT", interval="1m", limit=2)
    assert (status, opens(rows)) == (200, [NOON - MINUTE, NOON])


@pytest.mark.parametrize("symbol", ["BTCUSDT", "1000PEPEUSDT", "BNBUSDT", "BTCUSD_PERP"])
def test_a_short_page_is_written_like_the_end_of_a_long_one(symbol):
    _, long, _ = get(front(), UM_KLINES, LATE, symbol=symbol, interval="5m", limit=500)
    _, short, _ = get(front(), UM_KLINES, LATE, symbol=symbol, interval="5m", limit=100)
    assert short == long[-100:]


def test_exchange_info_shows_a_change_of_status_at_once():
    where = market()
    desk = Front(where, SMALL, spot=False)

    def status():
        symbols = get(desk, "/fapi/v1/exchangeInfo")[1]["symbols"]
        return {one["symbol"]: one["status"] for one in symbols}["ETHUSDT"]

    assert (status(), status()) == ("TRADING", "TRADING")
    where.delist(Venue.UM, "ETHUSDT", NOON)
    assert status() == "SETTLING"
    assert get(desk, "/dapi/v1/exchangeInfo")[1]["symbols"][0]["symbol"] == "BTCUSD_PERP"
