"""Copies are moved, never lost, and come back."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lookalike.errors import UsageError
from lookalike.explore.duplicates.groups import Duplicates, Group, Pair, Picture
from lookalike.explore.duplicates.keep import KEEP, Move, check_keep, make_plan
from lookalike.explore.duplicates.plans import as_csv, as_script, write_plan
from lookalike.explore.duplicates.proof import Evidence
from lookalike.explore.duplicates.trash import MANIFEST, move_copies, undo_moves

if TYPE_CHECKING:
    from collections.abc import Callable

import hashlib

SURE = Evidence(("the same content",), sure=1.0)


def write(path: Path, content: bytes = b"content") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def picture(path: Path, number: int = 1, **fields: Any) -> Picture:
    digest = hashlib.sha256(path.read_bytes()).digest()
    return replace(Picture(path, number, digest, len(path.read_bytes()), 10, 10), **fields)


def move(kept: Path, copy: Path) -> Move:
    return Move(1, "identical", picture(copy, 2), picture(kept, 1), SURE)


def group_of(*paths: Path, kind: str = "identical", proven: bool = True) -> Group:
    pictures = [picture(path, number) for number, path in enumerate(paths, 1)]
    pairs = [Pair(pictures[0], each, kind, proven, SURE) for each in pictures[1:]]  # type: ignore[arg-type]
    return Group(kind, proven, tuple(pictures), tuple(pairs))  # type: ignore[arg-type]


def never(_one: Picture, _other: Picture) -> tuple[str | None, Evidence]:
    return None, Evidence()


def test_a_moved_copy_comes_back_as_it_was(tmp_path: Path) -> None:
    kept, copy = write(tmp_path / "a" / "1.jpg"), write(tmp_path / "b" / "1.jpg")
    os.utime(copy, ns=(5, 7_000_000_000))
    done = move_copies([move(kept, copy)], tmp_path / "trash")
    assert done.done == [(copy, tmp_path / "trash" / "1.jpg")]
    assert not copy.exists()
    assert kept.exists()
    copy.parent.rmdir()
    back = undo_moves(tmp_path / "trash")
    assert back.done == [(tmp_path / "trash" / "1.jpg", copy)]
    assert copy.read_bytes() == b"content"
    assert copy.stat().st_mtime_ns == 7_000_000_000
    assert undo_moves(tmp_path / "trash").to_dict() == {"moved": [], "failed": []}


def test_names_that_collide_in_the_trash_get_numbers(tmp_path: Path) -> None:
    kept = write(tmp_path / "1.jpg")
    copies = [write(tmp_path / folder / "1.jpg") for folder in "abc"]
    write(tmp_path / "trash" / "1 (2).jpg", b"somebody's own")
    done = move_copies([move(kept, copy) for copy in copies], tmp_path / "trash")
    assert [new.name for _, new in done.done] == ["1.jpg", "1 (3).jpg", "1 (4).jpg"]
    assert (tmp_path / "trash" / "1 (2).jpg").read_bytes() == b"somebody's own"
    assert len(undo_moves(tmp_path / "trash").done) == 3
    assert all(copy.exists() for copy in copies)


@pytest.mark.parametrize(
    "name", [b"new\nline.jpg", b'quote\'s "$(rm -rf)" `x`.jpg', b"-n.jpg", b"\xff\xfe.jpg", b"%FF.jpg"]
)
def test_any_name_is_moved_and_brought_back(tmp_path: Path, name: bytes) -> None:
    kept, copy = write(tmp_path / "kept.jpg"), write(tmp_path / "b" / os.fsdecode(name))
    assert not move_copies([move(kept, copy)], tmp_path / "trash").failed
    assert not copy.exists()
    assert not undo_moves(tmp_path / "trash").failed
    assert copy.read_bytes() == b"content"


def change(path: Path) -> None:
    path.write_bytes(b"changed")


def link(path: Path) -> None:
    other = path.with_suffix(".other")
    path.rename(other)
    path.symlink_to(other)


@pytest.mark.parametrize("which", ["kept", "copy"])
@pytest.mark.parametrize("spoil", [change, Path.unlink, link])
def test_nothing_is_moved_if_either_file_is_not_as_it_was_compared(
    tmp_path: Path, which: str, spoil: Callable[[Path], None]
) -> None:
    files = {"kept": write(tmp_path / "kept.jpg"), "copy": write(tmp_path / "copy.jpg")}
    planned = move(files["kept"], files["copy"])
    spoil(files[which])
    done = move_copies([planned], tmp_path / "trash")
    assert (done.done, len(done.failed)) == ([], 1)
    assert files["copy"].exists() or which == "copy"
    assert {path.name for path in (tmp_path / "trash").iterdir()} <= {MANIFEST, ".lookalikeignore"}


def test_two_names_of_one_file_are_never_moved(tmp_path: Path) -> None:
    kept = write(tmp_path / "kept.jpg")
    copy = tmp_path / "hard.jpg"
    copy.hardlink_to(kept)
    assert move_copies([move(kept, copy)], tmp_path / "trash").failed
    soft = tmp_path / "soft.jpg"
    soft.symlink_to(kept)
    plan = make_plan(Duplicates((group_of(kept, copy, soft),)), "largest", never)
    assert plan.moves == ()
    assert len(plan.left) == 2


def test_a_link_is_not_kept_in_the_place_of_its_file(tmp_path: Path) -> None:
    real = write(tmp_path / "z" / "real.jpg")
    soft = tmp_path / "a.jpg"
    soft.symlink_to(real)
    plan = make_plan(Duplicates((group_of(soft, real),)), "path order", never)
    assert plan.kept[1].path == real
    assert plan.moves == ()


def test_the_last_copy_is_never_moved(tmp_path: Path) -> None:
    one, other = write(tmp_path / "1.jpg"), write(tmp_path / "2.jpg")
    done = move_copies([move(one, other), move(other, one)], tmp_path / "trash")
    assert len(done.done) == len(done.failed) == 1
    assert one.exists()


def test_a_taken_place_is_never_written_over_by_undo(tmp_path: Path) -> None:
    kept, copy = write(tmp_path / "kept.jpg"), write(tmp_path / "copy.jpg")
    move_copies([move(kept, copy)], tmp_path / "trash")
    write(copy, b"something new")
    done = undo_moves(tmp_path / "trash")
    assert done.failed[0][1].startswith("its place is taken")
    assert copy.read_bytes() == b"something new"
    assert (tmp_path / "trash" / "copy.jpg").exists()
    copy.unlink()
    assert undo_moves(tmp_path / "trash").done


class _PowerCutError(BaseException):
    pass


@pytest.mark.parametrize("steps", range(5))
def test_a_move_that_was_cut_off_anywhere_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    kept, copy = write(tmp_path / "kept.jpg"), write(tmp_path / "copy.jpg")
    planned = move(kept, copy)
    cut_after(monkeypatch, steps)
    with pytest.raises(_PowerCutError):
        move_copies([planned] * 50, tmp_path / "trash")
    monkeypatch.undo()
    undo_moves(tmp_path / "trash")
    assert copy.read_bytes() == b"content"
    assert kept.read_bytes() == b"content"


@pytest.mark.parametrize("steps", range(6))
def test_an_undo_that_was_cut_off_anywhere_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    kept = write(tmp_path / "kept.jpg")
    copies = [write(tmp_path / f"copy{number}.jpg") for number in range(3)]
    move_copies([move(kept, copy) for copy in copies], tmp_path / "trash")
    cut_after(monkeypatch, steps)
    with pytest.raises(_PowerCutError):
        undo_moves(tmp_path / "trash")
    monkeypatch.undo()
    assert not undo_moves(tmp_path / "trash").failed
    assert all(copy.read_bytes() == b"content" for copy in copies)


def cut_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """End everything after so many syncs and renames: before or after each of them, as a power cut would."""
    left = [steps]

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise _PowerCutError
            return call(*arguments, **options)

        return wrapped

    for name in ("fsync", "replace", "unlink"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))


def test_another_file_system_gets_a_checked_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, copy = write(tmp_path / "kept.jpg"), write(tmp_path / "copy.jpg")
    os.utime(copy, ns=(5, 7_000_000_000))
    real = os.replace

    def replace_within(source: Path, target: Path) -> None:
        if Path(source).parent != Path(target).parent:
            raise OSError(errno.EXDEV, "another file system")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace_within)
    assert move_copies([move(kept, copy)], tmp_path / "trash").done
    assert not copy.exists()
    assert (tmp_path / "trash" / "copy.jpg").stat().st_mtime_ns == 7_000_000_000
    assert undo_moves(tmp_path / "trash").done
    assert copy.read_bytes() == b"content"
    monkeypatch.setattr("shutil.copy2", lambda _source, target, **_: Path(target).write_bytes(b"cont"))
    done = move_copies([move(kept, copy)], tmp_path / "trash")
    assert [reason for _, reason in done.failed] == ["its copy on the other file system differs"]
    assert copy.read_bytes() == b"content"
    assert not list((tmp_path / "trash").glob("*.jpg"))


def test_a_manifest_is_written_before_each_move(tmp_path: Path) -> None:
    kept, copy = write(tmp_path / "kept.jpg"), write(tmp_path / "copy.jpg")
    move_copies([move(kept, copy)], tmp_path / "trash")
    lines = [json.loads(line) for line in (tmp_path / "trash" / MANIFEST).read_text().splitlines()]
    assert [line["state"] for line in lines] == ["moving", "moved"]
    assert lines[0]["from"] == str(copy)
    with (tmp_path / "trash" / MANIFEST).open("a") as manifest:
        manifest.write('{"state": "moving", "num')  # as a crash would leave it
    assert undo_moves(tmp_path / "trash").done
    with pytest.raises(UsageError, match="not a trash folder"):
        undo_moves(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    kept, copy = write(tmp_path / "kept.jpg"), write(tmp_path / "copy.jpg")
    write(tmp_path / "file")
    with pytest.raises(UsageError, match="cannot be used as a trash folder"):
        move_copies([move(kept, copy)], tmp_path / "file" / "trash")
    assert copy.exists()


def test_each_rule_keeps_what_it_says(tmp_path: Path) -> None:
    large = picture(write(tmp_path / "m.jpg"), 1, width=100, height=100, mtime_ns=9)
    old = picture(write(tmp_path / "z.jpg"), 2, mtime_ns=1)
    first = picture(write(tmp_path / "a.jpg"), 3, mtime_ns=5)
    known = picture(write(tmp_path / "n.jpg"), 4, camera="Some Camera", mtime_ns=6)
    everyone = (large, old, first, known)
    pairs = tuple(Pair(large, each, "identical", proven=True, evidence=SURE) for each in everyone[1:])
    group = Group("identical", True, everyone, pairs)
    kept = {rule: make_plan(Duplicates((group,)), rule, never).kept[1] for rule in KEEP}
    assert kept == {"largest": large, "oldest": old, "path order": first, "most metadata": known}
    with pytest.raises(UsageError, match="smallest"):
        check_keep("smallest")


def test_scenes_guesses_and_what_is_not_proven_against_the_kept_picture_stay(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{number}.jpg", bytes([number])) for number in range(3)]
    groups = [group_of(*paths, kind="same scene"), group_of(*paths, kind="same picture", proven=False)]
    assert make_plan(Duplicates(tuple(groups)), "largest", never).moves == ()
    chain = group_of(*paths, kind="same picture")
    chained = replace(chain, pairs=(chain.pairs[0], replace(chain.pairs[1], a=chain.pictures[1])))
    plan = make_plan(Duplicates((chained,)), "path order", never)
    assert [planned.copy.path for planned in plan.moves] == [paths[1]]
    assert [left.reason for left in plan.left] == ["not proven to be a copy of the kept picture"]


def test_a_picture_that_shows_more_is_kept_or_stays(tmp_path: Path) -> None:
    crop, wide = (picture(write(tmp_path / name, name.encode()), number) for number, name in ((1, "a"), (2, "b")))
    evidence = Evidence(found=("cropped", "resized"), scale=0.64, crop=(0.04, 0.13, 0.68, 0.78), sure=1.0)
    pair = Pair(crop, wide, "same picture", proven=True, evidence=evidence)
    group = Group("same picture", True, (crop, wide), (pair,))
    plan = make_plan(Duplicates((group,)), "largest", never)
    assert [(move.kept, move.copy) for move in plan.moves] == [(wide, crop)]
    plan = make_plan(Duplicates((group,)), "path order", never)
    assert (plan.moves, plan.kept[1]) == ((), crop)
    assert "shows more than the picture to keep" in plan.left[0].reason
    pair = replace(pair, evidence=replace(evidence, scale=1 / 0.64))
    plan = make_plan(Duplicates((replace(group, pairs=(pair,)),)), "path order", never)
    assert [(move.kept, move.copy) for move in plan.moves] == [(crop, wide)]


NAMES = [
    "plain.jpg",
    "two words.jpg",
    "quote's.jpg",
    'double".jpg',
    "$HOME `id`.jpg",
    "new\nline.jpg",
    "-rf.jpg",
    "\udcff.jpg",
]


def test_the_script_moves_files_of_any_name(tmp_path: Path) -> None:
    groups = []
    for number, name in enumerate(NAMES):
        content = name.encode("utf-8", "surrogateescape")
        groups.append(group_of(write(tmp_path / "a" / name, content), write(tmp_path / "b" / name, content)))
        groups.append(group_of(tmp_path / "a" / name, write(tmp_path / f"c{number}" / "same.jpg", content)))
    found = Duplicates(tuple(groups))
    plan = make_plan(found, "path order", never)
    script = tmp_path / "plan.sh"
    write_plan(found, plan, path=script, trash=tmp_path / "it's trash")
    done = subprocess.run(["sh", script], check=True, capture_output=True)
    assert done.stderr == b""
    assert len(list((tmp_path / "it's trash").iterdir())) == len(plan.moves) + 1 == 2 * len(NAMES) + 1
    assert (tmp_path / "it's trash" / ".lookalikeignore").read_text() == "*\n"
    assert all((tmp_path / "a" / name).exists() and not (tmp_path / "b" / name).exists() for name in NAMES)
    subprocess.run(["sh", script], check=True, capture_output=True)
    assert all((tmp_path / "a" / name).exists() for name in NAMES)


def test_the_script_leaves_what_has_changed_since(tmp_path: Path) -> None:
    pairs = [(write(tmp_path / "a" / name), write(tmp_path / "b" / name)) for name in ("1", "2", "3", "4", "5")]
    found = Duplicates(tuple(group_of(*pair) for pair in pairs))
    plan = make_plan(found, "path order", never)
    write_plan(found, plan, path=tmp_path / "plan.sh", trash=tmp_path / "trash")
    pairs[0][1].write_bytes(b"Content")  # as long as it was
    pairs[1][0].write_bytes(b"Content")
    pairs[2][0].unlink()
    pairs[3][1].rename(tmp_path / "elsewhere")
    pairs[3][1].symlink_to(tmp_path / "elsewhere")
    done = subprocess.run(["sh", tmp_path / "plan.sh"], check=True, capture_output=True, text=True)
    assert [line.rpartition(": ")[0] for line in done.stderr.splitlines()] == [
        "left, since it has changed",
        "left, since the picture that is kept has changed",
        "left",
        "left",
    ]
    assert [path.name for path in (tmp_path / "trash").glob("[!.]*")] == ["5"]


def test_a_plan_is_a_table_with_a_line_for_each_picture(tmp_path: Path) -> None:
    found = Duplicates((group_of(write(tmp_path / "a,b.jpg"), write(tmp_path / "c.jpg")),))
    plan = make_plan(found, "path order", never)
    lines = as_csv(found, plan).splitlines()
    assert lines[0].startswith("group,kind,proven,action,path,")
    assert lines[1].startswith(f'1,identical,yes,keep,"{tmp_path / "a,b.jpg"}"')
    assert lines[2].startswith(f"1,identical,yes,move,{tmp_path / 'c.jpg'}")
    with pytest.raises(UsageError, match=r"\.csv or a \.sh"):
        write_plan(found, plan, path=tmp_path / "plan.txt", trash=tmp_path)
    write_plan(found, plan, path=tmp_path / "plan.csv", trash=tmp_path)
    with pytest.raises(UsageError, match="already exists"):
        write_plan(found, plan, path=tmp_path / "plan.csv", trash=tmp_path)
    assert as_script(plan, tmp_path).count(b"\nmove ") == 1
