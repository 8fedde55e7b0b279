"""Logging, set up once: events with fields, for people on a terminal and as JSON lines for machines, always on stderr.

Whatever is logged, by us or by a library, passes :func:`redact` first: chat tokens, signatures, webhook addresses
and user names with passwords in URLs never reach a log, not from a nested field and not from an exception's text.
What others said (the exchange, a library) cannot steer the terminal either: control characters become escapes.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, get_args

import structlog

from kit.outside import printable

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

LogFormat = Literal["auto", "console", "json"]

HIDDEN = "***"
MIN_SECRET_CHARS = 6  # shorter texts appear in ordinary words, and hiding those would make logs unreadable
MAX_TEXT_CHARS = 100_000  # a traceback of a deep recursion has less; what a line is cut at
MAX_DEPTH = 8  # deeper structures are not written for people; what is below is shown as text, redacted

# Names whose values are hidden, as fields, as query arguments and inside the text of a dict.
# Lengths are bounded here and below, so that a huge text costs time in proportion, not by its square.
_HIDDEN_NAMES = (
    r"(?:[\w-]{0,40}(?:token|secret|passw(?:or)?d|passphrase|api[_-]?key|webhook|credential)s?"
    r"|sign|signature|pwd|authorization|dingding)"
)
_SECRET_FIELD = re.compile(_HIDDEN_NAMES, re.IGNORECASE)
# WeChat Work's webhooks carry theirs as ?key=, which as a field's name is an innocent word.
_QUERY = re.compile(rf"(?:(?<![\w-])({_HIDDEN_NAMES}=)|([?&]key=))[^&\s\"'<>,;)\]}}]+", re.IGNORECASE)
_QUOTED = re.compile(rf"([\"']{_HIDDEN_NAMES}[\"']\s*:\s*)(\"[^\"]*\"|'[^']*')", re.IGNORECASE)
_HEADER = re.compile(r"((?:authorization\s*:\s*)?\b(?:bearer|basic)\s+)[\w.~+/=-]{6,}", re.IGNORECASE)
_URL = re.compile(r"\b([a-z][a-z0-9+.-]{0,30})://([^\s\"'<>]+)", re.IGNORECASE)
# DingTalk's signing secrets have this form wherever they turn up.
_DINGTALK_SECRET = re.compile(r"\bSEC[0-9a-fA-F]{32,}\b")
# Addresses of these schemes are shown without user info; any other scheme is a notification's (tgram://, slack://
# ...), where every part may be the secret.
_SHOWN_SCHEMES = re.compile(r"https?|wss?|socks\d[ah]?|file|(?:sqlite|postgres(?:ql)?|redis)(?:\+\w+)?", re.IGNORECASE)
_USER_INFO = re.compile(r"^[^/?#]*@")
# Chat services put their secret into the path: hooks.slack.com/services/T/B/x, discord.com/api/webhooks/1/x,
# open.feishu.cn/open-apis/bot/v2/hook/x, api.telegram.org/bot1:x/sendMessage.
_HOOK_PATH = re.compile(r"(/(?:services|webhooks?|hooks?|workflows)/|/bot(?=\d+:))[^?#\s]+", re.IGNORECASE)

# The fields in which structlog keeps tracebacks.
_OF_MANY_LINES = frozenset({"exception", "stack"})

_known_secrets: set[str] = set()


def keep_secret(values: Iterable[str]) -> None:
    """Hide these exact texts from now on, wherever they appear. Texts under six characters are ignored."""
    _known_secrets.update(value for value in values if len(value) >= MIN_SECRET_CHARS)


def redact(text: str) -> str:
    """``text`` with everything that looks like, or is known to be, a secret replaced by ``***``."""
    for secret in sorted(_known_secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    text = _URL.sub(_redact_url, text)
    text = _QUERY.sub(rf"\g<1>\g<2>{HIDDEN}", text)
    text = _QUOTED.sub(rf'\g<1>"{HIDDEN}"', text)
    text = _HEADER.sub(rf"\g<1>{HIDDEN}", text)
    return _DINGTALK_SECRET.sub(HIDDEN, text)


def shown(text: str, *, limit: int = MAX_TEXT_CHARS, lines: bool = False) -> str:
    """``text`` without secrets, without what would steer a terminal, and only then cut: half a secret is not known.

    With ``lines``, its line ends stay.
    """
    return printable(redact(text), limit=limit, lines=lines)


def _redact_url(match: re.Match[str]) -> str:
    scheme, rest = match.groups()
    if not _SHOWN_SCHEMES.fullmatch(scheme):
        return f"{scheme}://{HIDDEN}"
    rest = _USER_INFO.sub(f"{HIDDEN}@", rest)
    return f"{scheme}://" + _HOOK_PATH.sub(rf"\g<1>{HIDDEN}", rest)


def redacted_value(value: object, depth: int = MAX_DEPTH) -> Any:
    """A copy of ``value`` that JSON can hold, with every text in it redacted and secret fields hidden."""
    if _is_plain(value):
        return value
    if isinstance(value, Mapping) and depth:
        return {shown(str(name)): _redacted_field(name, item, depth - 1) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset) and depth:
        return [redacted_value(item, depth - 1) for item in value]
    return shown(_as_text(value))


def _is_plain(value: object) -> bool:
    """Whether JSON holds ``value`` as it is, and no secret can be in it."""
    if isinstance(value, float):
        return math.isfinite(value)  # JSON has no word for NaN
    return value is None or (isinstance(value, bool | int) and not isinstance(value, Enum))


def _as_text(value: object) -> str:
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}"
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _redacted_field(name: object, value: object, depth: int) -> Any:
    hidden = isinstance(name, str) and _SECRET_FIELD.fullmatch(name) and value and not isinstance(value, bool | int)
    return HIDDEN if hidden else redacted_value(value, depth)


def redact_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The structlog processor: everything but structlog's own bookkeeping (names starting with ``_``) is redacted."""
    return {
        shown(name): value if name.startswith("_") else _redacted_entry(name, value) for name, value in event.items()
    }


