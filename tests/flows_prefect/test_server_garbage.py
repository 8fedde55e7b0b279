"""What makes Prefect's server on SQLite stand still, and how our block keeps it from that: in processes of their own"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.flows_prefect.conftest import REPOSITORY

STANDING_STILL = """
import asyncio, gc, sys
import aiosqlite

async def main(path, busy_sec):
    holder, waiter = await aiosqlite.connect(path, timeout=busy_sec), await aiosqlite.connect(path, timeout=busy_sec)
    await holder.execute("CREATE TABLE t (x UNIQUE)")
    await holder.execute("INSERT INTO t VALUES (1)")
    await holder.commit()
    failed = await waiter.cursor()
    try:
        await failed.execute("INSERT INTO t VALUES (1)")
    except aiosqlite.IntegrityError:
        await waiter.rollback()
    cycle = [failed._cursor]
    cycle.append(cycle)
    del failed, cycle
    await holder.execute("BEGIN IMMEDIATE")
    begun, loop = asyncio.Event(), asyncio.get_running_loop()
    await waiter.set_trace_callback(lambda _: loop.call_soon_threadsafe(begun.set))
    waiting = asyncio.create_task(waiter.execute("INSERT INTO t VALUES (2)"))
    await begun.wait()
    await asyncio.sleep(0.5)  # from its first step to the lock
    garbage = [[] for _ in range(10_000)]  # what the collector comes for
    await asyncio.sleep(1)
    await holder.rollback()
    try:
        await waiting
        print("written")
    except aiosqlite.OperationalError as error:
        print(error)
    await holder.close()
    await waiter.close()

if sys.argv[3:]:
    from flows.blocks.garbage import collect_apart
    collect_apart()
asyncio.run(main(sys.argv[1], float(sys.argv[2])))
"""


def run(code: str, *arguments: str) -> str:
    command = [sys.executable, "-W", "ignore", "-c", code, *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="a statement that failed stays with its cursor in 3.11 only")
def test_a_loop_that_collects_a_failed_statement_waits_for_who_waits_for_it(tmp_path):
    assert run(STANDING_STILL, str(tmp_path / "db"), "3") == "database is locked"


def test_a_thread_that_collects_it_keeps_nobody_waiting(tmp_path):
    assert run(STANDING_STILL, str(tmp_path / "db"), "300", "apart") == "written"


@pytest.mark.parametrize(
    ("arguments", "apart"),
    [
        (["prefect", "server", "start", "--port", "4200"], True),
        (["uvicorn", "--factory", "prefect.server.api.server:create_app"], True),
        (["prefect", "--no-prompt", "deploy", "--all"], False),
        (["flows", "worker"], False),
    ],
)
def test_it_is_so_in_a_server_on_sqlite_and_in_no_other_program(arguments, apart):
    code = (
        "import sys\n"
        f"sys.argv = {arguments!r}\n"
        "import gc, flows.blocks\n"
        "from flows.blocks.garbage import stands_still\n"
        "assert not stands_still(sys.argv, 'postgresql+asyncpg://user@host/prefect', (3, 11))\n"
        "assert not stands_still(sys.argv, '', (3, 12))\n"
        "print(gc.isenabled())"
    )
    assert run(code) == str(not apart or sys.version_info >= (3, 12))
