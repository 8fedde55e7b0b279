"""What the doctor says of Prefect's server: a double of its REST interface, as 3.8.8 answers."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from kit.config import load_config
from kit.doctor import Level
from kit.doctor.server import REPOSITORY, Server, check_server, server_of

HERE = importlib.metadata.version("prefect")


class PrefectDouble:
    """Answers like a server with these deployments and workers."""

    def __init__(self) -> None:
        self.version = HERE
        self.deployments: list[dict[str, object]] = []
        self.workers: list[dict[str, object]] = []
        self.authorization: set[str | None] = set()
        self.hangs = False

    async def answer(self, request: web.Request) -> web.Response:
        self.authorization.add(request.headers.get("Authorization"))
        if self.hangs:
            await asyncio.sleep(60)
        answers = {
            "/api/health": True,
            "/api/admin/version": self.version,
            "/api/deployments/filter": self.deployments,
            "/api/work_pools/bmac-live/workers/filter": self.workers,
        }
        return web.json_response(answers[request.path]) if request.path in answers else web.Response(status=404)

    @asynccontextmanager
    async def serving(self):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/api"
        finally:
            await runner.cleanup()


@pytest.fixture
async def prefect():
    double = PrefectDouble()
    async with double.serving() as url:
        double.url = url
        yield double


@pytest.fixture
def config(configure):
    return load_config(configure())


def deployment(base_dir, **changes):
    usual = {"name": "usdt_perp-1m", "parameters": {"base_dir": str(base_dir)}, "work_pool_name": "bmac-live"}
    return {**usual, "paused": False, "id": "ignored", **changes}


async def found(config, prefect):
    return {finding.name: finding for finding in await check_server(config, Server(prefect.url))}


async def test_all_is_well(config, prefect):
    prefect.deployments = [deployment("/elsewhere"), deployment(config.base_dir)]
    prefect.workers = [{"name": "bmac host 7", "status": "ONLINE", "last_heartbeat_time": None}]
    lines = await found(config, prefect)
    assert {line.level for line in lines.values()} == {Level.OK}
    assert lines["Prefect"].seen.endswith(f"answers, version {HERE}")
    assert lines["work pool"].seen == "bmac-live: at work bmac host 7"


async def test_a_relative_folder_counts_from_the_repository(config, prefect):
    prefect.deployments = [deployment(config.base_dir.relative_to("/"))]
    assert (await found(config, prefect))["deployment"].level is Level.WARNING
    prefect.deployments = [deployment(os.path.relpath(config.base_dir, REPOSITORY))]
    assert (await found(config, prefect))["deployment"].level is Level.OK


async def test_nobody_works_for_the_pool(config, prefect):
    prefect.deployments = [deployment(config.base_dir)]
    prefect.workers = [{"name": "bmac host 7", "status": "OFFLINE"}]
    finding = (await found(config, prefect))["work pool"]
    assert finding.level is Level.WARNING
    assert "python -m flows worker" in finding.todo


async def test_a_folder_that_it_does_not_know_and_one_whose_deployment_is_paused(config, prefect):
    finding = (await found(config, prefect))["deployment"]
    assert (finding.level, "prefect --no-prompt deploy --all" in finding.todo) == (Level.WARNING, True)
    prefect.deployments = [deployment(config.base_dir, paused=True)]
    assert "paused" in (await found(config, prefect))["deployment"].seen


async def test_another_version_is_a_warning(config, prefect):
    prefect.version = "3.9.1"
    assert (await found(config, prefect))["Prefect"].level is Level.WARNING


async def test_a_server_that_is_gone_hangs_or_is_something_else_is_wrong(config, prefect, monkeypatch, unused_tcp_port):
    (gone,) = await check_server(config, Server(f"http://127.0.0.1:{unused_tcp_port}/api"))
    assert gone.level is Level.WRONG
    (other,) = await check_server(config, Server(f"{prefect.url}/nothing"))
    assert "404" in other.seen
    monkeypatch.setattr("kit.doctor.server.ANSWER_WITHIN_S", 0.3)
    prefect.hangs = True
    (hung,) = await check_server(config, Server(prefect.url))
    assert hung.level is Level.WRONG
    assert "no answer in time" in hung.seen


async def test_without_a_server_it_says_that_the_periods_run_all_the_same(config):
    (finding,) = await check_server(config, None)
    assert finding.level is Level.WARNING
    assert "PREFECT_API_URL" in finding.todo


def test_the_address_comes_from_the_environment_or_the_active_profile(tmp_path):
    assert server_of({}, tmp_path) is None
    (tmp_path / "profiles.toml").write_text(
        'active = "mine"\n[profiles.mine]\nPREFECT_API_URL = "http://profile/api"\n[profiles.other]\n'
    )
    assert server_of({}, tmp_path) == Server("http://profile/api")
    assert server_of({"PREFECT_PROFILE": "other"}, tmp_path) is None
    assert server_of({"PREFECT_API_URL": "http://environment/api/"}, tmp_path) == Server("http://environment/api")
    (tmp_path / "profiles.toml").write_text("active = [")
    assert server_of({}, tmp_path) is None


async def test_passwords_are_sent_and_never_shown(config, prefect):
    with_key = server_of({"PREFECT_API_URL": prefect.url, "PREFECT_API_KEY": "pnu_s3cret"}, config.base_dir)
    with_password = server_of({"PREFECT_API_URL": prefect.url, "PREFECT_API_AUTH_STRING": "me:s3cret"}, config.base_dir)
    for server in (with_key, with_password):
        assert "s3cret" not in repr(server)
        assert "s3cret" not in repr(await check_server(config, server))
    assert prefect.authorization == {"Bearer pnu_s3cret", "Basic bWU6czNjcmV0"}
    assert Server("http://me:s3cret@host/api").shown == "http://host/api"
