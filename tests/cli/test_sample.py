from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Run

LINEAR = ("--preset", "linear", "--epochs", 1, "--size", 16, "--set", "latent_dim=6")


@pytest.fixture
def output(run: Run, make_photos: Callable[..., Path], tmp_path: Path) -> Path:
    """As the original had it: a model and its features in one folder."""
    home = tmp_path / "output"
    run("train", make_photos(24), "-o", home / "final", *LINEAR)
    run("index", tmp_path / "photos", "-e", home / "final", "-i", home / "features")
    return home


def test_the_described_command_draws_queries_and_their_hits(run: Run, output: Path) -> None:
    done = run("search", "--model", output / "final", "--index", output / "features", "--sample", 3, "--json")
    assert done.status == 0, done.err
    assert (done.json["queries"], done.json["encoder"]) == ("held out", "linear-6")
    assert len(done.json["searches"]) == 3
    for search in done.json["searches"]:
        assert len(search["hits"]) == 10
        query, results = (output / f"{kind}_{search['number']}.jpg" for kind in ("query", "results"))
        assert search["drawn"] == [str(query), str(results)]
        with Image.open(query) as image, Image.open(search["query"]["path"]) as original:
            assert image.size == original.size
        with Image.open(results) as image:
            assert image.width > 5 * 240
    assert done.err == ""


def test_the_short_options_print_a_table(run: Run, output: Path, tmp_path: Path) -> None:
    done = run(
        "search", "-m", output / "final", "-i", output / "features", "-s", 2, "-k", 4, "--output", tmp_path / "x"
    )
    lines = done.out.splitlines()
    assert (lines[0].split(), len(lines)) == (["number", "query", "rank", "distance", "hit"], 1 + 2 * 4)
    assert len(list((tmp_path / "x").iterdir())) == 4
    assert not list(output.glob("*.jpg"))


def test_a_model_that_has_seen_everything_says_so(run: Run, output: Path, tmp_path: Path) -> None:
    run("train", tmp_path / "photos", "-o", tmp_path / "all", *LINEAR, "--set", "fraction=1")
    run("index", tmp_path / "photos", "-e", tmp_path / "all", "-i", tmp_path / "gallery")
    done = run("search", "-m", tmp_path / "all", "-i", tmp_path / "gallery", "-s", 2)
    assert "trained on all of its pictures" in done.err
    assert list(tmp_path.glob("results_*.jpg"))


def test_a_search_by_another_model_is_refused(run: Run, output: Path, tmp_path: Path) -> None:
    picture = tmp_path / "photos" / "000.jpg"
    assert run("search", picture, "-m", output / "final", "-i", output / "features").status == 0
    run("train", tmp_path / "photos", "-o", tmp_path / "other", *LINEAR, "--set", "seed=2", "--set", "latent_dim=5")
    for query in ((picture,), ("--sample", 2)):
        done = run("search", *query, "-m", tmp_path / "other", "-i", output / "features")
        assert (done.status, "linear-6, not by linear-5" in done.err) == (2, True)


@pytest.mark.parametrize(
    "wrong", [(), ("-s", 2), ("-s", 0, "-m", "x"), ("a.jpg", "-s", 1, "-m", "x"), ("-s", 1, "-m", "x", "-f")]
)
def test_a_search_needs_a_picture_or_a_sample_of_a_model(run: Run, wrong: tuple[object, ...]) -> None:
    done = run("search", *wrong)
    assert (done.status, done.out) == (2, "")
    assert "Traceback" not in done.err


def test_a_folder_that_cannot_be_drawn_into_is_named(run: Run, output: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("search", "-m", output / "final", "-i", output / "features", "-s", 1, "--output", tmp_path / "file")
    assert (done.status, "cannot be drawn into" in done.err) == (2, True)


def test_the_split_counts_queries_and_the_number_is_its(run: Run, output: Path) -> None:
    done = run("search", "-m", output / "final", "-i", output / "features", "-s", 99, "--json")
    assert [search["number"] for search in done.json["searches"]] == list(range(6))
    assert "only 6 pictures held out" in done.err
    assert json.loads(done.out)["missing"] == 0
