"""Copying hits into a folder, or linking to them there: nothing is lost and nothing written over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lookalike.errors import UsageError
from lookalike.search.gather import gather


@pytest.fixture
def files(tmp_path: Path) -> list[bytes]:
    for folder, name in (("a", "one.jpg"), ("b", "one.jpg"), ("b", "two"), ("c", "one.jpg")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_text(folder + name)
    return [os.fsencode(path) for path in sorted(tmp_path.glob("*/*"))]


@pytest.mark.parametrize("link", [False, True])
def test_names_that_are_taken_get_a_number_and_nothing_is_put_there_twice(
    files: list[bytes], tmp_path: Path, link: bool
) -> None:
    target = tmp_path / "deep" / "target"
    done = gather(files, target, link=link)
    assert sorted(path.name for path in target.iterdir()) == ["one (2).jpg", "one (3).jpg", "one.jpg", "two"]
    assert (len(done.added), done.present, done.failed) == (4, 0, [])
    assert {path.read_text() for path in target.iterdir()} == {"aone.jpg", "bone.jpg", "btwo", "cone.jpg"}
    assert all(path.is_symlink() == link for path in target.iterdir())
    again = gather(files, target, link=link)
    assert (len(again.added), again.present) == (0, 4)
    assert done.to_dict()["folder"]["path"] == str(target)


def test_what_was_in_the_folder_stays(files: list[bytes], tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "one.jpg").write_text("mine")
    (target / "two").symlink_to("nowhere")
    gather(files, target)
    gather(files, target, link=True)
    assert (target / "one.jpg").read_text() == "mine"
    assert os.readlink(target / "two") == "nowhere"


def test_files_that_are_gone_or_no_files_are_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    paths = [os.fsencode(tmp_path / name) for name in ("gone.jpg", "pipe")]
    done = gather(paths, tmp_path / "target")
    assert [path for path, _ in done.failed] == paths
    assert not list((tmp_path / "target").iterdir())


def test_names_of_any_bytes_are_kept(tmp_path: Path) -> None:
    path = os.path.join(os.fsencode(tmp_path), b"\xff.jpg")
    Path(os.fsdecode(path)).write_text("x")
    gather([path], tmp_path / "target")
    assert os.listdir(os.fsencode(tmp_path / "target")) == [b"\xff.jpg"]


def test_a_file_is_not_a_folder(files: list[bytes]) -> None:
    with pytest.raises(UsageError, match="cannot be a folder"):
        gather(files, files[0])
