"""The whole way of an alarm, by real sockets: who looks, what lies on the disk, what people get."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace as replace_field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from flows.outcomes import noted
from kit.alarms import attend, book, keeping
from kit.alarms import look as look_module
from kit.alarms.attend import Attendant
from kit.alarms.keeping import CLAIM_MS, MAX_LETTERS, STATE_NAME, TRIES, Kept, Letter, held, load, save
from kit.buffer.layout import Folder
from kit.config import load_config
from kit.errors import ConfigError
from kit.notify import Patience
from kit.words import from_ms
from tests.alarms.folders import (
    ROBOT,
    due_ms,
    put_record,
    put_streamer,
    put_symbols,
    put_well,
    put_worker,
    write_market,
)
from tests.notify.receiver import Receiver, receiving

ROOT = Path(__file__).parents[2]
NOW = 1_800_000_000_000


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture(autouse=True)
def patient_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a busy machine delivers late counts as not delivered and is sent again: here it may take its time."""
    monkeypatch.setattr(attend, "SENDING", replace_field(attend.SENDING, timeout=timedelta(minutes=2)))


class Clock:
    """The time that the attendants go by."""

    def __init__(self) -> None:
        self.now_ms = NOW

    def go_on(self, seconds: float) -> None:
        self.now_ms += int(seconds * 1000)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(attend, "_now_ms", lambda _: made.now_ms)
    return made


def folder_in(path: Path, receiver: Receiver, **keys: Any) -> Folder:
    folder = write_market(path, receiver, **keys)
    put_well(folder)
    return folder


def titles(receiver: Receiver, path: str = "/hook") -> list[str]:
    return [each["body"]["title"] for each in receiver.got if each["path"] == path]


def told_by_dingtalk(receiver: Receiver) -> list[str]:
    return [each["body"]["text"]["content"] for each in receiver.got if each["path"].startswith("/robot/send")]


def look(clock: Clock, *folders: Folder, seconds: float = 30, by: Attendant | None = None) -> None:
    """Look each five seconds, each time as another process would, unless ``by`` one that lasts."""
    for _ in range(int(seconds / 5)):
        (by or Attendant()).attend([folder.base_dir for folder in folders])
        clock.go_on(5)


def test_an_alarm_and_its_recovery_reach_everybody_once_whoever_looks(tmp_path, receiver, clock) -> None:
    folder = folder_in(tmp_path / "m", receiver)
    look(clock, folder)
    put_record(folder, ["AUSDT"])
    look(clock, folder, seconds=120)
    put_record(folder)
    look(clock, folder, seconds=120)
    expected = ["usdt_perp 1d: period incomplete", "usdt_perp 1d: period incomplete (well again)"]
    assert titles(receiver) == expected
    assert [text.splitlines()[0] for text in told_by_dingtalk(receiver)] == expected
    assert "1 of 600 missing" in receiver.got[0]["body"].get("message", "") + told_by_dingtalk(receiver)[0]


def test_complete_again_is_said_when_no_hole_is_left_of_what_was_told(tmp_path, receiver, clock, monkeypatch) -> None:
    folder = folder_in(tmp_path / "m", receiver)
    put_record(folder, ["AUSDT"], back=1)
    with monkeypatch.context() as yesterday:
        yesterday.setattr(look_module, "due_run_ms", lambda *_: due_ms(folder) - folder.interval.ms)
        look(clock, folder, seconds=20)
    told = due_ms(folder) - 1000  # a moment at which yesterday's run time was the newest due
    kept = load(folder.base_dir)
    entries = {"period": replace(kept.page.entries["period"], since_ms=told)}
    save({folder.base_dir: replace(kept, page=replace(kept.page, entries=entries))})
    look(clock, folder, seconds=120)
    assert titles(receiver) == ["usdt_perp 1d: period incomplete"], "the newest is complete, that one is not"
    put_record(folder, back=1)
    look(clock, folder, seconds=60)
    assert titles(receiver)[1:] == ["usdt_perp 1d: period incomplete (well again)"]


