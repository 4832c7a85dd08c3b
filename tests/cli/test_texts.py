from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.pairs import paint, write_pair

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Run


@pytest.fixture
def gallery(run: Run, tmp_path: Path) -> Path:
    place = tmp_path / "gallery"
    pair = write_pair(tmp_path / "pair")
    assert run("index", paint(tmp_path / "painted"), "-e", pair, "-i", place, "--json").json["added"] == 20
    return place


def test_a_text_finds_what_it_describes(run: Run, gallery: Path) -> None:
    done = run("search", "--text", "a Red boat", "-i", gallery, "-k", 4, "--json").json
    assert done["query"] == {"text": "a Red boat"}
    assert done["encoder"] == "colours"
    assert {hit["display"].rsplit("/")[-1][:4] for hit in done["hits"]} == {"red-"}
    assert set(done["hits"][0]) == {"rank", "path", "display", "distance", "id"}
    assert "blue-" in run("search", "--text", "blue", "-i", gallery, "-k", 1).out


def test_paths_filters_thresholds_and_montages_are_those_of_any_search(run: Run, gallery: Path, tmp_path: Path) -> None:
    search = ["search", "--text", "green", "-i", gallery]
    assert run(*search, "-f", "-k", 2).out.count("green-") == 2
    assert run(*search, "--filter", "name:red-*", "--json", "-k", 50).json["hits"][3]["rank"] == 4
    assert not run(*search, "--threshold", "-1", "--json").json["hits"]
    assert run(*search, "--exact", "--montage", tmp_path / "m.png").status == 0
    with Image.open(tmp_path / "m.png") as drawn:
        assert drawn.width > 500


def test_a_search_is_by_a_picture_or_by_a_text(run: Run, gallery: Path, tmp_path: Path) -> None:
    picture = tmp_path / "painted" / "red-0.png"
    for more in ([picture], ["--weight", "histogram=1"], ["--include-self"], ["--order", "diffusion"]):
        done = run("search", "--text", "red", "-i", gallery, *more)
        assert (done.status, done.out) == (2, "")
    for asked in (["--text", "red"], ["--order", "diffusion"]):
        done = run("search", *asked, "-i", gallery, "--sample", 1, "-m", tmp_path / "pair")
        assert (done.status, done.out) == (2, "")
    assert run("search", "-i", gallery).status == 2


def test_a_gallery_that_knows_pictures_only_says_so(run: Run, make_photos: Callable[..., Path], tmp_path: Path) -> None:
    run("index", make_photos(2), "-e", "histogram", "-i", tmp_path / "plain")
    done = run("search", "--text", "red", "-i", tmp_path / "plain")
    assert (done.status, done.out) == (2, "")
    assert "histogram has no text encoder" in done.err
    assert "hint: a pair" in done.err


def test_both_towers_are_checked(run: Run, tmp_path: Path) -> None:
    pair = write_pair(tmp_path / "pair")
    assert run("encoders", "check", pair, "--json").json["texts"] is True
    assert "texts" in run("encoders", "check", pair).out
    (pair / "tokenizer.json").write_text("{}")
    done = run("encoders", "check", pair)
    assert (done.status, done.out) == (1, "")
    assert "tokenizer cannot be used" in done.err
