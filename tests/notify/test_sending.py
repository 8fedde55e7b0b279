"""Sending, over real sockets, to receivers that are sound, refusing, broken, slow or dead."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from apprise import Apprise
from apprise.plugins.dingtalk import NotifyDingTalk
from structlog.testing import capture_logs

from kit import logs
from kit.config import parse_config
from kit.notify import Outcome, Patience, plugin, send
from kit.notify.targets import targets_of
from tests.notify.receiver import SECRET, TOKEN, judgement, receiving
from tests.ports import nobodys_port

ROBOT = {"access_token": TOKEN, "secret": SECRET}
AT_ONCE = Patience(attempts=3, timeout=timedelta(seconds=60), longest_wait=timedelta(0))


@pytest.fixture
def receiver():
    with receiving() as running:
        yield running


@pytest.fixture(autouse=True)
def _forget_secrets():
    yield
    logs._known_secrets.clear()


def config(**keys):
    return parse_config(Path("/market"), {"interval": "1m", "trade_type": "usdt_perp", **keys})


@pytest.fixture
def dead_port() -> Iterator[int]:
    with nobodys_port() as port:
        yield port


async def tell(patience=AT_ONCE, robots=None, **keys) -> list[Outcome]:
    return await send(
        config(**keys), "标题 period incomplete", "龙虾USDT missing\n2 of 600", robots=robots, patience=patience
    )


async def test_bmacs_robot_gets_the_message_with_a_signature_that_dingtalk_accepts(receiver):
    assert await tell(dingding={"error": ROBOT}, endpoints={"dingding": receiver.host}) == [
        Outcome("dingding.error", ok=True, attempts=1)
    ]
    (request,) = receiver.got
    assert request["path"].startswith("/robot/send?access_token=")
    assert request["body"]["text"]["content"] == "标题 period incomplete\n龙虾USDT missing\n2 of 600"


async def test_every_signature_of_many_is_accepted(receiver):
    robots = {f"r{number}": ROBOT for number in range(12)}
    told = await tell(dingding=robots, endpoints={"dingding": receiver.host})
    assert all(outcome.ok for outcome in told)
    assert len(receiver.got) == 12


async def test_markdown_and_mentions_reach_dingtalk(receiver):
    robot = {**ROBOT, "format": "markdown", "at_mobiles": ["13800000000"]}
    (outcome,) = await tell(dingding={"error": robot}, endpoints={"dingding": receiver.host})
    assert outcome.ok
    body = receiver.got[0]["body"]
    assert body["msgtype"] == "markdown"
    assert body["markdown"]["text"].endswith("@13800000000")
    assert body["at"]["atMobiles"] == ["13800000000"]


@pytest.mark.parametrize("scheme", ["dingtalk", "bmacdingtalk"])
async def test_dingtalk_urls_of_notify_are_signed_by_us_too(receiver, scheme):
    url = f"{scheme}://{SECRET}@{TOKEN}/13800000000/?format=markdown"
    assert await tell(notify=[url], endpoints={"dingding": receiver.host}) == [
        Outcome(f"notify[0] ({scheme})", ok=True, attempts=1)
    ]
    assert receiver.got[0]["body"]["at"]["atMobiles"] == ["13800000000"]


async def test_a_wrong_secret_is_a_failure_although_http_says_200_and_is_not_repeated(receiver):
    robot = {"access_token": TOKEN, "secret": "SECwrong"}
    (outcome,) = await tell(dingding={"error": robot}, endpoints={"dingding": receiver.host})
    assert (outcome.ok, outcome.attempts) == (False, 1)
    assert "errcode 310000: sign not match" in outcome.error
    assert TOKEN not in outcome.error
    assert len(receiver.got) == 1


async def test_what_passes_by_itself_is_tried_again(receiver):
    receiver.answers = [(503, b"busy"), (200, b'{"errcode": -1, "errmsg": "system busy"}')]
    (outcome,) = await tell(dingding={"error": ROBOT}, endpoints={"dingding": receiver.host})
    assert (outcome.ok, outcome.attempts) == (True, 3)


async def test_trying_ends_after_the_last_attempt(receiver):
    receiver.answers = [(503, b"")] * 9
    (outcome,) = await tell(dingding={"error": ROBOT}, endpoints={"dingding": receiver.host})
    assert (outcome.ok, outcome.attempts, outcome.error) == (False, 3, "HTTP 503")
    assert len(receiver.got) == 3


async def test_a_redirect_does_not_carry_the_token_elsewhere(receiver):
    receiver.answers = [(307, b"")]
    (outcome,) = await tell(dingding={"error": ROBOT}, endpoints={"dingding": receiver.host})
    assert (outcome.ok, outcome.error) == (False, "HTTP 307")


async def test_other_services_go_through_apprise(receiver):
    assert await tell(notify=[f"json://127.0.0.1:{receiver.port}/hook"]) == [
        Outcome("notify[0] (json)", ok=True, attempts=1)
    ]
    assert receiver.got[0]["path"] == "/hook"
    assert receiver.got[0]["body"]["title"] == "标题 period incomplete"
    assert receiver.got[0]["body"]["message"] == "龙虾USDT missing\n2 of 600"


async def test_what_is_too_long_for_a_service_is_cut_and_not_refused(receiver):
    """Mattermost takes 4000 characters; apprise by itself would hand on all of it."""
    url = f"mmost://127.0.0.1:{receiver.port}/{'a' * 24}"
    (outcome,) = await send(config(notify=[url]), "title", "word " * 2000, patience=AT_ONCE)
    assert outcome.ok
    (text,) = (each["body"]["text"] for each in receiver.got)
    assert 3500 < len(text) <= 4000


async def test_another_services_refusal_is_tried_again_and_told_in_apprises_words(receiver):
    receiver.answers = [(500, b"")] * 3
    (outcome,) = await tell(notify=[f"json://127.0.0.1:{receiver.port}/"])
    assert (outcome.ok, outcome.attempts) == (False, 3)
    assert "500" in outcome.error


async def test_a_dead_receiver_takes_nothing_from_the_others(receiver, dead_port):
    with capture_logs() as events:
        told = await tell(
            dingding={"error": ROBOT},
            endpoints={"dingding": f"http://127.0.0.1:{dead_port}"},
            notify=[f"json://127.0.0.1:{dead_port}/", f"json://127.0.0.1:{receiver.port}/", "nonsense://x/y"],
        )
    assert [outcome.ok for outcome in told] == [False, False, True, False]
    assert [outcome.attempts for outcome in told] == [3, 3, 1, 1]
    assert told[0].error == "not reachable (ConnectionError)"
    assert told[3].error == "apprise does not accept this URL"
    failed = [event for event in events if event["event"] == "notify.failed"]
    assert {event["target"] for event in failed} == {told[0].target, told[1].target, told[3].target}


async def test_a_receiver_that_never_answers_is_given_up_after_the_time_out(receiver):
    receiver.hold = threading.Event()
    patience = Patience(attempts=2, timeout=timedelta(seconds=0.6), longest_wait=timedelta(0))
    # apprise is imported by now, so that the first attempt's time is the receiver's alone
    (outcome,) = await tell(patience, dingding={"error": ROBOT}, endpoints={"dingding": receiver.host})
    assert (outcome.ok, outcome.attempts) == (False, 2)
    assert "no answer within 0.6 s" in outcome.error or "Timeout" in outcome.error


async def test_the_event_loop_stays_free_while_a_receiver_is_slow(receiver):
    receiver.hold = threading.Event()
    sending = asyncio.create_task(tell(dingding={"error": ROBOT}, endpoints={"dingding": receiver.host}))
    async with asyncio.timeout(60):
        while not receiver.got:  # noqa: ASYNC110 - the receiver lives in a thread
            await asyncio.sleep(0.01)
    receiver.hold.set()
    assert (await sending)[0].ok


async def test_nobody_to_tell_is_no_error():
    assert await tell() == []


async def test_an_empty_body_is_sent_as_its_title(receiver):
    cfg = config(notify=[f"json://127.0.0.1:{receiver.port}/"])
    assert (await send(cfg, "title", "", patience=AT_ONCE))[0].ok
    assert receiver.got[0]["body"]["message"] == "title"


async def test_only_the_robots_asked_for_are_told_and_the_unnamed_one_always(receiver):
    where = {"dingding": receiver.host}
    told = await tell(robots={"error"}, dingding={"error": ROBOT, "listing": ROBOT}, endpoints=where)
    assert [outcome.target for outcome in told] == ["dingding.error"]
    told = await tell(robots={"error"}, dingding=ROBOT, endpoints=where)
    assert [outcome.target for outcome in told] == ["dingding.default"]


async def test_no_secret_reaches_logs_outcomes_or_reprs(caplog, dead_port):
    caplog.set_level(logging.DEBUG)
    where = f"127.0.0.1:{dead_port}"
    urls = [
        f"json://user:{TOKEN}@{where}/{TOKEN}",
        f"discord://{TOKEN}",  # incomplete: apprise itself prints it in parts
        f"dingtalk://{SECRET}@{TOKEN}/",
        f"nonsense://{TOKEN}",
    ]
    keys = {"dingding": {"error": ROBOT}, "endpoints": {"dingding": f"http://{where}"}, "notify": urls}
    with capture_logs() as events:
        told = await tell(**keys)
    shown = repr(told) + repr(events) + repr(targets_of(config(**keys)))
    shown += "".join(
        record.getMessage() for record in caplog.records if record.name in ("apprise", "kit.notify.sending")
    )
    assert len(told) == 5
    assert TOKEN not in shown
    assert SECRET not in shown


def test_a_dead_receiver_does_not_hold_up_the_programs_end(receiver):
    receiver.hold = threading.Event()
    code = f"""
