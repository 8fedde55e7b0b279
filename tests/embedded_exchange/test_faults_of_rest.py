"""Faults of REST, each alone, seen by a plain client."""

import asyncio
import json
import re

import aiohttp
import pytest

from tests.embedded_exchange.stage import SECOND, HeldClock, on_stage

TIME, KLINES = "/fapi/v1/time", "/fapi/v1/klines"


@pytest.fixture
async def stage():
    async with on_stage(clock=HeldClock()) as running:
        yield running


async def futures(stage, path=KLINES, **params):
    if path == KLINES:
        params = {"symbol": "BTCUSDT", "interval": "1m", "limit": 5, **params}
    return await stage.rest(path, spot=False, **params)


async def test_429_has_the_venues_words_and_the_wished_retry_after(stage):
    await stage.fault("rest_429", retry_after_s=7, path=KLINES)
    status, headers, text = await futures(stage)
    assert (status, headers["Retry-After"], json.loads(text)["code"]) == (429, "7", -1003)
    assert "Too many requests; current limit is 2400" in text
    assert (await futures(stage, TIME))[0] == 200
    ledger = await stage.control("GET", "/ledger")
    assert (ledger["served_429"], ledger["by_fault"], ledger["requests_before_retry_after"]) == (1, {"429": 1}, 1)


async def test_429_without_a_wish_is_the_venues_own(stage):
    await stage.fault("rest_429", times=2)
    assert "Retry-After" not in (await futures(stage))[1]
    _, headers, text = await stage.rest("/api/v3/time")
    assert headers["Retry-After"] == "40"  # the clock stands at 20.5 s of its minute
    assert "Too much request weight used" in text


async def test_418_bans_the_address_from_the_pool_until_the_ban_ends(stage):
    await stage.fault("rest_418", ban_s=3, venue="um", times=1)
    status, _, text = await futures(stage)
    until_ms = int(re.search(r"IP\(127\.0\.0\.1\) banned until (\d+)\.", json.loads(text)["msg"])[1])
    assert (status, until_ms) == (418, stage.now_ms + 3000)
    assert (await stage.rest("/dapi/v1/time", spot=False))[0] == 418
    assert (await stage.rest("/api/v3/time"))[0] == 200
    ledger = await stage.control("GET", "/ledger")
    assert (ledger["served_418"], ledger["requests_while_banned"], ledger["by_fault"]) == (2, 1, {"418": 1})
    stage.advance(3000)
    assert (await futures(stage))[0] == 200


@pytest.mark.parametrize(
    ("name", "keys", "status", "body"),
    [
        ("rest_403_html", {}, 403, "<html>"),
        ("rest_empty_202", {}, 202, ""),
        ("rest_maintenance", {}, 503, '{"code":0,"msg":"System is under maintenance."}'),
        ("rest_maintenance", {"form": "239999"}, 503, '{"239999":"The system is under maintenance'),
        ("rest_maintenance", {"form": "-1016"}, 400, '{"code":-1016,'),
        ("rest_maintenance", {"form": "-1008"}, 503, '{"code":-1008,'),
        ("rest_5xx", {}, 500, '{"code":-1000,'),
        ("rest_5xx", {"status": 503}, 503, '{"code":-1000,"msg":"Service Unavailable."}'),
        ("rest_5xx", {"status": 502}, 502, "<html>"),
        ("rest_timeout", {"for_ms": 50}, 408, '{"code":-1007,'),
    ],
)
async def test_an_answer_is_replaced_once(stage, name, keys, status, body):
    number = await stage.fault(name, times=1, **keys)
    got, headers, text = await futures(stage)
    assert got == status
    assert text.startswith(body)
    assert headers["Content-Type"].startswith("text/html" if body.startswith("<") else "application/json")
    assert ("x-amzn-waf-action" in headers) == (status == 202)
    assert await stage.hits(number) == 1
    assert (await futures(stage))[0] == 200


async def test_a_request_is_not_answered_and_the_client_gives_up(stage):
    number = await stage.fault("rest_timeout", times=1)
    asking = asyncio.create_task(stage.session.get(stage.exchange.futures.rest + TIME))
    while not await stage.hits(number):  # noqa: ASYNC110  # asked over HTTP, as others do
        await asyncio.sleep(0.01)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asking, 0.2)
    assert (await futures(stage, TIME))[0] == 200


async def test_the_connection_is_cut_in_the_middle_of_the_body(stage):
    await stage.fault("rest_reset", times=1)
    url = stage.exchange.futures.rest + "/fapi/v1/exchangeInfo"
    async with stage.session.get(url) as answer:
        assert answer.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
    assert (await futures(stage))[0] == 200


