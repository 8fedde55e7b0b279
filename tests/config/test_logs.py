"""Logs: one form for everything, and no secret in it."""

from __future__ import annotations

import json
import logging
import math
import sys
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from kit import logs

if TYPE_CHECKING:
    from collections.abc import Callable

TOKEN = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"  # noqa: S105 - made up


@pytest.fixture(autouse=True)
def _logging_as_before():
    root, known, show = logging.getLogger(), set(logs._known_secrets), warnings.showwarning
    handlers, level = root.handlers[:], root.level
    logs._known_secrets.clear()
    yield
    logging.captureWarnings(capture=False)
    warnings.showwarning = show
    root.handlers[:] = handlers
    root.setLevel(level)
    logs._known_secrets.clear()
    logs._known_secrets.update(known)
    structlog.reset_defaults()


@pytest.fixture
def stderr(capsys):
    """Reads what stderr got since the last reading."""
    return lambda: capsys.readouterr().err


def lines(stderr: Callable[[], str]) -> list[dict]:
    return [json.loads(line) for line in stderr().splitlines()]


def _fail(message: str) -> None:
    raise ConnectionError(message)


def test_an_event_is_one_json_line_with_time_in_utc_level_logger_and_fields(stderr):
    logs.configure("json")
    structlog.get_logger("kit.test").info("period.complete", symbols=600, run_time=datetime(2026, 11, 22, tzinfo=UTC))
    (line,) = lines(stderr)
    assert datetime.fromisoformat(line.pop("timestamp")).utcoffset().total_seconds() == 0
    assert line == {
        "event": "period.complete",
        "level": "info",
        "logger": "kit.test",
        "symbols": 600,
        "run_time": "2026-11-22T00:00:00+00:00",
    }


def test_the_standard_librarys_logs_take_the_same_form(stderr):
    logs.configure("json")
    logging.getLogger("other.library").warning("slow: %d ms, token=%s", 5, TOKEN)
    (line,) = lines(stderr)
    assert (line["event"], line["level"], line["logger"]) == ("slow: 5 ms, token=***", "warning", "other.library")


def test_warnings_do_not_break_the_json_lines(stderr):
    logs.configure("json")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old thing", UserWarning, stacklevel=1)
    assert any("old thing" in line["event"] for line in lines(stderr))


@pytest.mark.parametrize("fmt", ["json", "console"])
def test_an_exception_is_shown_without_its_secrets(stderr, fmt):
    logs.configure(fmt)
    try:
        _fail(f"POST https://oapi.dingtalk.com/robot/send?access_token={TOKEN}&timestamp=1 failed")
    except ConnectionError:
        structlog.get_logger("kit").exception("notify.failed")
        logging.getLogger("lib").exception("failed")
    text = stderr()
    assert text.count("ConnectionError") >= 2
    assert text.count("access_token=***") >= 2
    assert TOKEN not in text


def test_auto_is_json_where_stderr_is_no_terminal_and_readable_where_it_is(stderr, monkeypatch):
    logs.configure("auto")
    structlog.get_logger().info("first")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    logs.configure("auto")
    structlog.get_logger().info("second", symbol="币安人生USDT")
    first, second = stderr().splitlines()
    assert json.loads(first)["event"] == "first"
    assert "second" in second
    assert "symbol=币安人生USDT" in second
    with pytest.raises(json.JSONDecodeError):
        json.loads(second)


def test_configuring_twice_logs_once_and_keeps_foreign_handlers(stderr):
    foreign = logging.NullHandler()
    logging.getLogger().addHandler(foreign)
    logs.configure("json")
    logs.configure("json")
    structlog.get_logger().info("once")
    assert len(lines(stderr)) == 1
    assert foreign in logging.getLogger().handlers


def test_an_unknown_format_is_refused():
    with pytest.raises(ValueError, match="allowed: auto, console, json"):
        logs.configure("xml")  # type: ignore[arg-type]


