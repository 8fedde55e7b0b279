"""``python -m kit doctor``: the findings as lines for people, or JSON for programs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from kit.doctor.examination import Examination, examine
from kit.doctor.finding import Finding, Level
from kit.doctor.server import configured_server
from kit.outside import printable

STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.WRONG: "bold red"}


def doctor(base_dirs: Sequence[Path], *, as_json: bool) -> int:
    """Examine one folder after the other and print what was found; the exit code: 0 nothing is wrong, 1 something is,
    2 a config cannot be used.

    The loop is left as it is: closing it would wait for look-ups of names that no server answers. So the process has to
    be ended by ``os._exit``.
    """
    loop = asyncio.new_event_loop()
    examinations = [loop.run_until_complete(_examine_and_show(base_dir, as_json=as_json)) for base_dir in base_dirs]
    if any(each.config is None for each in examinations):
        return 2
    return int(any(each.level is Level.WRONG for each in examinations))


async def _examine_and_show(base_dir: Path, *, as_json: bool) -> Examination:
    found = await examine(base_dir, configured_server())
    if as_json:
        print(json.dumps(found.as_dict(), ensure_ascii=False), flush=True)  # noqa: T201 - a command
    else:
        Console().print(shown(found))
    return found


def shown(found: Examination) -> RenderableType:
    """The findings for people."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in found.findings:
        table.add_row(Text(finding.level, style=STYLES[finding.level]), finding.name, _text(finding))
    return Group(Text(printable(str(found.base_dir)), style="bold"), table, _summary(found), "")


def _summary(found: Examination) -> Text:
    wrong, warnings = (sum(each.level is level for each in found.findings) for level in (Level.WRONG, Level.WARNING))
    said = f"wrong: {wrong}" if wrong else "nothing is wrong"
    return Text(said + (f"; warnings: {warnings}" if warnings else ""), style=STYLES[found.level])


def _text(finding: Finding) -> Text:
    text = Text(printable(finding.seen))
    if finding.todo:
        text.append(f"\n-> {printable(finding.todo)}", style="bold")
    return text
