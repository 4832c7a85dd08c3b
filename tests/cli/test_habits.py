"""What people type, and what they expect of it: tildes, folders of pictures, strange numbers and letters."""

from __future__ import annotations

import random
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from lookalike import Gallery

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import MakePhotos, Run

NAMES = ["at 9.15.42\u202fPM.png", "旅行\u3000東京.png", "👨\u200d👩\u200d👧.png", "می\u200cخواهم.png", "a\u00a0b.png"]  # noqa: RUF001  (Persian)
VALUES = (
    *("", " ", "0", "-1", "1", "1.5", "1e400", "-1e400", "nan", "inf", "-inf", "0x10", "1_000", "9" * 40, "1e-320"),
    *("~", "~/x", "--", "-", ".", "..", "/", "/dev/null", "a\nb", "\u202e", "\udcff", "%s", "{}", "=", "a=b", "👍"),
)
OPTIONS = {
    "search": ("-k", "--threshold", "--filter", "--exclude", "--order", "--weight", "--montage", "--model", "--text"),
    "index": ("--exclude", "--timeout", "--max-megapixels", "--workers", "--batch-size", "--wait", "-e"),
    "adapt": ("--dim", "--labels"),
    "neighbours": ("-k", "--threshold"),
    "export": ("--parquet",),
    "evaluate": ("-e", "--split"),
}


