"""The control endpoint: what it lists, what it counts, and how it says no."""

import http.client
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kit.embedded_exchange import EmbeddedExchange, Settings
from kit.embedded_exchange.faults import KINDS, Fault, FaultError, fault_of, parse_fault
from kit.embedded_exchange.faults.listing import table
from tests.embedded_exchange.stage import BTC, LIVELY, HeldClock, end_of, event, on_stage


@pytest.fixture
async def stage():
    async with on_stage(clock=HeldClock()) as running:
        yield running


async def test_there_is_no_control_endpoint_unless_asked_for():
    async with EmbeddedExchange(Settings(symbols=2, history_days=2)) as exchange:
        assert exchange.control is None


@pytest.mark.parametrize("name", KINDS)
async def test_every_fault_can_be_switched_on_and_off_with_its_defaults(name):
    fault = Fault(name)
    assert fault == parse_fault(name) == fault_of(fault.as_json())
    assert KINDS[name].doc.endswith(".")


async def test_every_fault_can_be_on_at_once_and_the_exchange_still_answers_its_control(stage):
    for name in KINDS:
        await stage.fault(name)
    told = await stage.control("GET", "/faults")
    assert set(told["known"]) == set(KINDS)
    assert {one["name"] for one in told["active"] + told["ended"]} == set(KINDS)
    await stage.control("DELETE", "/faults")
    assert (await stage.control("GET", "/faults"))["active"] == []
    assert (await stage.rest("/api/v3/ping"))[0] == 200
    assert await event(await stage.socket("ethusdt@kline_1m"))


async def test_the_list_tells_what_is_known_and_what_is_on(stage):
    number = await stage.fault("finals_late", by_ms=7, venue="spot", symbols=["BTCUSDT"], share=0.5, times=9)
    told = await stage.control("GET", "/faults")
    assert told["known"]["finals_late"]["parameters"]["by_ms"]["default"] == 5000
    assert told["active"] == [
        {"id": number, "name": "finals_late", "venue": "spot", "symbols": ["BTCUSDT"], "share": 0.5, "seconds": None,
         "times": 9, "by_ms": 7, "hits": 0, "ends_at": None}
    ]  # fmt: skip


WRONG = [
    ({"name": "finals_dropt"}, "did you mean 'finals_dropped'"),
    ({"name": None}, "allowed: finals_dropped"),
    ({}, "a name is needed"),
    ([], "no object"),
    ({"name": "finals_late", "by": 5}, "did you mean 'by_ms'? (allowed: venue, symbols, share, seconds, times, by_ms)"),
    ({"name": "finals_late", "self": 5}, "key 'self' does not exist"),
    ({"name": "finals_late", "by_ms": "5"}, "by_ms: '5' is wrong (allowed: whole number from 1)"),
    ({"name": "finals_late", "by_ms": 0}, "from 1"),
    ({"name": "finals_late", "by_ms": True}, "whole number"),
    ({"name": "finals_late", "by_ms": None}, "whole number"),
    ({"name": "finals_late", "share": 2}, "share: 2 is wrong (allowed: number from 0 to 1"),
    ({"name": "finals_late", "seconds": -1}, "seconds: -1"),
    ({"name": "finals_late", "times": 0}, "times: 0"),
    ({"name": "finals_late", "venue": "moon"}, "spot | um | cm"),
    ({"name": "finals_late", "symbols": "BTCUSDT"}, "list of symbols"),
    ({"name": "finals_late", "symbols": [1]}, "list of symbols"),
    ({"name": "refuse", "how": "politely"}, "http | reset"),
    ({"name": "silence", "new": 1}, "true | false"),
    ({"name": "klines_hole", "begins": "all"}, "list of whole numbers"),
    ({"name": "quiet", "times": 1}, "use seconds"),
    ({"name": "rest_418", "ban_s": "long"}, "number from 0.1"),
]


@pytest.mark.parametrize(("keys", "words"), WRONG)
async def test_a_wrong_fault_is_answered_400_with_what_is_allowed(stage, keys, words):
    error = (await stage.control("POST", "/faults", keys, status=400))["error"]
    assert words in error
    assert "allowed" in error
    assert (await stage.control("GET", "/faults"))["active"] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "words"),
    [
        ("DELETE", "/faults/7", None, "fault 7 is not on"),
        ("DELETE", "/faults/x", None, "whole numbers"),
        ("POST", "/market/dance", {}, "list, delist, settle, halt, resume, relist"),
        (
            "POST",
            "/market/list",
            {"venue": "um", "symbol": "X"},
            "like is needed (allowed: venue, symbol, like, at_ms)",
        ),
        ("POST", "/market/list", {"venue": "um", "symbol": 5, "like": "BTCUSDT"}, "symbol: 5"),
        ("POST", "/market/list", {"venue": "um", "symbol": "X", "like": "BTCUSD"}, "did you mean"),
        ("POST", "/market/halt", {"venue": "mars", "symbol": "BTCUSDT"}, "spot, um, cm"),
        ("POST", "/market/halt", {"venue": "um", "symbol": "BTCUSDT", "x": 1}, "key 'x'"),
        ("POST", "/market/resume", {"venue": "um", "symbol": "BTCUSDT"}, "not halted"),
        ("POST", "/market/settle", {"venue": "spot", "symbol": "BTCUSDT"}, "do not settle"),
        ("POST", "/market/relist", {"venue": "um", "symbol": "BTCUSDT", "seed": "x"}, "seed"),
        ("POST", "/clock", {}, "skew_ms, jump_ms"),
        ("POST", "/clock", {"skew_ms": 1.5}, "whole number"),
        ("POST", "/connections/end", {"how": "gently"}, "abort, close, server_shutdown, life"),
        ("POST", "/connections/end", {"how": "abort", "share": "all"}, "from 0 to 1"),
        ("GET", "/truth?venue=um", None, "symbol is needed"),
        ("GET", "/truth?venue=um&symbol=BTCUSDT&interval=9m&first_ms=0&last_ms=1", None, "did you mean"),
        ("GET", "/truth?venue=um&symbol=BTCUSDT&interval=1m&first_ms=now&last_ms=1", None, "first_ms"),
        ("GET", "/truth?venue=um&symbol=NOPE&interval=1m&first_ms=0&last_ms=1", None, "BTCUSDT"),
        ("GET", "/truth/symbols?venue=x", None, "spot, um, cm"),
    ],
)
async def test_other_wrong_requests_are_answered_400(stage, method, path, body, words):
    error = (await stage.control(method, path, body, status=400))["error"]
    assert words in error