def _redacted_entry(name: str, value: object) -> Any:
    if name in _OF_MANY_LINES and isinstance(value, str):
        return shown(value, lines=True)
    return _redacted_field(name, value, MAX_DEPTH)


def configure(fmt: LogFormat = "auto", level: int = logging.INFO) -> None:
    """Send all logs, structlog's and the standard library's, to stderr in one form. Calling it again replaces the form.

    ``fmt``: ``console`` for people, ``json`` for one JSON object a line, ``auto`` for people if stderr is a terminal.
    Every event has ``timestamp`` (ISO 8601, UTC), ``level``, ``logger`` and ``event``.

    Raises:
        ValueError: ``fmt`` is none of these.
    """
    if fmt not in get_args(LogFormat):
        raise ValueError(f"log format {fmt!r} does not exist (allowed: {', '.join(get_args(LogFormat))})")
    terminal = sys.stderr.isatty()
    people = fmt == "console" or (fmt == "auto" and terminal)
    shared = _shared_processors()
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # a second configure() must reach loggers made before it
    )
    _take_over_root(_formatter(shared, colors=terminal and "NO_COLOR" not in os.environ, people=people), level)


def _shared_processors() -> list[Processor]:
    """What every event passes, whoever wrote it; redaction is last, so that it sees the exception's text too."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact_event,
    ]


def _formatter(shared: list[Processor], *, colors: bool, people: bool) -> logging.Formatter:
    renderer: Processor
    if people:
        # The traceback is text by now (redacted); rich's own would print the values of local variables.
        renderer = structlog.dev.ConsoleRenderer(
            colors=colors, exception_formatter=structlog.dev.plain_traceback, pad_event_to=24
        )
    else:
        renderer = structlog.processors.JSONRenderer(serializer=json.dumps, ensure_ascii=False)
    return structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer], foreign_pre_chain=shared
    )


class _OurHandler(logging.StreamHandler[Any]):
    """Marks the handler that configure() put there, so that the next call replaces it and leaves others alone."""


def _take_over_root(formatter: logging.Formatter, level: int) -> None:
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _OurHandler)]:
        root.removeHandler(handler)
    ours = _OurHandler(sys.stderr)
    ours.setFormatter(formatter)
    root.addHandler(ours)
    root.setLevel(level)
    logging.captureWarnings(capture=True)  # a bare warning would break the JSON lines
    for chatty in ("httpx", "httpcore", "urllib3", "apprise", "websockets", "asyncio"):
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))  # a line per request tells nobody anything
