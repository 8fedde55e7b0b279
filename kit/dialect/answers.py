"""Whether an HTTP answer of the exchange is an answer, and what it is otherwise. The only place that decides so.

Bodies of refusals, recorded::

    418  {"code":-1003,"msg":"Way too many requests; IP(130.176.187.73) banned until 1788068515794. Please use ..."}
    429  {"code":-1003,"msg":"Too much request weight used; current limit is 6000 request weight per 1 MINUTE. ..."}
    400  {"code":-1122,"msg":"Invalid symbol status."}
    503  {"239999": "The system is under maintenance, please try again later."}
    403  <html> ... of the firewall, no JSON
"""

from __future__ import annotations

import email.utils
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from kit.errors import (
    BadAnswerError,
    BannedError,
    ExchangeError,
    ForbiddenError,
    MaintenanceError,
    RateLimitedError,
    RefusedRequestError,
    StopError,
    SymbolRefusedError,
)
from kit.logs import shown
from kit.outside import UNREADABLE
from kit.words import LAST_MS, from_ms, to_ms

if TYPE_CHECKING:
    from collections.abc import Mapping

USED_WEIGHT_HEADER = "X-MBX-USED-WEIGHT-1M"
MINUTE_MS = 60_000
# The firewall and the region's gate do not say for how long. The exchange's own FAQ does: a ban of the firewall, which
# counts requests over five minutes, usually lasts five, longer for what looks malicious, and is never lifted early
# (binance.com/en/support/articles/360004492232, 2024-11-15). So a first try after 30 s would only be refused again.
FORBIDDEN_PAUSE_MS = 5 * MINUTE_MS
# The shortest ban there is; for a 418 that does not say its end.
SHORTEST_BAN_MS = 2 * MINUTE_MS
# The longest is three days; an end beyond a week is a misread number.
LONGEST_STOP_MS = 7 * 24 * 60 * MINUTE_MS

# Error bodies are some hundred bytes; exchangeInfo, an object too, is not searched for one.
LONGEST_REFUSAL_BYTES = 8192

SYMBOL_CODES = frozenset({-1121, -1122, -4108})  # unknown, wrong status, being settled
# Out of service, account region moved, throttled by the system, overloaded or timed out within the exchange.
MAINTENANCE_CODES = frozenset({-1000, -1001, -1006, -1007, -1008, -1016, -1109, 239999})
RATE_CODE = -1003
MAINTENANCE_STATUS = 503
FORBIDDEN_STATUSES = frozenset({403, 451})
TOO_MANY_STATUS = 429
BANNED_STATUS = 418
# Timeout within the exchange: the request was sound.
TRY_AGAIN_STATUSES = frozenset({408, 425})

# The exchange's own messages have under 300; what a gateway writes instead is not for people.
MAX_MESSAGE_CHARS = 500
SHOWN_OF_A_BODY = 200

_banned_until = re.compile(r"banned until (\d{10,16})(?!\d)", re.ASCII).search
_digits = re.compile(r"\d{1,9}", re.ASCII).fullmatch


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer as it came. Header names are looked up whatever their case."""

    url: str  # without secrets
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def used_weight(self) -> int | None:
        """The weight used this minute, as the exchange counts it; None where it does not say."""
        text = self.headers.get(USED_WEIGHT_HEADER, "")
        return int(text) if _digits(text) else None

    @property
    def date_ms(self) -> int | None:
        """The exchange's clock when it answered, UTC milliseconds cut to the second; None where it does not say."""
        try:
            told = to_ms(email.utils.parsedate_to_datetime(self.headers["Date"]))
        except (KeyError, ValueError, OverflowError):  # absent, unreadable, without a zone, a number of many digits
            return None
        return told if 0 <= told <= LAST_MS else None


class _Refusal(msgspec.Struct):
    code: int | None = None
    msg: str | None = None


def judge(answer: Answer, now_ms: int) -> ExchangeError | None:
    """None when ``answer`` is the exchange's JSON for a request that it served, otherwise what went wrong.

    ``now_ms`` is the exchange's clock in UTC milliseconds; from it the end of a stop is counted where the answer does
    not name it.
    """
    refusal = _refusal(answer.body)
    if answer.status == 200:  # noqa: PLR2004 - OK
        return _judge_ok(answer, refusal)
    stop = _stop(answer, refusal, now_ms)
    return stop or _refused(answer, refusal)


