"""Every defect of the table is caught by the tests that it names, and these pass without it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.planted.defects import DEFECTS, Defect

ROOT = Path(__file__).parents[2]
COPIED = ("kit", "streamer", "flows", "tests")

pytestmark = [pytest.mark.xdist_group("planted"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources and their tests."""
    copy = tmp_path_factory.mktemp("planted")
    for name in COPIED:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy


@pytest.fixture
def planted(tree: Path, request: pytest.FixtureRequest) -> Iterator[Defect]:
    """The tree with a defect in it, as long as the test runs."""
    defect = DEFECTS[request.param]
    originals = {patch.path: (tree / patch.path).read_text(encoding="utf-8") for patch in defect.patches}
    try:
        for patch in defect.patches:
            source = (tree / patch.path).read_text(encoding="utf-8")
            assert source.count(patch.sound) == 1, f"{patch.path} has changed: plant this defect anew"
            (tree / patch.path).write_text(source.replace(patch.sound, patch.defective), encoding="utf-8")
        yield defect
    finally:
        for path, source in originals.items():
            (tree / path).write_text(source, encoding="utf-8")


def failures(tree: Path, tests: tuple[str, ...], *, keep_bytecode: bool) -> list[str]:
    """Run tests of the tree in a process of their own; the cases that failed.

    Bytecode is kept of the sound sources only: a defect and its mend could have the same second and the same length.
    """
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=no", *tests]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "" if keep_bytecode else "1"}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=540, check=False)
    assert done.returncode in (0, 1), done.stdout[-2000:] + done.stderr[-2000:]
    return [line.split()[1] for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]


def test_every_test_that_catches_a_defect_passes_without_it(tree: Path) -> None:
    tests = {test for defect in DEFECTS.values() for test in defect.caught_by}
    assert failures(tree, tuple(sorted(tests)), keep_bytecode=True) == []


@pytest.mark.parametrize("planted", DEFECTS, indirect=True)
def test_a_planted_defect_is_caught(tree: Path, planted: Defect) -> None:
    failed = failures(tree, planted.caught_by, keep_bytecode=False)
    unnoticed = [test for test in planted.caught_by if not any(case.startswith(test) for case in failed)]
    assert not unnoticed, f"does not notice that {planted.what}"
