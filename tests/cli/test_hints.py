"""Every hint is a way out: each command that one names can be parsed, and following it mends the fault."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer.main
from typer._click import Context

from lookalike import Gallery
from lookalike.cli.app import app
from lookalike.errors import how_to_install, how_to_upgrade
from lookalike.store import open_store
from tests.conftest import make_picture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Done, MakePhotos, Run

SOURCES = sorted((Path(__file__).parents[2] / "src").rglob("*.py"))
COMMAND = re.compile(r"lookalike (?=[a-z])[^`;,()\n]*(?!.* command$)")


def texts(node: ast.AST) -> Iterator[str]:
    """The texts in an expression, whose computed parts are the word X."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else _computed(part) for part in node.values]
        yield "".join(map(str, parts))
    elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "name_command":
        yield from (f"lookalike {text} -i X" for text in texts(node.args[0]))
    else:
        for child in ast.iter_child_nodes(node):
            yield from texts(child)


def _computed(part: ast.AST) -> str:
    called = getattr(part.value.func, "id", "") if isinstance(part.value, ast.Call) else ""  # type: ignore[attr-defined]
    if called == "name_command":
        return next(texts(part.value), "X")  # type: ignore[attr-defined]
    return " -i X" if called == "_of" else "X"


def hints() -> Iterator[tuple[str, str]]:
    """Where each hint of the package is, and its text: of errors, and of the messages that `note` prints."""
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            found: list[ast.AST] = []
            if isinstance(node, ast.keyword) and node.arg == "hint":
                found = [node.value]
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"note", "start_over"}:
                found = list(node.args)
            elif isinstance(node, ast.Assign) and re.search("hint|_USE|_ELSE|_HINT", ast.unparse(node.targets[0])):
                found = [node.value]
            elif isinstance(node, ast.Return) and "start over" in ast.unparse(node):
                found = [node]
            for each in found:
                yield from ((f"{file.name}:{each.lineno}", text) for text in texts(each))  # type: ignore[attr-defined]


NAMED = sorted({(place, command.strip()) for place, text in hints() for command in COMMAND.findall(text)})


def parse(words: list[str]) -> None:
    """Parse a command line without running it. Raises what Click raises for a wrong one."""
    command = typer.main.get_command(app)
    group, rest = command, list(words)
    parent = Context(command, info_name="lookalike")
    while hasattr(group, "commands"):
        name = rest.pop(0)
        group = group.commands[name]
        parent = Context(group, info_name=name, parent=parent)
    group.parse_args(parent, rest)


def test_the_package_gives_hints() -> None:
    assert len(list(hints())) > 100
    assert len(NAMED) > 30


@pytest.mark.parametrize(("place", "command"), NAMED, ids=[f"{place} {command}" for place, command in NAMED])
def test_every_command_that_a_hint_names_can_be_parsed(place: str, command: str) -> None:
    line = command.split(" > ", maxsplit=1)[0].removesuffix(" command").rstrip(".: ")
    parse([word for word in shlex.split(line)[1:] if word not in {"...", "--help"}])


def test_options_in_other_words_are_those_of_a_command() -> None:
    known = {option for command in _commands(typer.main.get_command(app)) for option in command}
    for place, text in hints():
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", text):
            assert option in known | {"--upgrade", "--head", "--help"}, (place, text)  # of pip, of Ray


