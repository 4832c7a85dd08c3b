"""What is released is complete, and small enough for a laptop."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.metadata import distribution, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
CHECK = [sys.executable, ROOT / "scripts" / "check_release.py"]
MOST_DISTRIBUTIONS, MOST_BYTES = 20, 250_000_000


def needed(name: str, found: set[str]) -> set[str]:
    """A distribution and all that it needs without extras, by their normalized names."""
    name = re.sub(r"[-_.]+", "-", name).lower()
    if name in found:
        return found
    found = found | {name}
    for requirement in map(Requirement, requires(name) or ()):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            found = needed(requirement.name, found)
    return found


def weigh(name: str) -> int:
    """Bytes of a distribution's files, without what Python compiles from them."""
    paths = [Path(str(file.locate())) for file in distribution(name).files or ()]
    return sum(path.stat().st_size for path in paths if path.suffix != ".pyc" and path.exists())


def test_few_and_small_packages_are_needed() -> None:
    names = needed("lookalike", set())
    package = sum(file.stat().st_size for file in (ROOT / "src").rglob("*") if file.suffix != ".pyc")
    assert {"numpy", "onnxruntime", "pillow"} < names
    assert len(names) <= MOST_DISTRIBUTIONS, sorted(names)
    assert package + sum(map(weigh, names - {"lookalike"})) <= MOST_BYTES


def test_the_sdist_and_the_wheel_are_complete_and_the_readme_leads_somewhere_from_a_package_index() -> None:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout: there is no list of files to compare with")
    done = subprocess.run([*CHECK, "--offline"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "the release is complete" in done.stdout


def test_plots_are_drawn_without_tensorflow(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra `plots` is not installed")
    start = "import sys; sys.modules.update(tensorflow=None, keras=None); from lookalike.__main__ import main; main()"
    arguments = ["bench", "search", "--sizes", "50,100", "--dim", "8", "--draw", tmp_path / "plot.png", "--no-progress"]
    subprocess.run([sys.executable, "-c", start, *arguments], check=True, capture_output=True)
    assert (tmp_path / "plot.png").stat().st_size > 10_000
