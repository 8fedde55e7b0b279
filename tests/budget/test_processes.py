"""Real processes, one budget, one server that counts."""

from __future__ import annotations

import asyncio
import email.utils
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from aiohttp import web

ROOT = Path(__file__).parents[2]
WINDOW_MS = 2_000
LIMIT = 100
REQUESTS = 30


async def test_several_processes_one_of_them_killed_never_exceed_the_limit_together(tmp_path: Path):
    counted: Counter[int] = Counter()
    served = 0
    spending = asyncio.Event()

    async def count(request: web.Request) -> web.Response:
        nonlocal served
        await asyncio.sleep(0.003)
        now_ms = time.time_ns() // 1_000_000
        counted[now_ms // WINDOW_MS] += int(request.query["weight"])
        served += 1
        if served == 10:
            spending.set()
        told = str(counted[now_ms // WINDOW_MS])
        await asyncio.sleep(0.003)
        date = email.utils.formatdate(time.time(), usegmt=True)
        return web.Response(headers={"X-MBX-USED-WEIGHT-1M": told, "Date": date})

    app = web.Application()
    app.router.add_get("/", count)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        arguments = [str(tmp_path), f"http://127.0.0.1:{runner.addresses[0][1]}/", str(WINDOW_MS), str(LIMIT)]
        command = [sys.executable, "-m", "tests.budget.spender", *arguments]
        doomed = await asyncio.create_subprocess_exec(*command, "1000", cwd=ROOT)
        others = [await asyncio.create_subprocess_exec(*command, str(REQUESTS), cwd=ROOT) for _ in range(3)]
        await spending.wait()
        doomed.send_signal(signal.SIGKILL)
        codes = await asyncio.gather(doomed.wait(), *(process.wait() for process in others))
    finally:
        await runner.cleanup()
    assert codes == [-signal.SIGKILL, 0, 0, 0]
    assert served >= 3 * REQUESTS
    assert max(counted.values()) <= LIMIT
