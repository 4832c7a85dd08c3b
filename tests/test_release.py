"""What is released is complete, and small enough for a laptop."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
CHECK: list[str | Path] = [sys.executable, ROOT / "scripts" / "check_release.py"]
MOST_DISTRIBUTIONS, MOST_BYTES = 20, 250_000_000


def needed(requirements: list[str], found: set[str]) -> set[str]:
    """The normalized names of all distributions that these need without extras."""
    for requirement in map(Requirement, requirements):
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if name not in found and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            found = needed(requires(name) or [], found | {name})
    return found


def weigh(name: str) -> int:
    """Bytes of a distribution's files, without what Python compiles from them."""
    paths = [Path(str(file.locate())) for file in distribution(name).files or ()]
    return sum(path.stat().st_size for path in paths if path.suffix != ".pyc" and path.exists())


def test_few_and_small_packages_are_needed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = needed(project["dependencies"], set())
    package = sum(file.stat().st_size for file in (ROOT / "src").rglob("*") if file.suffix != ".pyc")
    assert {"numpy", "onnxruntime", "pillow"} < names
    assert len(names) + 1 <= MOST_DISTRIBUTIONS, sorted(names)
    assert package + sum(map(weigh, names)) <= MOST_BYTES


def test_the_sdist_and_the_wheel_are_complete_and_the_readme_leads_somewhere_from_a_package_index() -> None:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout: there is no list of files to compare with")
    done = subprocess.run([*CHECK, "--offline"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "the release is complete" in done.stdout


def test_plots_are_drawn_without_tensorflow(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra `plots` is not installed")
    code = """if True:
        import sys
        from pathlib import Path
        sys.modules.update(tensorflow=None, keras=None)
        from lookalike.training import Epoch, plots
        epochs = [Epoch(n, 1 / n, 1 / n, 2 / n, 2 / n, 0.001, 1.0) for n in range(1, 4)]
        plots.draw_losses(epochs, "title", Path(sys.argv[1]))
    """
    subprocess.run([sys.executable, "-c", code, tmp_path / "plot.png"], check=True)
    assert (tmp_path / "plot.png").stat().st_size > 10_000
