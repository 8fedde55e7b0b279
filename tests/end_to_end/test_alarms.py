"""What goes wrong reaches people, and so does its end: a real Prefect server, the worker, the streamer and the exchange
as processes, faults of the exchange, a streamer that is killed; told are a JSON receiver and a DingTalk robot."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from kit.alarms.conditions import Kind
from kit.alarms.texts import EN
from kit.words import utc_now
from tests.bench.processes import Child
from tests.chaos.control import Control
from tests.flows_prefect.conftest import Server, environment
from tests.flows_prefect.deployed import wait_for
from tests.notify.receiver import SECRET, TOKEN, Receiver, receiving
from tests.ports import free_port

PREFECT_FILE = """
name: bmac-alarms
deployments:
  - name: alarmed
    entrypoint: flows/period.py:period
    parameters: {{base_dir: "{base_dir}"}}
    work_pool: {{name: bmac-live}}
    schedules: [{{interval: 4, anchor_date: "2026-01-01T00:00:01+00:00", timezone: UTC}}]
"""
LOST = "ETHUSDT"


@contextmanager
def prefect(home: Path) -> Iterator[Server]:
    home.mkdir()
    port = free_port()
    server = Server(home, port, environment(home, port))
    server.start()
    try:
        yield server
    finally:
        server.kill()


def write_market(base_dir: Path, endpoints: dict[str, str], receiver: Receiver) -> None:
    base_dir.mkdir()
    config = {
        "trade_type": "usdt_spot",
        "interval": "1s",
        "num_candles": 60,
        "num_socket_listeners": 1,
        "offset_sec": 1,
        "candle_close_timeout_sec": 3,
        "endpoints": {**endpoints, "dingding": receiver.host},
        "dingding": {"error": {"access_token": TOKEN, "secret": SECRET, "format": "markdown"}},
        "notify": [f"json://127.0.0.1:{receiver.port}/hook"],
    }
    (base_dir / "config.json").write_text(json.dumps(config))


def deploy(server: Server, prefect_file: Path, base_dir: Path) -> None:
    prefect_file.write_text(PREFECT_FILE.format(base_dir=base_dir))
    server.wait_healthy()
    server.ask("/work_pools/", {"name": "bmac-live", "type": "process"})
    deployed = server.run("prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(prefect_file))
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr


def ends_of_runs(server: Server) -> set[str]:
    """The names of the states in which runs of the deployment have ended."""
    found: list[dict[str, Any]] = server.ask(
        "/flow_runs/filter",
        {
            "deployments": {"name": {"any_": ["alarmed"]}},
            "flow_runs": {"expected_start_time": {"before_": utc_now().isoformat()}},
            "sort": "EXPECTED_START_TIME_DESC",
            "limit": 50,
        },
    )
    return {str(run["state"]["type"]) for run in found}


class People:
    """What the receivers got."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def by_json(self) -> str:
        return "\n".join(each["body"]["message"] for each in self._receiver.got if each["path"] == "/hook")

    def by_dingtalk(self) -> str:
        robot = (each["body"] for each in self._receiver.got if each["path"].startswith("/robot/send"))
        return "\n".join(body["markdown"]["text"] for body in robot)

    def hear(self, words: str) -> None:
        """Wait until both were told what is like ``words``, a regular expression."""

        def told() -> bool:
            return all(re.search(words, text) for text in (self.by_json(), self.by_dingtalk()))

        wait_for(f"both are told {words!r}", told)


def newest_is_complete(base_dir: Path) -> bool:
    path = base_dir / "usdt_spot_1s" / "ledger"
    lines = [line for file in sorted(path.glob("*.jsonl")) for line in file.read_text().splitlines()]
    return bool(lines) and json.loads(lines[-1])["complete"]


@pytest.mark.xdist_group("alarms")
@pytest.mark.timeout(900)  # each thing that is waited for has its own, shorter time
def test_a_failing_flow_a_stalled_stream_and_a_killed_streamer_are_told_and_so_is_their_end(tmp_path: Path) -> None:
    base_dir, scratch = tmp_path / "market", tmp_path / "scratch"
    scratch.mkdir()
    market = ["--symbols", "12", "--illiquid-share", "0", "--control-port", "0", "--spot-weight-limit", "1000000"]
    quick = "tests.alarms.quick"
    with (
        receiving() as receiver,
        prefect(tmp_path / "prefect") as server,
        Child("exchange", ["kit.embedded_exchange", *market], scratch) as exchange,
    ):
        people = People(receiver)
        urls = exchange.line(120)
        control = Control(urls["control"])
        write_market(base_dir, urls["spot"], receiver)
        prefect_file = tmp_path / "prefect.yaml"
        streaming = [quick, "streamer", str(base_dir)]
        with Child("streamer", streaming, scratch) as streamer:
            deploy(server, prefect_file, base_dir)
            arguments = [quick, "flows", "worker", "--prefect-file", str(prefect_file)]
            with Child("worker", arguments, scratch, server.env):
                wait_for("a complete period", lambda: newest_is_complete(base_dir))
                wait_for("a period in Prefect", lambda: "COMPLETED" in ends_of_runs(server))

                control.switch_on("finals_dropped", venue="spot", symbols=[LOST])
                control.switch_on("rest_5xx", path="/api/v3/klines")
                people.hear(rf"of 12 missing after the deadline: .*{LOST}")  # on a busy machine with others
                wait_for("a failed run in Prefect", lambda: "FAILED" in ends_of_runs(server))
                control.clear()
                people.hear("complete again")

                control.switch_on("silence", venue="spot", new=True)
                people.hear(r"\d of 12 streams deliver, last candle")
                control.clear()
                people.hear("streams deliver again: 12 of 12")

                os.kill(streamer.pid, signal.SIGKILL)
                people.hear("no sign of the streamer")
                with Child("streamer again", streaming, scratch):
                    people.hear(EN.trouble[Kind.STREAMER_SILENT].well)
        told = re.findall(f"no sign of the streamer|{EN.trouble[Kind.STREAMER_SILENT].well}", people.by_json())
        assert all(before != after for before, after in pairwise(told)), "each time once"
