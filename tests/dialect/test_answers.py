from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from kit.dialect.answers import FORBIDDEN_PAUSE_MS, SHORTEST_BAN_MS, Answer, judge
from kit.errors import (
    BadAnswerError,
    BannedError,
    ForbiddenError,
    MaintenanceError,
    RateLimitedError,
    RefusedRequestError,
    StopError,
    SymbolRefusedError,
)
from tests.dialect.recorded import recorded_lines

NOW = 1_795_348_810_000  # ten seconds past the minute
BANNED = '{"code":-1003,"msg":"Way too many requests; IP(1.2.3.4) banned until %d. Please use the websocket."}'
USED_UP = '{"code":-1003,"msg":"Too many requests; current limit is 2400 requests per minute."}'
HTML = "<!DOCTYPE html><html><head><title>Attention</title></head></html>"


def answer(status: int, body: str | bytes = "", **headers: str) -> Answer:
    fields = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return Answer("https://host/fapi/v1/klines", status, fields, body.encode() if isinstance(body, str) else body)


@pytest.mark.parametrize("body", ["[]", "{}", ' \n[[1,"2"]]', '{"serverTime":5}', '{"code":200,"msg":"ok"}'])
def test_json_with_200_is_an_answer(body: str):
    assert judge(answer(200, body), NOW) is None


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, HTML, BadAnswerError),
        (200, "", BadAnswerError),
        (200, "null", BadAnswerError),
        (200, '{"code":-1121,"msg":"Invalid symbol."}', SymbolRefusedError),
        (202, "", BadAnswerError),
        (204, "", BadAnswerError),
        (301, HTML, BadAnswerError),
        (302, "", BadAnswerError),
        (400, '{"code":-1121,"msg":"Invalid symbol."}', SymbolRefusedError),
        (400, '{"code":-1122,"msg":"Invalid symbol status."}', SymbolRefusedError),
        (400, '{"code":-4108,"msg":"Symbol is on delivering"}', SymbolRefusedError),
        (400, '{"code":-1120,"msg":"Invalid interval."}', RefusedRequestError),
        (400, '{"code":-1130,"msg":"limit"}', RefusedRequestError),
        (400, '{"code":-1016,"msg":"Service is under maintenance."}', MaintenanceError),
        (400, '{"code":-1109,"msg":"Invalid account."}', MaintenanceError),
        (400, HTML, RefusedRequestError),
        (401, '{"code":-2014,"msg":"API-key format invalid."}', RefusedRequestError),
        (404, "", RefusedRequestError),
        (408, '{"code":-1007,"msg":"Timeout waiting for response from backend server."}', MaintenanceError),
        (500, "", MaintenanceError),
        (502, HTML, MaintenanceError),
        (503, '{"239999": "The system is under maintenance, please try again later."}', MaintenanceError),
        (503, "Service Unavailable.", MaintenanceError),
        (504, HTML, MaintenanceError),
        (403, HTML, ForbiddenError),
        (451, '{"code":0,"msg":"Service unavailable from a restricted location"}', ForbiddenError),
        (429, USED_UP, RateLimitedError),
        (429, HTML, RateLimitedError),
        (400, USED_UP, RateLimitedError),
        (418, BANNED % (NOW + 150_000), BannedError),
        (429, BANNED % (NOW + 150_000), BannedError),
        (418, "", BannedError),
    ],
)
def test_each_refusal_is_its_error(status: int, body: str, kind: type[Exception]):
    problem = judge(answer(status, body), NOW)
    assert type(problem) is kind
    assert problem.status == status
    assert problem.url == "https://host/fapi/v1/klines"


def until(status: int, body: str = "", **headers: str) -> int:
    problem = judge(answer(status, body, **headers), NOW)
    assert isinstance(problem, StopError)
    assert problem.transient
    return problem.until_ms


def test_a_used_up_weight_lasts_until_the_next_minute():
    assert until(429, USED_UP) == NOW + 50_000


def test_retry_after_is_honoured():
    assert until(429, USED_UP, Retry_After="7") == NOW + 7_000
    assert until(418, "", Retry_After="3600") == NOW + 3_600_000
    assert until(403, HTML, Retry_After="30") == NOW + 30_000


def test_a_bans_end_is_read_from_the_body_and_the_later_one_counts():
    assert until(418, BANNED % (NOW + 150_000)) == NOW + 150_000
    assert until(418, BANNED % (NOW + 150_000), Retry_After="200") == NOW + 200_000
    assert until(418, BANNED % (NOW + 150_000), Retry_After="20") == NOW + 150_000


def test_a_bans_end_in_seconds_is_understood():
    assert until(418, BANNED % ((NOW + 150_000) // 1000)) == NOW + 150_000


@pytest.mark.parametrize("told", [NOW - 1, NOW + 10**12, 9 * 10**20])
def test_an_end_that_cannot_be_is_not_believed(told: int):
    assert until(418, BANNED % told) == NOW + SHORTEST_BAN_MS


def test_a_firewall_gets_its_rest():
    assert until(403, HTML) == until(451) == NOW + FORBIDDEN_PAUSE_MS


def test_an_unusable_retry_after_is_ignored():
    assert until(429, USED_UP, Retry_After="Wed, 21 Oct 2026 07:28:00 GMT") == NOW + 50_000


def test_the_weight_and_the_clock_are_read_from_the_headers_whatever_their_case():
    told = answer(200, "{}", **{"x-mbx-used-weight-1m": "123", "date": "Sun, 22 Nov 2026 12:00:10 GMT"})
    assert (told.used_weight, told.date_ms) == (123, NOW)


@pytest.mark.parametrize("date", ["", "yesterday", "Sun, 99 Nov 2026 12:00:10 GMT", "Sun, 22 Nov 2026 12:00:10"])
def test_headers_that_cannot_be_read_are_none(date: str):
    told = answer(200, "{}", **{"X-MBX-USED-WEIGHT-1M": "-1", "Date": date})
    assert (told.used_weight, told.date_ms) == (None, None)
    assert (answer(200, "{}").used_weight, answer(200, "{}").date_ms) == (None, None)


@given(st.integers(100, 599), st.binary(max_size=60))
def test_any_answer_is_judged(status: int, body: bytes):
    judge(answer(status, body), NOW)


EXPECTED = {
    418: BannedError,
    429: RateLimitedError,
    401: RefusedRequestError,
    503: MaintenanceError,
    408: MaintenanceError,
}
EXPECTED_CODES = {
    -1122: SymbolRefusedError,
    -1121: SymbolRefusedError,
    -4108: SymbolRefusedError,
    -1016: MaintenanceError,
}


def test_every_recorded_refusal_is_its_error():
    lines = recorded_lines("errors/rest_error_bodies.jsonl")
    assert len(lines) == 16
    for line in lines:
        code = json.loads(line["body"]).get("code")
        expected = EXPECTED.get(line["http_status"]) or EXPECTED_CODES.get(code, RefusedRequestError)
        before = 1_774_784_000_000  # the oldest of the recorded bans ends after this
        problem = judge(answer(line["http_status"], line["body"]), before)
        assert type(problem) is expected, line
        assert problem.code == code


def test_a_recorded_ban_says_its_end():
    bans = [line for line in recorded_lines("errors/rest_error_bodies.jsonl") if line["http_status"] == 418]
    ends = [
        judge(answer(418, line["body"]), int(line["body"].split("until ")[1][:13]) - 5_000).until_ms for line in bans
    ]
    assert ends == [1785050129644, 1788068515794, 1774784983833]
