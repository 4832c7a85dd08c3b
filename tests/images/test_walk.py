"""Find picture files, whatever else is there."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from lookalike.images.walk import Entry, Root, Rules, count, walk
from tests import badfiles
from tests.badfiles import INDEXED, NO_ROW, Case

if TYPE_CHECKING:
    from pathlib import Path

FOLLOW = Rules(follow_links=True)


def entries(folder: Path | bytes, rules: Rules | None = None) -> dict[bytes, Entry]:
    found = list(walk(os.fsencode(folder), rules))
    by_path = {entry.path: entry for entry in found}
    assert len(by_path) == len(found), "a path was given twice"
    return by_path


def names(folder: Path, rules: Rules | None = None) -> set[str]:
    return {os.fsdecode(os.path.relpath(path, os.fsencode(folder))) for path in entries(folder, rules)}


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


@pytest.mark.parametrize("case", badfiles.PLACES, ids=str)
def test_every_place_and_name_is_found_named_or_passed_over_as_promised(case: Case, tmp_path: Path) -> None:
    path = case.make(tmp_path)
    found = entries(tmp_path)
    if case.promise == NO_ROW:
        assert not found
    else:
        assert found[path].problem == ("" if case.promise == INDEXED else case.promise)
        assert set(found) == {path}


def test_files_are_chosen_by_extension_whatever_its_case(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.JPEG", "c.Png", "d.txt", "e", "f.jpg.bak", "sub/g.webp", "h.tiff"):
        touch(tmp_path / name)
    assert names(tmp_path) == {"a.jpg", "b.JPEG", "c.Png", "sub/g.webp", "h.tiff"}


def test_hidden_names_and_the_folders_of_other_programs_are_passed_over(tmp_path: Path) -> None:
    for name in (".hidden.jpg", ".thumbs/a.jpg", "@eaDir/a.jpg", "__MACOSX/a.jpg", "seen/a.jpg"):
        touch(tmp_path / name)
    assert names(tmp_path) == {"seen/a.jpg"}
    assert names(tmp_path, Rules(hidden=True)) == {".hidden.jpg", ".thumbs/a.jpg", "seen/a.jpg"}


def test_patterns_leave_out_names_and_paths_below_the_root(tmp_path: Path) -> None:
    for name in ("a.jpg", "a_thumb.jpg", "old/b.jpg", "new/old/c.jpg", "new/d.jpg"):
        touch(tmp_path / name)
    assert names(tmp_path, Rules(exclude=("*_thumb.*", "new/*"))) == {"a.jpg", "old/b.jpg"}
    assert names(tmp_path, Rules(exclude=("old",))) == {"a.jpg", "a_thumb.jpg", "new/d.jpg"}


def test_an_entry_has_the_size_and_the_time_of_change(tmp_path: Path) -> None:
    path = touch(tmp_path / "a.jpg")
    os.utime(path, ns=(5, 1_600_000_000_123_456_789))
    (entry,) = entries(tmp_path).values()
    assert (entry.size, entry.mtime_ns) == (1, 1600000000123456789)


def test_a_root_may_be_a_single_file_or_a_link_to_a_folder(tmp_path: Path) -> None:
    path = touch(tmp_path / "photos" / "a.jpg")
    (tmp_path / "link").symlink_to("photos")
    assert set(entries(path)) == {os.fsencode(path)}
    assert names(tmp_path / "link") == {"a.jpg"}


def test_a_root_that_is_not_there_has_vanished(tmp_path: Path) -> None:
    (entry,) = entries(tmp_path / "gone").values()
    assert entry.problem == "vanished"


def test_links_are_named_and_not_followed(tmp_path: Path) -> None:
    for case in badfiles.PLACES:
        if case.row == 18:
            case.make(tmp_path)
    touch(tmp_path / "real.jpg")
    (tmp_path / "link.jpg").symlink_to("real.jpg")
    problems = {os.path.basename(path): entry.problem for path, entry in entries(tmp_path).items()}
    assert problems.pop(b"real.jpg") == ""
    assert set(problems) == {b"loop.jpg", b"dangling.jpg", b"link-to-a-folder.jpg", b"link.jpg"}
    assert set(problems.values()) == {badfiles.LINK}


def test_links_to_files_are_followed_when_asked_for_each_target_once(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "photos", touch(tmp_path / "elsewhere.bin")
    touch(folder / "m.jpg")
    for name, target in {
        "a-inside.jpg": "m.jpg",
        "b-outside.jpg": "../elsewhere.bin",
        "c-again.jpg": "b-outside.jpg",
        "d-folder.jpg": "..",
        "e-loop.jpg": "e-loop.jpg",
        "f-dangling.jpg": "nothing.jpg",
        "g-root": "/",
    }.items():
        (folder / name).symlink_to(target)
    found = {os.path.basename(path): entry for path, entry in entries(folder, FOLLOW).items()}
    read = {name for name, entry in found.items() if not entry.problem}
    assert b"m.jpg" in read
    assert len(read) == 2
    (link,) = read - {b"m.jpg"}
    assert link in {b"b-outside.jpg", b"c-again.jpg"}
    assert found[link].source == os.fsencode(elsewhere)
    assert found[link].size == 1
    assert found[b"m.jpg"].source == os.fsencode(folder / "m.jpg")
    assert found[b"a-inside.jpg"].problem == "symbolic link to a file that was found already"
    assert found[b"d-folder.jpg"].problem == badfiles.NOT_REGULAR
    assert found[b"e-loop.jpg"].problem == found[b"f-dangling.jpg"].problem == badfiles.NOWHERE
    assert b"g-root" not in found


def test_a_link_to_a_pipe_is_followed_no_further(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link.jpg").symlink_to("pipe")
    assert [entry.problem for entry in walk(os.fsencode(tmp_path), FOLLOW)] == [badfiles.NOT_REGULAR]


def test_hard_links_are_two_files(tmp_path: Path) -> None:
    os.link(touch(tmp_path / "a.jpg"), tmp_path / "b.jpg")
    for rules in (Rules(), FOLLOW):
        assert names(tmp_path, rules) == {"a.jpg", "b.jpg"}


def test_composed_and_decomposed_names_are_two_files(tmp_path: Path) -> None:
    for name in ("caf\u00e9.jpg", "cafe\u0301.jpg"):
        touch(tmp_path / name)
    if len(os.listdir(tmp_path)) == 1:
        pytest.skip("this file system takes both names for one")
    assert names(tmp_path) == {"caf\u00e9.jpg", "cafe\u0301.jpg"}


def test_folders_deeper_than_any_path_are_named_and_the_rest_is_found(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg")
    badfiles.make_deep(tmp_path, b"d" * 200, 30)
    found = entries(tmp_path)
    (problem,) = [entry for entry in found.values() if entry.problem]
    assert problem.problem == "path is too long"
    assert os.fsencode(tmp_path / "a.jpg") in found
    assert len(found) == 2


def test_hundreds_of_nested_folders_are_walked(tmp_path: Path) -> None:
    badfiles.make_deep(tmp_path, b"d", 300)
    (entry,) = entries(tmp_path).values()
    assert os.path.basename(entry.path) == b"deepest.jpg"
    assert not entry.problem


def test_a_folder_without_permission_is_named_and_the_rest_is_found() -> None:
    code = """if True:
        import os, sys
        from lookalike.images.walk import walk
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        for entry in walk(os.fsencode(sys.argv[1])):
            print(os.path.basename(entry.path).decode(), entry.problem)
    """
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
        os.mkdir(os.path.join(folder, "closed"), 0o000)
        with open(os.path.join(folder, "open.jpg"), "wb"):
            pass
        done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True)
    assert sorted(done.stdout.splitlines()) == ["closed permission denied", "open.jpg "]


def _peak(folder: Path, number: int) -> int:
    tracemalloc.start()
    assert count([Root(os.fsencode(folder))]) == number
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_files(tmp_path: Path) -> None:
    peaks = []
    for number in (500, 10_000):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name in range(number):
            os.close(os.open(folder / f"{name}.jpg", os.O_CREAT))
        peaks.append(min(_peak(folder, number) for _ in range(3)))  # other threads of the process allocate too
    assert peaks[1] < peaks[0] + 50_000


def test_files_may_come_and_go_during_the_walk(tmp_path: Path) -> None:
    for number in range(2000):
        touch(tmp_path / f"{number % 20}" / f"{number}.jpg")
    found = 0
    for entry in walk(os.fsencode(tmp_path)):
        found += not entry.problem
        for folder in ("3", "7"):
            for path in (tmp_path / folder).glob("*.jpg"):
                path.unlink()
        assert entry.problem in {"", "vanished"}
    assert found >= 1700