def test_debug_is_left_out_unless_asked_for(stderr):
    logs.configure("json")
    structlog.get_logger().debug("hidden")
    logs.configure("json", logging.DEBUG)
    structlog.get_logger().debug("shown")
    assert [line["event"] for line in lines(stderr)] == ["shown"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"?access_token={TOKEN}&timestamp=5&sign=a%2Bb%3D", "?access_token=***&timestamp=5&sign=***"),
        (
            f"https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key={TOKEN}",
            "https://qyapi.weixin.qq.com/cgi-bin/webhook/***?key=***",
        ),
        ("http://user:pass@host:80/fapi/v1/klines?symbol=A", "http://***@host:80/fapi/v1/klines?symbol=A"),
        ("socks5h://u:p@h:1 refused", "socks5h://***@h:1 refused"),
        ("wss://fstream.binance.com/market/stream", "wss://fstream.binance.com/market/stream"),
        ("https://h/a@b", "https://h/a@b"),
        (f"https://hooks.slack.com/services/T1/B2/{TOKEN}", "https://hooks.slack.com/services/***"),
        (f"https://discord.com/api/webhooks/1/{TOKEN} x", "https://discord.com/api/webhooks/*** x"),
        (f"https://open.feishu.cn/open-apis/bot/v2/hook/{TOKEN}", "https://open.feishu.cn/open-apis/bot/v2/hook/***"),
        (f"https://api.telegram.org/bot12:{TOKEN}/sendMessage", "https://api.telegram.org/bot***"),
        (f"tgram://12:{TOKEN}/34 failed", "tgram://*** failed"),
        (f"{{'access_token': '{TOKEN}', 'a': 1}}", "{'access_token': \"***\", 'a': 1}"),
        (f'{{"secret": "{TOKEN}"}}', '{"secret": "***"}'),
        (f"Authorization: Bearer {TOKEN}", "Authorization: Bearer ***"),
        ("with SEC" + 2 * TOKEN, "with ***"),
        ("BTCUSDT begin=5 key=funding_rate monkey=1", "BTCUSDT begin=5 key=funding_rate monkey=1"),
    ],
)
def test_secrets_are_recognised_by_their_form_and_nothing_else_is_touched(text, shown):
    assert logs.redact(text) == shown


def test_a_known_secret_is_hidden_wherever_it_stands():
    logs.keep_secret(["hunter2000", "abc"])
    assert logs.redact("was hunter2000 in abc") == "was *** in abc"


def test_nested_fields_are_redacted_by_name_and_by_form():
    value = {
        "a": [{"secret": "x", "n": 1}, f"token={TOKEN}"],
        "proxy": "http://u:p@h",
        "e": ValueError(f"secret={TOKEN}"),
    }
    assert logs.redacted_value(value) == {
        "a": [{"secret": "***", "n": 1}, "token=***"],
        "proxy": "http://***@h",
        "e": "ValueError: secret=***",
    }


def test_counts_and_flags_are_shown_even_under_a_secret_sounding_name():
    assert logs.redacted_value({"tokens": 5, "secret": None, "webhook": False}) == {
        "tokens": 5,
        "secret": None,
        "webhook": False,
    }


def test_numbers_that_json_has_no_word_for_become_text():
    assert logs.redacted_value([math.nan, math.inf, 1.5]) == ["nan", "inf", 1.5]


@given(
    secret=st.text("abcdef0123456789", min_size=20, max_size=40),
    before=st.text("xyz ?&=/:@'\"{}", max_size=20),
    name=st.sampled_from(["access_token", "secret", "password", "sign", "api_key", "refresh_token"]),
)
def test_a_query_argument_with_a_secrets_name_is_hidden_in_any_text(secret, before, name):
    assert secret not in logs.redact(f"{before} https://host/path?a=1&{name}={secret}&b=2")


@pytest.mark.parametrize("piece", ["a-", "a", "'", "://", "token=", "x@", "bearer ", "/hook/", "https://a@"])
@pytest.mark.timeout(120)
def test_a_huge_text_is_redacted_in_time_proportional_to_its_length(piece):
    assert logs.redact(piece * 50_000)
