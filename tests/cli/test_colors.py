"""`lookalike search` by colour, and what it says when nothing good was found."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from lookalike import Gallery
from tests.search.test_judge import draw_foreign, draw_own

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("colours") / "photos"
    folder.mkdir()
    for number in range(24):
        draw_own(number).save(folder / f"{number:02}.png")
    Image.new("RGB", (32, 32), "#0040ff").save(folder / "blue.png")
    with Gallery.open(folder.parent / "gallery", encoder="histogram", create=True) as gallery:
        gallery.index(folder)
    return folder.parent


def test_a_colour_alone_is_a_query(run: Run, gallery: Path) -> None:
    done = run("search", "--color", "#0040ff", "-k", 2, "-i", gallery / "gallery", "--json")
    found = json.loads(done.out)
    assert found["hits"][0]["path"].endswith("blue.png")
    assert found["query"] == {"colors": [{"color": "#0040ff", "weight": 1.0}]}
    assert "nothing_good" not in found


def test_colours_and_a_palette_go_with_a_picture(run: Run, gallery: Path) -> None:
    photos, place = gallery / "photos", gallery / "gallery"
    for arguments in (
        ("--color", "blue:2", "--color", "navy"),
        ("--palette", photos / "blue.png"),
        ("--palette", "id:1"),
        (photos / "00.png", "--color", "#0040ff", "--color-weight", 0.9),
        (photos / "00.png", "--palette", photos / "blue.png", "--color-weight", 1),
        (photos / "00.png", "--color", "red", "--filter", "color:#0040ff"),
    ):
        done = run("search", *arguments, "-i", place, "-f")
        assert done.status == 0, done.err
        assert done.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--color", "reed"), "'reed' is not a colour"),
        (("--color", "red", "--color-weight", 2), "not between 0 and 1"),
        (("--color", "red", "--color-weight", "nan"), "is not a number"),
        (("--palette", "missing.jpg"), "--palette: "),
        (("--palette", "id:999"), "--palette: no picture in the gallery has the id 999"),
        (("--palette", "text:boat"), "--palette: only a picture has a palette"),
        (("id:1", "--color-weight", 0.3), "--color-weight is the weight of colours, but no colour was given"),
        (("--color", "red", "--order", "diffusion"), "diffusion"),
        (("--color", "red", "--filter", "color:"), "not a filter"),
    ],
)
def test_a_wrong_colour_is_the_users_mistake(run: Run, gallery: Path, arguments: tuple[object, ...], said: str) -> None:
    done = run("search", *arguments, "-i", gallery / "gallery")
    assert done.status == 2
    assert said in done.err


def test_nothing_good_found_is_an_answer_that_names_the_nearest(run: Run, gallery: Path, tmp_path: Path) -> None:
    draw_foreign(1).transpose(Image.Transpose.ROTATE_90).convert("L").save(tmp_path / "grey.png")
    done = run("search", tmp_path / "grey.png", "-k", 3, "-i", gallery / "gallery")
    assert done.status == 0
    assert "nothing good found: even " in done.err
    assert ".png, is farther away than" in done.err
    assert len(done.out.splitlines()) == 4
    done = run("search", tmp_path / "grey.png", "-k", 3, "-i", gallery / "gallery", "--json", "--max-false-match", 0.5)
    found = json.loads(done.out)
    assert (found["nothing_good"], found["hits"]) == (True, [])


def test_a_limit_on_false_matches_keeps_copies(run: Run, gallery: Path, tmp_path: Path) -> None:
    Image.open(gallery / "photos" / "07.png").resize((30, 30)).save(tmp_path / "copy.png")
    done = run("search", tmp_path / "copy.png", "-i", gallery / "gallery", "-f", "--max-false-match", 0.05)
    assert done.out.splitlines() == [str(gallery / "photos" / "07.png")]
    assert done.err == ""
    done = run("search", "--color", "red", "-i", gallery / "gallery", "-f", "--max-false-match", 0.05)
    assert "--max-false-match has no effect" in done.err