async def test_json_ends_half_way_in_a_whole_answer(stage):
    _, _, whole = await futures(stage)
    await stage.fault("rest_truncated_json", times=1)
    status, _, text = await futures(stage)
    assert status == 200
    assert text == whole[: len(whole) // 2]
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)


async def test_an_answer_is_of_any_size_and_still_json(stage):
    _, _, whole = await futures(stage)
    await stage.fault("rest_oversized", bytes=300_000, times=1)
    _, _, text = await futures(stage)
    assert len(text) == 300_000
    assert json.loads(text) == json.loads(whole)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("object", lambda rows: isinstance(rows, dict)),
        ("null", lambda rows: rows is None),
        ("text", lambda rows: rows == "ok"),
        ("short_rows", lambda rows: all(len(row) == 4 for row in rows)),
        ("null_values", lambda rows: rows[0][1] is None and isinstance(rows[0][0], int)),
        ("nested_values", lambda rows: rows[0][4] == [[]]),
        ("nan_values", lambda rows: rows[0][5] == "NaN"),
    ],
)
async def test_rows_have_wrong_types(stage, kind, wrong):
    await stage.fault("rest_wrong_types", kind=kind)
    status, _, text = await futures(stage)
    assert status == 200
    assert wrong(json.loads(text))


async def test_without_a_kind_wrong_types_take_turns(stage):
    await stage.fault("rest_wrong_types")
    assert len({(await futures(stage))[2] for _ in range(7)}) == 7


async def test_a_fault_of_one_symbol_or_venue_leaves_other_requests_alone(stage):
    await stage.fault("rest_5xx", symbols=["ETHUSDT"])
    await stage.fault("rest_5xx", venue="cm")
    assert (await futures(stage))[0] == 200
    assert (await futures(stage, TIME))[0] == 200
    assert (await futures(stage, symbol="ETHUSDT"))[0] == 500
    assert (await stage.rest("/dapi/v1/time", spot=False))[0] == 500


async def test_a_share_of_the_requests_fails(stage):
    await stage.fault("rest_5xx", share=0.5)
    statuses = [(await futures(stage, TIME))[0] for _ in range(60)]
    assert 15 < statuses.count(500) < 45


async def test_a_stale_answer_lacks_the_candle_just_closed_and_later_has_it(stage):
    await stage.fault("klines_stale", for_ms=2 * SECOND)
    closed = stage.begin_ms - SECOND
    honest = [closed - 2 * SECOND, closed - SECOND, closed]
    assert [row[0] for row in await stage.klines(limit=2)] == [closed - 3 * SECOND, closed - 2 * SECOND]
    assert [row[0] for row in await stage.klines(startTime=honest[0])] == honest[:1]
    stage.advance(2 * SECOND)
    assert [row[0] for row in await stage.klines(startTime=honest[0], endTime=closed)] == honest
    assert len(await stage.truth(honest[0], stage.now_ms)) == 5


async def test_an_unfinished_row_has_the_values_of_a_moment_before_the_close(stage):
    number = await stage.fault("klines_unfinished", for_ms=2 * SECOND, early_ms=300)
    closed = stage.begin_ms - SECOND
    ((*truth,),) = await stage.truth(closed, closed)
    (early,) = await stage.klines(startTime=closed, endTime=closed)
    assert early[0] == closed
    assert early[8] < truth[7]
    stage.advance(2 * SECOND)
    (row,) = await stage.klines(startTime=closed, endTime=closed)
    assert [*row[:6], *row[7:11]] == truth
    assert await stage.hits(number) == 1


async def test_rows_are_missing_for_a_while_and_pages_reach_beyond_them(stage):
    begins = [stage.begin_ms - back * SECOND for back in (3, 5)]
    number = await stage.fault("klines_hole_for_a_while", begins=begins)
    first = stage.begin_ms - 6 * SECOND
    seen = [(stage.begin_ms - row[0]) // SECOND for row in await stage.klines(startTime=first, limit=4)]
    assert seen == [6, 4, 2, 1]
    assert [(stage.begin_ms - row[0]) // SECOND for row in await stage.klines(limit=4)] == [4, 2, 1, 0]
    assert len(await stage.truth(first, stage.now_ms)) == 6
    await stage.off(number)
    assert len(await stage.klines(startTime=first)) == 7


async def test_a_share_of_the_rows_is_missing_for_a_while(stage):
    await stage.fault("klines_hole_for_a_while", share=0.3)
    first = stage.begin_ms - 199 * SECOND
    rows = await stage.klines(startTime=first, endTime=stage.begin_ms - SECOND)
    assert 110 < len(rows) < 170
    assert rows == await stage.klines(startTime=first, endTime=stage.begin_ms - SECOND)
