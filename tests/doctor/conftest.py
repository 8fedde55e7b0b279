"""A market at an embedded exchange, for the doctor to look at."""

from __future__ import annotations

import json

import pytest

from kit.doctor import examination, folder, rest, server, stream
from kit.embedded_exchange import EmbeddedExchange, Settings
from tests.ports import nobodys_port


@pytest.fixture(autouse=True)
def patient(monkeypatch, room_on_the_disk):
    """What the doctor waits for comes, and nothing is called slow, however slow the machine is; who tests that
    something does not come is short."""
    for module, name in (
        (examination, "DISK_WITHIN_S"),
        (examination, "REST_WITHIN_S"),
        (examination, "STREAM_WITHIN_S"),
        (examination, "SERVER_WITHIN_S"),
        (rest, "CONNECT_WITHIN"),
        (rest, "SLOW_MS"),
        (folder, "SLOW_WRITE_S"),
        (server, "ANSWER_WITHIN_S"),
        (stream, "OPEN_WITHIN_S"),
        (stream, "FRAME_WITHIN_S"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name) * 10)


@pytest.fixture
def unused_tcp_port():
    """In place of pytest-asyncio's, which others may take meanwhile."""
    with nobodys_port() as port:
        yield port


@pytest.fixture
async def exchange():
    async with EmbeddedExchange(Settings(symbols=8, update_ms=50, illiquid_share=0.0)) as server:
        yield server


@pytest.fixture
def configure(tmp_path):
    def write(exchange=None, **changes):
        base_dir = tmp_path / "market"
        base_dir.mkdir(exist_ok=True)
        config = {"interval": "1m", "trade_type": "usdt_perp", "http_timeout_sec": 60, **changes}
        if exchange is not None:
            config.setdefault("endpoints", {"rest": exchange.futures.rest, "ws": exchange.futures.ws})
        (base_dir / "config.json").write_text(json.dumps(config))
        return base_dir

    return write