def _commands(group: object) -> Iterator[set[str]]:
    for command in getattr(group, "commands", {}).values():
        yield {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
        yield from _commands(command)


# What follows is done as a person would: the fault, the command of its hint, and the first command again.


def command_of(done: Done) -> list[str]:
    """The first command in what was printed, as words."""
    found = COMMAND.search(done.err)
    assert found, done.err
    return shlex.split(found[0])[1:]


def fill(words: list[str], **values: object) -> list[object]:
    return [values.get(word, word) for word in words]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def test_no_gallery_here(run: Run, make_photos: MakePhotos, here: Path, tmp_path: Path) -> None:
    shutil.copytree(make_photos(4), here / "photos")
    shutil.copy(here / "photos" / "000.jpg", tmp_path / "query.jpg")
    first = ["search", tmp_path / "query.jpg", "-k", 2]
    done = run(*first)
    assert done.status == 2
    assert run(*fill(command_of(done), FOLDER=here), "-e", "histogram").status == 0
    assert run(*first).status == 0


def test_a_location_without_a_gallery(run: Run, make_photos: MakePhotos, here: Path) -> None:
    photos = make_photos(4)
    done = run("info", "-i", here / "my gallery")
    assert done.status == 2
    assert run(*fill(command_of(done), PHOTOS=photos), "-e", "histogram").status == 0
    assert run("info", "-i", here / "my gallery").status == 0


def test_a_folder_of_pictures_without_a_gallery(run: Run, make_photos: MakePhotos) -> None:
    photos = make_photos(4, "my photos")
    done = run("info", "-i", photos)
    assert done.status == 2
    assert run(*command_of(done), "-e", "histogram").status == 0
    assert run("info", "-i", photos).status == 0


def test_an_exported_gallery_is_imported_and_a_picture_is_not(run: Run, indexed: Path, tmp_path: Path) -> None:
    run("export", tmp_path / "copy", "-i", indexed)
    done = run("info", "-i", tmp_path / "copy")
    assert done.status == 2
    assert run(*fill(command_of(done), FOLDER=tmp_path / "new")).status == 0
    assert run("info", "-i", tmp_path / "new", "--json").json["pictures"] == 12
    assert "import" not in run("info", "-i", indexed / "000.jpg").err


def test_a_wrong_folder_is_named_and_leaves_nothing_to_mend(run: Run, make_photos: MakePhotos, here: Path) -> None:
    photos = make_photos(2)
    done = run("index", here / "Nope")
    assert (done.status, str(here / "Nope") in done.err) == (2, True)
    assert run("index", photos, "-e", "histogram").status == 0


def test_a_place_where_no_gallery_can_be_made(run: Run, make_photos: MakePhotos, here: Path) -> None:
    photos = make_photos(3)
    (here / "file").write_bytes(b"")
    done = run("index", photos, "-i", here / "file" / "gallery", "-e", "histogram")
    assert done.status == 1
    assert run(*fill(command_of(done), PHOTOS=photos, FOLDER=here / "other"), "-e", "histogram").status == 0


def damage(gallery: Path) -> None:
    with sqlite3.connect(gallery / "gallery.db") as db:
        db.execute("UPDATE item SET crc = crc + 1 WHERE id = 3")
    db.close()


def test_a_damaged_gallery(run: Run, indexed: Path) -> None:
    damage(indexed / ".lookalike")
    done = run("search", indexed / "000.jpg")
    assert done.status == 1
    assert run(*command_of(done)).status == 0
    assert run("search", indexed / "000.jpg").status == 0
    assert run("info", "-i", indexed, "--json").json["pictures"] == 12


def test_a_gallery_of_which_nothing_can_be_saved(run: Run, indexed: Path) -> None:
    (indexed / ".lookalike" / "gallery.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 9000)
    done = run("search", indexed / "000.jpg")
    assert done.status == 1
    done = run(*command_of(done))
    assert done.status == 1
    assert run(*fill(command_of(done), PHOTOS=indexed), "-e", "histogram").status == 0
    assert run("search", indexed / "000.jpg").status == 0


def test_problems_that_verify_finds(run: Run, indexed: Path) -> None:
    damage(indexed / ".lookalike")
    done = run("verify", "-i", indexed)
    assert done.status == 1
    assert run(*command_of(done)).status == 0
    assert run("verify", "-i", indexed).status == 0


def test_a_damaged_export_is_left_alone(run: Run, indexed: Path, tmp_path: Path) -> None:
    run("export", tmp_path / "copy", "-i", indexed)
    (tmp_path / "copy").write_bytes((tmp_path / "copy").read_bytes()[:5000])
    before = (tmp_path / "copy").read_bytes()
    done = run("import", tmp_path / "copy", "-i", tmp_path / "new")
    assert (done.status, "delete" in done.err) == (1, False)
    assert (tmp_path / "copy").read_bytes() == before
    run("export", tmp_path / "sound", "-i", indexed)
    assert run("import", tmp_path / "sound", "-i", tmp_path / "new").status == 0


def test_an_unknown_encoder(run: Run, make_photos: MakePhotos) -> None:
    photos = make_photos(3)
    done = run("index", photos, "-e", "histogramm")
    assert done.status == 2
    assert "histogram," in done.err
    assert run("index", photos, "-e", "histogram").status == 0


@pytest.mark.usefixtures("few_patches")
def test_an_encoder_that_has_to_be_learned(run: Run, make_photos: MakePhotos, tmp_path: Path) -> None:
    done = run("encoders", "compare", make_photos(3), "-e", "selfsup", "--no-labels")
    assert done.status in {0, 1}
    done = run("search", make_photos(1) / "000.jpg", "--model", "patches", "-i", tmp_path)
    assert done.status == 2


def test_a_gallery_of_another_encoder(run: Run, indexed: Path, tmp_path: Path) -> None:
    done = run("index", indexed, "-e", "efficientnet-lite0-layers-int8-128")
    assert done.status == 2
    words = fill(command_of(done), PHOTOS=indexed, ENCODER="efficientnet-lite0-layers-int8-128", FOLDER=tmp_path / "g")
    assert run(*words).status == 0
    assert run("info", "-i", tmp_path / "g", "--json").json["pictures"] == 12


def test_a_missing_package_is_installed_by_the_tool_of_this_environment() -> None:
    for command in (how_to_install("lookalike[train]"), how_to_upgrade()):
        first = shlex.split(command)[0]
        assert shutil.which(first), command


def make_wheel(folder: Path, name: str) -> Path:
    path = folder / f"{name}-1.0-py3-none-any.whl"
    about = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": "",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in files.items():
            wheel.writestr(file, text)
        wheel.writestr(f"{about}/RECORD", "".join(f"{file},,\n" for file in [*files, f"{about}/RECORD"]))
    return path


def test_a_second_missing_package_leaves_the_first_where_uv_installed_the_tool(tmp_path: Path) -> None:
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    assert uv, "make test installs it"
    home = tmp_path / "tool"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, home], check=True)
    (home / "uv-receipt.toml").write_text('[tool]\nrequirements = [{ name = "lookalike" }]\n')
    source = Path(__file__).parents[2] / "src"
    environment = {
        **os.environ,
        "PYTHONPATH": str(source),
        "PATH": f"{Path(uv).parent}{os.pathsep}{os.environ['PATH']}",
    }
    for name in ("first_extra", "second_extra"):
        ask = f"from lookalike.errors import how_to_install; print(how_to_install({str(make_wheel(tmp_path, name))!r}))"
        hint = subprocess.check_output([home / "bin" / "python", "-c", ask], env=environment, text=True)
        subprocess.run(hint, shell=True, check=True, env=environment, cwd=tmp_path)
    subprocess.run([home / "bin" / "python", "-c", "import first_extra, second_extra"], check=True)


