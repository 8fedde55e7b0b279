"""What a client may say on a WebSocket, and what it is answered. Decides only; no I/O."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

MAX_STREAMS = 1024  # on one connection
MAX_CONTROL_BYTES = 4096  # longer messages got no answer (4088 bytes answered, 4106 not; spot, 2024-12)


@dataclass(frozen=True)
class Change:
    """What a control message does: streams to add or remove, and the text to answer with."""

    reply: str
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()


def decide(text: str, streams: list[str], *, string_ids: bool) -> Change | None:
    """The effect of one text message on a connection that has ``streams``; None: it is silently ignored.

    An acknowledgement proves nothing: unknown streams are acknowledged and listed as well (docs/exchange.md).
    """
    if len(text.encode()) > MAX_CONTROL_BYTES:
        return None
    try:
        message = json.loads(text)
    except json.JSONDecodeError as wrong:
        return _error(3, f"Invalid JSON: expected value at line {wrong.lineno} column {wrong.colno}")
    if not isinstance(message, dict):
        return _error(2, "Invalid request: expected an object")
    number = message.get("id")
    if not _id_allowed(number, string_ids=string_ids):
        return _error(2, "Invalid request: request ID must be an unsigned integer")
    return _command(message, number, streams)


def _command(message: dict[str, Any], number: Any, streams: list[str]) -> Change:
    method = message.get("method")
    if method == "LIST_SUBSCRIPTIONS":
        return Change(_reply(streams, number))
    if method not in ("SUBSCRIBE", "UNSUBSCRIBE"):
        return _error(2, f"Invalid request: unknown variant `{method}`, expected one of "
                         "`SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`")  # fmt: skip
    names = message.get("params")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        return _error(2, "Invalid request: params must be a list of stream names")
    if method == "UNSUBSCRIBE":
        return Change(_reply(None, number), unsubscribe=tuple(names))
    if len(set(streams) | set(names)) > MAX_STREAMS:
        return _error(2, "Invalid request: too many parameters")
    return Change(_reply(None, number), subscribe=tuple(names))


def _id_allowed(number: Any, *, string_ids: bool) -> bool:
    """Futures want an unsigned integer; spot also takes a string or null."""
    unsigned = isinstance(number, int) and not isinstance(number, bool) and number >= 0
    return unsigned or (string_ids and (number is None or isinstance(number, str)))


def _reply(result: Any, number: Any) -> str:
    return json.dumps({"result": result, "id": number}, ensure_ascii=False, separators=(",", ":"))


def _error(code: Literal[2, 3], text: str) -> Change:
    return Change(json.dumps({"code": code, "msg": text}, ensure_ascii=False, separators=(",", ":")))
