"""Files and folders that appear as a whole or not at all."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lookalike.files import remove_leftovers, replace_file, stage_folder, sync_folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_is_there_as_a_whole_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with replace_file(path) as part:
        assert part.parent == tmp_path
        assert part.suffix == ".json"
        assert part.read_bytes() == b""
        part.write_bytes(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == {"a.json"}


@pytest.mark.parametrize("sync", [False, True])
def test_a_file_that_is_there_stays_until_the_new_one_is_whole(sync: bool, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with replace_file(path, sync=sync) as part:
        part.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), ValueError(), KeyboardInterrupt(), SystemExit()])
def test_whatever_is_raised_the_old_file_stays_and_the_new_one_goes(error: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def fail() -> None:
        with replace_file(path) as part:
            part.write_bytes(b"half")
            raise error

    pytest.raises(type(error), fail)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == {"a"}


@pytest.mark.parametrize("name", ["open", "fsync", "replace"])
def test_whatever_the_disk_refuses_the_old_file_stays(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        if name == "replace":
            patched.setattr(Path, "replace", refuse)
        else:
            patched.setattr(os, name, refuse)
        with pytest.raises(OSError, match="No space left"), replace_file(path) as part:
            part.write_bytes(b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == {"a"}


def test_content_is_on_the_disk_before_the_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "a", []
    fsync = os.fsync

    def watch(descriptor: int) -> None:
        seen.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), path.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    with replace_file(path) as part:
        part.write_bytes(b"new")
    assert seen == [(False, False), (True, True)]
    with replace_file(path, sync=False) as part:
        part.write_bytes(b"newer")
    assert len(seen) == 2


def test_a_file_system_that_syncs_no_folders_is_no_error_but_a_broken_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(number: int) -> None:
        def fail(descriptor: int) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", fail)

    refuse(errno.EINVAL)
    sync_folder(tmp_path)
    refuse(errno.EIO)
    with pytest.raises(OSError, match="error"):
        sync_folder(tmp_path)


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions_are_those_that_the_umask_leaves(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        with replace_file(tmp_path / "a") as part:
            part.write_bytes(b"new")
        with stage_folder(tmp_path / "b") as fresh:
            fresh.rename(tmp_path / "b")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~mask
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o777 & ~mask


@pytest.mark.parametrize(
    "name", ["x" * 255, "x" * 251 + ".png", "\u00e9" * 127, "\U0001f4f7" * 63, "-rf", "a\nb", "\udcff"]
)
def test_names_of_every_kind_can_be_written(name: str, tmp_path: Path) -> None:
    with replace_file(tmp_path / name) as part:
        part.write_bytes(b"new")
    assert names(tmp_path) == {name}


def test_a_file_that_lies_where_a_link_was_does_not_change_what_the_link_led_to(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"other")
    (tmp_path / "a").symlink_to("other")
    with replace_file(tmp_path / "a") as part:
        part.write_bytes(b"new")
    assert (tmp_path / "other").read_bytes() == b"other"
    assert (tmp_path / "a").read_bytes() == b"new"


def test_many_writers_of_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "a"

    def write(number: int) -> None:
        for _ in range(20):
            with replace_file(path, sync=False) as part:
                part.write_bytes(b"%d" % number * 1000)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    content = path.read_bytes()
    assert len(content) == 1000
    assert len(set(content)) == 1
    assert names(tmp_path) == {"a"}


def test_a_killed_writer_leaves_the_old_file_and_what_it_left_goes_a_day_later(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    code = """if True:
        import os, signal, sys
        from pathlib import Path
        from lookalike.files import replace_file
        with replace_file(Path(sys.argv[1])) as part:
            part.write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", code, path])
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    (left,) = names(tmp_path) - {"a"}
    with replace_file(path) as part:
        part.write_bytes(b"new")
    assert names(tmp_path) == {"a", left}  # another may be writing it
    long_ago = time.time() - 90_000
    os.utime(tmp_path / left, (long_ago, long_ago))
    (tmp_path / "part-of-a").touch()
    os.utime(tmp_path / "part-of-a", (long_ago, long_ago))
    with replace_file(path) as part:
        part.write_bytes(b"newer")
    assert names(tmp_path) == {"a", "part-of-a"}


def test_leftovers_of_one_file_are_not_those_of_another(tmp_path: Path) -> None:
    for name in ("part-0123456789ab-a", "part-0123456789ab-b", "part-0123456789ab-ba", "part-xyz-a", "a"):
        (tmp_path / name).touch()
    (tmp_path / "part-ba9876543210-a").mkdir()
    (tmp_path / "part-ba9876543210-a" / "inside").touch()
    remove_leftovers(tmp_path / "a")
    assert names(tmp_path) == {"part-0123456789ab-b", "part-0123456789ab-ba", "part-xyz-a", "a"}
    remove_leftovers(tmp_path / "nowhere" / "a")


def test_a_folder_is_there_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    place = tmp_path / "below" / "folder"

    def fail() -> None:
        with stage_folder(place) as fresh:
            (fresh / "file").touch()
            raise InterruptedError

    pytest.raises(InterruptedError, fail)
    assert names(place.parent) == set()
    with stage_folder(place) as fresh:
        (fresh / "file").touch()
        assert not place.exists()
        fresh.rename(place)
    assert names(place.parent) == {"folder"}
    assert names(place) == {"file"}


def test_a_folder_that_is_not_renamed_is_removed(tmp_path: Path) -> None:
    with stage_folder(tmp_path / "folder") as fresh:
        (fresh / "file").touch()
    assert names(tmp_path) == set()