def test_a_tilde_is_the_home_folder_wherever_a_path_comes_in(
    run: Run, home: Path, make_photos: MakePhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(make_photos(6), home / "photos")
    assert run("index", "~/photos", "--index=~/a.gallery", "-e", "histogram").status == 0
    assert (home / "a.gallery" / "gallery.db").exists()
    found = run("search", "~/photos/000.jpg", "-i", "~/a.gallery", "-k", 1, "--montage", "~/m.png", "-f")
    assert found.status == 0, found.err
    assert (home / "m.png").exists()
    monkeypatch.setenv("LOOKALIKE_INDEX", "~/a.gallery")
    assert run("info", "--json").json["pictures"] == 6
    Gallery.open("~/b.gallery", encoder="histogram", create=True).close()
    assert (home / "b.gallery").is_dir()
    assert list((home.parent / "here").iterdir()) == []


def test_a_folder_that_is_named_tilde_is_reached_by_a_dot(run: Run, home: Path, make_photos: MakePhotos) -> None:
    shutil.copytree(make_photos(3), home.parent / "here" / "~")
    assert run("index", "./~", "-e", "histogram").status == 0
    assert (home.parent / "here" / "~" / ".lookalike").is_dir()


def test_the_folder_of_the_pictures_names_its_gallery(run: Run, indexed: Path) -> None:
    found = run("search", indexed / "000.jpg", "-i", indexed, "-k", 3, "--json")
    assert found.status == 0, found.err
    assert len(found.json["hits"]) == 3
    assert run("index", indexed, "-i", indexed).status == 0
    assert not (indexed / "gallery.db").exists()
    with Gallery.open(indexed) as gallery:
        assert len(gallery) == 12


def test_the_gallery_above_a_query_picture_is_searched(run: Run, indexed: Path, home: Path) -> None:
    assert home.is_dir()  # the current folder is another one, without a gallery
    found = run("search", indexed / "000.jpg", "-k", 2, "--json")
    assert found.status == 0, found.err
    assert len(found.json["hits"]) == 2


def test_copies_count_once_when_hits_are_to_be_unique(run: Run, make_photos: MakePhotos, tmp_path: Path) -> None:
    photos = make_photos(12)
    for number in range(11):
        shutil.copy(photos / "003.jpg", photos / f"copy{number}.jpg")
    shutil.copy(photos / "003.jpg", tmp_path / "query.jpg")
    run("index", photos, "-e", "histogram")
    arguments = ("search", tmp_path / "query.jpg", "-i", photos, "-k", 10, "--json")
    assert [hit["distance"] for hit in run(*arguments).json["hits"]] == [0.0] * 10
    hits = run(*arguments, "--unique").json["hits"]
    assert len(hits) == 10
    assert [hit["distance"] for hit in hits].count(0.0) == 1


def test_letters_that_a_terminal_shows_are_printed_and_can_be_opened(run: Run, make_photos: MakePhotos) -> None:
    photos = make_photos(6)
    for number, name in enumerate(NAMES):
        (photos / f"00{number}.jpg").rename(photos / name)
    run("index", photos, "-e", "histogram")
    printed = run("search", photos / "005.jpg", "-f").out.splitlines()
    assert sorted(printed) == sorted(str(photos / name) for name in NAMES)


def test_what_a_terminal_would_act_on_is_escaped(run: Run, make_photos: MakePhotos) -> None:
    photos = make_photos(4)
    for number, name in enumerate(["a\u202eb.jpg", "a\u2028b.jpg", "a\x1b[2Jb.jpg"]):
        (photos / f"00{number}.jpg").rename(photos / name)
    run("index", photos, "-e", "histogram")
    printed = run("search", photos / "003.jpg").out
    assert not {"\u202e", "\u2028", "\x1b"} & set(printed)


def test_a_threshold_below_the_nearest_hit_names_the_nearest(run: Run, indexed: Path) -> None:
    done = run("search", indexed / "000.jpg", "--threshold", "1e-9")
    assert (done.status, "the nearest is at 0." in done.err) == (0, True)


def test_an_empty_gallery_says_how_to_fill_it(run: Run, tmp_path: Path, make_photos: MakePhotos) -> None:
    Gallery.open(tmp_path / "gallery", encoder="histogram", create=True).close()
    done = run("search", make_photos(1) / "000.jpg", "-i", tmp_path / "gallery")
    assert (done.status, "lookalike index FOLDER" in done.err) == (0, True)


@pytest.mark.parametrize("seed", range(6))
def test_no_value_of_an_option_ends_in_a_traceback(run: Run, indexed: Path, home: Path, seed: int) -> None:
    rng = random.Random(seed)
    places: dict[str, list[Any]] = {
        "search": [indexed / "000.jpg", "-i", indexed],
        "index": [indexed, "-i", indexed, "--no-progress"],
        "evaluate": [indexed, "--no-progress"],
    }
    for _ in range(25):
        command = rng.choice(sorted(OPTIONS))
        given = [rng.choice(OPTIONS[command]), rng.choice(VALUES)]
        done = run(command, *places.get(command, ["-i", indexed]), *given)
        assert done.status in {0, 1, 2}, (command, given, done)
        assert "Traceback" not in done.err, (command, given, done.err)
        assert done.status == 0 or "lookalike" in done.err.lower() or "Error" in done.err, (command, given, done)
    assert indexed.is_dir()
    assert home.is_dir()


OUTSIDE = {"~", "~/x", "..", "/", "/dev/null"}  # where a test must not write
STRANGE = (*(value for value in VALUES if value not in OUTSIDE), "a\0b", "\ud800", "\x1b[31m", "x" * 300, "9" * 5000)
TRAINING: dict[tuple[str, ...], tuple[str, ...]] = {
    ("train", "SET", "--preset", "linear", "-o", "out"): (
        *("--preset", "-o", "--set", "--epochs", "--size", "--early-stopping", "--labels"),
        *(f"--set {key}" for key in ("epochs", "size", "latent_dim", "seed", "learning_rate", "fraction", "filters")),
    ),
    ("train",): ("",),
    ("experiments", "run", "SET", "linear", "--size", "8"): ("", "--set", "--size", "--results"),
    ("experiments", "report"): ("", "-o", "--results"),
    ("evaluate", "SET", "-e", "histogram"): ("-e", "--split", "--order", "-m", "--draw"),
    ("encoders", "compare", "SET", "-e", "histogram"): ("-e", "--split", "--draw"),
    ("encoders", "check"): ("",),
    ("encoders", "adopt", "SET", "-o", "out2"): ("-o", "--name"),
    ("encoders", "fetch"): ("",),
    ("import-original",): ("",),
    ("import-original", "SET"): ("-o", "--slope", "--pictures", "--list", "-i"),
    ("bench", "search", "--sizes", "20"): ("--dim", "--embeddings", "--draw", "--sizes"),
    ("bench", "cold"): ("",),
    ("search", "--model", "SET"): ("--sample", "--seed", "--output", "-i"),
    ("relocate", "SET"): ("", "-i"),
    ("remove", "-i", "SET"): ("",),
    ("retry", "-i", "SET"): ("", "--timeout", "--max-megapixels", "--wait"),
    ("import",): ("", "-i"),
}


@pytest.mark.parametrize("seed", range(6))
def test_nor_does_one_of_a_command_that_trains_measures_or_converts(
    run: Run, labelled: Path, home: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = random.Random(seed)
    monkeypatch.setenv("LOOKALIKE_INDEX", str(home / "none"))
    for _ in range(25):
        command = rng.choice(sorted(TRAINING))
        option, *key = rng.choice(TRAINING[command]).split()[:2] or [""]
        value = "".join([*(f"{name}=" for name in key), rng.choice(STRANGE)])
        given = [labelled if word == "SET" else word for word in command] + [word for word in (option,) if word]
        done = run(*given, value)
        assert done.status in {0, 1, 2}, (given, value, done)
        assert "Traceback" not in done.err, (given, value, done.err)
        assert not {"\x1b", "\u202e"} & {*done.err, *done.out}, (given, value)
        if done.status:
            named = [line for line in done.err.splitlines() if line.startswith(("lookalike: ", "Error: "))]
            assert len(named) == 1, (given, value, done.err)
