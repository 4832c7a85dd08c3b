"""Patterns that leave files out, as git has them."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from lookalike.images import ignore
from lookalike.images.walk import IGNORED, Rules, walk

if TYPE_CHECKING:
    from pathlib import Path

PATHS = (
    "a.jpg", "b.png", "sub/a.jpg", "sub/deep/a.jpg", "sub/deep/er/b.png", "x/sub/a.jpg", "#c.jpg", "!d.jpg", "a b .jpg",
    "sub/x[1].jpg", "x1.jpg", "x/y/z/w.jpg", "foo/bar/baz.jpg", "foo/x/bar/baz.jpg",
)  # fmt: skip
PATTERNS = (
    "*.jpg", "!a.jpg", "/a.jpg", "sub/", "sub", "/sub/*", "sub/**", "**/sub", "**/a.jpg", "x/**/w.jpg",
    "foo/**/baz.jpg", "foo/*/baz.jpg", "\\#c.jpg", "#c.jpg", "\\!d.jpg", "a b\\ .jpg", "a.jpg  ", "x[!2].jpg",
    "x[^2].jpg", "x[0-9].jpg", "deep/", "sub/deep", "**", "*", "!sub/", "a?jpg", "sub/*/a.jpg", "/**/b.png",
    "**/sub/x\\[1\\].jpg", "!**/", "foo//bar", "*/", "/", "!", "[", "\\a.jpg", "deep/er/**/b.png", "!/foo",
    "x\\1.jpg", "",
)  # fmt: skip


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def leave_out(folder: Path, *patterns: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".lookalikeignore").write_text("\n".join(patterns) + "\n")


def found(root: Path, below: Path | None = None, rules: Rules | None = None) -> set[str]:
    entries = walk(os.fsencode(below or root), rules)
    return {os.path.relpath(os.fsdecode(entry.path), root) for entry in entries if not entry.problem}


def problems(root: Path) -> dict[str, str]:
    return {os.path.basename(os.fsdecode(entry.path)): entry.problem for entry in walk(os.fsencode(root))}


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize("seed", range(len(PATTERNS)))
def test_patterns_mean_what_they_mean_to_git(tmp_path: Path, seed: int) -> None:
    patterns = [PATTERNS[seed], PATTERNS[(seed * 7 + 3) % len(PATTERNS)], PATTERNS[(seed * 11 + 5) % len(PATTERNS)]]
    touch(tmp_path, *PATHS)
    leave_out(tmp_path, *patterns)
    (tmp_path / ".gitignore").write_text("\n".join(patterns) + "\n")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    listed = subprocess.run(
        ["git", "-C", tmp_path, "ls-files", "-z", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert found(tmp_path) == {name for name in listed.split("\0") if name in PATHS}


def test_the_file_nearest_to_a_picture_decides_and_in_it_the_last_pattern(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "in/a.jpg", "in/b.jpg", "in/deep/a.jpg", "out/a.jpg")
    leave_out(tmp_path, "a.jpg", "b.jpg", "!b.jpg", "/out")
    leave_out(tmp_path / "in", "!a.jpg")
    leave_out(tmp_path / "in" / "deep", "*")
    leave_out(tmp_path / "out", "!a.jpg")
    assert found(tmp_path) == {"in/a.jpg", "in/b.jpg"}


def test_what_is_left_out_stays_out_whichever_folder_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.jpg", "in/b.jpg", "out/deep/a.jpg")
    leave_out(tmp_path, "a.jpg", "/out/")
    assert found(tmp_path, tmp_path / "in") == {"in/b.jpg"}
    for path in (tmp_path / "out", tmp_path / "out" / "deep", tmp_path / "in" / "a.jpg"):
        (entry,) = walk(os.fsencode(path))
        assert entry.problem == IGNORED


def test_exclude_is_kept_beside_it(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    leave_out(tmp_path, "a.jpg")
    assert found(tmp_path, rules=Rules(exclude=("b.*",))) == {"c.jpg"}


def test_names_and_patterns_are_bytes_of_any_kind(tmp_path: Path) -> None:
    for name in (b"\xff1.jpg", b"\xff2.jpg", "é.jpg".encode(), b"new\nline.jpg"):
        (tmp_path / os.fsdecode(name)).write_bytes(b"x")
    (tmp_path / ".lookalikeignore").write_bytes(b"\xff1*\r\n\xc3\xa9.jpg")
    assert found(tmp_path) == {os.fsdecode(b"\xff2.jpg"), "new\nline.jpg"}


def test_a_folder_whose_ignore_file_cannot_be_read_is_named_and_not_looked_into(tmp_path: Path) -> None:
    touch(tmp_path, "fine/a.jpg", "pipe/a.jpg", "folder/a.jpg", "huge/a.jpg", "link/a.jpg")
    os.mkfifo(tmp_path / "pipe" / ".lookalikeignore")
    (tmp_path / "folder" / ".lookalikeignore").mkdir()
    leave_out(tmp_path / "huge", "*" * 70_000)
    (tmp_path / "link" / ".lookalikeignore").symlink_to(".lookalikeignore")
    said = problems(tmp_path)
    assert said.pop("a.jpg") == ""
    assert set(said) == {"pipe", "folder", "huge", "link"}
    assert "not a regular file" in said["pipe"]
    assert "64 KiB" in said["huge"]


def test_no_pattern_takes_long_whoever_wrote_it(tmp_path: Path) -> None:
    touch(tmp_path, "a" * 200 + ".jpg", "/".join("a" * 100) + ".jpg")
    leave_out(tmp_path, "*a" * 90 + "b", "**/a/" * 100 + "b", "*[a-z]*" * 50 + "0", "?*" * 100)
    start = time.process_time()
    found(tmp_path)
    assert time.process_time() - start < 2


def test_a_walk_without_ignore_files_compiles_no_pattern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.jpg", "b/c.jpg")
    monkeypatch.setattr(ignore, "is_left_out", lambda *_, **__: pytest.fail("nothing is to be matched"))
    monkeypatch.setattr(ignore, "read_patterns_above", lambda _: ())
    assert found(tmp_path) == {"a.jpg", "b/c.jpg"}
