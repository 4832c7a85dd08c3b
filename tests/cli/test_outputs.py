"""What Lookalike draws or writes never takes the place of a person's files, and is not indexed as a photograph."""

from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

import lookalike
from lookalike import Gallery
from lookalike.errors import UsageError
from lookalike.files import MARK, check_output, is_marked, write_output
from lookalike.images.drawing import as_drawing, write_drawing
from tests.conftest import make_picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cli.conftest import Run

    MakePhotos = Callable[..., Path]

FORMATS = ["png", "jpg", "gif", "webp", "tif", "bmp"]
WRITERS = {"save", "savefig", "write_bytes", "write_text"}
OWN_FILES = {
    # module: what it writes, none of it at a path that a person names as a drawing or document
    "datasets/samples.py": "the sample collection, in a folder that is made for it",
    "encoders/efficientnet/convert.py": "the cache of converted models",
    "encoders/huggingface/exported.py": "a staged model folder",
    "encoders/huggingface/hub.py": "a staged model folder",
    "encoders/huggingface/inline.py": "a staged model folder",
    "encoders/onnx.py": "the card beside a model",
    "encoders/patches/__init__.py": "a model folder",
    "encoders/untrusted/trial.py": "the cache of trials",
    "evaluation/scaling.py": "a temporary folder",
    "evaluation/speed.py": "a temporary folder",
    "explore/duplicates/plans.py": "a plan, which bears no mark: `check_output` keeps it from replacing a file",
    "explore/duplicates/trash.py": "the trash folder",
    "images/augment.py": "memory",
    "cli/terminal.py": "memory",
    "search/notebook.py": "memory",
    "store/sqlite/backup.py": "a file of a gallery",
    "indexing/copying.py": "the copy of a gallery",
    "web/served_gallery.py": "memory",
    "web/picture.py": "memory",
    "web/thumbnails.py": "the cache of thumbnails",
    "training/export.py": "a model in the folder of a training",
    "training/folder.py": "the folder of a training",
    "training/models/compact.py": "the folder of a training",
    "training/models/network.py": "the folder of a training",
    "training/trainer.py": "the folder of a training",
}


def writing_modules() -> Iterator[tuple[str, str]]:
    """Every module and the receiver of each of its calls that write a file."""
    root = Path(lookalike.__file__).parent
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WRITERS:
                yield path.relative_to(root).as_posix(), ast.unparse(node)


def test_whatever_writes_an_image_a_plot_or_a_document_does_so_into_the_part_that_write_output_gives() -> None:
    others = {module: call for module, call in writing_modules() if module not in OWN_FILES}
    allowed = ("super().save(fp", "features.save(", "figure.savefig(part", "part.write_text(")
    strays = {
        module: call for module, call in others.items() if not call.startswith(allowed) and "save(part" not in call
    }
    assert strays == {}
    assert set(OWN_FILES) <= {module for module, _ in writing_modules()}


