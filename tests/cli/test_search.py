"""Searches by a picture, by a text and with held-out pictures, as scripts and people use them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.conftest import make_picture
from tests.pairs import paint, write_pair

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Run

    MakePhotos = Callable[..., Path]

COMMAND: list[str | Path] = [sys.executable, "-m", "lookalike"]
LINEAR = ("--preset", "linear", "--epochs", 1, "--size", 16, "--set", "latent_dim=6")


def test_without_a_gallery_the_error_says_how_to_make_one(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("search", "x.jpg")
    assert done.status == 2
    assert "no gallery" in done.err
    assert "lookalike index" in done.err
    assert done.out == ""


def test_a_search_prints_the_promised_document(run: Run, indexed: Path) -> None:
    query = indexed / "003.jpg"
    document = run("search", query, "-i", indexed / ".lookalike", "-k", 4, "--json").json
    assert document["query"] == {"path": str(query), "display": str(query)}
    assert document["encoder"] == "histogram"
    hits = document["hits"]
    assert [hit["rank"] for hit in hits] == [1, 2, 3, 4]
    assert [hit["distance"] for hit in hits] == sorted(hit["distance"] for hit in hits)
    assert all(Path(hit["path"]).is_file() and hit["id"] > 0 for hit in hits)
    assert str(query) not in [hit["path"] for hit in hits]


def test_the_query_is_its_own_nearest_hit_on_request(run: Run, indexed: Path) -> None:
    query = indexed / "003.jpg"
    (hit,) = run("search", query, "-i", indexed / ".lookalike", "-k", 1, "--include-self", "--json").json["hits"]
    assert hit["path"] == str(query)
    assert hit["distance"] == pytest.approx(0, abs=1e-6)


def test_hits_come_in_the_order_that_is_asked_for(run: Run, indexed: Path) -> None:
    asked = ["search", indexed / "003.jpg", "-i", indexed / ".lookalike", "-k", 50, "--json", "--order"]
    near, reached = (run(*asked, order).json["hits"] for order in ("distance", "diffusion"))
    assert {(hit["path"], hit["distance"]) for hit in reached} == {(hit["path"], hit["distance"]) for hit in near}
    assert [hit["rank"] for hit in reached] == [hit["rank"] for hit in near]
    assert reached[0] == near[0]
    assert run(*asked, "alphabet").status == 2


def test_paths_alone_are_printed_for_other_programs(run: Run, indexed: Path) -> None:
    done = run("search", indexed / "000.jpg", "-i", indexed / ".lookalike", "-k", 3, "-f")
    assert len(done.out.splitlines()) == 3
    assert all(Path(line).is_file() for line in done.out.splitlines())


def test_a_table_goes_to_stdout_and_nothing_else(run: Run, indexed: Path) -> None:
    done = run("search", indexed / "000.jpg", "-i", indexed / ".lookalike", "-k", 2)
    heading, *rows = done.out.splitlines()
    assert heading.split() == ["rank", "distance", "path"]
    assert [row.split()[0] for row in rows] == ["1", "2"]
    assert done.err == ""


@pytest.mark.parametrize(("gone", "said"), [(0, ""), (1, "1 of 3 hits is no longer"), (2, "2 of 3 hits are no longer")])
def test_hits_whose_files_are_gone_are_counted(run: Run, indexed: Path, gone: int, said: str) -> None:
    search = ("search", indexed / "000.jpg", "-i", indexed / ".lookalike", "-k", 3, "--json")
    for hit in run(*search).json["hits"][:gone]:
        Path(hit["path"]).unlink()
    done = run(*search)
    assert (done.status, bool(done.err)) == (0, gone > 0)
    assert said in done.err
    assert [hit.get("missing", False) for hit in done.json["hits"]] == [True] * gone + [False] * (3 - gone)


def test_a_montage_is_written_and_its_place_told(run: Run, indexed: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    done = run("search", indexed / "000.jpg", "-i", indexed / ".lookalike", "-k", 7, "--montage", sheet)
    assert str(sheet) in done.err
    with Image.open(sheet) as image:
        assert image.size[0] > 1000


def test_a_montage_that_cannot_be_written_is_the_users_mistake(run: Run, indexed: Path, tmp_path: Path) -> None:
    done = run("search", indexed / "000.jpg", "-i", indexed / ".lookalike", "--montage", tmp_path / "no" / "a.png")
    assert done.status == 2


@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
def test_a_query_that_is_no_picture_is_the_users_mistake(
    run: Run, indexed: Path, tmp_path: Path, content: bytes | None
) -> None:
    query = tmp_path / "query.jpg"
    if content is not None:
        query.write_bytes(content)
    done = run("search", query, "-i", indexed / ".lookalike")
    assert done.status == 2
    assert "query.jpg" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("k", ["0", "-1", "x"])
def test_an_impossible_number_of_hits_is_the_users_mistake(run: Run, indexed: Path, k: str) -> None:
    assert run("search", indexed / "000.jpg", "-i", indexed / ".lookalike", "-k", k).status == 2


def test_names_that_a_terminal_could_act_on_are_escaped_and_json_keeps_them(
    tmp_path: Path,
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    names = [b"\x1b[31mred.jpg", b"new\nline.jpg", b"\xff\xfe.jpg", b"<img onerror=x>.jpg", b"plain.jpg"]
    for seed, name in enumerate(names):
        make_picture(seed).save(tmp_path / "one.jpg")
        shutil.copy(os.fsencode(tmp_path / "one.jpg"), os.fsencode(photos) + b"/" + name)
    gallery = tmp_path / "gallery"
    subprocess.run([*COMMAND, "index", photos, "-i", gallery, "-e", "histogram"], check=True, capture_output=True)
    search = [*COMMAND, "search", photos / "plain.jpg", "-i", gallery]
    table = subprocess.run(search, check=True, capture_output=True).stdout
    assert b"\x1b" not in table
    assert len(table.splitlines()) == 5
    raw = subprocess.run([*search, "-f", "-0"], check=True, capture_output=True).stdout
    assert sorted(raw.rstrip(b"\0").split(b"\0")) == sorted(os.fsencode(photos) + b"/" + n for n in names[:-1])
    document = subprocess.run([*search, "--json"], check=True, capture_output=True).stdout
    assert b"%FF%FE.jpg" in document


def test_a_search_finds_only_what_its_filters_let_pass(run: Run, scenes: Path) -> None:
    query = scenes / "beach" / "003.jpg"
    search = ("search", query, "-i", scenes / ".lookalike", "-k", "99", "--json")
    for options, count, folders in (
        (("--filter", "folder:forest"), 6, {"forest"}),
        (("--filter", "label:beach", "--filter", "width:>50"), 5, {"beach"}),
        (("--exclude", "label:beach"), 6, {"forest"}),
        (("--filter", "folder:beach", "--exclude", "name:00*"), 0, set[str]()),
        (("--filter", "format:jpeg", "--exact"), 11, {"beach", "forest"}),
    ):
        hits = run(*search, *options).json["hits"]
        assert len(hits) == count
        assert {hit["path"].split("/")[-2] for hit in hits} == folders


def test_a_filter_that_is_none_is_the_users_mistake(run: Run, scenes: Path) -> None:
    for term, reason in (("beach", "not a filter"), ("widht:>3", "widht"), ("date:May", "not a date")):
        done = run("search", scenes / "beach" / "003.jpg", "-i", scenes / ".lookalike", "--filter", term)
        assert (done.status, done.out) == (2, "")
        assert reason in done.err
        assert "hint" in done.err


def test_hits_beyond_the_threshold_are_left_out(run: Run, scenes: Path) -> None:
    search = ("search", scenes / "beach" / "003.jpg", "-i", scenes / ".lookalike", "--json")
    hits = run(*search).json["hits"]
    near = run(*search, "--threshold", hits[2]["distance"]).json["hits"]
    assert near == hits[:3]


@pytest.mark.usefixtures("few_patches")
def test_a_search_moves_the_weight_between_structure_and_colour(run: Run, labelled: Path) -> None:
    run("index", labelled, "-e", "hybrid:patches+histogram")
    search = ["search", labelled / "one" / "000.jpg", "-i", labelled / ".lookalike", "--json"]
    first, second = (run(*search, "--weight", f"histogram={share}").json["hits"] for share in (0.1, 0.9))
    assert [hit["distance"] for hit in first] != [hit["distance"] for hit in second]
    for wrong in ("colour=0.5", "histogram=2", "histogram", "histogram=x"):
        assert run(*search, "--weight", wrong).status == 2


@pytest.fixture
def painted(run: Run, tmp_path: Path) -> Path:
    place = tmp_path / "gallery"
    pair = write_pair(tmp_path / "pair")
    assert run("index", paint(tmp_path / "painted"), "-e", pair, "-i", place, "--json").json["added"] == 20
    return place


def test_a_text_finds_what_it_describes(run: Run, painted: Path) -> None:
    done = run("search", "--text", "a Red boat", "-i", painted, "-k", 4, "--json").json
    assert done["query"] == {"text": "a Red boat"}
    assert done["encoder"] == "colours"
    assert {hit["display"].rsplit("/")[-1][:4] for hit in done["hits"]} == {"red-"}
    assert set(done["hits"][0]) == {"rank", "path", "display", "distance", "id"}
    assert "blue-" in run("search", "--text", "blue", "-i", painted, "-k", 1).out


def test_paths_filters_thresholds_and_montages_are_those_of_any_search(run: Run, painted: Path, tmp_path: Path) -> None:
    search = ["search", "--text", "green", "-i", painted]
    assert run(*search, "-f", "-k", 2).out.count("green-") == 2
    assert run(*search, "--filter", "name:red-*", "--json", "-k", 50).json["hits"][3]["rank"] == 4
    assert not run(*search, "--threshold", "1e-9", "--json").json["hits"]
    assert run(*search, "--exact", "--montage", tmp_path / "m.png").status == 0
    with Image.open(tmp_path / "m.png") as drawn:
        assert drawn.width > 500


def test_a_search_is_by_a_picture_or_by_a_text(run: Run, painted: Path, tmp_path: Path) -> None:
    picture = tmp_path / "painted" / "red-0.png"
    for more in ([picture], ["--weight", "histogram=1"], ["--include-self"], ["--order", "diffusion"]):
        done = run("search", "--text", "red", "-i", painted, *more)
        assert (done.status, done.out) == (2, "")
    for asked in (["--text", "red"], ["--order", "diffusion"]):
        done = run("search", *asked, "-i", painted, "--sample", 1, "-m", tmp_path / "pair")
        assert (done.status, done.out) == (2, "")
    assert run("search", "-i", painted).status == 2


def test_a_gallery_that_knows_pictures_only_says_so(run: Run, make_photos: Callable[..., Path], tmp_path: Path) -> None:
    run("index", make_photos(2), "-e", "histogram", "-i", tmp_path / "plain")
    done = run("search", "--text", "red", "-i", tmp_path / "plain")
    assert (done.status, done.out) == (2, "")
    assert "histogram has no text encoder" in done.err
    assert "hint: an encoder such as CLIP" in done.err


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


def test_a_folder_for_drawings_that_cannot_be_made_is_named(run: Run, output: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("search", "-m", output / "final", "-i", output / "features", "-s", 1, "--output", tmp_path / "file")
    assert (done.status, "cannot be made" in done.err) == (2, True)


def test_the_split_counts_queries_and_the_number_is_its(run: Run, output: Path) -> None:
    done = run("search", "-m", output / "final", "-i", output / "features", "-s", 99, "--json")
    assert [search["number"] for search in done.json["searches"]] == list(range(6))
    assert "only 6 pictures held out" in done.err
    assert json.loads(done.out)["missing"] == 0