def test_a_gallery_that_is_being_written(run: Run, indexed: Path) -> None:
    other = open_store(indexed)
    try:
        with other.writing():
            done = run("index", indexed)
            assert (done.status, "--wait SECONDS" in done.err) == (75, True)
        for command in ("index", "retry", "remove", "relocate", "adapt", "compact"):
            assert command in done.err
        assert run("index", indexed, "--wait", 1).status == 0
    finally:
        other.close()


def test_an_empty_gallery(run: Run, make_photos: MakePhotos, tmp_path: Path, here: Path) -> None:
    Gallery.open(tmp_path / "an empty one", encoder="histogram", create=True).close()
    photos = make_photos(3)
    assert command_of(run("neighbours", "-i", tmp_path / "an empty one"))[0] == "index"
    done = run("search", photos / "000.jpg", "-i", tmp_path / "an empty one")
    assert done.status == 0
    assert run(*fill(command_of(done), FOLDER=photos)).status == 0
    assert "empty" not in run("search", photos / "000.jpg", "-i", tmp_path / "an empty one").err
    assert here.is_dir()


def test_a_gallery_that_knows_no_folder(run: Run, make_photos: MakePhotos, tmp_path: Path) -> None:
    Gallery.open(tmp_path / "empty", encoder="histogram", create=True).close()
    done = run("index", "-i", tmp_path / "empty")
    assert done.status == 2
    assert run(*fill(command_of(done), FOLDER=make_photos(3))).status == 0
    assert run("index", "-i", tmp_path / "empty").status == 0