@pytest.mark.parametrize("ending", FORMATS)
def test_a_drawing_of_any_format_bears_the_mark_and_may_be_drawn_again(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"drawing.{ending}"
    for seed in range(2):
        write_drawing(make_picture(seed), file)
        assert is_marked(file)
        with Image.open(file) as image:
            image.load()


@pytest.mark.parametrize("ending", [ending for ending in FORMATS if ending != "bmp"])
def test_a_drawing_that_python_saves_bears_it_too(tmp_path: Path, ending: str) -> None:
    as_drawing(make_picture(1)).save(tmp_path / f"drawing.{ending}")
    assert is_marked(tmp_path / f"drawing.{ending}")


@pytest.mark.parametrize("ending", FORMATS)
def test_a_drawing_is_skipped_with_the_reason_and_a_photograph_beside_it_is_not(tmp_path: Path, ending: str) -> None:
    (tmp_path / "photos").mkdir()
    make_picture(1).save(tmp_path / "photos" / "photo.png")
    write_drawing(make_picture(2), tmp_path / "photos" / f"drawing.{ending}")
    with Gallery.open(tmp_path / "gallery", encoder="histogram", create=True) as gallery:
        report = gallery.index(tmp_path / "photos")
        assert report.added == 1
        assert [(path.name, reason) for path, reason in gallery.skipped()] == [(f"drawing.{ending}", MARK)]


def test_a_drawing_can_still_be_searched_with(tmp_path: Path, make_photos: MakePhotos) -> None:
    with Gallery.open(tmp_path / "gallery", encoder="histogram", create=True) as gallery:
        gallery.index(make_photos(3))
        gallery.search(make_photos(3) / "000.jpg", 2).montage().save(tmp_path / "hits.png")
        assert len(gallery.search(tmp_path / "hits.png", 2)) == 2


def test_a_persons_file_is_kept_unless_force_is_given(tmp_path: Path) -> None:
    file = tmp_path / "mine.png"
    make_picture(1).save(file)
    before = file.read_bytes()
    with pytest.raises(UsageError, match="already exists") as error:
        write_drawing(make_picture(2), file)
    assert "--force" in error.value.hint
    assert file.read_bytes() == before
    write_drawing(make_picture(2), file, force=True)
    assert is_marked(file)


def test_what_is_not_a_regular_file_is_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.png")
    for path in (tmp_path, tmp_path / "fifo.png", Path("/dev/null"), Path("/dev/full")):
        with pytest.raises(UsageError):
            check_output(path, force=True)


def test_a_link_to_a_drawing_stays_a_link(tmp_path: Path) -> None:
    write_drawing(make_picture(1), tmp_path / "real.png")
    (tmp_path / "link.png").symlink_to("real.png")
    write_drawing(make_picture(2), tmp_path / "link.png")
    assert (tmp_path / "link.png").is_symlink()
    with Image.open(tmp_path / "real.png") as image:
        assert image.size == make_picture(2).size


def write_half(path: Path) -> None:
    with write_output(path) as part:
        part.write_bytes(b"half a picture")
        raise ValueError("a format that nothing can write")


def test_a_write_that_fails_leaves_nothing_and_one_named_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        write_half(tmp_path / "a.png")
    with pytest.raises(UsageError, match="cannot be written"):
        write_drawing(make_picture(1), tmp_path / "nowhere" / "a.png")
    with pytest.raises(UsageError, match="cannot be written"):
        write_drawing(make_picture(1), tmp_path / "drawing.xyz")
    assert not list(tmp_path.iterdir())


def name_in_many_ways(photos: Path, around: Path) -> dict[str, Path]:
    """One photograph of a gallery under its own name and through links of every kind."""
    photo = photos / "001.jpg"
    (around / "symlink.jpg").symlink_to(photo)
    os.link(photo, around / "hardlink.jpg")
    (around / "folder").symlink_to(photos)
    return {
        "its own name": photo,
        "a symbolic link": around / "symlink.jpg",
        "a hard link": around / "hardlink.jpg",
        "a link to its folder": around / "folder" / "001.jpg",
        "dots": photos / ".." / photos.name / "001.jpg",
    }


@pytest.mark.parametrize("name", ["its own name", "a symbolic link", "a hard link", "a link to its folder", "dots"])
def test_a_picture_of_the_gallery_is_never_written_over_even_with_force(
    run: Run, indexed: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "around").mkdir()
    target = name_in_many_ways(indexed, tmp_path / "around")[name]
    before = (indexed / "001.jpg").read_bytes()
    where = ["-i", indexed / ".lookalike"]
    for command in (
        ["search", indexed / "000.jpg", "--montage", target],
        ["inspect", indexed / "000.jpg", indexed / "002.jpg", "-o", target],
        ["export", target],
        ["export", "--parquet", target],
    ):
        done = run(*command, *where, "--force")
        assert done.status == 2
        assert "never written over" in done.err
    assert (indexed / "001.jpg").read_bytes() == before


def test_the_files_of_a_gallery_are_never_written_over(run: Run, gallery: Path) -> None:
    for file in ("gallery.db", "writer.lock"):
        if (gallery / file).exists():
            done = run("export", gallery / file, "-i", gallery, "--force")
            assert (done.status, "never written over" in done.err) == (2, True)
    assert run("verify", "-i", gallery).status == 0


def test_a_picture_of_the_nearest_gallery_is_protected_from_drawings_of_another(
    run: Run, indexed: Path, make_photos: MakePhotos, tmp_path: Path
) -> None:
    other = make_photos(3, "other")
    assert run("index", other, "-e", "histogram", "-i", tmp_path / "other.gallery").status == 0
    target = indexed / "001.jpg"
    before = target.read_bytes()
    montage = ["search", other / "000.jpg", "-i", tmp_path / "other.gallery", "--montage", target]
    assert run(*montage, "--force").status == 2
    assert target.read_bytes() == before


@pytest.mark.parametrize("option", ["--montage", "-o"])
def test_a_drawing_on_the_command_line_replaces_its_predecessor_but_nothing_else(
    run: Run, indexed: Path, tmp_path: Path, option: str
) -> None:
    command = {"--montage": ["search", indexed / "000.jpg"], "-o": ["inspect", *sorted(indexed.glob("00[01].jpg"))]}
    arguments = [*command[option], "-i", indexed / ".lookalike", option]
    assert run(*arguments, tmp_path / "ours.png").status == 0
    assert run(*arguments, tmp_path / "ours.png").status == 0
    make_picture(40).save(tmp_path / "theirs.png")
    done = run(*arguments, tmp_path / "theirs.png")
    assert (done.status, "already exists" in done.err) == (2, True)
    assert run(*arguments, tmp_path / "theirs.png", "--force").status == 0


def test_a_montage_among_the_photographs_is_passed_over_and_shown_by_skipped(run: Run, indexed: Path) -> None:
    where = ["-i", indexed / ".lookalike"]
    assert run("search", indexed / "000.jpg", *where, "--montage", indexed / "hits.jpg").status == 0
    report = run("index", indexed, "--json").json
    assert (report["added"], [one["reason"] for one in report["skipped"]]) == (0, [MARK])
    assert MARK in run("skipped", *where).out
    assert run("search", indexed / "000.jpg", *where, "--montage", indexed / "hits.jpg").status == 0
