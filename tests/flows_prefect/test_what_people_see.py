"""Artifacts, events, automations, our notification block and the retention, in a real Prefect server."""

from __future__ import annotations

import re
import shutil
import signal
import sqlite3
import sys
from contextlib import closing
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from kit.words import utc_now
from tests.flows_prefect.conftest import REPOSITORY, Server, write_market
from tests.flows_prefect.deployed import artifacts_of, deploy, shown_run, wait_for, working
from tests.flows_prefect.stand_in import A_DAY, FAIL

if TYPE_CHECKING:
    from pathlib import Path

    from tests.flows_prefect.conftest import Receiver

pytestmark = [pytest.mark.xdist_group("prefect"), pytest.mark.timeout(1800)]  # see test_with_a_server.py

SILENCE = timedelta(seconds=10)
"""What the automations of this test call silence, in place of their five minutes; periods come each 3 s."""
AN_HOUR_AND_A_BIT = timedelta(hours=1, minutes=5)


def events_of(server: Server, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.ask("/events/filter", {"filter": {"event": {"name": [name]}}})["events"]
    return found


def longest_pause(server: Server) -> timedelta:
    """Between two periods' events, as the server got them. A busy machine makes such pauses."""
    got = sorted(
        datetime.fromisoformat(event["received"])
        for end in ("complete", "incomplete", "failed")
        for event in events_of(server, f"bmac.period.{end}")
    )
    return max((after - before for before, after in pairwise(got)), default=timedelta(0))


def titles(receiver: Receiver) -> set[str]:
    return {body["title"] for body in receiver.bodies}


def test_runs_carry_artifacts_and_automations_tell_of_bad_periods_and_of_a_silent_worker(
    server: Server, tmp_path: Path, receiver: Receiver
) -> None:
    base_dir = write_market(tmp_path / "market")
    watchers = write_market(tmp_path / "watchers", notify=[receiver.url])  # the block's receivers are this folder's
    ours = (REPOSITORY / "deployments" / "automations.yaml").read_text()
    (tmp_path / "automations.yaml").write_text(re.sub(r"within: 300\b", f"within: {SILENCE.seconds}", ours))
    create = ["sh", "deployments/automations.sh", str(watchers), str(tmp_path / "automations.yaml")]
    for _ in range(2):  # repeating replaces them
        created = server.run(*create)
        assert created.returncode == 0, created.stdout + created.stderr
    names = [automation["name"] for automation in server.ask("/automations/filter", {})]
    assert sorted(names) == sorted(set(names))
    assert len(names) == 4

    with working(server, deploy(server, tmp_path, "seen", base_dir)) as worker:
        run = wait_for("a run with its artifacts", lambda: shown_run(server, "seen"))
        artifacts = artifacts_of(server, run["id"])
        assert {key: artifact["type"] for key, artifact in artifacts.items()} == {
            "usdt-perp-1m-ledger": "table",
            "usdt-perp-1m-day": "markdown",
        }
        assert "complete 3/3" in artifacts["usdt-perp-1m-ledger"]["description"]
        event, *_ = wait_for("its event", lambda: events_of(server, "bmac.period.complete"))
        assert event["resource"]["bmac.interval"] == "1m"
        assert event["payload"]["expected"] == 3

        (base_dir / FAIL).touch()
        wait_for("an automation tells of a bad period", lambda: "usdt_perp 1m: Failed" in titles(receiver))
        (base_dir / FAIL).unlink()
        if "usdt_perp 1m: the worker is silent" in titles(receiver):
            assert longest_pause(server) > SILENCE / 2

        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0
    wait_for("an automation tells of silence", lambda: "usdt_perp 1m: the worker is silent" in titles(receiver))


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Debian's chromium")
def test_the_picture_of_the_day_is_a_picture_in_both_of_prefects_interfaces(server: Server, tmp_path: Path) -> None:
    base_dir = write_market(tmp_path / "market")
    if (run := shown_run(server, "seen")) is None:
        with working(server, deploy(server, tmp_path, "seen", base_dir)):
            run = wait_for("a run with its artifacts", lambda: shown_run(server, "seen"))
    artifact = artifacts_of(server, run["id"])["usdt-perp-1m-day"]
    looked = server.run(
        sys.executable, "-m", "tests.flows_prefect.browser", f"http://127.0.0.1:{server.port}", artifact["id"]
    )
    assert looked.returncode == 0, looked.stderr
    assert [int(width) > 300 for width in looked.stdout.split()] == [True, True], looked.stdout


def test_filling_history_shows_how_far_it_has_come(server: Server, tmp_path: Path) -> None:
    base_dir = write_market(tmp_path / "market")
    code = (
        "import asyncio, sys, tests.flows_prefect.stand_in as s; s.install()\n"
        "import flows.artifacts.progress as progress; progress.LOOK_EVERY_SEC = 0.5\n"
        "from flows.period import period\n"
        "from datetime import datetime\n"
        "asyncio.run(period(sys.argv[1], datetime.fromisoformat('2026-11-21T00:00:00+00:00'), return_state=True))\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(base_dir)]
    ran = server.run(*command, STAND_IN_HISTORY="1", STAND_IN_PERIOD_SEC=A_DAY)  # a minute's may be over
    assert ran.returncode == 0, ran.stderr
    wanted = {"artifacts": {"key": {"any_": ["usdt-perp-1m-history"]}}}
    (progress,) = server.ask("/artifacts/filter", wanted)
    assert (progress["type"], progress["data"]) == ("progress", 100.0)
    assert set(artifacts_of(server, progress["flow_run_id"])) == {  # this process shows all that the mirror would
        "usdt-perp-1m-history",
        "usdt-perp-1m-ledger",
        "usdt-perp-1m-day",
    }


def test_old_runs_go_with_their_artifacts_logs_and_events_and_young_ones_stay(server: Server) -> None:
    flow = server.ask("/flows/", {"name": "old-and-young"})["id"]
    old, young = (a_run_with_everything(server, flow, name) for name in ("old", "young"))
    days = {  # what deployments/prefect.env says, and a bit
        "runs": timedelta(seconds=int(server.env["PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD"])),
        "events": timedelta(days=int(server.env["PREFECT_SERVER_EVENTS_RETENTION_PERIOD"].strip("PD"))),
    }
    name = "prefect.flow-run.Completed"
    wait_for("both runs' events", lambda: {old, young} <= runs_told(server, name))
    with closing(sqlite3.connect(server.home / "prefect.db", timeout=120)) as database, database:
        ended, told = (f"{utc_now() - days[what] - AN_HOUR_AND_A_BIT:%Y-%m-%d %H:%M:%S.%f}" for what in days)
        database.execute("UPDATE flow_run SET end_time = ? WHERE id = ?", (ended, old))
        for table, column in (("events", "id"), ("event_resources", "event_id")):
            database.execute(
                f"UPDATE {table} SET occurred = ? WHERE {column} IN "  # noqa: S608 - two names of Prefect's
                "(SELECT event_id FROM event_resources WHERE resource_id = ?)",
                (told, f"prefect.flow-run.{old}"),
            )

    def left() -> tuple[set[str], set[str], set[str], set[str]]:
        both = {"any_": [old, young]}
        return (
            {run["id"] for run in server.ask("/flow_runs/filter", {"flow_runs": {"id": both}})},
            {each["flow_run_id"] for each in server.ask("/artifacts/filter", {"artifacts": {"flow_run_id": both}})},
            {each["flow_run_id"] for each in server.ask("/logs/filter", {"logs": {"flow_run_id": both}})},
            runs_told(server, name) & {old, young},
        )

    wait_for("the vacuum took the old one", lambda: left() == ({young}, {young}, {young}, {young}))


def a_run_with_everything(server: Server, flow: str, name: str) -> str:
    """A completed run with an artifact and a line of log; its id."""
    run: str = server.ask("/flow_runs/", {"flow_id": flow, "name": name, "state": {"type": "RUNNING"}})["id"]
    server.ask(f"/flow_runs/{run}/set_state", {"state": {"type": "COMPLETED"}, "force": True})
    server.ask("/artifacts/", {"key": "old-and-young", "type": "markdown", "data": name, "flow_run_id": run})
    line = {"name": "test", "level": 20, "message": name, "timestamp": utc_now().isoformat(), "flow_run_id": run}
    server.ask("/logs/", [line])
    return run


def runs_told(server: Server, event: str) -> set[str]:
    return {
        each["resource"]["prefect.resource.id"].removeprefix("prefect.flow-run.") for each in events_of(server, event)
    }


def test_our_block_brings_nothing_of_ours_into_the_server_and_says_when_nobody_can_be_told(
    server: Server, tmp_path: Path
) -> None:
    silent = write_market(tmp_path / "silent")
    code = (
        "import asyncio, sys\n"
        "from prefect.plugins import load_prefect_collections\n"
        "assert load_prefect_collections()['bmac'].__name__ == 'flows.blocks'\n"
        "ours = [name for name in sys.modules if name.partition('.')[0] in ('kit', 'flows', 'polars', 'apprise')]\n"
        "assert set(ours) == {'flows', 'flows.blocks', 'flows.blocks.garbage'}, ours\n"
        "from flows.blocks import BmacNotification\n"
        "from prefect.blocks.abstract import NotificationError\n"
        "for folder in sys.argv[1:]:\n"
        "    try:\n"
        "        block = BmacNotification(base_dir=folder)\n"
        "        with block.raise_on_failure():\n"
        "            asyncio.run(block.notify('body', 'subject'))\n"
        "    except (NotificationError, ValueError) as error:\n"
        "        print(getattr(error, 'log', error))\n"
    )
    asked = server.run(sys.executable, "-W", "ignore", "-c", code, str(silent), str(tmp_path / "gone"), "relative")
    assert asked.returncode == 0, asked.stderr
    assert "names no receiver" in asked.stdout
    assert f"nobody was told: {tmp_path}/gone" in asked.stdout
    assert "must be an absolute path" in asked.stdout
