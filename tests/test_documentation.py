"""Every command and every Python example of the documentation is run, in the order of its page."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import click
import pytest
import typer

from lookalike.cli.app import app
from tests.cli.conftest import Run
from tests.conftest import make_picture, make_two_classes
from tests.encoders.exports import write_pair_export
from tests.engines import gallery_name, postgres
from tests.pairs import write_pair

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
TEAM = "postgresql://team@db.example/photos"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)[^)]*\)")
OLD_PROJECT = """
import pathlib, sys
from tests.training.original.keras2 import write_project
write_project(*map(pathlib.Path, sys.argv[1:]))
"""  # run in a process of its own: Keras, for one page
SPLIT = [(0, "b", "train"), (1, "a", "train"), (2, "b", "test"), (3, "a", "test")]  # of birds
QUICK = {"train": ["--epochs", "1", "--size", "16"]}  # a page's training, cut short
QUOTED = re.compile(r"^(?:\w+\$ |[\d* ]+\$HOME/\S*/|[A-Z_]+=\S+ )?lookalike (.+)$")


def blocks(page: Path, language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(page.read_text(encoding="utf-8")) if kind == language]


@pytest.fixture
def sandbox(tmp_path: Path, page: Path) -> Path:
    """What the pages take for granted: pictures in classes, beach.jpg, a pair of encoders and an export of one."""
    folder = tmp_path / "reader"
    for seed in range(12 if "duplicates" in page.name else 40):  # each is compared with nearly every other there
        home = folder / "Photos" / ("beach" if seed % 2 else "forest")
        home.mkdir(parents=True, exist_ok=True)
        make_picture(seed).save(home / f"{seed:03}.jpg")
    for name in ("flowers", "birds"):
        make_two_classes(folder / name, 8)
    rows = [f"{label}/{seed:02}.png,{label},{part}" for seed, label, part in SPLIT]
    (folder / "birds.csv").write_text("\n".join(["file,class,split", *rows]) + "\n")
    make_picture(100).save(folder / "beach.jpg")
    make_picture(101).save(folder / "Photos" / "beach.jpg")
    shutil.copy(folder / "Photos" / "beach.jpg", folder / "Photos" / "beach (1).jpg")
    write_pair(folder / "clip")
    write_pair_export(folder / "clip-vit-base-patch32")
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(monkeypatch, capsys)


@contextlib.contextmanager
def served(line: str, folder: Path, *more: str) -> Iterator[None]:
    """Run a command that serves until it is ended; inside, its page answers."""
    settings, words = split(line, folder)
    words = [{"0.0.0.0": "127.0.0.1"}.get(word, word) for word in words]
    command = [sys.executable, "-m", *words, *more]
    with subprocess.Popen(command, cwd=folder, env=os.environ | settings, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        token = settings.get("LOOKALIKE_TOKEN", "")
        asked = Request(
            process.stdout.readline().strip(), headers={"Authorization": f"Bearer {token}"} if token else {}
        )
        with urlopen(asked, timeout=60) as answer:
            assert answer.status == 200
        yield
        process.send_signal(signal.SIGINT)
    assert process.returncode == 130


def split(line: str, folder: Path) -> tuple[dict[str, str], list[str]]:
    """The variables and the words of a line; servers of the pages are the one that the tests start."""
    if TEAM in line:
        line = line.replace(TEAM, shlex.quote(postgres().url(gallery_name(folder))))
    words = shlex.split(line, comments=True)
    settings = dict(word.split("=", 1) for word in itertools.takewhile(lambda word: "=" in word, words))
    return settings, words[len(settings) :]


@pytest.mark.usefixtures("few_patches")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of TensorFlow's own making
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_works(page: Path, sandbox: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    if any("lookalike import-original" in block for block in blocks(page, "sh")):
        subprocess.run([sys.executable, "-c", OLD_PROJECT, sandbox / "old", sandbox / "Photos"], cwd=ROOT, check=True)
    monkeypatch.chdir(sandbox)
    for block in blocks(page, "sh"):
        for line in block.strip().splitlines():
            _, words = split(line, sandbox)
            if words[0] == "make":
                assert f"\n{words[1]}:" in (ROOT / "Makefile").read_text(encoding="utf-8"), line
                continue
            if words[0] == "mv":
                Path(words[1]).rename(words[2])
                continue
            assert words[0] == "lookalike", f"{page.name}: {line} is not a command of this project; fence it as text"
            if words[1] == "serve":
                with served(line, sandbox, "--port", "0"):
                    continue
            done = run(*words[1:], *QUICK.get(words[1], []))
            assert done.status == 0, f"{page.name}: {line}\n{done.err}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_quotes_without_running_it_has_these_options(page: Path) -> None:
    for line in itertools.chain(*(block.splitlines() for block in blocks(page, "text"))):
        if (quoted := QUOTED.match(line)) is not None:
            words = shlex.split(quoted[1], comments=True)
            command: Any = typer.main.get_command(app)
            while getattr(command, "commands", None):
                name = next((word for word in words if word in command.commands), None)
                if name is None:
                    break
                words.remove(name)
                command = command.commands[name]
            command.make_parser(click.Context(command)).parse_args([word for word in words if word != "-q"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_python_example_of_a_page_works(page: Path, sandbox: Path) -> None:
    examples = blocks(page, "python")
    if not examples:
        assert "```python" not in page.read_text(encoding="utf-8")
        return
    script = sandbox / f"{page.stem}.py"
    body = "".join(f"    {line}\n" for line in "\n".join(examples).splitlines())
    script.write_text(f"if __name__ == '__main__':\n{body}")  # workers are spawned: they import this file
    with contextlib.ExitStack() as stack:
        if page.name == "web.md":
            index, serve = blocks(page, "sh")[0].strip().splitlines()
            subprocess.run([sys.executable, "-m", *index.split()], cwd=sandbox, check=True)
            stack.enter_context(served(serve, sandbox))
        done = subprocess.run([sys.executable, script], cwd=sandbox, capture_output=True, text=True)
    assert done.returncode == 0, f"{page.name}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        is_generated = target.startswith(("reference/", "../reference/"))  # by `make docs`; tests/test_site.py
        assert is_generated or (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 150


def test_no_page_names_a_folder_of_the_authors_machine() -> None:
    for page in PAGES:
        assert os.fspath(ROOT) not in page.read_text(encoding="utf-8")


def test_every_decision_is_in_the_contents_and_begins_with_its_answer() -> None:
    text = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8")
    contents, *decisions = text.split("\n## ")[1:]
    assert re.findall(r"^- \[(.+)\]\(#", contents, re.MULTILINE) == [each.partition("\n")[0] for each in decisions]
    for each in decisions:
        assert each.partition("\n\n")[2].startswith("**In short:** "), each.partition("\n")[0]


def test_the_figures_of_the_default_are_the_same_on_every_page() -> None:
    found = {}
    for page in ("README.md", "docs/evaluation.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        row = re.search(r"^\| `[\w-]+`, adapted.*\(the default\) \|(.*)\|$", text, re.MULTILINE)
        assert row is not None, page
        found[page] = [re.split(r"[ ±]", cell.strip())[0] for cell in row[1].split("|")]
    assert len(set(map(tuple, found.values()))) == 1, found


def read_record(name: str) -> dict[str, Any]:
    text = (ROOT / "docs" / "results" / "evaluation" / f"{name}.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def test_the_figures_of_every_collection_are_those_of_the_record() -> None:
    text = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    record = read_record("efficientnet-lite0-layers-int8")
    for one in record["collections"]:
        cells = [f"`{one['collection']}`", f"{one['n_gallery']:,}", f"{one['n_queries']:,}"]
        for name in ("mAP", "P@10", "top_1"):
            low, high = one["intervals"][name]
            cells.append(f"{one[name]:.3f} ±{(high - low) / 2:.3f}")
        assert f"| {' | '.join(cells)} |" in text
    sets = [one for one in record["collections"] if one["collection"] != "scenes8"]
    means = [f"{sum(one[name] for one in sets) / len(sets):.3f}" for name in ("mAP", "P@10", "top_1")]
    assert f"| mean of the seven sets | | | {' | '.join(means)} |" in text


_WAYS = (  # what a row of a table says, the ending of its record and the part of it
    ("diffusion", "--diffusion", ""),
    ("adapted only", "--no-blend", ""),
    ("not adapted", "--raw", ""),
    ("raw", "--raw", ""),
    ("learned with labels", "", "learned_with_labels"),
    ("labels", "", "with_labels"),
    ("", "", ""),
)


@pytest.mark.parametrize(("page", "with_margins"), [("README.md", False), ("docs/evaluation.md", True)])
def test_the_figures_of_every_encoder_are_those_of_its_record(page: str, *, with_margins: bool) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    (table,) = re.findall(r"^\| encoder \| dimensions \| mAP \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    name = ""
    for row in table.splitlines():
        what, *cells = row.strip("| ").split(" | ")
        if what.startswith("`"):
            name = what.split("`")[1]
        ending, part = next((ending, part) for words, ending, part in _WAYS if words in what.replace("no labels", ""))
        record = read_record(f"scenes8/{name}{ending}")
        figures = record[part] if part else record
        expected = [f"{figures['dim']:,}"]
        for measure in ("mAP", "P@10", "top_1"):
            low, high = figures["intervals"][measure]
            expected.append(f"{figures[measure]:.3f}" + (f" ±{(high - low) / 2:.3f}" if with_margins else ""))
        assert cells == expected, what


def test_the_quality_in_the_comparison_of_encoders_is_that_of_the_records() -> None:
    text = (ROOT / "docs" / "encoders.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"^\| encoder \| mAP \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    for row in table.splitlines():
        name, *cells = row.strip("| ").split(" | ")
        record = read_record(f"scenes8/{name.strip('`').partition(':')[0]}")
        assert cells[:3] == [f"{record[measure]:.3f}" for measure in ("mAP", "P@10", "top_1")], name
        assert cells[8] == str(record["dim"]), name
