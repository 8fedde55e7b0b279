"""What is wrong with a config.json, in one sentence a key: the key, what was written, what is allowed.

Pure, and careful: what was written is never repeated where it could be a secret.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ValidationError

from kit.logs import redact

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

MAX_SHOWN_CHARS = 80  # enough to recognise what was written, short enough for a line
SECRET_KEYS = frozenset({"dingding", "notify", "proxy"})
_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (str, "a text"),
    (bool, "true or false"),
    ((int, float), "a number"),
    (list, "a list"),
    (dict, "an object"),
)


@dataclass(frozen=True)
class Allowed:
    """Annotates a field with what it takes, in the words of its error messages."""

    text: str


def reading_problem(error: OSError | ValueError) -> str:
    """Why the file could not be read."""
    if isinstance(error, FileNotFoundError):
        return 'there is no such file; write one, such as {"interval": "1m", "trade_type": "usdt_perp"}'
    return f"it cannot be read ({error.strerror if isinstance(error, OSError) else error})"


def json_problem(error: ValueError | RecursionError) -> str:
    """Why the file is not JSON, with line and column, without its content."""
    if isinstance(error, json.JSONDecodeError):
        return f"it is not JSON: {error.msg} in line {error.lineno}, column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        line = error.object[: error.start].count(b"\n") + 1
        column = error.start - error.object.rfind(b"\n", 0, error.start)
        return f"it is not UTF-8 text: unreadable byte in line {line}, column {column}"
    if isinstance(error, RecursionError):
        return "it is not a configuration: nested too deeply"
    return "it is not JSON that can be read: a number has too many digits"


def problems_of(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """One sentence for each key that ``error`` complains about, in the order of the keys."""
    found: dict[str, str] = {}
    for detail in error.errors(include_url=False):
        loc = [part for part in detail["loc"] if part != "[key]"]
        name = _name(loc)
        # Pydantic also calls a list too short whose items were all wrong: the items say it better.
        if not any(inner.startswith((f"{name}[", f"{name}.")) for inner in found):
            found.setdefault(name, _sentence(loc, detail, model))
    return list(found.values())


def _sentence(loc: Sequence[int | str], detail: ErrorDetails, model: type[BaseModel]) -> str:
    name, owner = _name(loc), _owner(loc, model)
    if detail["type"] == "extra_forbidden":
        keys = sorted(owner.model_fields)
        return f"{name} is not a key{_hint(loc[-1], keys)}; allowed: {', '.join(keys)}"
    allowed = _allowed(loc, model)
    if detail["type"] == "missing":
        return f"{name} is missing; allowed: {allowed}"
    reason = f" ({_reason(detail)})" if detail["type"] == "value_error" else ""
    hint = _hint(detail["input"], detail.get("ctx", {}).get("expected", ""))
    return f"{name} is {_shown(loc, detail['input'])}{reason}{hint}; allowed: {allowed}"


def _reason(detail: ErrorDetails) -> str:
    return str(detail.get("ctx", {}).get("error", ""))


def _name(loc: Sequence[int | str]) -> str:
    name = ""
    for part in loc:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else part
    return redact(name) if name.isprintable() else ascii(name)


def _hint(written: object, words: Sequence[str] | str) -> str:
    """``; did you mean ...?`` where a word is near. ``words`` may be pydantic's "'a', 'b' or 'c'"."""
    if isinstance(words, str):
        words = [word.strip(" '") for word in words.replace(" or ", ",").split(",") if word]
    near = difflib.get_close_matches(str(written), words, n=1, cutoff=0.5) if isinstance(written, str) else []
    return f"; did you mean {near[0]!r}?" if near else ""


def _shown(loc: Sequence[int | str], written: object) -> str:
    text = json.dumps(written, ensure_ascii=False, default=str)
    if (loc[0] in SECRET_KEYS and written is not None) or "@" in text or redact(text) != text:
        return next((words for kind, words in _KINDS if isinstance(written, kind)), "null") + " (not shown)"
    if len(text) > MAX_SHOWN_CHARS:
        text = text[:MAX_SHOWN_CHARS] + "..."
    return text.encode("utf-8", "backslashreplace").decode()


def _allowed(loc: Sequence[int | str], model: type[BaseModel]) -> str:
    """The words of the innermost field on the way to ``loc`` that has any."""
    words, owner = "", model
    for part in loc:
        field = owner.model_fields.get(str(part)) if isinstance(part, str) else None
        if field is None:
            continue
        words = next((note.text for note in field.metadata if isinstance(note, Allowed)), words)
        owner = _model_in(field.annotation) or owner
    return words


def _owner(loc: Sequence[int | str], model: type[BaseModel]) -> type[BaseModel]:
    """The model whose keys the last part of ``loc`` stands among."""
    owner = model
    for part in loc[:-1]:
        field = owner.model_fields.get(str(part))
        owner = (_model_in(field.annotation) if field else None) or owner
    return owner


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(part) for part in get_args(annotation) if part is not Mapping)
    return next((model for model in found if model is not None), None)
