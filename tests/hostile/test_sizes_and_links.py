"""Nothing from outside is read without a bound, and nothing that lies in the folder leads a writer out of it."""

from __future__ import annotations

import asyncio
import os
import resource
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from aiohttp import web
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosedError

from kit.budget import WeightBudget
from kit.budget.store import Store
from kit.buffer.exchange_info import ExchangeInfoStore
from kit.buffer.files import write_atomically
from kit.buffer.layout import Folder
from kit.buffer.ledger import Ledger
from kit.buffer.locks import hold
from kit.buffer.states import MAX_BYTES as MAX_STATES_BYTES
from kit.buffer.states import States, load_states
from kit.config import load_config
from kit.dialect.hosts import Endpoints, host_of
from kit.dialect.rest import RestClient
from kit.errors import BadAnswerError, ConfigError, ExchangeError, FolderError, FolderNotWritableError
from kit.notify.attempt import deliver
from kit.notify.targets import Target
from kit.outside import read_bounded
from kit.words import Interval, TradeType, Venue, utc_now
from streamer.stats import MAX_KINDS, RouteStats
from streamer.timing import Timing
from streamer.wire import MAX_MESSAGE_BYTES, open_socket
from tests.hostile.decoders import RECORD

pytestmark = pytest.mark.xdist_group("hostile")

MEGABYTE = 1024 * 1024
BOMB_BYTES = 256 * MEGABYTE


