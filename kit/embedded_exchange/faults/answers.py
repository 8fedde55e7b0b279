"""Faults of REST: which one a request meets, and what is answered because of it. Bodies as in docs/exchange.md."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from kit.embedded_exchange.answers import Answer
from kit.embedded_exchange.faults.active import Active, Faults
from kit.embedded_exchange.faults.kinds import WRONG_BODIES
from kit.words import Venue

_FORBIDDEN = (
    b"<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body>\r\n<center><h1>403 Forbidden</h1></center>\r\n"
    b"</body>\r\n</html>\r\n"
)
_GATEWAY = (
    "<html>\r\n<head><title>{status} {words}</title></head>\r\n<body>\r\n<center><h1>{status} {words}</h1></center>\r\n"
    "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
_GATEWAY_WORDS = {502: "Bad Gateway", 504: "Gateway Time-out"}
_MAINTENANCE: dict[str, tuple[int, dict[str, Any]]] = {
    "code_0": (503, {"code": 0, "msg": "System is under maintenance."}),
    "239999": (503, {"239999": "The system is under maintenance, please try again later."}),
    "-1016": (400, {"code": -1016, "msg": "Service is under maintenance."}),
    "-1008": (503, {"code": -1008, "msg": "Request throttled by system-level protection. Please try again."}),
}
_TIMED_OUT = {
    "code": -1007,
    "msg": "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
}
_NUMBER_TEXT = re.compile(rb'"-?\d+\.\d+"')


def struck(faults: Faults, venue: Venue, path: str, params: Mapping[str, str]) -> Active | None:
    """The fault that this request meets, counted as a hit."""
    for one in faults.active():
        fault = one.fault
        if fault.kind.group != "rest" or not fault.concerns(venue, (params.get("symbol", ""),)):
            continue
        if fault.own["path"] not in (None, path):
            continue
        one.seen += 1
        if fault.picks(faults.seed, one.seen):
            faults.hit(one)
            return one
    return None


def spoiled(active: Active, honest: Callable[[], Answer]) -> Answer:
    """What is answered in place of the honest answer, or made from it."""
    return _SPOILERS[active.fault.name](active, honest)


def _forbidden(_: Active, _honest: Callable[[], Answer]) -> Answer:
    return Answer(403, _FORBIDDEN, headers={"Server": "CloudFront", "X-Cache": "Error from cloudfront"})


def _challenged(_: Active, _honest: Callable[[], Answer]) -> Answer:
    return Answer(202, b"", headers={"x-amzn-waf-action": "challenge", "Server": "CloudFront"})


def _under_maintenance(active: Active, _honest: Callable[[], Answer]) -> Answer:
    status, body = _MAINTENANCE[str(active.fault.own["form"])]
    return Answer(status, _compact(body))


def _server_error(active: Active, _honest: Callable[[], Answer]) -> Answer:
    status = active.fault.whole("status")
    if status in _GATEWAY_WORDS:
        return Answer(status, _GATEWAY.format(status=status, words=_GATEWAY_WORDS[status]).encode())
    unavailable = status == 503  # noqa: PLR2004  # the one status of this kind with words of its own
    words = "Service Unavailable." if unavailable else "An unknown error occurred while processing the request."
    return Answer(status, _compact({"code": -1000, "msg": words}))


def _never(active: Active, _honest: Callable[[], Answer]) -> Answer:
    return Answer(408, _compact(_TIMED_OUT), delivery="late", late_ms=active.fault.whole("for_ms"))


def _torn(_: Active, honest: Callable[[], Answer]) -> Answer:
    return replace(honest(), delivery="torn")


def _truncated(_: Active, honest: Callable[[], Answer]) -> Answer:
    answer = honest()
    return replace(answer, body=answer.body[: len(answer.body) // 2])


def _oversized(active: Active, honest: Callable[[], Answer]) -> Answer:
    answer = honest()
    return replace(answer, body=answer.body.ljust(active.fault.whole("bytes")))


def _wrong_types(active: Active, honest: Callable[[], Answer]) -> Answer:
    answer = honest()
    kind = str(active.fault.own["kind"] or WRONG_BODIES[active.hits % len(WRONG_BODIES)])
    return replace(answer, body=_WRONG[kind](answer.body))


def _short_rows(body: bytes) -> bytes:
    """Lists lose their last items; an object without lists becomes an empty one."""
    value = json.loads(body)
    if isinstance(value, list) and value and isinstance(value[0], list):
        return _compact([row[:4] for row in value])
    return b"[[]]" if isinstance(value, list) else b"{}"


_WRONG: dict[str, Callable[[bytes], bytes]] = {
    "object": lambda body: b'{"rows":%b}' % body if body.startswith(b"[") else b"[%b]" % body,
    "null": lambda _: b"null",
    "text": lambda _: b'"ok"',
    "short_rows": _short_rows,
    "null_values": lambda body: _NUMBER_TEXT.sub(b"null", body),
    "nested_values": lambda body: _NUMBER_TEXT.sub(b"[[]]", body),
    "nan_values": lambda body: _NUMBER_TEXT.sub(b'"NaN"', body),
}
_SPOILERS: dict[str, Callable[[Active, Callable[[], Answer]], Answer]] = {
    "rest_403_html": _forbidden,
    "rest_empty_202": _challenged,
    "rest_maintenance": _under_maintenance,
    "rest_5xx": _server_error,
    "rest_timeout": _never,
    "rest_reset": _torn,
    "rest_truncated_json": _truncated,
    "rest_oversized": _oversized,
    "rest_wrong_types": _wrong_types,
}


def _compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
