"""Setting the demo up: folder, configs, the embedded exchange, streamer, worker, Prefect server, deployments."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from deployments.demo.services import Service, Services

ROOT = Path(__file__).resolve().parents[2]
MARKETS = ("usdt_perp_1m", "usdt_perp_5m")
"""The markets of the live pool in prefect.yaml; the demo's live view is of the first."""

SYMBOLS = 60
START_LIMIT = 300.0
"""Seconds that a part of the demo may take to be ready; it takes 2 to 20 on a quiet machine."""

UI_PORT, PAGE_PORT = 4200, 8321
"""The ports of Prefect's pages and of the status page, where they are free."""


@dataclass(frozen=True)
class Scene:
    """Where everything of the demo is."""

    folder: Path
    ui_port: int
    page_port: int

    @property
    def base_dirs(self) -> list[Path]:
        """The base directories, a market each."""
        return [self.folder / "markets" / name for name in MARKETS]

    @property
    def api_url(self) -> str:
        """Prefect's API."""
        return f"http://127.0.0.1:{self.ui_port}/api"

    @property
    def ui_url(self) -> str:
        """Prefect's pages."""
        return f"http://127.0.0.1:{self.ui_port}"

    @property
    def page_url(self) -> str:
        """The status page."""
        return f"http://127.0.0.1:{self.page_port}"

    def environment(self) -> dict[str, str]:
        """The environment of every process of the demo: nothing of it lands outside the demo's folder."""
        settings = dict(_server_settings())
        return {
            **os.environ,
            **settings,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PREFECT_API_URL": self.api_url,
            "BMAC_STATUS_URL": self.page_url,
            "BMAC_STATE_DIR": str(self.folder / "state"),
            "BMAC_DATA": str(self.folder / "markets"),
            "PYTHONUNBUFFERED": "1",
        }


def new_scene(folder: Path) -> Scene:
    """An empty folder for a demo; what an earlier one left is removed."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return Scene(folder, *(port if _free(port) else _any_port() for port in (UI_PORT, PAGE_PORT)))


def start_exchange(services: Services) -> dict[str, dict[str, str]]:
    """The embedded exchange; its addresses by venue."""
    exchange = services.start(
        "exchange",
        ["-m", "kit.embedded_exchange", "--symbols", str(SYMBOLS), "--finals", "real", "--history-days", "6"],
    )
    wait_for(exchange, lambda: bool(_first_json_line(exchange.log)), "the embedded exchange")
    line: dict[str, dict[str, str]] = json.loads(_first_json_line(exchange.log))
    return line


def write_configs(scene: Scene, exchange: dict[str, dict[str, str]]) -> None:
    """The repository's example configs, pointed at the embedded exchange."""
    for base_dir in scene.base_dirs:
        base_dir.mkdir(parents=True)
        config = json.loads((ROOT / "deployments" / "configs" / base_dir.name / "config.json").read_text())
        config["endpoints"] = exchange["futures"]
        (base_dir / "config.json").write_text(json.dumps(config, indent=1))


def start_market(scene: Scene, services: Services) -> None:
    """The streamer and the worker: they need no Prefect server, and it takes longest to start."""
    folders = list(map(str, scene.base_dirs))
    services.start("streamer", ["-m", "streamer", *folders])
    services.start("worker", ["-m", "flows", "worker", *folders])


def start_page(scene: Scene, services: Services) -> None:
    """The status page; it shows each market as soon as there is something of it."""
    services.start("page", ["-m", "kit", "serve", "--port", str(scene.page_port), *map(str, scene.base_dirs)])


def start_server(scene: Scene, services: Services) -> Service:
    """The Prefect server, on SQLite in the demo's folder."""
    arguments = ["-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(scene.ui_port)]
    return services.start("prefect-server", arguments)


def server_is_healthy(scene: Scene) -> bool:
    """Whether the server answers."""
    try:
        with urllib.request.urlopen(f"{scene.api_url}/health", timeout=2) as answer:  # noqa: S310 - our own server
            return bool(answer.status == 200)  # noqa: PLR2004 - HTTP's OK
    except (urllib.error.URLError, OSError):
        return False


def completed_runs(scene: Scene, name: str = "") -> int:
    """How many flow runs whose name contains ``name`` Prefect shows as completed; 0 when it does not answer."""
    wanted = {"name": {"like_": name}, "state": {"type": {"any_": ["COMPLETED"]}}}
    request = urllib.request.Request(  # noqa: S310 - our own server
        f"{scene.api_url}/flow_runs/count",
        data=json.dumps({"flow_runs": wanted}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=2) as answer:  # noqa: S310 - our own server
            return int(answer.read())
    except (urllib.error.URLError, OSError, ValueError):
        return 0


def write_prefect_file(scene: Scene) -> Path:
    """The repository's prefect.yaml with its base directories in the demo's folder, and the live markets only."""
    content = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    kept = []
    for deployment in content["deployments"]:
        name = Path(deployment["parameters"]["base_dir"]).name
        if name in MARKETS:
            kept.append({**deployment, "parameters": {"base_dir": str(scene.folder / "markets" / name)}})
    path = scene.folder / "prefect.yaml"
    path.write_text(yaml.safe_dump({**content, "deployments": kept}))
    return path


def deploy(scene: Scene) -> None:
    """Create the work pools and deploy the flows; TimeoutError with what the command said when it cannot be done."""
    for command in (
        ["sh", str(ROOT / "deployments" / "pools.sh")],
        ["prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(write_prefect_file(scene))],
    ):
        try:
            done = subprocess.run(  # noqa: S603 - our own commands
                command,
                cwd=ROOT,
                env=scene.environment(),
                capture_output=True,
                text=True,
                timeout=START_LIMIT,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"{' '.join(command)} took too long") from error
        if done.returncode:
            raise TimeoutError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


def wait_for(service: Service, ready: Callable[[], bool], what: str) -> None:
    """Wait until something is ready, as long as its process lives; TimeoutError after ``START_LIMIT`` seconds."""
    deadline = time.monotonic() + START_LIMIT
    while not ready():
        if not service.alive or time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not start; the end of {service.log}:\n{service.tail()}")
        time.sleep(0.1)


def _first_json_line(log: Path) -> str:
    for line in log.read_text(errors="replace").splitlines():
        if line.startswith("{"):
            return line
    return ""


def _server_settings() -> Iterator[tuple[str, str]]:
    """The settings that deployments/prefect.env recommends for the server."""
    for line in (ROOT / "deployments" / "prefect.env").read_text().splitlines():
        name, separator, value = line.strip().partition("=")
        if separator and not name.startswith("#"):
            yield name, value


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _any_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
