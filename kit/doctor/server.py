"""Prefect's server, which shows the periods: does it answer, does it know this folder, does anybody work for it.

Asked by its REST interface: importing Prefect takes seconds.
"""

from __future__ import annotations

import base64
import importlib.metadata
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec

import kit
from kit.config import MarketConfig
from kit.doctor.finding import Finding, ok, warning, wrong
from kit.outside import UNREADABLE, printable

T = TypeVar("T")

REPOSITORY = Path(kit.__file__).parents[1]
ANSWER_WITHIN_S = 5.0
PAGE = 200
"""Deployments that are looked at: the most that Prefect tells at once."""
START_SERVER = "start it: prefect server start; the periods run without it, but nothing shows them"


class _Deployment(msgspec.Struct):
    name: str
    parameters: dict[str, Any] = {}
    work_pool_name: str | None = None
    paused: bool = False


class _Worker(msgspec.Struct):
    name: str
    status: str | None = None


@dataclass(frozen=True)
class Server:
    """Where Prefect's API is. ``headers`` may hold a secret."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def shown(self) -> str:
        """The address without user and password."""
        parts = urlsplit(self.url)
        return printable(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl())


def server_of(environment: Mapping[str, str], home: Path) -> Server | None:
    """The server that the environment, or else the active profile in ``home``, names."""
    settings = {**_profile(environment, home), **environment}
    url = settings.get("PREFECT_API_URL", "").rstrip("/")
    if not url:
        return None
    headers = {}
    if key := settings.get("PREFECT_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    elif secret := settings.get("PREFECT_API_AUTH_STRING"):
        headers["Authorization"] = f"Basic {base64.b64encode(secret.encode()).decode()}"
    return Server(url, headers)


def prefect_home(environment: Mapping[str, str]) -> Path:
    """Where Prefect keeps its profiles."""
    return Path(environment.get("PREFECT_HOME") or "~/.prefect").expanduser()


def _profile(environment: Mapping[str, str], home: Path) -> dict[str, str]:
    """The settings of the active profile; none where there is no file that can be read."""
    try:
        content = tomllib.loads((home / "profiles.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    name = environment.get("PREFECT_PROFILE") or content.get("active")
    settings = content.get("profiles", {}).get(name, {}) if isinstance(content.get("profiles"), dict) else {}
    return {str(key): str(value) for key, value in settings.items()} if isinstance(settings, dict) else {}


async def check_server(config: MarketConfig, server: Server | None) -> list[Finding]:
    """All that is said of Prefect."""
    if server is None:
        todo = "set PREFECT_API_URL, such as http://127.0.0.1:4200/api; the periods run without, but nothing shows them"
        return [warning("Prefect", "no server is configured for this user", todo)]
    try:
        return await _ask_server(config, server)
    except (aiohttp.ClientError, TimeoutError, OSError, *UNREADABLE) as error:
        why = printable(str(error), limit=200) or "no answer in time"
        return [wrong("Prefect", f"{server.shown} does not answer as it should: {why}", START_SERVER)]


async def _ask_server(config: MarketConfig, server: Server) -> list[Finding]:
    timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN_S)
    async with aiohttp.ClientSession(headers=server.headers, timeout=timeout) as session:
        api = _Api(session, server.url)
        await api.get("health", bool)
        findings = [judge_version(server, await _version(api), importlib.metadata.version("prefect"))]
        known = await api.post("deployments/filter", list[_Deployment], {"limit": PAGE})
        ours = [each for each in known if _is_about(each, config.base_dir)]
        findings += judge_deployments(config, ours)
        for pool in dict.fromkeys(each.work_pool_name for each in ours if each.work_pool_name):
            workers = await api.post(f"work_pools/{quote(pool, safe='')}/workers/filter", list[_Worker], {})
            findings.append(judge_pool(pool, workers))
    return findings


async def _version(api: _Api) -> str | None:
    """The server's version; None where it does not tell (Prefect Cloud)."""
    try:
        return await api.get("admin/version", str)
    except (aiohttp.ClientResponseError, *UNREADABLE):
        return None


@dataclass(frozen=True)
class _Api:
    """Prefect's REST interface, each answer checked for its shape."""

    session: aiohttp.ClientSession
    url: str

    async def get(self, path: str, kind: type[T]) -> T:
        async with self.session.get(f"{self.url}/{path}", allow_redirects=False) as answer:
            return await _decoded(answer, kind)

    async def post(self, path: str, kind: type[T], body: Mapping[str, object]) -> T:
        async with self.session.post(f"{self.url}/{path}", json=body, allow_redirects=False) as answer:
            return await _decoded(answer, kind)


async def _decoded(answer: aiohttp.ClientResponse, kind: type[T]) -> T:
    answer.raise_for_status()
    return msgspec.json.decode(await answer.read(), type=kind)


def _is_about(deployment: _Deployment, base_dir: Path) -> bool:
    """Whether it does the periods of that folder; a relative one counts from the repository."""
    text = deployment.parameters.get("base_dir")
    return isinstance(text, str) and (REPOSITORY / Path(text).expanduser()).resolve() == base_dir.resolve()


def judge_version(server: Server, version: str | None, here: str) -> Finding:
    """Are server and client of one version?"""
    if version is None or version == here:
        return ok("Prefect", f"{server.shown} answers{f', version {version}' if version else ''}")
    seen = f"{server.shown} has version {printable(version, limit=40)}, this is {here}"
    return warning("Prefect", seen, "run the server from the same locked packages: others are not tested together")


def judge_deployments(config: MarketConfig, ours: list[_Deployment]) -> list[Finding]:
    """Does the server know the folder?"""
    if not ours:
        todo = "name the folder in prefect.yaml, then: prefect --no-prompt deploy --all"
        return [warning("deployment", f"none is about {config.base_dir}", todo)]
    names = ", ".join(printable(each.name, limit=60) for each in ours)
    paused = [printable(each.name, limit=60) for each in ours if each.paused]
    if paused:
        return [
            warning("deployment", f"paused: {', '.join(paused)}", "prefect deployment schedule resume, or its page")
        ]
    return [ok("deployment", names)]


def judge_pool(pool: str, workers: list[_Worker]) -> Finding:
    """Does anybody work for a pool?"""
    online = [printable(each.name, limit=60) for each in workers if each.status == "ONLINE"]
    name = printable(pool, limit=60)
    if online:
        return ok("work pool", f"{name}: at work {', '.join(online[:3])}")
    todo = f"python -m flows worker for bmac-live, else: prefect worker start --pool {name}"
    return warning("work pool", f"{name}: no worker has been heard of lately", todo)


def configured_server() -> Server | None:
    """The server of this process's environment."""
    return server_of(os.environ, prefect_home(os.environ))
