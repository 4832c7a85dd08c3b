"""The page about the architecture is true."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "lookalike"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PACKAGES = re.findall(r"^\| `([\w.]+)/?` \|", PAGE, re.MULTILINE)


def test_the_page_lists_every_package_and_no_other() -> None:
    there = {path.name for path in SOURCE.iterdir() if path.is_dir() or path.suffix == ".py"}
    assert sorted(PACKAGES) == sorted(there - {"__init__.py", "__pycache__"})


@pytest.mark.parametrize("package", ["images", "store", "search", "indexing", "web", "cli"])
def test_the_page_names_every_module_of_the_larger_packages(package: str) -> None:
    inside = PAGE.partition("## Inside the larger packages")[2]
    modules = {path.name for path in (ROOT / "src" / "lookalike" / package).glob("*.py")} - {"__init__.py"}
    frame = {"app.py", "printing.py", "signals.py", "streams.py"}
    commands = modules - frame if package == "cli" else set()
    assert not [name for name in modules - commands if f"`{package}/{name}`" not in inside]


def test_the_packages_stand_in_the_order_of_the_layers() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ][0]
    levels = {
        name.strip(): level
        for level, layer in enumerate(reversed(contract["layers"]))
        for name in re.split(r"[|:]", layer)
    }
    order = [levels[package.removesuffix(".py")] for package in PACKAGES]
    assert order == sorted(order)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:\w+/)*\w+\.py)`", PAGE))))
def test_every_file_that_the_page_names_is_there(path: str) -> None:
    assert (SOURCE / path).is_file() or (ROOT / path).is_file()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(_?[A-Z]\w+)`", PAGE))))
def test_every_name_that_the_page_uses_is_defined(name: str) -> None:
    sources = "".join(
        path.read_text(encoding="utf-8") for folder in (SOURCE, ROOT / "tests") for path in folder.rglob("*.py")
    )
    assert re.search(rf"^(?:class {name}\b|{name}\b.*=)", sources, re.MULTILINE)