def _judge_ok(answer: Answer, refusal: _Refusal | None) -> ExchangeError | None:
    if answer.body.lstrip()[:1] not in (b"{", b"["):
        return _error(BadAnswerError, "the answer is not JSON", answer, refusal)
    if refusal is not None and refusal.code is not None and refusal.code < 0:
        return _refused(answer, refusal)  # an error told with the wrong status
    return None


def _stop(answer: Answer, refusal: _Refusal | None, now_ms: int) -> StopError | None:
    """429, 418, 403, 451: with the moment until which nothing may be sent."""
    message = (refusal.msg if refusal else None) or ""
    code = refusal.code if refusal else None
    until = _told_end(answer, message, now_ms)
    kind: type[StopError]
    if answer.status == BANNED_STATUS or (code == RATE_CODE and _banned_until(message)):
        kind, end = BannedError, until or now_ms + SHORTEST_BAN_MS
        text = f"banned until {from_ms(end).isoformat()}"
    elif answer.status == TOO_MANY_STATUS or code == RATE_CODE:
        kind, end = RateLimitedError, until or (now_ms // MINUTE_MS + 1) * MINUTE_MS
        text = f"the weight is used up until {from_ms(end).isoformat()}"
    elif answer.status in FORBIDDEN_STATUSES:
        kind, end = ForbiddenError, until or now_ms + FORBIDDEN_PAUSE_MS
        why = "this region is not served" if answer.status == 451 else "the firewall refused"  # noqa: PLR2004
        text = f"{why}; pausing until {from_ms(end).isoformat()}"
    else:
        return None
    full = f"{text}: {message}" if message else text
    return kind(full, end, url=answer.url, status=answer.status, code=code)


def _told_end(answer: Answer, message: str, now_ms: int) -> int | None:
    """When a stop ends, as the body or Retry-After tell; the later of both, and None where they say nothing usable."""
    ends = []
    banned = _banned_until(message)
    if banned:
        number = int(banned[1])
        ends.append(number if number >= 10**12 else number * 1000)  # seconds, should they ever be told so
    seconds = answer.headers.get("Retry-After", "").strip()
    if _digits(seconds):
        ends.append(now_ms + int(seconds) * 1000)
    usable = [end for end in ends if now_ms < end <= now_ms + LONGEST_STOP_MS]
    return max(usable, default=None)


def _refused(answer: Answer, refusal: _Refusal | None) -> ExchangeError:
    code = refusal.code if refusal else None
    message = (refusal.msg if refusal else None) or _begin(answer.body)
    if code in SYMBOL_CODES:
        return _error(SymbolRefusedError, message, answer, refusal)
    if code in MAINTENANCE_CODES or answer.status == MAINTENANCE_STATUS or b"under maintenance" in answer.body:
        return _error(MaintenanceError, message, answer, refusal)
    if answer.status >= 500 or answer.status in TRY_AGAIN_STATUSES:  # noqa: PLR2004 - theirs
        return _error(MaintenanceError, f"HTTP {answer.status}: {message}", answer, refusal)
    if 200 <= answer.status < 400:  # noqa: PLR2004 - 202 of a challenge, redirects to elsewhere
        return _error(BadAnswerError, f"HTTP {answer.status} instead of an answer: {message}", answer, refusal)
    return _error(RefusedRequestError, f"HTTP {answer.status}: {message}", answer, refusal)


def _error(
    kind: type[BadAnswerError | MaintenanceError | RefusedRequestError | SymbolRefusedError],
    message: str,
    answer: Answer,
    refusal: _Refusal | None,
) -> ExchangeError:
    code = refusal.code if refusal else None
    text = message if code is None else f"{message} [{code}]"
    return kind(text, url=answer.url, status=answer.status, code=code)


def _refusal(body: bytes) -> _Refusal | None:
    """The code and message of an error body; None for anything else (rows, HTML, nothing)."""
    if len(body) > LONGEST_REFUSAL_BYTES or body.lstrip()[:1] != b"{":
        return None
    try:
        refusal = msgspec.json.decode(body, type=_Refusal)
    except UNREADABLE:
        return None
    message = refusal.msg
    return _Refusal(refusal.code, None if message is None else shown(message, limit=MAX_MESSAGE_CHARS))


def _begin(body: bytes) -> str:
    text = " ".join(body[:LONGEST_REFUSAL_BYTES].decode(errors="replace").split())
    return shown(text, limit=SHOWN_OF_A_BODY) or "an empty body"
