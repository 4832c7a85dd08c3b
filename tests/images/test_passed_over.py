"""What other programs keep among photographs is not looked at, whatever the spelling of its name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from lookalike.images.walk import Root, Rules, Tally, is_passed_over, walk

if TYPE_CHECKING:
    from pathlib import Path

THROWN_AWAY = (
    *("$Recycle.Bin/S-1-5-21", "$RECYCLE.BIN", "RECYCLER", "Recycler", "RECYCLED", "#recycle", "#Recycle", "@Recycle"),
    *(".Trash", ".Trash-1000/files", ".Trashes/501", "lost+found", "Network Trash Folder", "Recycle Bin", "trashbox"),
)
DERIVED = (
    *("@eaDir", "@EADIR", ".@__thumb", "@__thumb", ".thumbnails", "#snapshot", "@Recently-Snapshot", ".picasa"),
    *("Catalog Previews.lrdata", "Photos Library.photoslibrary/resources/derivatives", "X.PHOTOSLIBRARY/database"),
    *("X.photoslibrary/scopes", "X.aplibrary/Previews", "iPhoto Library/Thumbnails", "X.cocatalog/Cache/Proxies"),
    *(
        "Library/Caches/com.apple.Safari",
        "me/Library/Application Support/App",
        "Library/Group Containers/x",
        ".fseventsd",
    ),
    *("me/AppData/Local/Packages", "ProgramData/x", "Windows.old/Users", "$WinREAgent", "Backups.backupdb/Mac/2024"),
    *("CaptureOne/Cache/Thumbnails", "2024/captureone/Settings", "__MACOSX", "node_modules"),
)
ORIGINAL = (
    *("X.photoslibrary/originals/4", "X.photoslibrary/Masters/2015", "iPhoto Library/Originals", "X.aplibrary/Masters"),
    *("X.cocatalog/Originals", "CaptureOne/Output", "recycle", "Recycled art", "Trash", "snapshots", "Thumbnails"),
    *("Library/Birds", "Caches", "Containers", "Windows", "Program", "App Data"),
    *("Previews", "lost and found", "derivatives"),
)


def add(folder: Path, name: str) -> None:
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / "x.jpg").write_bytes(b"x")


def found(folder: Path, rules: Rules | None = None) -> list[str]:
    paths = (os.fsdecode(entry.path) for entry in walk(os.fsencode(folder), rules))
    return sorted(os.path.relpath(os.path.dirname(path), folder) for path in paths)


@pytest.mark.parametrize("name", THROWN_AWAY + DERIVED)
def test_it_is_not_looked_at(tmp_path: Path, name: str) -> None:
    add(tmp_path, name)
    add(tmp_path, "Pictures")
    assert found(tmp_path) == ["Pictures"]
    assert is_passed_over(os.fsencode(f"{name}/x.jpg"), Root(os.fsencode(tmp_path)))


@pytest.mark.parametrize("name", ORIGINAL)
def test_folders_that_people_make_and_original_pictures_are_looked_at(tmp_path: Path, name: str) -> None:
    add(tmp_path, name)
    assert found(tmp_path) == [name]
    assert not is_passed_over(os.fsencode(f"{name}/x.jpg"), Root(os.fsencode(tmp_path)))


@pytest.mark.parametrize("name", [".Trash-1000", ".thumbnails", ".@__thumb"])
def test_it_stays_out_when_hidden_names_come_in(tmp_path: Path, name: str) -> None:
    add(tmp_path, name)
    add(tmp_path, ".own")
    assert found(tmp_path, Rules(hidden=True)) == [".own"]


def test_a_folder_that_is_named_itself_is_looked_at(tmp_path: Path) -> None:
    add(tmp_path, "#recycle/in")
    assert found(tmp_path / "#recycle") == ["in"]
    add(tmp_path, "X.photoslibrary/resources")
    add(tmp_path, "X.photoslibrary/originals/0")
    assert found(tmp_path / "X.photoslibrary") == ["originals/0"]
    assert found(tmp_path / "X.photoslibrary" / "resources") == ["."]


def test_the_folders_are_counted_by_name_but_not_the_hidden_ones(tmp_path: Path) -> None:
    for name in ("a/@eaDir", "b/@eaDir", "#recycle", ".Trash-1000"):
        add(tmp_path, name)
    tally = Tally()
    assert list(walk(os.fsencode(tmp_path), tally=tally)) == []
    assert tally.folders == {"@eaDir": 2, "#recycle": 1}
