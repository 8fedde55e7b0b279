"""The documents as a reader sees them: pages, and the blocks that can be run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from docs._site.hooks import headings

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

LANGUAGES = ("sh", "python", "json")
_MARKER = re.compile(r"<!-- not run: (.+) -->")
_FENCE = re.compile(r"^(\s*)```(\w*)\s*$")
_COMMENT = re.compile(r"(^|\s+)#(?!!).*$")


@dataclass(frozen=True)
class Block:
    """A fenced block. ``not_run``: the reason that its marker gives, empty without one."""

    page: str
    line: int
    language: str
    text: str
    not_run: str = ""

    @property
    def place(self) -> str:
        """Where it stands, as editors take it."""
        return f"{self.page}:{self.line}"

    def without_comments(self) -> list[str]:
        """Its lines without comments: what has to be alike in two languages."""
        if self.language == "json":
            return self.text.splitlines()
        lines = (_COMMENT.sub("", line).rstrip() for line in self.text.splitlines())
        return [line for line in lines if line]


def pages() -> list[Path]:
    """Every page: the README in both languages first, then the site's."""
    return [ROOT / "README.md", ROOT / "README.zh-CN.md", ROOT / "SECURITY.md", *sorted(DOCS.rglob("*.md"))]


def english(path: Path) -> bool:
    """Whether a page is not a translation."""
    return not path.name.endswith((".zh.md", ".zh-CN.md"))


def blocks_of(path: Path) -> list[Block]:
    """The blocks of a page that are code of a kind that is run, in their order."""
    page = str(path.relative_to(ROOT))
    lines = path.read_text(encoding="utf-8").splitlines()
    found: list[Block] = []
    reason, start, language, indent = "", 0, "", ""
    inside: list[str] | None = None
    for number, line in enumerate(lines, start=1):
        fence = _FENCE.match(line)
        if inside is None and fence is not None:
            inside, start, language, indent = [], number, fence[2], fence[1]
        elif inside is not None and fence is not None and not fence[2]:
            if language in LANGUAGES:
                found.append(Block(page, start, language, "\n".join(inside) + "\n", reason))
            inside, reason = None, ""
        elif inside is not None:
            inside.append(line.removeprefix(indent))
        elif line.strip():
            marker = _MARKER.fullmatch(line.strip())
            reason = marker[1] if marker else ""
    return found


def all_blocks() -> list[Block]:
    """The blocks of all pages, in the order of the pages."""
    return [block for path in pages() for block in blocks_of(path)]


def headings_of(path: Path) -> list[tuple[int, str]]:
    """Depth and text of each heading of a page."""
    return [(depth, words) for _, depth, words in headings(path.read_text(encoding="utf-8"))]
