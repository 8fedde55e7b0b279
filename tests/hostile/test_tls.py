"""TLS is verified by everything that opens a connection, and no option turns that off."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from kit.config import load_config, parse_config
from kit.errors import ConfigError
from kit.notify.attempt import deliver
from kit.notify.targets import Target
from tests.hostile.certificates import Served, served

pytestmark = pytest.mark.xdist_group("hostile")

DOORS = {"rest", "websocket", "dingding.default", "notify[0] (jsons)"}
MARKET = {"interval": "1m", "trade_type": "usdt_perp"}


@asynccontextmanager
async def serving(served_by: Served) -> AsyncIterator[tuple[int, list[str]]]:
    """A TLS server that answers everybody well; its port, and the paths of what came through to it."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            async for _ in socket:
                pass
            return socket
        return web.json_response({"serverTime": 1787949600000, "errcode": 0})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=served_by.context)
    await site.start()
    try:
        yield runner.addresses[0][1], asked
    finally:
        await runner.cleanup()


async def tried(port: int, trusted: Path | None, state: Path) -> dict[str, str]:
    trust = {} if trusted is None else {"SSL_CERT_FILE": str(trusted), "REQUESTS_CA_BUNDLE": str(trusted)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.hostile.tls_client", str(port)),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "BMAC_STATE_DIR": str(state), **trust},
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), 250)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    found: dict[str, str] = json.loads(out.splitlines()[-1])
    assert found.keys() == DOORS
    return found


async def test_a_self_signed_certificate_is_refused_everywhere_with_a_clear_error(tmp_path):
    async with serving(served(tmp_path, "127.0.0.1", self_signed=True)) as (port, asked):
        found = await tried(port, None, tmp_path)
    assert all(found.values()), found
    assert asked == []
    assert "TLS certificate is refused (self-signed certificate)" in found["rest"]
    assert "self-signed certificate" in found["websocket"]
    assert "TLS certificate" in found["dingding.default"]


async def test_a_trusted_certificate_of_another_host_is_refused_everywhere(tmp_path):
    certificate = served(tmp_path, "fapi.binance.com")
    async with serving(certificate) as (port, asked):
        found = await tried(port, certificate.authority, tmp_path)
    assert all(found.values()), found
    assert asked == []
    assert "not valid for '127.0.0.1'" in found["rest"]
    assert "not valid for '127.0.0.1'" in found["websocket"]


async def test_a_trusted_certificate_of_the_right_host_is_taken_everywhere(tmp_path):
    certificate = served(tmp_path, "127.0.0.1")
    async with serving(certificate) as (port, asked):
        found = await tried(port, certificate.authority, tmp_path)
    assert not any(found.values()), found
    assert len(asked) == len(DOORS)


@pytest.mark.parametrize("word", ["no", "No", "false", "0", "off", "never", "disable", "n"])
def test_an_address_that_turns_verification_off_is_refused_by_the_config(word):
    with pytest.raises(ConfigError, match="turns the check of certificates off"):
        parse_config(Path(), {**MARKET, "notify": [f"jsons://127.0.0.1/?to=x&verify={word}"]})


def test_an_address_that_keeps_verification_on_is_taken():
    assert parse_config(Path(), {**MARKET, "notify": ["jsons://127.0.0.1/?verify=yes"]}).notify


async def test_apprise_cannot_turn_verification_off_by_itself(tmp_path):
    async with serving(served(tmp_path, "127.0.0.1", self_signed=True)) as (port, asked):
        target = Target("notify[0]", "", url=f"jsons://127.0.0.1:{port}/?verify=no")
        verdict = await asyncio.to_thread(deliver, target, "title", "body", 60)
    assert not verdict.ok
    assert asked == []


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        ("http://relay.example:8080", True),
        ("https://relay.example", False),
        ("http://127.0.0.1:8080", False),
        ("http://localhost:8080", False),
        ("http://[::1]:8080", False),
        ("http://127.0.0.1.example", True),
    ],
)
def test_an_unencrypted_address_of_another_machine_is_warned_of(tmp_path, caplog, capsys, rest, told):
    (tmp_path / "config.json").write_text(json.dumps({**MARKET, "endpoints": {"rest": rest}}))
    config = load_config(tmp_path)
    assert config.unencrypted() == (("endpoints.rest",) if told else ())
    said = caplog.text + "".join(capsys.readouterr())
    assert ("config.not_encrypted" in said) == told


@pytest.mark.parametrize(("mode", "told"), [(0o644, True), (0o640, False), (0o600, False)])
def test_a_config_with_secrets_that_all_may_read_is_warned_of(tmp_path, caplog, capsys, mode, told):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**MARKET, "notify": ["jsons://127.0.0.1/x"]}))
    path.chmod(mode)
    load_config(tmp_path)
    said = caplog.text + "".join(capsys.readouterr())
    assert ("config.secrets_readable_by_all" in said) == told
