"""Every command and every snippet of the documents is run; a marker with a reason stands on what cannot be."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.config import parse_config
from tests.docs.commands import TARGETS_ELSEWHERE, Kind, units_of
from tests.docs.pages import ROOT, Block, all_blocks, blocks_of, english, pages
from tests.docs.world import PATIENCE, DocumentError, World

pytestmark = [pytest.mark.xdist_group("docs"), pytest.mark.timeout(1200)]

BLOCKS = all_blocks()

MOST_NOT_RUN = 12
"""Blocks with a marker: what needs root, another machine or the real exchange. They have to stay few."""

FIRST = ("README.md", "docs/getting-started.md")
"""A reader's way: the first makes the market that the others read."""


def english_blocks(*languages: str) -> dict[str, list[Block]]:
    """By page, in a reader's order."""
    runnable = [path for path in pages() if english(path)]
    runnable.sort(key=lambda path: str(path.relative_to(ROOT)) not in FIRST)
    found = {str(path.relative_to(ROOT)): blocks_of(path) for path in runnable}
    chosen = {
        page: [block for block in blocks if block.language in languages and not block.not_run]
        for page, blocks in found.items()
    }
    return {page: blocks for page, blocks in chosen.items() if blocks}


def python_pages_to_run() -> dict[str, list[Block]]:
    """The pages with Python, but for those whose blocks are the first ones of another page just so."""
    pages = english_blocks("python")
    texts = {page: [block.text for block in blocks] for page, blocks in pages.items()}
    return {
        page: pages[page]
        for page, ours in texts.items()
        if not any(other != page and theirs[: len(ours)] == ours for other, theirs in texts.items())
    }


PYTHON = python_pages_to_run()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A machine on which the pages' commands have been run; what stays, still runs, and so may the pages' Python, since
    one of them waits for a close."""
    world = World(tmp_path_factory.mktemp("reader"))
    shell = english_blocks("sh")
    try:
        world.build()
        world.run_page(shell.pop("README.md"))
        world.until_complete()
        for page, blocks in PYTHON.items():
            world.python(page, blocks)
        for blocks in shell.values():
            world.run_page(blocks)
        yield world
    finally:
        world.end()


def test_every_command_does_what_its_page_says(world):
    kinds = [unit.kind for unit in world.done.values()]
    assert kinds.count(Kind.STAYS) >= 4
    assert kinds.count(Kind.ONCE) > 10
    services = [each for each in world.staying if each not in world.pages.values()]
    assert [each.unit for each in services if each.process.poll() is not None] == []


@pytest.mark.parametrize("page", PYTHON)
def test_the_python_of_a_page_runs_in_its_order(world, page):
    started = world.pages[page]
    code = started.process.wait(2 * PATIENCE)
    assert code == 0, started.output[-3000:]
    assert started.output.count("ran ") >= len(PYTHON[page])


def test_a_snippet_that_is_wrong_is_found_with_its_place(tmp_path, world):
    wrong = Block("docs/wrong.md", 3, "python", "value = 1\nraise KeyError(value)\n")
    world.python("docs/wrong.md", [wrong])
    started = world.pages["docs/wrong.md"]
    assert started.process.wait(PATIENCE) != 0
    assert 'File "docs/wrong.md:3", line 2' in started.output
    with pytest.raises(DocumentError, match="exit code 1"):
        world.run_page([Block("docs/wrong.md", 9, "sh", "false\n")])


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block.language == "json"], ids=lambda block: block.place
)
def test_json_is_json_and_a_config_is_a_config(block, tmp_path):
    value = json.loads(block.text)
    if "trade_type" in value:
        parse_config(tmp_path, value)


def test_the_targets_of_make_exist():
    units = [unit for block in BLOCKS if block.language == "sh" for unit in units_of(block.place, block.text)]
    made = [unit for unit in units if unit.kind is Kind.MAKE]
    assert {unit.target for unit in made} <= set(TARGETS_ELSEWHERE), "run it here, or say in the table why not"
    for target in TARGETS_ELSEWHERE:
        known = subprocess.run(
            ["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False, timeout=180
        )
        assert known.returncode == 0, known.stderr


def test_what_is_not_run_says_why_and_is_little():
    marked = [f"{block.place}: {block.not_run}" for block in BLOCKS if block.not_run]
    assert len(marked) <= MOST_NOT_RUN, "\n".join(marked)


@pytest.mark.parametrize(
    "text",
    [
        "useradd --system bmac",
        "sudo ls",
        "rm -rf data",
        "python -m kit status data || systemctl stop x",
        "cp config.json /etc/config.json",
        "echo 1 > ~/x",
        "cp x ../y",
        "export A=$(id)",
        "sh -c x; install -d here",
        "curl -s https://example.com",
    ],
)
def test_what_reaches_beyond_the_readers_folder_is_never_run(tmp_path, text):
    world = World(tmp_path / "nothing-is-made")
    with pytest.raises(DocumentError, match="mark its block"):
        world.run_page([Block("docs/x.md", 1, "sh", f"mkdir data\n{text}\n")])
    assert not world.root.exists()


def translated() -> list[Path]:
    return [path for path in pages() if not english(path)]


@pytest.mark.parametrize("path", translated(), ids=lambda path: path.name)
def test_a_translation_has_the_blocks_of_its_original_but_for_comments(path):
    name = path.name.replace(".zh.md", ".md").replace(".zh-CN.md", ".md")
    original, ours = (
        [(block.language, block.without_comments()) for block in blocks_of(each)]
        for each in (path.with_name(name), path)
    )
    assert ours == original
