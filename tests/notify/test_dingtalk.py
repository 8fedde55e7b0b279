"""DingTalk's rules, without I/O."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.notify.dingtalk import MAX_CONTENT_BYTES, message, robot_url, signature, verdict


def test_the_signature_is_the_one_computed_by_another_tool():
    # printf '1700000000000\nSECabc' | openssl dgst -sha256 -hmac SECabc -binary | base64
    assert signature("SECabc", 1_700_000_000_000) == "jcUpW0QmtKduN03n4JqQ0PBosVjqnM8gU7fIIvsDmCM="


@given(secret=st.text("abcdefSEC0123456789", min_size=1), stamp=st.integers(0, 2**42))
def test_the_url_gives_back_the_signature_when_unquoted_once(secret, stamp):
    query = parse_qs(urlsplit(robot_url("https://oapi.dingtalk.com", "tok", secret, stamp)).query, strict_parsing=True)
    assert query == {"access_token": ["tok"], "timestamp": [str(stamp)], "sign": [signature(secret, stamp)]}


def test_without_a_secret_nothing_is_signed():
    assert robot_url("http://h", "tok", None, 5) == "http://h/robot/send?access_token=tok"


@pytest.mark.parametrize("host", ["http://h:1", "http://h:1/", "http://h:1/robot/send"])
def test_the_host_may_be_written_with_or_without_the_path(host):
    assert robot_url(host, "tok", None, 5) == "http://h:1/robot/send?access_token=tok"


def test_a_text_holds_title_and_body_and_who_is_mentioned():
    assert message("Title", "Body", "text", ["13800000000"]) == {
        "msgtype": "text",
        "text": {"content": "Title\nBody"},
        "at": {"atMobiles": ["13800000000"], "isAtAll": False},
    }


def test_markdown_names_the_mentioned_in_the_text_itself():
    sent = message("Title", "Body", "markdown", ["13800000000"])
    assert sent["markdown"] == {"title": "Title", "text": "### Title\n\nBody\n\n@13800000000"}


@given(title=st.text(max_size=50), body=st.text() | st.integers(1, 9000).map("币安".__mul__))
def test_a_message_is_never_longer_than_dingtalk_takes(title, body):
    content = message(title, body, "text")["text"]["content"]
    assert len(content.encode("utf-8", "replace")) <= MAX_CONTENT_BYTES + 4


@pytest.mark.parametrize(
    ("status", "content", "ok", "transient"),
    [
        (200, b'{"errcode":0,"errmsg":"ok"}', True, False),
        (200, b'{"errcode":310000,"errmsg":"sign not match"}', False, False),
        (200, b'{"errcode":300001,"errmsg":"token is not exist"}', False, False),
        (200, b'{"errcode":130101,"errmsg":"send too fast"}', False, True),
        (200, b'{"errcode":-1,"errmsg":"system busy"}', False, True),
        (200, b"<html>gateway</html>", False, True),
        (200, b"\xff\xfe", False, True),
        (200, b"[]", False, True),
        (200, b'{"errcode":"0"}', False, True),
        (429, b"", False, True),
        (503, b"", False, True),
        (302, b"", False, False),
        (404, b'{"errcode":0}', False, False),
    ],
)
def test_only_errcode_zero_is_a_delivery(status, content, ok, transient):
    judged = verdict(status, content)
    assert (judged.ok, judged.transient) == (ok, transient)
    assert bool(judged.error) is not ok


@given(
    status=st.integers(100, 599), content=st.binary() | st.from_type(dict).map(lambda d: json.dumps(str(d)).encode())
)
def test_any_answer_gets_a_verdict(status, content):
    assert verdict(status, content).ok is False
