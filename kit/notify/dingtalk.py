"""What DingTalk's custom robots take and answer, without I/O.

Facts: open.dingtalk.com, "Custom robot access" and "Security settings" (signature), "Error codes"; read 2025.
A message, and the answer to a good and to a refused one (the HTTP status is 200 both times):

    {"msgtype": "text", "text": {"content": "..."}, "at": {"atMobiles": ["13800000000"], "isAtAll": false}}
    {"errcode": 0, "errmsg": "ok"}
    {"errcode": 310000, "errmsg": "sign not match, more: [https://ding-doc.dingtalk.com/...]"}
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode

import msgspec

from kit.logs import shown
from kit.outside import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

ROBOT_PATH = "/robot/send"
MAX_CONTENT_BYTES = 18_000  # DingTalk refuses bodies over 20000 bytes (460101); the frame around it takes some
# -1: the system is busy; 130101 and 410100: more than 20 messages a minute. All others need a person to mend the
# robot's settings (310000: signature, keyword or address; 400101: no such token ...).
TRANSIENT_CODES = frozenset({-1, 130101, 410100})
MAX_TOLD_CHARS = 500  # of an errmsg; the documented ones have under 200
HTTP_OK = 200
HTTP_TOO_MANY = 429
HTTP_SERVER_ERROR = 500


class _Answer(msgspec.Struct):
    errcode: int
    errmsg: str = ""


@dataclass(frozen=True)
class Verdict:
    """What became of one delivery. ``error`` is empty when it arrived; ``transient``: trying again can help."""

    ok: bool
    error: str = ""
    transient: bool = False


def signature(secret: str, timestamp_ms: int) -> str:
    """Base64 of HMAC-SHA256 over ``timestamp + newline + secret``, not yet quoted for a URL."""
    signed = f"{timestamp_ms}\n{secret}".encode()
    return base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()


def robot_url(host: str, access_token: str, secret: str | None, timestamp_ms: int) -> str:
    """The address to POST to, its signature quoted once. ``host`` is a base URL; the path may already be in it."""
    arguments: dict[str, str | int] = {"access_token": access_token}
    if secret is not None:
        arguments |= {"timestamp": timestamp_ms, "sign": signature(secret, timestamp_ms)}
    base = host.rstrip("/").removesuffix(ROBOT_PATH)
    return f"{base}{ROBOT_PATH}?{urlencode(arguments)}"


def message(title: str, body: str, form: Literal["text", "markdown"], at_mobiles: Sequence[str] = ()) -> dict[str, Any]:
    """The JSON body of a message; what is too long for DingTalk is cut."""
    at = {"atMobiles": list(at_mobiles), "isAtAll": False}
    if form == "text":
        return {"msgtype": "text", "text": {"content": _cut(f"{title}\n{body}".strip())}, "at": at}
    # In markdown a mention shows only where the text itself holds it.
    mentions = "".join(f" @{mobile}" for mobile in at_mobiles)
    lines = "  \n".join(body.splitlines())  # in markdown a line ends only after two spaces
    text = _cut(f"### {title}\n\n{lines}" if title else lines) + (f"\n\n{mentions.strip()}" if mentions else "")
    return {"msgtype": "markdown", "markdown": {"title": title or "BMAC", "text": text}, "at": at}


def _cut(text: str) -> str:
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= MAX_CONTENT_BYTES:
        return text
    return encoded[:MAX_CONTENT_BYTES].decode("utf-8", "ignore") + " ..."


def verdict(status: int, content: bytes) -> Verdict:
    """What an answer means: only HTTP 200 with ``errcode`` 0 is a delivery."""
    if status != HTTP_OK:
        return Verdict(False, f"HTTP {status}", transient=status == HTTP_TOO_MANY or status >= HTTP_SERVER_ERROR)
    try:
        answer = msgspec.json.decode(content, type=_Answer)
    except UNREADABLE:
        return Verdict(False, "an answer without errcode", transient=True)
    if answer.errcode == 0:
        return Verdict(True)
    told = shown(answer.errmsg, limit=MAX_TOLD_CHARS)
    return Verdict(False, f"errcode {answer.errcode}: {told}", transient=answer.errcode in TRANSIENT_CODES)
