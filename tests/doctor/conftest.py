"""A market at an embedded exchange, for the doctor to look at."""

from __future__ import annotations

import json

import pytest

from kit.embedded_exchange import EmbeddedExchange, Settings


@pytest.fixture
async def exchange():
    async with EmbeddedExchange(Settings(symbols=8, update_ms=50, illiquid_share=0.0)) as server:
        yield server


@pytest.fixture
def configure(tmp_path):
    def write(exchange=None, **changes):
        base_dir = tmp_path / "market"
        base_dir.mkdir(exist_ok=True)
        config = {"interval": "1m", "trade_type": "usdt_perp", "http_timeout_sec": 2, **changes}
        if exchange is not None:
            config.setdefault("endpoints", {"rest": exchange.futures.rest, "ws": exchange.futures.ws})
        (base_dir / "config.json").write_text(json.dumps(config))
        return base_dir

    return write
