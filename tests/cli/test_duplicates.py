"""Duplicates on the command line: listed, planned, moved away, and brought back."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.scenery import draw_scene

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run


@pytest.fixture
def photos(run: Run, tmp_path: Path) -> Path:
    """Four scenes; of the first a smaller copy, of the second a file of the same content."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(4):
        draw_scene(seed, (320, 240)).save(folder / f"{seed}.jpg", quality=92)
    draw_scene(0, (320, 240)).resize((160, 120)).save(folder / "small.jpg", quality=70)
    shutil.copy(folder / "1.jpg", folder / "again.jpg")
    assert run("index", folder, "-e", "histogram").status == 0
    return folder


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.jpg")}


def test_groups_are_listed_and_nothing_is_moved(run: Run, photos: Path) -> None:
    before = files(photos)
    done = run("duplicates", "-i", photos)
    assert done.status == 0
    assert [line.split()[0] for line in done.out.splitlines()[1:]] == ["1", "1", "2", "2"]
    assert "identical" in done.out
    assert "same picture" in done.out
    assert "2 files would be moved" in done.err
    assert files(photos) == before


def test_the_document_says_what_would_be_moved(run: Run, photos: Path) -> None:
    document = run("duplicates", "-i", photos, "--json").json
    assert [(group["kind"], group["proven"]) for group in document["groups"]] == [
        ("identical", True),
        ("same picture", True),
    ]
    assert {os.path.basename(move["copy"]["path"]) for move in document["moves"]} == {"again.jpg", "small.jpg"}


def test_copies_are_moved_out_of_the_gallery_and_come_back(run: Run, photos: Path) -> None:
    before = files(photos)
    done = run("duplicates", "-i", photos, "--apply", "--json")
    assert done.status == 0
    assert len(done.json["moved"]) == 2
    assert files(photos) == before - {"small.jpg", "again.jpg"}
    assert files(photos / ".lookalike-trash") == {"small.jpg", "again.jpg"}
    assert run("info", "-i", photos, "--json").json["pictures"] == 4
    assert run("duplicates", "-i", photos, "--json").json["groups"] == []
    assert run("index", "-i", photos, "--json").json["added"] == 0
    back = run("duplicates", "undo", "-i", photos, "--json")
    assert (back.status, len(back.json["restored"]), back.json["failed"]) == (0, 2, [])
    assert files(photos) == before
    assert run("info", "-i", photos, "--json").json["pictures"] == 6
    assert len(run("duplicates", "-i", photos, "--json").json["groups"]) == 2


def test_what_another_gallery_has_moved_comes_back_but_is_not_added(run: Run, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    draw_scene(9, (64, 48)).save(tmp_path / "elsewhere" / "9.jpg")
    other = photos / "other.gallery"  # whose trash is the one of the gallery in this folder
    assert run("index", tmp_path / "elsewhere", "-e", "histogram", "-i", other).status == 0
    before = files(photos)
    assert run("duplicates", "-i", photos, "--apply").status == 0
    assert run("duplicates", "undo", "-i", other).status == 0
    assert files(photos) == before
    assert run("info", "-i", other, "--json").json["pictures"] == 1


def test_a_trash_folder_among_the_pictures_is_not_indexed(run: Run, photos: Path) -> None:
    assert run("duplicates", "-i", photos, "--apply", "--trash", photos / "Trash").status == 0
    assert run("index", photos, "--json").json["added"] == 0
    assert run("duplicates", "undo", "--trash", photos / "Trash", "-i", photos).status == 0
    assert "again.jpg" in files(photos)
    assert run("duplicates", "undo", "--trash", photos).status == 2


def test_a_rule_says_what_is_kept(run: Run, photos: Path) -> None:
    os.utime(photos / "small.jpg", (1, 1))
    run("index", photos)
    document = run("duplicates", "-i", photos, "--keep", "oldest", "--json").json
    assert os.path.basename(document["moves"][-1]["kept"]["path"]) == "small.jpg"
    assert run("duplicates", "-i", photos, "--keep", "newest").status == 2


def test_copies_are_printed_for_other_programs(run: Run, photos: Path) -> None:
    command = [sys.executable, "-m", "lookalike", "duplicates", "-i", photos, "-0"]
    out = subprocess.run([*map(str, command)], check=True, capture_output=True).stdout
    assert sorted(os.path.basename(path) for path in out.split(b"\0") if path) == [b"again.jpg", b"small.jpg"]


def test_a_plan_and_sheets_are_written(run: Run, photos: Path, tmp_path: Path) -> None:
    plan, sheets = tmp_path / "plan.csv", tmp_path / "sheets"
    assert run("duplicates", "-i", photos, "--plan", plan, "--sheet", sheets).status == 0
    with plan.open(newline="") as file:
        assert [row["action"] for row in csv.DictReader(file)] == ["keep", "move", "keep", "move"]
    for path in sheets.iterdir():
        with Image.open(path) as sheet:
            assert sheet.width > 400
    assert len(list(sheets.iterdir())) == 2
    assert run("duplicates", "-i", photos, "--plan", plan).status == 2
    assert run("duplicates", "-i", photos, "--plan", photos / "0.jpg").status == 2
    script = tmp_path / "plan.sh"
    assert run("duplicates", "-i", photos, "--plan", script).status == 0
    subprocess.run(["sh", script], check=True)
    assert files(photos / ".lookalike-trash") == {"small.jpg", "again.jpg"}


def test_pictures_that_are_not_duplicates_are_remembered(run: Run, photos: Path) -> None:
    done = run("duplicates", "not", photos / "0.jpg", photos / "small.jpg", "-i", photos)
    assert done.status == 0
    groups = run("duplicates", "-i", photos, "--json").json["groups"]
    assert [group["kind"] for group in groups] == ["identical"]
    assert run("duplicates", "not", photos / "0.jpg", photos / "none.jpg", "-i", photos).status == 2


def test_against_a_folder_or_a_gallery_nothing_there_is_moved(run: Run, photos: Path, tmp_path: Path) -> None:
    (photos / "archive").mkdir()
    shutil.move(photos / "small.jpg", photos / "archive" / "small.jpg")
    run("index", photos)
    document = run("duplicates", "-i", photos, "--against", photos / "archive", "--json").json
    assert [os.path.basename(move["copy"]["path"]) for move in document["moves"]] == ["0.jpg"]
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(photos / "3.jpg", other / "three.jpg")
    run("index", other, "-e", "histogram")
    done = run("duplicates", "-i", photos, "--against", other, "--apply", "--json")
    assert [os.path.basename(move["path"]) for move in done.json["moved"]] == ["3.jpg"]
    assert files(other) == {"three.jpg"}
    assert run("duplicates", "-i", photos, "--against", tmp_path / "nowhere").status == 2


def test_a_file_that_cannot_be_moved_is_named_and_the_status_says_so(run: Run, photos: Path) -> None:
    document = run("duplicates", "-i", photos, "--json").json
    assert len(document["moves"]) == 2
    trash = photos / ".lookalike-trash"
    trash.write_text("a file")
    done = run("duplicates", "-i", photos, "--apply")
    assert done.status == 2
    assert "trash" in done.err
    assert len(files(photos)) == 6
