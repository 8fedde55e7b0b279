"""The project as a package: what its build makes of it. Without network, by the backend that pyproject.toml names."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.flows_prefect.conftest import REPOSITORY

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("hatchling") is None, reason="needs hatchling, which make setup installs"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    built = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=180, check=False)
    assert built.returncode == 0, built.stderr
    (made,) = folder.glob("*.whl")
    return made


def test_the_package_holds_the_parts_with_their_data_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"kit", "streamer", "flows", "deployments"}
    assert {"kit/config/schema.json", "kit/serve/static/index.html"} <= set(names)
    (entries,) = (name for name in names if name.endswith("entry_points.txt"))
    assert "bmac = flows.blocks" in zipfile.ZipFile(wheel).read(entries).decode()


def test_a_strategy_elsewhere_imports_kit_from_it(wheel: Path, tmp_path: Path) -> None:
    code = "import kit; from kit import CandleFileReader, Market; print(kit.__file__)"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(wheel)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert ran.stdout.startswith(str(wheel)), ran.stderr
