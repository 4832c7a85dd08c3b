"""Commands for skipped files, pictures to be forgotten and folders that were moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conftest import make_picture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Run

    MakePhotos = Callable[..., Path]


@pytest.fixture
def indexed(run: Run, make_photos: MakePhotos, tmp_path: Path) -> Path:
    """A gallery of 12 pictures, by the histogram encoder."""
    assert run("index", make_photos(12), "-i", tmp_path / "gallery", "-e", "histogram").status == 0
    return tmp_path / "gallery"


def test_a_dry_run_says_what_would_be_done_and_makes_no_gallery(
    run: Run, make_photos: MakePhotos, tmp_path: Path
) -> None:
    photos = make_photos(5)
    done = run("index", photos, "-e", "histogram", "--dry-run")
    assert done.status == 0
    assert done.out.splitlines()[1].split() == ["5", "0", "0", "0", "0"]
    assert "nothing was written" in done.err
    assert sorted(path.name for path in photos.iterdir()) == [f"{n:03}.jpg" for n in range(5)]
    assert run("index", photos, "-i", tmp_path / "g", "-e", "histogram", "--dry-run", "--json").json["added"] == 5
    assert not (tmp_path / "g").exists()


def test_without_a_folder_all_known_ones_are_brought_up_to_date(
    run: Run, indexed: Path, make_photos: MakePhotos
) -> None:
    second = make_photos(2, "second", first=20)
    run("index", second, "-i", indexed, "--exclude", "*1.jpg")
    roots = run("info", "-i", indexed, "--json").json["roots"]
    assert [(root["path"], root["exclude"]) for root in roots] == [
        (str(indexed.with_name("photos")), []),
        (str(second), ["*1.jpg"]),
    ]
    make_photos(3, first=30)
    document = run("index", "-i", indexed, "--json").json
    assert (document["added"], document["unchanged"]) == (3, 13)


def test_rules_without_a_folder_are_the_users_mistake(run: Run, indexed: Path) -> None:
    for rule in (["--exclude", "x"], ["--follow-links"]):
        done = run("index", "-i", indexed, *rule)
        assert done.status == 2
        assert "folders" in done.err
    assert run("index", indexed.with_name("photos"), "-i", indexed, "--watch", "--dry-run").status == 2


def test_a_known_folder_that_is_not_there_is_named(run: Run, indexed: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").rename(tmp_path / "unplugged")
    done = run("index", "-i", indexed, "--json")
    assert done.status == 0
    assert [root["path"] for root in done.json["missing"]] == [str(tmp_path / "photos")]
    assert "photos is not there" in done.err


def test_skipped_files_are_read_again_on_request(run: Run, indexed: Path, make_photos: MakePhotos) -> None:
    photos = make_photos(0)
    (photos / "bad.png").write_bytes(b"\xff" * 1000)
    make_picture(50, (1500, 1000)).save(photos / "large.jpg")
    run("index", photos, "-i", indexed, "--max-megapixels", 1)
    assert len(run("skipped", "-i", indexed, "--json").json["skipped"]) == 2
    document = run("retry", "-i", indexed, "--json").json
    assert document["added"] == 1
    assert [entry["reason"] for entry in document["skipped"]] == ["not an image"]
    done = run("retry", photos / "bad.png", "-i", indexed)
    assert "bad.png: not an image" in done.err
    assert run("retry", photos / "000.jpg", "-i", indexed).status == 2


def test_pictures_that_were_moved_keep_their_place_in_the_gallery(run: Run, indexed: Path, tmp_path: Path) -> None:
    old, new = tmp_path / "photos", tmp_path / "moved"
    assert run("relocate", old, new, "-i", indexed, "--dry-run", "--json").json == {"relocated": 12}
    assert "is not there" in run("relocate", old, new, "-i", indexed, "--dry-run").err
    old.rename(new)
    done = run("relocate", old, new, "-i", indexed)
    assert done.out.split() == ["relocated", "12"]
    assert done.err == ""
    document = run("index", "-i", indexed, "--json").json
    assert (document["added"], document["unchanged"], document["missing"]) == (0, 12, [])
    assert run("relocate", old, new, "-i", indexed).status == 2
