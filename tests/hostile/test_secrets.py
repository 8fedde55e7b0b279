"""A canary for each secret of a config, through the real commands: it is found nowhere but in config.json."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

from tests.ports import nobodys_port
from tests.streamer.exchange_double import eventually

pytestmark = pytest.mark.xdist_group("hostile")

USER, PASSWORD = "canary-user", "canary:pass/word"
TOKEN = "canary0a1b2c3d4e5f60718293a4b5c6d7e8f9"  # noqa: S105 - made up
SECRET = "SECcanary5eed0123456789abcdef"  # noqa: S105 - made up
HOOK = "canaryhook0123456789abcdef"
SECRETS = {
    "the proxy's password": PASSWORD,
    "the proxy's password in an URL": quote(PASSWORD, safe=""),
    "a part of the proxy's Basic credentials": base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()[:12],
    "the robot's token": TOKEN,
    "the robot's signing secret": SECRET,
    "the token of a webhook": HOOK,
}


@contextmanager
def echoing() -> Iterator[int]:
    """An HTTP server, and proxy, that refuses everything and says back all it was told, secrets included."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            told = f"{self.command} {self.path} {self.headers}".replace("\n", " ").replace("\r", "")
            body = json.dumps({"errcode": 310000, "errmsg": told}).encode()
            self.send_response(407, told[:300])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_CONNECT = answer  # noqa: N815 - the standard library's names

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def market(base_dir: Path, port: int, **changes: object) -> Path:
    """A market whose exchange, proxy and chat services are all the echo. Its config holds every canary."""
    here = f"127.0.0.1:{port}"
    credentials = f"{USER}:{quote(PASSWORD, safe='')}"
    config = {
        "interval": "1m",
        "trade_type": "usdt_perp",
        "num_candles": 5,
        "http_timeout_sec": 2,
        "endpoints": {"rest": f"http://{here}", "ws": f"ws://{here}", "dingding": f"http://{here}"},
        "proxy": f"http://{credentials}@{here}",
        "dingding": {"error": {"access_token": TOKEN, "secret": SECRET}},
        "notify": [f"json://{credentials}@{here}/services/{HOOK}", f"dingtalk://{SECRET}@{TOKEN}/"],
    }
    base_dir.mkdir()
    path = base_dir / "config.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(config | changes))
    return base_dir


def environment(base_dir: Path) -> dict[str, str]:
    return {**os.environ, "BMAC_STATE_DIR": str(base_dir / "state")}


def run(base_dir: Path, *command: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, *command], capture_output=True, env=environment(base_dir), timeout=250, check=False
    )


def assert_clean(what: str, *pieces: bytes) -> None:
    for piece in pieces:
        found = [name for name, secret in SECRETS.items() if secret.encode() in piece]
        assert not found, f"{what} shows {', '.join(found)}: {piece.decode(errors='replace')[:3000]}"


def assert_files_clean(base_dir: Path) -> None:
    files = [path for path in base_dir.rglob("*") if path.is_file() and path.name != "config.json"]
    assert files
    for path in files:
        assert_clean(str(path.relative_to(base_dir)), path.read_bytes())


SENDING = """
import asyncio, sys
from pathlib import Path
from kit.config import load_config
from kit.logs import configure
from kit.notify import Patience, send
configure("json")
config = load_config(Path(sys.argv[1]))
for outcome in asyncio.run(send(config, "title", "body", patience=Patience(attempts=1))):
    print(outcome, outcome.ok)
print(repr(config), config)
"""


@pytest.fixture(scope="module")
def echo() -> Iterator[int]:
    with echoing() as port:
        yield port


async def test_the_streamer_shows_no_secret_in_logs_heartbeat_or_process_list(tmp_path, echo):
    base_dir = market(tmp_path / "market", echo)
    log = tmp_path / "streamer.log"
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "streamer", str(base_dir), "--log-format", "json"),
            stdout=asyncio.subprocess.PIPE,
            stderr=file,
            env=environment(base_dir),
        )
    try:
        await eventually((base_dir / "streamer.json").exists)
        await eventually(lambda: b"exchange_info.unavailable" in log.read_bytes())  # it did try, through the proxy
        assert_clean("the process list", " ".join(psutil.Process(process.pid).cmdline()).encode())
        process.send_signal(signal.SIGTERM)
        output, _ = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    assert_clean("the streamer", output, log.read_bytes())
    assert_files_clean(base_dir)


