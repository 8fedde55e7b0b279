"""``python -m tests.hostile.tls_client PORT``: one attempt by REST, WebSocket, DingTalk and apprise; JSON on stdout.

A process of its own, since TLS libraries read the trusted authorities (SSL_CERT_FILE, REQUESTS_CA_BUNDLE) once.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import timedelta
from pathlib import Path

from websockets.exceptions import WebSocketException

from kit.budget import WeightBudget
from kit.config import parse_config
from kit.dialect.hosts import Endpoints, host_of
from kit.dialect.rest import RestClient
from kit.errors import BmacError
from kit.notify import Patience, send
from kit.words import Venue
from streamer.timing import Timing
from streamer.wire import open_socket

LONG = timedelta(seconds=60)  # a busy machine is no refusal
TOKEN = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"  # noqa: S105 - made up


async def attempts(port: int) -> dict[str, str]:
    """What became of each: "" where it went through, otherwise the error."""
    found = {}
    host = host_of(Venue.UM, Endpoints(f"https://127.0.0.1:{port}", f"wss://127.0.0.1:{port}"))
    budget = WeightBudget(host.pool, window=timedelta(days=1_000_000))  # nobody waits for a minute's turn
    async with RestClient(host, budget, timeout=LONG) as client:
        try:
            await client.server_time()
            found["rest"] = ""
        except BmacError as error:
            found["rest"] = str(error)
    try:
        socket = await open_socket(host.stream_url, None, Timing(open_within_s=LONG.total_seconds()))
        await socket.close()
        found["websocket"] = ""
    except (OSError, WebSocketException) as error:
        found["websocket"] = str(error)
    config = parse_config(
        Path(),
        {
            "interval": "1m",
            "trade_type": "usdt_perp",
            "endpoints": {"dingding": f"https://127.0.0.1:{port}"},
            "dingding": {"access_token": TOKEN},
            "notify": [f"jsons://127.0.0.1:{port}/"],
        },
    )
    for outcome in await send(config, "title", "body", patience=Patience(attempts=1, timeout=LONG)):
        found[outcome.target] = outcome.error
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(attempts(int(sys.argv[1])))))  # noqa: T201 - its result