def test_two_who_look_at_the_same_moment_tell_once(tmp_path, receiver, clock) -> None:
    folder = folder_in(tmp_path / "m", receiver)
    put_record(folder, ["AUSDT"])
    look(clock, folder, seconds=5)
    threads = [threading.Thread(target=Attendant().attend, args=([folder.base_dir],)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(titles(receiver)) == 1


def test_markets_of_one_process_share_a_message_and_those_of_others_have_their_own(tmp_path, receiver, clock) -> None:
    folders = [folder_in(tmp_path / name, receiver) for name in "ab"]
    chinese = folder_in(tmp_path / "c", receiver, language="zh", time_zone="Asia/Shanghai")
    for folder in (*folders, chinese):
        put_streamer(folder, 60)
    look(clock, *folders, chinese)
    assert sorted(titles(receiver)) == ["usdt_perp 1d: streamer silent", "usdt_perp 1d: streamer 失联"]


def test_a_receiver_that_is_away_gets_the_message_when_it_is_back_and_the_others_get_it_once(
    tmp_path, receiver, clock
) -> None:
    folder = folder_in(tmp_path / "m", receiver)
    receiver.answers = []
    with receiving() as other:
        config = json.loads((folder.base_dir / "config.json").read_text())
        config |= {"notify": [f"json://127.0.0.1:{other.port}/hook"]}
        (folder.base_dir / "config.json").write_text(json.dumps(config))
        other.answers = [(503, b"")] * 4
        put_record(folder, ["AUSDT"])
        look(clock, folder, seconds=10)
        (letter,) = load(folder.base_dir).letters
        assert letter.targets == ("notify[0] (json)",)
        look(clock, folder, seconds=300)
        assert len(other.got) == 5
        assert load(folder.base_dir).letters == ()
    assert len(told_by_dingtalk(receiver)) == 1


def test_who_is_killed_between_deciding_and_sending_leaves_the_letter_to_the_next(tmp_path, receiver, clock) -> None:
    folder = folder_in(tmp_path / "m", receiver)
    letter = Letter(id="x", title="usdt_perp 1d: left", body="b", robots=("error",), try_at_ms=NOW)
    save({folder.base_dir: Kept(letters=(letter.taken(NOW),))})
    look(clock, folder, seconds=10)
    assert titles(receiver) == []
    clock.go_on(CLAIM_MS / 1000)
    look(clock, folder, seconds=10)
    assert titles(receiver) == ["usdt_perp 1d: left"]


def test_a_letter_is_given_up_after_many_tries() -> None:
    letter: Letter | None = Letter(id="x", title="t", body="b", robots=(), try_at_ms=NOW)
    now_ms, tries = NOW, 0
    while letter is not None:
        assert letter.due(now_ms)
        letter, tries = letter.taken(now_ms).failed(["a"], now_ms), tries + 1
        now_ms = now_ms if letter is None else letter.try_at_ms
    assert tries == TRIES
    assert 20 * 3_600_000 < now_ms - NOW < 30 * 3_600_000


def test_what_happened_in_a_night_without_a_network_is_one_message_in_the_morning(
    tmp_path, receiver, clock, monkeypatch
) -> None:
    monkeypatch.setattr(attend, "SENDING", Patience(attempts=1, timeout=timedelta(minutes=2)))
    folder, lasting = folder_in(tmp_path / "m", receiver, dingding=None), Attendant()
    receiver.answers = [(503, b"")] * 10_000
    symbols = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    put_symbols(folder, "A")
    look(clock, folder, seconds=5, by=lasting)
    for hour in range(8):
        put_symbols(folder, symbols[: 2 + hour])
        put_streamer(folder, 60 if hour % 2 else -3600)
        for _ in range(12):
            look(clock, folder, seconds=5, by=lasting)
            clock.go_on(295)
    assert len(load(folder.base_dir).letters) <= 3
    receiver.answers.clear()
    receiver.got.clear()
    look(clock, folder, seconds=2400, by=lasting)
    (message, *others) = (each["body"] for each in receiver.got)
    assert len(others) <= 1
    assert message["title"].endswith(")")
    told = "".join(each["body"]["message"] for each in receiver.got)
    assert all(f"listed: {symbol}USDT" in told for symbol in symbols[1:9])
    assert load(folder.base_dir).letters == ()


def test_letters_of_which_there_are_too_many_are_given_up_with_a_word(tmp_path, receiver, clock) -> None:
    folder = folder_in(tmp_path / "m", receiver)
    waiting = Letter(id="x", title="oldest", body="b", robots=("error",), try_at_ms=NOW + 600_000, targets=("a",))
    letters = tuple(replace(waiting, id=str(number)) for number in range(MAX_LETTERS))
    save({folder.base_dir: Kept(letters=letters)})
    put_record(folder, ["AUSDT"])
    with capture_logs() as said:
        look(clock, folder, seconds=10)
    assert [each["title"] for each in said if each["event"] == "alarm.given_up"] == ["oldest"]


def test_listings_go_to_the_robot_for_listings_where_there_is_one(tmp_path, receiver, clock) -> None:
    folder = folder_in(tmp_path / "m", receiver, dingding={"error": ROBOT, "listing": ROBOT}, notify=[])
    put_symbols(folder, "AB")
    look(clock, folder, seconds=5)
    put_symbols(folder, "ABC")
    look(clock, folder)
    assert [text.splitlines()[0] for text in told_by_dingtalk(receiver)] == ["usdt_perp 1d: listed"]
    assert "CUSDT" in told_by_dingtalk(receiver)[0]


def test_listings_reach_those_who_have_but_the_robot_for_errors(tmp_path, receiver, clock) -> None:
    folder = folder_in(tmp_path / "m", receiver)
    put_symbols(folder, "AB")
    look(clock, folder, seconds=5)
    put_symbols(folder, "A", "B")
    look(clock, folder)
    assert "delisted or halted: BUSDT (settling)" in told_by_dingtalk(receiver)[0]


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, _: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(keeping, "write_atomically", refuse)


def test_on_a_full_disk_who_lasts_tells_once_and_who_does_not_tells_nothing(
    tmp_path, receiver, clock, full_disk
) -> None:
    folder = folder_in(tmp_path / "m", receiver)
    put_worker(folder, 60)
    lasting = Attendant()
    look(clock, folder, seconds=120, by=lasting)
    assert titles(receiver) == ["usdt_perp 1d: worker silent"]
    receiver.got.clear()
    for _ in range(5):
        look(clock, folder, seconds=60, by=Attendant(lasting=False))
    assert titles(receiver) == []


def test_a_storm_of_troubles_is_a_few_messages(tmp_path, receiver, clock) -> None:
    folder = folder_in(tmp_path / "m", receiver)
    lasting = Attendant()
    for number in range(60):
        put_record(folder, ["AUSDT"] if number % 2 else None)
        put_streamer(folder, 60 if number % 3 else -3600)
        put_symbols(folder, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: 1 + number % 26])
        look(clock, folder, seconds=10, by=lasting)
    assert book.MESSAGES - 2 <= len(titles(receiver)) <= book.MESSAGES
    assert any("comes after" in each["body"].get("message", "") for each in receiver.got)


def test_a_state_that_is_damaged_is_begun_anew(tmp_path, receiver, clock) -> None:
    folder = folder_in(tmp_path / "m", receiver)
    (folder.base_dir / STATE_NAME).write_bytes(b'{"page": 3')
    put_record(folder, ["AUSDT"])
    look(clock, folder)
    assert len(titles(receiver)) == 1


def test_one_who_holds_the_lock_for_ever_costs_a_look_and_no_more(tmp_path, receiver, monkeypatch) -> None:
    folder = folder_in(tmp_path / "m", receiver)
    monkeypatch.setattr(keeping, "LOCK_WITHIN_S", 0.1)
    with held([folder.base_dir]):
        (watched,) = Attendant().attend([folder.base_dir]).watched
    assert "alarms.lock" in watched.problem


def test_a_folder_that_cannot_be_looked_at_takes_nothing_from_the_others(tmp_path, receiver, clock) -> None:
    sound, broken = (folder_in(tmp_path / name, receiver) for name in ("sound", "broken"))
    broken.symbol_states.mkdir()
    put_record(sound, ["AUSDT"])
    look(clock, sound, broken)
    assert titles(receiver) == ["usdt_perp 1d: period incomplete"]


def test_whoever_broke_the_config_hears_that_its_periods_fail(tmp_path, receiver, clock) -> None:
    folder, lasting = folder_in(tmp_path / "m", receiver), Attendant()
    look(clock, folder, by=lasting)
    run_time = from_ms(due_ms(folder))
    (folder.base_dir / "config.json").write_text("{")
    with pytest.raises(ConfigError), noted(folder.base_dir, run_time):
        load_config(folder.base_dir)
    look(clock, folder, by=lasting)
    assert titles(receiver) == ["usdt_perp 1d: period failed"]
    assert "config.json: it is not JSON" in told_by_dingtalk(receiver)[0]


def kit(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kit", *map(str, words)],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


@pytest.mark.xdist_group("alarms")
def test_the_watch_command_tells_prints_and_says_by_its_exit_code(tmp_path, receiver) -> None:
    folder = folder_in(tmp_path / "m", receiver)
    well = kit("watch", folder.base_dir)
    assert (well.returncode, well.stdout) == (0, "usdt_perp 1d: ok\n"), well.stderr
    put_record(folder, ["AUSDT"])
    looked = kit("watch", "--no-send", folder.base_dir)
    assert looked.returncode == 1
    assert "period incomplete: " in looked.stdout
    assert titles(receiver) == []
    first = kit("watch", "--quiet", folder.base_dir)
    assert (first.returncode, first.stdout) == (1, ""), first.stderr
    assert kit("watch", folder.base_dir).returncode == 1
    assert titles(receiver) == ["usdt_perp 1d: period incomplete"], "a minute later nobody is told again"
    missing = kit("watch", tmp_path / "nothing")
    assert (missing.returncode, "config.json" in missing.stderr) == (2, True)


@pytest.mark.xdist_group("alarms")
def test_the_test_message_reaches_everybody_and_says_who_it_did_not_reach(tmp_path, receiver) -> None:
    robots = {"error": ROBOT, "wrong": ROBOT | {"secret": "SECwrong"}}
    folder = folder_in(tmp_path / "m", receiver, dingding=robots, language="zh", time_zone="Asia/Shanghai")
    told = kit("notify-test", folder.base_dir)
    assert told.returncode == 1
    assert told.stdout.splitlines()[0] == "dingding.error: arrived"
    assert "dingding.wrong: FAILED, errcode 310000" in told.stdout
    assert titles(receiver) == ["usdt_perp 1d: 测试消息"]
    assert "UTC+8" in told_by_dingtalk(receiver)[0]
    nobody = write_market(tmp_path / "nobody")
    assert kit("notify-test", nobody.base_dir).returncode == 1
    assert kit("notify-test", tmp_path / "nothing").returncode == 2