def test_a_period_by_hand_and_the_status_show_no_secret(tmp_path, echo):
    base_dir = market(tmp_path / "market", echo)
    period = run(base_dir, "-m", "flows", "period", str(base_dir), "--logs", "json")
    assert period.returncode == 3, period.stderr.decode()
    table, plain = (run(base_dir, "-m", "kit", "status", str(base_dir), *more) for more in ([], ["--json"]))
    assert (table.returncode, plain.returncode) == (0, 0)
    for done in (period, table, plain):
        assert_clean(" ".join(map(str, done.args[1:])), done.stdout, done.stderr)
    assert_files_clean(base_dir)


def test_a_send_that_is_refused_by_somebody_who_says_everything_back_shows_no_secret(tmp_path, echo):
    base_dir = market(tmp_path / "market", echo)
    done = run(base_dir, "-c", SENDING, str(base_dir))
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.count(b"ok=False") == 3
    assert_clean("sending", done.stdout, done.stderr)


def test_a_send_to_nobody_shows_no_secret(tmp_path):
    with nobodys_port() as port:
        base_dir = market(tmp_path / "market", port)
        done = run(base_dir, "-c", SENDING, str(base_dir))
    assert done.stdout.count(b"ok=False") == 3
    assert_clean("sending", done.stdout, done.stderr)


@pytest.mark.parametrize(
    "wrong",
    [
        {"proxy": f"ftp://{USER}:{PASSWORD}@127.0.0.1"},
        {"proxy": [f"http://{USER}:{PASSWORD}@127.0.0.1:1"]},
        {"dingding": {"error": {"access_token": [TOKEN], "secert": SECRET}}},
        {"notify": f"json://127.0.0.1/{HOOK}"},
        {"notifi": [f"json://127.0.0.1/{HOOK}"]},
        {"endpoints": {"rest": f"http://{USER}:{PASSWORD}@127.0.0.1:1"}},
        {"keep_symbols": [f"json://x/services/{HOOK}"]},
    ],
)
def test_a_wrong_config_is_refused_without_its_secrets(tmp_path, wrong):
    from typer.testing import CliRunner  # noqa: PLC0415 - one process for all of them

    from kit.__main__ import app  # noqa: PLC0415 - same

    base_dir = market(tmp_path / "market", 1, **wrong)
    done = CliRunner().invoke(app, ["status", str(base_dir)])
    assert done.exit_code == 2
    assert next(iter(wrong)) in done.output
    assert_clean("kit status", done.output.encode(), repr(done.exception).encode())


@pytest.mark.parametrize("module", ["streamer", "flows"])
def test_each_command_refuses_a_wrong_config_without_its_secrets(tmp_path, module):
    base_dir = market(tmp_path / "market", 1, proxy=f"ftp://{USER}:{PASSWORD}@127.0.0.1")
    done = run(base_dir, "-m", *(["streamer"] if module == "streamer" else ["flows", "period"]), str(base_dir))
    assert done.returncode == 2
    assert_clean(module, done.stdout, done.stderr)


PREFECT_LOGS = """
import logging, sys
from prefect.logging.handlers import APILogHandler
from flows.prefect_logs import take_over
from kit.logs import keep_secret
keep_secret(sys.argv[1:])
take_over("json")
kept = []
logger = logging.getLogger("prefect.flow_runs")
(handler,) = [each for each in logger.handlers if isinstance(each, APILogHandler)]
handler.emit = lambda record: kept.append(handler.format(record))
try:
    raise RuntimeError(f"cannot reach http://user:{sys.argv[1]}@host/")
except RuntimeError:
    logger.exception("run of %s failed with %s", "flow", sys.argv[1])
print(kept)
assert "RuntimeError" in kept[0] and "run of flow failed" in kept[0]
"""


def test_what_prefect_keeps_of_a_runs_logs_shows_no_secret(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PREFECT_LOGS, *SECRETS.values()],
        capture_output=True,
        env={**os.environ, "PREFECT_HOME": str(tmp_path), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"},
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert_clean("Prefect's log", done.stdout, done.stderr)
