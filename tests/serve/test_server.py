"""The server's answers over real sockets, from real folders."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from kit.serve import readings
from kit.serve.app import SITE, make_app, serving
from kit.serve.guard import HEADERS
from kit.serve.hub import WATCHER
from tests.serve.builders import STEP, SYMBOLS, MarketFolder, market_in

WAIT = 120


@asynccontextmanager
async def asking(*base_dirs: Any) -> AsyncIterator[aiohttp.ClientSession]:
    async with serving(base_dirs, "127.0.0.1", 0) as address, aiohttp.ClientSession(address) as session:
        yield session


async def get(session: aiohttp.ClientSession, path: str, status: int = 200, **options: Any) -> Any:
    async with session.get(path, **options) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()


async def events(answer: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, Any]]:
    name = ""
    async for line in answer.content:
        key, _, value = line.decode().strip().partition(": ")
        if key == "event":
            name = value
        elif key == "data":
            yield name, json.loads(value)


async def next_market(stream: AsyncIterator[tuple[str, Any]], **wanted: Any) -> dict[str, Any]:
    async with asyncio.timeout(WAIT):
        async for name, content in stream:
            if name == "market" and all(content[key] == value for key, value in wanted.items()):
                return content
    raise AssertionError("the stream ended")


@pytest.fixture
def market(tmp_path) -> MarketFolder:
    return market_in(tmp_path / "m")


async def test_each_market_says_for_itself_how_it_is(tmp_path, market):
    other = market_in(tmp_path / "other")
    other.incomplete(other.due_ms, ["ETHUSDT"])
    behind = market_in(tmp_path / "behind")
    behind.forget()
    behind.record(behind.due_ms - STEP)
    new = tmp_path / "new"
    new.mkdir()
    (new / "config.json").write_text((market.base_dir / "config.json").read_text())
    torn = tmp_path / "torn"
    torn.mkdir()
    (torn / "config.json").write_text('{"interval": "7m"')
    folders = [market.base_dir, other.base_dir, behind.base_dir, new, torn, tmp_path / "nowhere"]
    async with asking(*folders) as session:
        found = await get(session, "/api/markets")
    assert [one["state"] for one in found] == ["complete", "incomplete", "no_record", "starting", "broken", "broken"]
    assert found[1]["record"]["missing"] == ["ETHUSDT"]
    assert "config.json" in found[4]["error"]
    assert "config.json" in found[5]["error"]
    assert found[0]["streamer"]["alive"]
    assert found[0]["worker"]["alive"]
    assert not found[2]["worker"]["alive"]


@pytest.mark.parametrize("beat", ["[]", '{"written_at": "yesterday"}', "{}", '{"written_at": "2026-11-22T07:05:00"}'])
async def test_a_heartbeat_that_makes_no_sense_is_none(market, beat):
    (market.base_dir / "streamer.json").write_text(beat)
    async with asking(market.base_dir) as session:
        (found,) = await get(session, "/api/markets")
    assert (found["state"], found["streamer"]) == ("complete", None)


async def test_the_grid_tells_what_is_readable_from_which_source_and_what_is_missing(market):
    market.revise("SOLUSDT", market.due_ms - STEP)
    market.incomplete(market.due_ms - 2 * STEP, ["NEWUSDT"])
    async with asking(market.base_dir) as session:
        grid = await get(session, "/api/markets/0/grid")
    rows = dict(grid["rows"])
    assert set(rows) == {*SYMBOLS, "NEWUSDT"}
    assert rows["BTCUSDT"].endswith("?sssss")
    assert rows["SOLUSDT"].endswith("sssvs")
    assert rows["NEWUSDT"].endswith("?..m..")
    assert grid["columns"].endswith("?ccicc")
    assert grid["first_ms"] + (len(grid["columns"]) - 1) * STEP == market.due_ms


async def test_candles_come_with_their_provenance_and_what_they_were(market):
    revision = market.revise("SOLUSDT", market.due_ms)
    async with asking(market.base_dir) as session:
        found = await get(session, "/api/markets/0/candles?symbol=SOLUSDT&last=2")
    assert found["source"] == ["stream", "revision"]
    assert found["begin_ms"] == [market.due_ms - 2 * STEP, market.due_ms - STEP]
    assert found["received_ms"][0] == market.due_ms - STEP + 510
    assert found["close"][1] == revision.new.close
    ((told,),) = found["revisions"].values()
    assert (told["old"]["close"], told["reason"]) == (revision.old.close, "late final")


async def test_the_timeline_has_each_due_run_time_and_those_without_record_too(market):
    market.record(market.due_ms - 6 * STEP, seconds_to_complete=9000.0)
    async with asking(market.base_dir) as session:
        found = await get(session, "/api/markets/0/timeline")
    assert found["missing"] == [0, None, 0, 0, 0, 0, 0]
    assert found["delay"] == [None, None, 2.1, 2.1, 2.1, 2.1, 2.1]
    assert found["run_ms"][-1] == market.due_ms


async def test_factors_are_the_newest_with_words_for_what_json_cannot_say(market):
    async with asking(market.base_dir) as session:
        found = await get(session, "/api/markets/0/factors")
    assert found["columns"] == ["symbol", "close", "PctChg_5", "Rsi_3"]
    assert [row[2] for row in found["rows"]] == [0.3, None, "NaN", -0.1]


async def test_what_does_not_exist_is_said(market):
    async with asking(market.base_dir) as session:
        assert (await get(session, "/api/markets/0/candles?symbol=BTCUSD"))["begin_ms"] == []
        assert "7m" in (await get(session, "/api/markets/0/candles?symbol=BTCUSDT&interval=7m", 404))["error"]
        await get(session, "/api/markets/0/candles", 400)
        await get(session, "/api/markets/0/candles?symbol=BTCUSDT&last=-1", 400)
        for path in ("/api/markets/1/grid", "/api/markets/x/grid", "/static/../app.py", "/static/", "/config.json"):
            async with session.get(path) as answer:
                assert answer.status == 404, path


async def test_a_damaged_file_is_an_answer_that_names_it(market):
    for path in market.folder.candles.glob("stream_*.parquet"):
        path.write_bytes(b"PAR1 no more")
    async with asking(market.base_dir) as session:
        assert "stream_" in (await get(session, "/api/markets/0/grid", 503))["error"]
        (found,) = await get(session, "/api/markets")
    assert found["name"] == "usdt_perp_12h"


async def test_every_answer_forbids_foreign_scripts_and_foreign_names_are_refused(market):
    async with asking(market.base_dir) as session:
        for path in ("/", "/api/markets", "/static/main.js", "/nothing", "/api/events"):
            async with session.get(path) as answer:
                assert {name: answer.headers[name] for name in HEADERS} == HEADERS
            async with session.get(path, headers={"Host": "evil.example"}) as answer:
                assert answer.status == 421
                assert "usdt_perp" not in await answer.text()
        for method in ("post", "put", "delete"):
            async with session.request(method, "/api/markets") as answer:
                assert answer.status == 405
    assert "unsafe" not in HEADERS["Content-Security-Policy"]


async def test_the_chart_library_is_packed_and_kept_by_browsers_for_ever(market):
    async with asking(market.base_dir) as session:
        charts = await get(session, "/api/charts")
        async with session.get(charts["path"], headers={"Accept-Encoding": "gzip"}, auto_decompress=False) as answer:
            assert "immutable" in answer.headers["Cache-Control"]
            assert answer.headers["Content-Encoding"] == "gzip"
            assert int(answer.headers["Content-Length"]) < 2_000_000
            tag = answer.headers["ETag"]
        async with session.get(charts["path"], headers={"If-None-Match": tag}) as answer:
            assert answer.status == 304


async def test_a_record_that_is_written_reaches_an_open_page(market):
    async with asking(market.base_dir) as session, session.get("/api/events") as answer:
        stream = events(answer)
        first = await next_market(stream, state="complete")
        market.incomplete(market.due_ms, ["SOLUSDT"])
        told = await next_market(stream, state="incomplete")
        assert told["record"]["missing"] == ["SOLUSDT"]
        assert told["mark"] != first["mark"]


async def test_who_asks_because_of_news_is_told_them_however_soon_after_another_reading(market):
    async with asking(market.base_dir) as session, session.get("/api/events") as answer:
        stream = events(answer)
        await next_market(stream, state="complete")
        before = await get(session, "/api/markets/0/grid")
        market.incomplete(market.due_ms, ["NEWUSDT"])
        await next_market(stream, state="incomplete")
        after = await get(session, "/api/markets/0/grid")
    assert "NEWUSDT" not in dict(before["rows"])
    assert "NEWUSDT" in dict(after["rows"])


async def test_a_folder_that_comes_later_and_is_made_anew_is_followed(tmp_path):
    path = tmp_path / "m"
    async with asking(path) as session, session.get("/api/events") as answer:
        stream = events(answer)
        await next_market(stream, state="broken")
        market = market_in(path)
        await next_market(stream, state="complete")
        path.rename(tmp_path / "old")
        await next_market(stream, state="broken")
        market = market_in(path)
        await next_market(stream, state="complete")
        market.incomplete(market.due_ms, ["BTCUSDT"])
        await next_market(stream, state="incomplete")


async def test_many_tabs_share_one_watcher_and_nothing_is_read_when_they_are_gone(market, monkeypatch):
    looks = []
    monkeypatch.setattr(readings, "overview", lambda path: looks.append(path) or {"state": "complete"})
    app = make_app([market.base_dir], "127.0.0.1")
    hub = app[SITE].hub
    async with TestServer(app) as server, TestClient(server) as client:
        assert not hub.watching
        tabs = [await client.get("/api/events") for _ in range(5)]
        for tab in tabs:
            await next_market(events(tab), state="complete")
        assert hub.listeners == len(tabs)
        assert {task.get_name() for task in asyncio.all_tasks()} >= {WATCHER}
        assert sum(task.get_name() == WATCHER for task in asyncio.all_tasks()) == 1
        for tab in tabs:
            tab.close()
        async with asyncio.timeout(WAIT):
            while hub.watching:  # noqa: ASYNC110 - the server finds out when it next speaks
                await asyncio.sleep(0.05)
        assert hub.listeners == 0
        assert not hub.news
        seen = len(looks)
        market.incomplete(market.due_ms, ["BTCUSDT"])
        await asyncio.sleep(0.5)
        assert len(looks) == seen


async def test_a_page_is_not_told_that_all_is_well_by_a_watcher_that_has_died(market, monkeypatch):
    def fails(_: object) -> dict[str, Any]:
        raise KeyError("a mistake of ours")

    monkeypatch.setattr(readings, "overview", fails)
    async with asking(market.base_dir) as session, session.get("/api/events") as answer:
        async with asyncio.timeout(WAIT):
            with contextlib.suppress(aiohttp.ClientPayloadError):
                told = [name async for name, content in events(answer) if name == "market" or content["looked_ms"]]
                assert not told
        assert answer.content.at_eof() or answer.content.exception()


def test_open_streams_do_not_keep_the_command_from_leaving(market):
    command = [sys.executable, "-m", "kit", "serve", str(market.base_dir), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        address = process.stdout.readline().split()[-1]
        with urllib.request.urlopen(f"{address}api/events", timeout=WAIT) as stream:  # noqa: S310 - our own server
            assert stream.readline().startswith(b"retry")
            process.send_signal(signal.SIGTERM)
            assert process.wait(45) == 0  # an open stream would keep aiohttp for a minute
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def test_a_port_that_is_taken_is_said(market):
    async with serving([market.base_dir], "127.0.0.1", 0) as address:
        port = address.rstrip("/").rsplit(":", 1)[1]
        command = [sys.executable, "-m", "kit", "serve", str(market.base_dir), "--port", port]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"port {port}" in done.stderr
