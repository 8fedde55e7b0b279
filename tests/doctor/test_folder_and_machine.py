"""What the doctor says of the folder, the disk, the installation and the processes that should run."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import re
import threading
import time
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from kit.alarms.signs import STREAMER_NAME, WORKER_NAME, StreamerBeat, WorkerBeat, write_signs
from kit.alive import problem
from kit.buffer.layout import Folder
from kit.buffer.locks import hold
from kit.config import load_config
from kit.doctor import Level
from kit.doctor.examination import check_notify, examine
from kit.doctor.finding import ok
from kit.doctor.folder import check_config, check_damaged, check_user, check_writing, judge_disk, judge_file_system
from kit.doctor.machine import LOCK_FILE, check_inotify, check_machine, check_packages
from kit.doctor.patience import in_thread, within
from kit.doctor.writers import check_writers
from kit.exchange_clock import read_local
from kit.words import Interval, TradeType, utc_now

GB = 1_000_000_000
STARTED = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)


@pytest.fixture
def config(configure):
    return load_config(configure())


def beat(kind=StreamerBeat, **changes):
    """A heartbeat of an hour to come: a test may take its time."""
    now = read_local()
    usual = {"pid": 7, "running": True, "started_at": STARTED, "written_at": utc_now() + timedelta(hours=1)}
    return kind(**{**usual, "steady_ms": now.steady_ms + 3_600_000, "boot": now.boot, **changes})


def silent(seconds=60, **changes):
    return {**changes, "steady_ms": read_local().steady_ms - seconds * 1000}


def streamer_of(config):
    return check_writers(config)[0]


def worker_of(config):
    return check_writers(config)[1]


def test_a_folder_that_cannot_be_written_is_wrong_and_nothing_is_left_in_one_that_can(tmp_path):
    assert check_writing(tmp_path).level is Level.OK
    assert not list(tmp_path.iterdir())
    refused = check_writing(tmp_path / "gone")
    assert refused.level is Level.WRONG
    assert "cannot be written" in refused.seen


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
async def test_root_looks_no_further_into_a_folder_that_is_not_its_own(configure):
    base_dir = configure()
    os.chown(base_dir, 12_345, 12_345)
    assert check_user(base_dir).level is Level.WRONG
    examination = await examine(base_dir, None)
    assert [finding.name for finding in examination.findings] == ["config", "user"]
    assert "sudo -u #12345" in examination.findings[1].todo


def test_secrets_that_all_can_read_and_addresses_without_encryption_are_told(configure):
    base_dir = configure(notify=["tgram://123456:s3cret/789"])
    (base_dir / "config.json").chmod(0o644)
    config, secrets = check_config(load_config(base_dir))
    assert (config.level, secrets.level) == (Level.OK, Level.WARNING)
    assert secrets.todo == f"chmod o-r {base_dir}/config.json"
    (base_dir / "config.json").chmod(0o640)
    assert [finding.name for finding in check_config(load_config(base_dir))] == ["config"]
    open_to_all = load_config(configure(endpoints={"rest": "http://example.com", "ws": "wss://example.com"}))
    assert [finding.seen for finding in check_config(open_to_all)][1:] == ["none for endpoints.rest"]


@pytest.mark.parametrize(
    ("kind", "level"),
    [("ext4", Level.OK), ("xfs", Level.OK), ("nfs4", Level.WARNING), ("fuse.sshfs", Level.WARNING),
     ("cifs", Level.WARNING), ("tmpfs", Level.WARNING), ("overlay", Level.WARNING), ("", Level.OK)],
)  # fmt: skip
def test_kinds_of_file_systems(kind, level):
    assert judge_file_system(kind).level is level


@pytest.mark.parametrize(
    ("free", "taken", "symbols", "level"),
    [
        (100 * GB, 0, 600, Level.OK),
        (3 * GB, 0, 600, Level.WARNING),  # enough, but below what should stay free
        (GB // 10, 0, 600, Level.WRONG),
        (GB // 10, GB // 20, 600, Level.WARNING),  # most of it is there already
        (GB // 10, 0, None, Level.WRONG),  # nobody knows how many symbols: as many as there may be
    ],
)
def test_room_for_the_whole_window(config, free, taken, symbols, level):
    finding = judge_disk(config, symbols, total=200 * GB, free=free, taken=taken)
    assert finding.level is level
    assert bool(finding.todo) is (level is not Level.OK)


def test_this_installation_is_the_locked_one():
    assert {finding.name: finding.level for finding in check_machine()}["python"] is Level.OK
    assert check_packages(LOCK_FILE).level is Level.OK


def test_other_packages_than_the_locked_ones_are_named(tmp_path):
    here = importlib.metadata.version("msgspec")
    lock = tmp_path / "run.txt"
    lock.write_text(
        f"# made\nmsgspec=={here} \\\n    --hash=sha256:00\nnosuchpackage==1.0 ; sys_platform == 'nowhere'\n"
    )
    assert check_packages(lock).seen == "all 1 of run.txt are installed"
    lock.write_text("msgspec==0.0.1\nnosuchpackage==1.0\n")
    finding = check_packages(lock)
    assert finding.level is Level.WARNING
    assert finding.seen == f"not as locked: msgspec {here}, nosuchpackage is missing"
    assert check_packages(tmp_path / "gone").level is Level.WARNING


def test_inotify_is_looked_at_where_the_system_tells_its_limits(tmp_path):
    assert "does not tell" in check_inotify(tmp_path).seen
    (tmp_path / "max_user_instances").write_text("8\n")
    (tmp_path / "max_user_watches").write_text("1000\n")
    finding = check_inotify(tmp_path)
    assert finding.level is Level.WARNING
    assert finding.todo == "sysctl fs.inotify.max_user_instances=1024"


def test_nobody_has_run_here_yet(config):
    assert {finding.level for finding in check_writers(config)} == {Level.WARNING}
    assert str(config.base_dir) in streamer_of(config).todo


def test_a_streamer_and_a_worker_that_are_well(config):
    write_signs(config.base_dir, STREAMER_NAME, beat(wanted_streams=3, delivering_streams=3))
    write_signs(config.base_dir, WORKER_NAME, beat(WorkerBeat))
    folder = Folder(config.base_dir, TradeType.USDT_PERP, Interval.M1)
    with hold(folder, "streamer"):
        assert streamer_of(config) == ok("streamer", "pid 7: 3 of 3 streams deliver")
    assert worker_of(config) == ok("worker", "pid 7")


@pytest.mark.parametrize(
    ("signs", "held", "level", "words"),
    [
        (silent(), True, Level.WRONG, "pid 7 holds the folder and says nothing"),
        (None, True, Level.WRONG, "a process holds the folder and says nothing"),
        ({}, False, Level.WRONG, "gone without a word"),
        (silent(running=False), False, Level.WARNING, "stopped at 20"),
        (
            {"wanted_streams": 3, "delivering_streams": 1, "silent_streams": ["a@kline_1m"]},
            True,
            Level.WARNING,
            "1 of 3",
        ),
        ({"disk_error": "ENOSPC"}, True, Level.WRONG, "the disk refuses (ENOSPC)"),
    ],
)
def test_a_streamer_that_is_not_well(config, signs, held, level, words):
    if signs is not None:
        write_signs(config.base_dir, STREAMER_NAME, beat(**signs))
    folder = Folder(config.base_dir, TradeType.USDT_PERP, Interval.M1)
    if held:
        with hold(folder, "streamer"):
            finding = streamer_of(config)
    else:
        finding = streamer_of(config)
    assert (finding.level, words in finding.seen) == (level, True), finding
    assert finding.todo


def test_a_worker_that_is_gone_is_wrong(config):
    write_signs(config.base_dir, WORKER_NAME, beat(WorkerBeat, **silent()))
    assert worker_of(config).level is Level.WRONG


def test_probes_see_a_fresh_heartbeat_an_old_one_and_none(config, tmp_path):
    folders = [config.base_dir, tmp_path / "another"]
    assert problem("streamer", folders) == "no streamer has left a heartbeat"
    write_signs(config.base_dir, STREAMER_NAME, beat())
    assert problem("streamer", folders) is None
    write_signs(config.base_dir, STREAMER_NAME, beat(**silent()))
    assert re.search(r"is silent for \d\d+ s", str(problem("streamer", folders)))
    write_signs(config.base_dir, STREAMER_NAME, beat(running=False))
    assert "was stopped" in str(problem("streamer", folders))


def test_who_is_told_is_named_without_secrets(configure):
    assert check_notify(load_config(configure())).level is Level.WARNING
    finding = check_notify(load_config(configure(notify=["tgram://123456:s3cret/789"])))
    assert finding.level is Level.OK
    assert "notify[0] (tgram)" in finding.seen
    assert "s3cret" not in msgspec.json.encode(finding).decode()


async def test_a_disk_that_hangs_ends_the_check_not_the_doctor():
    goes_on = threading.Event()
    began = time.monotonic()
    (finding,) = await within(
        0.2, "folder", "look at the mount", in_thread(lambda: [ok("folder", str(goes_on.wait(300)))])
    )
    assert finding.level is Level.WRONG
    assert finding.seen == "no answer in 0.2 s"
    assert time.monotonic() - began < 150
    goes_on.set()
    await asyncio.sleep(0)


def test_files_that_were_put_aside_as_damaged_are_named(tmp_path):
    assert check_damaged(tmp_path).level is Level.OK
    for name in ("usdt_perp_1m/damaged_stream_1.parquet", "resample_1h/offset_0m/damaged_block_1.parquet"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    found = check_damaged(tmp_path)
    assert found.level is Level.WARNING
    assert "2 put aside as damaged: resample_1h/offset_0m/damaged_block_1.parquet, usdt_perp_1m/damaged_" in found.seen
    assert "check the disk" in found.todo
