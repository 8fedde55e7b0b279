"""The table of faults for readers: as JSON, and as the Markdown of docs/faults.md."""

from __future__ import annotations

import json
from typing import Any

from kit.embedded_exchange.faults.fault import COMMON
from kit.embedded_exchange.faults.kinds import KINDS, Kind
from kit.embedded_exchange.faults.parameters import Parameter

_HEAD = ("| fault | what happens | own keys (default) | share of |", "|---|---|---|---|")
_HEADINGS = {
    "finals": "Final events",
    "frames": "Single events",
    "connections": "Connections",
    "rest": "REST answers",
    "klines": "Candles",
}


def known_faults() -> dict[str, Any]:
    """Name to ``doc``, ``share_of`` and ``parameters`` (name to doc, default, allowed)."""
    return {
        kind.name: {
            "doc": kind.doc,
            "group": kind.group,
            "share_of": kind.share_of,
            "parameters": {one.name: _told(one) for one in (*COMMON, *kind.parameters)},
        }
        for kind in KINDS.values()
    }


def _told(parameter: Parameter) -> dict[str, Any]:
    return {"doc": parameter.doc, "default": parameter.default, "allowed": parameter.allowed}


def table() -> str:
    """Markdown: the keys of all faults, then a table for each group."""
    lines = ["| key of every fault | what | allowed |", "|---|---|---|"]
    lines += [f"| `{one.name}` | {one.doc} | {_escaped(one.allowed)} |" for one in COMMON]
    for group, heading in _HEADINGS.items():
        lines += ["", f"### {heading}", "", *_HEAD]
        lines += [_line(kind) for kind in KINDS.values() if kind.group == group]
    return "\n".join(lines) + "\n"


def _line(kind: Kind) -> str:
    keys = "; ".join(f"`{one.name}` ({_default(one)}): {one.doc}{_words(one)}" for one in kind.parameters)
    share = kind.share_of + ("" if kind.share == 1 else f" ({kind.share:g})")
    return f"| `{kind.name}` | {kind.doc} | {keys} | {share} |"


def _default(parameter: Parameter) -> str:
    return json.dumps(parameter.default)


def _words(parameter: Parameter) -> str:
    return f": {', '.join(parameter.words)}" if parameter.words else ""


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