@asynccontextmanager
async def answering(handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def bomb() -> bytes:
    """A quarter of a gigabyte as a megabyte of gzip."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    piece = b"0" * MEGABYTE
    return b"".join([*(packer.compress(piece) for _ in range(BOMB_BYTES // MEGABYTE)), packer.flush()])


@asynccontextmanager
async def client_of(url: str) -> AsyncIterator[RestClient]:
    host = host_of(Venue.UM, Endpoints(rest=url))
    # A window that does not turn, and the patience of a busy machine: a refusal is of what came.
    budget = WeightBudget(host.pool, window=timedelta(days=1_000_000))
    async with RestClient(host, budget, timeout=timedelta(seconds=60)) as client:
        yield client


async def test_a_decompression_bomb_is_cut_at_the_bound_without_being_unpacked():
    packed = bomb()

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=packed, headers={"Content-Encoding": "gzip"})

    async with answering(answer) as url, client_of(url) as client:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(BadAnswerError, match="more than"):
            await client.server_time()
        grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kb < 100 * 1024


async def test_a_body_that_never_ends_is_cut_at_the_bound():
    sent = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"[" * MEGABYTE)
                sent += 1
        except ConnectionError:
            return response

    async with answering(answer) as url, client_of(url) as client:
        with pytest.raises(BadAnswerError, match="more than"):
            await client.server_time()
    assert sent < 100


@pytest.mark.parametrize("headers", [{"X-Long": "x" * 100_000}, {"Date": "9" * 5000}, {"Retry-After": "9" * 5000}])
async def test_headers_of_any_length_are_refused_or_passed_over(headers):
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"serverTime": 1787949600000}, headers=headers)

    async with answering(answer) as url, client_of(url) as client:
        try:
            assert await client.server_time() == 1787949600000
        except ExchangeError as error:
            assert len(str(error)) < 2000  # noqa: PT017 - either is right


async def test_a_frame_above_the_bound_ends_the_connection_instead_of_filling_memory():
    async def flood(socket) -> None:
        await socket.send("x" * (MAX_MESSAGE_BYTES + 1))
        await socket.wait_closed()

    async with serve(flood, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        socket = await open_socket(f"ws://127.0.0.1:{port}/stream", None, Timing(open_within_s=60.0))
        with pytest.raises(ConnectionClosedError, match="1009"):
            await socket.recv()


async def test_a_chat_service_that_answers_without_end_is_not_read_to_the_end():
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * MEGABYTE)
        except ConnectionError:
            return response

    async with answering(answer) as url:
        target = Target("dingding.error", url, url="dingtalk://0a1b2c3d4e5f60718293a4b5c6d7e8f9/")
        verdict = await asyncio.to_thread(deliver, target, "title", "body", 60)
    assert (verdict.ok, verdict.error) == (False, "an answer without errcode")


def test_events_that_others_name_are_counted_under_few_names():
    stats = RouteStats()
    for number in range(10_000):
        stats.unknown_event(f"made up {number}")
    assert len(stats.unknown_events) == MAX_KINDS + 1
    assert sum(stats.unknown_events.values()) == 10_000


@pytest.fixture
def folder(tmp_path) -> Folder:
    (tmp_path / "market").mkdir()
    market = Folder(tmp_path / "market", TradeType.USDT_PERP, Interval.M1)
    market.open_for_writing()
    return market


def huge(path, size: int) -> None:
    """A file of that size that takes no room."""
    with path.open("wb") as file:
        file.truncate(size)


def test_a_config_that_is_huge_a_pipe_or_a_device_is_refused_at_once(tmp_path):
    path = tmp_path / "config.json"
    huge(path, 10 * 1024 * MEGABYTE)
    with pytest.raises(ConfigError, match="larger than"):
        load_config(tmp_path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="no regular file"):
        load_config(tmp_path)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match="no regular file"):
        load_config(tmp_path)


def test_huge_files_of_the_buffer_are_damage_like_any_other(folder):
    ledger = Ledger(folder)
    ledger.put([RECORD])
    (path,) = folder.ledger.glob("*.jsonl")
    huge(path, 1024 * MEGABYTE)
    assert ledger.get(RECORD.run_time) is None
    ledger.put([RECORD])  # the next period writes it anew
    assert ledger.get(RECORD.run_time) == RECORD
    huge(folder.symbol_states, MAX_STATES_BYTES + 1)
    assert load_states(folder) == States()


def test_a_file_is_read_up_to_its_bound_to_the_byte(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_bounded(path, 5) == b"12345"
    with pytest.raises(OSError, match="larger than 4"):
        read_bounded(path, 4)
    with pytest.raises(IsADirectoryError):
        read_bounded(tmp_path, 4)


def test_a_folder_of_the_market_may_be_a_link_to_another_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    base_dir = tmp_path / "market"
    base_dir.mkdir()
    (base_dir / "usdt_perp_1m").symlink_to(disk)
    market = Folder(base_dir, TradeType.USDT_PERP, Interval.M1)
    market.open_for_writing()
    Ledger(market).put([RECORD])
    assert Ledger(market).get(RECORD.run_time) == RECORD
    assert (disk / "ledger").is_dir()


def test_a_link_in_a_files_place_is_replaced_and_what_it_led_to_stays(folder, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    for path in (folder.format_file, folder.symbol_states, folder.base_dir / "streamer.json"):
        path.unlink(missing_ok=True)
        path.symlink_to(precious)
        write_atomically(path, b"{}")
        assert not path.is_symlink()
    assert precious.read_text() == "mine"


def test_a_link_in_a_lock_files_place_is_refused_and_what_it_led_to_stays(folder, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    folder.lock("flow").symlink_to(precious)
    with pytest.raises(FolderNotWritableError, match=r"flow\.lock"), hold(folder, "flow"):
        pass
    assert precious.read_text() == "mine"


def test_a_link_in_the_budgets_place_is_refused_and_what_it_led_to_stays(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "pool.budget").symlink_to(precious)
    with pytest.raises(FolderError, match=r"pool\.budget"):
        Store(tmp_path / "pool.budget")
    assert precious.read_text() == "mine"


@pytest.fixture
def usual_umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_nobody_but_the_owner_may_write_what_is_written(usual_umask, folder):
    ExchangeInfoStore(folder).save([{"symbol": "BTCUSDT", "status": "TRADING"}], utc_now())
    Ledger(folder).put([RECORD])
    with hold(folder, "flow"):
        pass
    store = Store(folder.base_dir / "state" / "pool.budget")
    store.close()
    files = [path for path in folder.base_dir.rglob("*") if path.is_file()]
    assert len(files) >= 5
    assert {path.name: oct(path.stat().st_mode) for path in files if path.stat().st_mode & 0o022} == {}
