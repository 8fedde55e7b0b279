"""The same on Postgres, which one setting chooses: a real one, from Debian's packages, in a folder of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.flows_prefect.conftest import Server, environment, write_market
from tests.flows_prefect.deployed import artifacts_of, deploy, shown_run, wait_for, working
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

CLUSTER = "/usr/lib/postgresql"
NOBODY = "nobody"  # Postgres refuses to run as root


def binaries() -> Path | None:
    """Where Postgres' own programs are: on the path, or where Debian puts them."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    return max(Path(CLUSTER).glob("*/bin"), default=None)


BIN = binaries()
pytestmark = [
    pytest.mark.xdist_group("postgres"),
    pytest.mark.timeout(900),
    pytest.mark.skipif(BIN is None, reason="needs Postgres: apt-get install postgresql"),
]


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """A fresh Postgres on loopback: what Prefect's setting for it takes."""
    assert BIN is not None
    folder = Path(tempfile.mkdtemp(prefix="bmac-postgres-"))  # not pytest's, which only its own user may enter
    user = NOBODY if os.getuid() == 0 else None
    if user is not None:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    port, data = free_port(), folder / "data"
    subprocess.run(
        [BIN / "initdb", "--pgdata", data, "--username", "prefect", "--auth", "trust", "--no-sync"],
        user=user,
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=180,
    )
    with (folder / "postgres.log").open("wb") as log:
        process = subprocess.Popen(
            [BIN / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder, "-F"],
            user=user,
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        ready = [BIN / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
        wait_for("Postgres answers", lambda: subprocess.run(ready, check=False).returncode == 0)
        yield f"postgresql+asyncpg://prefect@127.0.0.1:{port}/postgres"
    finally:
        process.send_signal(signal.SIGQUIT)  # at once: what it holds is thrown away
        process.wait(60)
        shutil.rmtree(folder)


def test_a_period_is_shown_by_a_server_on_postgres(postgres_url: str, tmp_path: Path) -> None:
    home, port = tmp_path / "prefect", free_port()
    home.mkdir()
    setting = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": postgres_url}
    server = Server(home, port, environment(home, port) | setting)
    server.start()
    try:
        server.wait_healthy()
        pools = server.run("sh", "deployments/pools.sh")
        assert pools.returncode == 0, pools.stderr
        base_dir = write_market(tmp_path / "market")
        with working(server, deploy(server, tmp_path, "on-postgres", base_dir)):
            run = wait_for("a run with its artifacts", lambda: shown_run(server, "on-postgres"))
        assert run["name"].startswith("usdt_perp 1m ")
        assert "complete 3/3" in artifacts_of(server, run["id"])["usdt-perp-1m-ledger"]["description"]
        assert not (home / "prefect.db").exists()
    finally:
        server.kill()
