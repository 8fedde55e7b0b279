"""What mkdocs calls while it builds (``hooks`` of mkdocs.yml)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pymdownx.slugs import slugify  # type: ignore[import-untyped]  # it ships no types

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

NOT_TRANSLATED = '!!! note ""\n    本页目前只有英文。\n\n'

_slug = slugify(case="lower")  # as mkdocs.yml has it


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put every page of decisions/ into the menu: a decision is added by adding its page."""
    names = sorted(path.name for path in Path(config.docs_dir, "decisions").glob("*.md"))
    for section in config.nav or []:
        for entries in section.values():
            _fill(entries, "Decisions", [f"decisions/{name}" for name in names])
    return config


def _fill(entries: Any, title: str, pages: list[str]) -> None:
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and title in entry:
            entry[title] = pages


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - mkdocs' names
    """On the Chinese site: say on a page that it is in English where it is; else let its headings be found by the
    English anchors, too, since pages that are not translated link to those."""
    if config.theme["language"] != "zh":
        return markdown
    if not page.file.src_uri.endswith(".zh.md"):
        return NOT_TRANSLATED + markdown
    original = Path(config.docs_dir, page.file.src_uri.removesuffix(".zh.md") + ".md").read_text(encoding="utf-8")
    return with_anchors(markdown, [_slug(words, "-") for _, _, words in headings(original)])


def headings(markdown: str) -> Iterator[tuple[int, int, str]]:
    """Line number (from 0), depth and words of each heading; a comment within code is none."""
    code = False
    for number, line in enumerate(markdown.splitlines()):
        code ^= line.lstrip().startswith("```")
        found = None if code else re.match(r"(#+) (.+)$", line)
        if found is not None:
            yield number, len(found[1]), found[2]


def with_anchors(markdown: str, anchors: list[str]) -> str:
    """The page with a further anchor for each of its headings, in their order, where it is not what it has anyway."""
    lines = markdown.splitlines()
    for (number, _, words), anchor in zip(list(headings(markdown)), anchors, strict=True):
        if anchor != _slug(words, "-"):
            lines[number] += f' <a id="{anchor}"></a>'
    return "\n".join(lines) + "\n"
