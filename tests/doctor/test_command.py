"""``python -m kit doctor`` as people and programs call it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE


async def doctor(*arguments, **environment):
    """Exit code, stdout, stderr."""
    command = [sys.executable, "-m", "kit", "doctor", *map(str, arguments)]
    values = {**os.environ, "PREFECT_HOME": "/nowhere", "COLUMNS": "80", **environment}
    values.pop("PREFECT_API_URL", None)
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, env=values)
    out, errors = await asyncio.wait_for(process.communicate(), 180)
    return process.returncode, out.decode(), errors.decode()


async def test_a_market_that_could_be_started_is_well_enough(exchange, configure):
    code, out, errors = await doctor(configure(exchange), "--json")
    assert (code, errors) == (0, "")
    told = json.loads(out)
    assert told["level"] == "warning"  # nothing has been started yet
    assert {"name", "level", "seen", "todo"} == set(told["findings"][0])


async def test_what_is_wrong_is_told_with_what_to_do_and_exit_code_1(configure, unused_tcp_port):
    gone = f"127.0.0.1:{unused_tcp_port}"
    code, out, _ = await doctor(configure(endpoints={"rest": f"http://{gone}", "ws": f"ws://{gone}"}))
    assert code == 1
    lines = out.splitlines()
    assert any(line.startswith("wrong") and " REST " in line for line in lines)
    assert any("-> check the network and DNS" in line for line in lines), out
    wrong, warnings = (sum(line.startswith(f"{level} ") for line in lines) for level in ("wrong", "warning"))
    assert f"wrong: {wrong}; warnings: {warnings}" in lines, "what it comes to is told last"
    assert max(map(len, lines)) <= 80


async def test_a_bad_config_is_told_and_the_other_folders_are_looked_at(exchange, configure, tmp_path):
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "config.json").write_text('{"interval": "1m", "trade_type": "usdt_prep"}')
    code, out, _ = await doctor(bad, configure(exchange), "--json")
    assert code == 2
    first, second = map(json.loads, out.splitlines())
    assert "did you mean" in first["findings"][0]["seen"] or "usdt_perp" in first["findings"][0]["seen"]
    assert second["level"] == "warning"