@pytest.mark.parametrize(
    ("term", "then"), [("label:beech", "label:"), ("folder:Beach", "folder:"), ("format:jpge", "format:")]
)
def test_a_filter_with_a_value_that_no_picture_has(run: Run, scenes: Path, term: str, then: str) -> None:
    first = ["search", scenes / "beach" / "000.jpg", "-i", scenes, "--json"]
    done = run(*first, "--filter", term)
    assert (done.status, done.json["hits"]) == (0, [])
    meant = re.search(r"did you mean ([^?,]+)", done.err)
    assert meant, done.err
    assert run(*first, "--filter", then + meant[1]).json["hits"]


def test_an_unknown_field_of_a_filter(run: Run, scenes: Path) -> None:
    done = run("search", scenes / "beach" / "000.jpg", "--filter", "lable:beach")
    assert (done.status, "label" in done.err) == (2, True)
    assert run("search", scenes / "beach" / "000.jpg", "--filter", "label:beach").status == 0


def test_too_few_pictures_to_adapt_to(run: Run, make_photos: MakePhotos, tmp_path: Path) -> None:
    photos = make_photos(1)
    run("index", photos, "-e", "histogram")
    done = run("adapt", "-i", photos)
    assert done.status == 2
    for seed in range(2, 40):
        make_picture(seed).save(photos / f"{seed}.png")
    run("index", photos)
    assert run("adapt", "-i", photos).status == 0
    assert tmp_path.is_dir()


def test_a_text_without_an_encoder_for_texts(run: Run, indexed: Path) -> None:
    done = run("search", "--text", "a red boat", "-i", indexed)
    assert done.status == 2
    parse([str(word) for word in fill(command_of(done), FOLDER=indexed, MODEL="clip", GALLERY="g")])


def test_skipped_files_and_pictures_that_are_retried(run: Run, indexed: Path) -> None:
    done = run("retry", indexed, "-i", indexed)
    assert done.status == 2
    commands = [shlex.split(command)[1:] for command in COMMAND.findall(done.err)]
    assert [words[0] for words in commands] == ["skipped", "index"]
    assert [run(*words).status for words in commands] == [0, 0]


def test_hits_whose_files_are_gone(run: Run, indexed: Path, here: Path) -> None:
    (indexed / "001.jpg").unlink()
    done = run("search", indexed / "000.jpg", "-i", indexed, "-k", 20)
    assert "no longer there" in done.err
    assert run(*command_of(done)).status == 0
    assert "no longer there" not in run("search", indexed / "000.jpg", "-i", indexed, "-k", 20).err
    assert here.is_dir()


def test_a_folder_that_was_moved(run: Run, make_photos: MakePhotos, tmp_path: Path, here: Path) -> None:
    photos = make_photos(6, "the photos")
    run("index", photos, "-i", tmp_path / "g", "-e", "histogram")
    photos.rename(tmp_path / "my photos")
    done = run("index", "-i", tmp_path / "g")
    assert run(*command_of(done)).status == 0
    assert run("index", "-i", tmp_path / "g", "--json").json["unchanged"] == 6
    assert here.is_dir()


def test_an_output_that_exists(run: Run, indexed: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.png").write_bytes(b"mine")
    first = ["search", indexed / "000.jpg", "--montage", tmp_path / "mine.png"]
    done = run(*first)
    assert (done.status, "--force" in done.err) == (2, True)
    assert run(*first, "--force").status == 0
    assert run("inspect", indexed / "000.jpg", indexed / "001.jpg", "-o", tmp_path / "heat.png").status == 0
