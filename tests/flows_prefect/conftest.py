"""A real Prefect server on SQLite for the tests of this folder, started once, in its own home and on its own port."""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
import tomllib
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parents[2]
STAND_IN = "tests.flows_prefect.stand_in"  # run with -m from the repository
ENV_FILE = REPOSITORY / "deployments" / "prefect.env"
ANSWER_WITHIN_SEC = 60.0
"""For an answer that takes 0.1 s on an idle machine."""
COMMAND_WITHIN_SEC = 240.0
"""For a command of Prefect's, which takes some 5 s there."""


def settings_of(path: Path) -> dict[str, str]:
    """The settings of an env file, as a shell would read them."""
    lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
    return dict(line.split("=", 1) for line in lines if line)


def environment(home: Path, port: int) -> dict[str, str]:
    """What a user has who follows deployments/prefect.env, with a home and a port of its own."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    inherited.pop("PYTHONDONTWRITEBYTECODE", None)
    ours = {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": f"{REPOSITORY}:{installed_in(home)}",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_LOOP_SECONDS": "3",  # an hour; what it deletes is as the file says
    }
    return inherited | settings_of(ENV_FILE) | ours


def installed_in(folder: Path) -> Path:
    """What an installed copy of this project tells other programs: its entry points, as pyproject.toml has them."""
    groups = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["entry-points"]
    lines = [
        line
        for group, entries in groups.items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in entries.items()))
    ]
    told = folder / "installed" / "bmac-3.0.0.dist-info"
    told.mkdir(parents=True)
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: bmac\nVersion: 3.0.0\n")
    (told / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return told.parent


@dataclass
class Server:
    """A Prefect server that tests may stop, kill and start again. ``started_in_sec``: how long its last start took."""

    home: Path
    port: int
    env: dict[str, str]
    process: subprocess.Popen[bytes] | None = field(default=None)
    started_in_sec: float = 0.0

    def start(self) -> None:
        log = (self.home / "server.log").open("ab")
        self.process = subprocess.Popen(
            ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port)],
            env=self.env,
            cwd=self.home,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        log.close()

    def wait_healthy(self, within_sec: float = 180) -> None:
        """Wait until it answers, as long as it lives: 8 to 20 s on an idle machine."""
        assert self.process is not None
        began = time.monotonic()
        while time.monotonic() < began + within_sec and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.env['PREFECT_API_URL']}/health", timeout=10) as answer:  # noqa: S310 - http
                    if answer.status == 200:
                        self.started_in_sec = time.monotonic() - began
                        return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        pytest.fail(f"the server is not healthy:\n{(self.home / 'server.log').read_text()[-3000:]}")

    def signal_all(self, number: int) -> None:
        """Send a signal to the server and the processes it started."""
        assert self.process is not None
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.signal_all(signal.SIGKILL)
            self.process.wait(60)

    def ask(self, path: str, body: dict[str, Any]) -> Any:
        """Post to the server's API. TimeoutError when it takes too long: to ``wait_for`` that is a look like others.

        Asks again after a 503, as Prefect's own client does: SQLite was held by another for too long.
        """
        request = urllib.request.Request(  # noqa: S310 - http
            f"{self.env['PREFECT_API_URL']}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        deadline = time.monotonic() + ANSWER_WITHIN_SEC
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(request, timeout=ANSWER_WITHIN_SEC) as answer:  # noqa: S310 - http
                    content = answer.read()
                    return json.loads(content) if content else None
            except urllib.error.HTTPError as error:
                if error.code != HTTPStatus.SERVICE_UNAVAILABLE:
                    raise
                time.sleep(1)
        raise TimeoutError(f"{path}: 503 for {ANSWER_WITHIN_SEC:.0f} s")

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            env=self.env | environment,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=COMMAND_WITHIN_SEC,
            check=False,
        )


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home, port = tmp_path_factory.mktemp("prefect"), free_port()
    instance = Server(home, port, environment(home, port))
    instance.start()
    try:
        instance.wait_healthy()
        pools = instance.run("sh", "deployments/pools.sh")
        assert pools.returncode == 0, pools.stderr
        yield instance
    finally:
        instance.kill()


def write_market(folder: Path, **keys: object) -> Path:
    """A base directory whose exchange is nobody."""
    nobody = {"rest": "http://127.0.0.1:1", "ws": "ws://127.0.0.1:1"}
    folder.mkdir(parents=True, exist_ok=True)
    config = {"interval": "1m", "trade_type": "usdt_perp", "endpoints": nobody} | keys
    (folder / "config.json").write_text(json.dumps(config))
    return folder


class Receiver:
    """Listens for apprise's JSON messages."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, str]] = []
        bodies = self.bodies

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Be quiet."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()