import asyncio, datetime, pathlib
from kit.config import parse_config
from kit.notify import Patience, send
robot = {{"access_token": "{TOKEN}", "secret": "{SECRET}"}}
raw = {{"interval": "1m", "trade_type": "usdt_perp", "dingding": robot, "endpoints": {{"dingding": "{receiver.host}"}}}}
config = parse_config(pathlib.Path("/market"), raw)
print(asyncio.run(send(config, "t", "b", patience=Patience(1, datetime.timedelta(seconds=2))))[0].ok)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert run.stdout.splitlines()[-1] == "False"
    assert TOKEN not in run.stderr + run.stdout


def test_apprises_own_dingtalk_is_replaced_once_and_for_all():
    plugin.register()
    plugin.register()
    service = Apprise.instantiate(f"dingtalk://{SECRET}@{TOKEN}/13800000000")
    assert isinstance(service, plugin.DingTalkRobot)
    assert (service.token, service.secret, service.mobiles) == (TOKEN, SECRET, ("13800000000",))
    assert TOKEN not in service.url(privacy=True)
    again = Apprise.instantiate(service.url())
    assert isinstance(again, plugin.DingTalkRobot)
    assert (again.token, again.secret, again.mobiles) == (TOKEN, SECRET, ("13800000000",))


def test_the_receiver_itself_refuses_what_apprises_own_would_send(receiver):
    """The judge is strict enough: apprise quotes twice, the judge refuses, and apprise reports success."""

    class Redirected(NotifyDingTalk):
        notify_url = receiver.host + "/robot/send?access_token={token}"

    # Every signature ends in "=", so that quoting twice always shows; `send` says True all the same.
    assert Redirected(token=TOKEN, secret=SECRET).send("body") is True
    assert judgement(receiver.got[0]["path"])["errcode"] == 310000
