"""The documentation as a site: every page has its place, every link leads somewhere, nothing is fetched."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import typer

import lookalike
from lookalike.cli.app import app

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))


def load_hooks() -> Any:
    spec = spec_from_file_location("site_hooks", ROOT / "scripts" / "site_hooks.py")
    assert spec is not None
    assert spec.loader is not None
    hooks = module_from_spec(spec)
    spec.loader.exec_module(hooks)
    return hooks


def test_every_page_has_its_place_in_the_site() -> None:
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    listed = set(re.findall(r"[\w/-]+\.md", nav))
    written = {page.relative_to(ROOT / "docs").as_posix() for page in PAGES}
    hooks = load_hooks()
    assert listed == written | set(hooks.make_reference()) | {hooks.RESULTS}


def test_every_how_to_page_has_a_picture_of_a_real_result() -> None:
    for page in sorted((ROOT / "docs" / "how-to").glob("*.md")):
        if page.name != "index.md":
            pictures = re.findall(r"!\[([^\]]{20,})\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
            assert pictures, page.name
            assert all((page.parent / file).is_file() for _, file in pictures)


def test_the_reference_has_every_command_with_every_option_and_every_public_name() -> None:
    commands, names = load_hooks().make_reference().values()
    main: Any = typer.main.get_command(app)
    for name, command in main.commands.items():
        assert f"## `lookalike {name}`" in commands
        for option in (opt for each in command.params for opt in each.opts if opt.startswith("--")):
            assert f"`{option}`" in commands
    for name in lookalike.__all__:
        assert f"## `{name}`" in names


def test_the_site_is_built_whole_and_needs_no_network(tmp_path: Path) -> None:
    if find_spec("material") is None:
        pytest.skip("mkdocs-material is not installed: make .venv/docs.stamp")
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",  # a link that leads nowhere is an error; with --quiet, such warnings would not be counted
        "--site-dir",
        tmp_path / "site",
    ]
    silent = os.environ | {"NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"}
    done = subprocess.run(command, cwd=ROOT, env=silent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    address = load_hooks().read_address()
    for page in (tmp_path / "site").rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        fetched = re.findall(r'<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)="(https?://[^"]+)"', text)
        assert not [each for each in fetched if address is None or not each.startswith(address)], page
        assert ".invalid" not in text, page


def test_the_address_of_the_project_stands_in_one_place_alone() -> None:
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    assert all(url.startswith(urls["Homepage"]) for url in urls.values())
    pages = [
        *ROOT.glob("*.md"),
        *ROOT.glob("*.yml"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / ".github").rglob("*.yml"),
    ]
    sources = [*(ROOT / "src").rglob("*.py"), *(ROOT / "src").rglob("*.html")]
    assert not [file for file in (*pages, *sources) if urls["Homepage"] in file.read_text(encoding="utf-8")]