async def test_an_unknown_path_is_answered_with_the_paths_there_are(stage):
    assert "POST /connections/end" in (await stage.control("GET", "/fault", status=404))["error"]
    assert "DELETE /faults" in (await stage.control("POST", "/ledger", {}, status=405))["error"]


async def test_the_ledger_counts_what_clients_did_and_starts_anew():
    settings = replace(LIVELY, futures_weight_limit=12, ban_after=1, ban_s=60)
    async with on_stage(settings, HeldClock()) as stage:  # a minute that turned would give the weight back
        statuses = [(await stage.rest("/fapi/v1/premiumIndex", spot=False))[0] for _ in range(4)]
        assert statuses == [200, 429, 418, 418]
        await stage.rest("/api/v3/ping")
        socket = await stage.socket(BTC)
        for _ in range(6):
            await socket.send_str('{"method":"LIST_SUBSCRIPTIONS","id":1}')
        assert (await end_of(socket))[0] == ("close", 1008)
        ledger = await stage.control("GET", "/ledger")
        assert ledger["requests"] == 5
        assert ledger["by_status"] == {"200": 2, "418": 2, "429": 1}
        assert ledger["by_fault"] == {}
        assert (ledger["served_429"], ledger["served_418"], ledger["requests_while_banned"]) == (1, 2, 1)
        assert ledger["max_weight_used"] == {"spot": 1, "futures": 30}
        assert ledger["weight_limit"] == {"spot": 6000, "futures": 12}
        assert (ledger["connections_opened"], ledger["messages_too_fast"]) == (1, 1)
        assert ledger["most_connections_in_5_min"] == 1
        await stage.control("DELETE", "/ledger")
        assert (await stage.control("GET", "/ledger"))["requests"] == 0


async def test_connections_are_listed_and_ended(stage):
    sockets = [await stage.socket(BTC), await stage.socket("btcusdt@kline_1m", "ethusdt@kline_1m", spot=False)]
    for socket in sockets:
        await event(socket)
    told = await stage.control("GET", "/connections")
    assert [(one["venue"], one["route"], one["streams"]) for one in told] == [("spot", "", 1), ("um", "market", 2)]
    assert all(one["age_s"] >= 0 and one["opened_at"].endswith("+00:00") for one in told)
    body = {"how": "close", "code": 1011, "venue": "um"}
    assert await stage.control("POST", "/connections/end", body) == {"ended": 1}
    assert (await end_of(sockets[1]))[0] == ("close", 1011)
    assert await stage.control("POST", "/connections/end", {"how": "server_shutdown"}) == {"ended": 1}
    ended, texts = await end_of(sockets[0])
    assert ended == ("close", 1001)
    assert json.loads(texts[-1])["data"]["e"] == "serverShutdown"


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("finals_late:by_ms=3,share=0.25", Fault("finals_late", by_ms=3, share=0.25)),
        ("silence:new=true,symbols=BTCUSDT+ETHUSDT", Fault("silence", new=True, symbols=["ETHUSDT", "BTCUSDT"])),
        ("klines_hole:begins=1000+2000,venue=um", Fault("klines_hole", begins=(1000, 2000), venue="um")),
        ("rest_5xx:status=502,path=/a,seconds=1.5", Fault("rest_5xx", status=502, path="/a", seconds=1.5)),
        ("rest_429:retry_after_s=null", Fault("rest_429")),
    ],
)  # fmt: skip
def test_a_fault_of_the_command_line(words, fault):
    assert parse_fault(words) == fault


@pytest.mark.parametrize(
    "words", ["finals", "finals_late:by_ms", "finals_late:by_ms=x", "finals_late:bye=3", "silence:new=yes",
              "klines_hole:begins=a+b", "rest_418:ban_s=x", "rest_418:venue=x"]
)  # fmt: skip
def test_a_wrong_fault_of_the_command_line(words):
    with pytest.raises(FaultError, match="allowed"):
        parse_fault(words)


def test_the_command_line_prints_the_control_url_and_has_its_faults_on():
    command = [sys.executable, "-m", "kit.embedded_exchange", "--symbols", "2", "--history-days", "2"]
    with subprocess.Popen(
        [*command, "--control-port", "0", "--fault", "finals_dropped:share=0.5"], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            urls = json.loads(process.stdout.readline())
            asking = http.client.HTTPConnection(urls["control"].removeprefix("http://"), timeout=60)
            asking.request("GET", "/faults")
            (active,) = json.load(asking.getresponse())["active"]
            asking.close()
            assert (active["name"], active["share"]) == ("finals_dropped", 0.5)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()


def test_a_wrong_fault_ends_the_command_with_2():
    command = [sys.executable, "-m", "kit.embedded_exchange", "--fault", "finals_dropt"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "finals_dropped" in done.stderr


def test_the_document_has_the_table_of_the_code():
    document = Path(__file__).parents[2] / "docs" / "faults.md"
    assert table() in document.read_text(encoding="utf-8")
