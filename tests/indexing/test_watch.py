"""A gallery that follows its folders."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from lookalike import Gallery, IndexOptions
from lookalike.images.walk import Root, Rules
from lookalike.indexing.unnoticed import find_cause
from lookalike.indexing.watch import _Clock, _Eyes, _matters
from tests.conftest import make_picture
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMAND: list[str | Path] = [sys.executable, "-m", "lookalike"]


def add(folder: Path, name: str, seed: int) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    make_picture(seed, (20, 16)).save(path.with_suffix(".tmp.png"))
    return path.with_suffix(".tmp.png").rename(path)


class Watch:
    """`lookalike index --watch` on a folder of three pictures; `said` are its lines."""

    def __init__(self, place: Path) -> None:
        self.photos, self.gallery = place / "photos", place / "photos" / "my gallery"
        for seed in range(3):
            add(self.photos, f"{seed}.png", seed)
        arguments: list[str | Path] = ["index", self.photos, "-i", self.gallery, "-e", "histogram", "--watch", "--json"]
        self._out, self._err = place / "out", place / "err"
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen([*COMMAND, *arguments], stdout=out, stderr=err, start_new_session=True)
        wait_for(lambda: "watching" in self.errors)

    @property
    def said(self) -> list[str]:
        return self._out.read_text().splitlines()

    @property
    def errors(self) -> str:
        return self._err.read_text()

    @property
    def names(self) -> set[str]:
        with Gallery.open(self.gallery) as gallery:
            return {os.path.relpath(os.fsdecode(item.path), self.photos) for item in gallery.pictures()}

    def until(self, names: set[str]) -> None:
        wait_for(lambda: self.names == names)

    def end(self) -> int:
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(timeout=30)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    watch = Watch(tmp_path)
    yield watch
    watch.process.kill()
    watch.process.wait()


def test_what_comes_goes_and_moves_is_followed_until_ctrl_c(watch: Watch) -> None:
    add(watch.photos, "new/deep/3.png", 3)
    watch.until({"0.png", "1.png", "2.png", "new/deep/3.png"})
    (watch.photos / "new").rename(watch.photos / "2024.05 Italy")  # a folder with an extension
    (watch.photos / "0.png").unlink()
    watch.until({"1.png", "2.png", "2024.05 Italy/deep/3.png"})
    (watch.photos / ".lookalikeignore").write_text("2.png\n")
    watch.until({"1.png", "2024.05 Italy/deep/3.png"})
    shutil.rmtree(watch.photos / "2024.05 Italy")
    watch.until({"1.png"})
    assert watch.end() == 130
    assert "Traceback" not in watch.errors
    assert "interrupted" in watch.errors
    assert not (watch.gallery / "gallery.db-wal").exists()


def test_a_burst_is_one_run_and_quiet_is_none(watch: Watch) -> None:
    add(watch.photos, "3.png", 3)
    wait_for(lambda: len(watch.said) == 2)  # a line for each run, said when the run has been on disk for a moment
    others = watch.photos.parent
    for path in [add(others, f"{seed}.png", seed) for seed in range(10, 30)]:
        path.rename(watch.photos / path.name)
    wait_for(lambda: len(watch.said) == 3)
    with Gallery.open(watch.gallery) as gallery:
        generation = gallery.store.generation
        time.sleep(4)  # what the runs themselves write wakes nobody
        assert gallery.store.generation == generation
    assert len(watch.said) == 3
    assert '"added": 20' in watch.said[-1]


def test_others_may_write_between_the_runs(watch: Watch) -> None:
    with Gallery.open(watch.gallery) as gallery:
        with gallery.store.writing():
            add(watch.photos, "3.png", 3)
            time.sleep(4)  # the run that is due is put off
            assert len(watch.names) == 3
        watch.until({"0.png", "1.png", "2.png", "3.png"})
        assert gallery.remove(watch.photos / "1.png", wait=10) == 1
    assert watch.process.poll() is None


def test_a_root_that_goes_away_is_waited_for(tmp_path: Path) -> None:
    watch = Watch(tmp_path / "disk")
    shutil.copytree(watch.gallery, tmp_path / "gallery")
    watch.process.kill()
    watch.process.wait()
    errors = tmp_path / "errors"
    with errors.open("wb") as said:
        process = subprocess.Popen([*COMMAND, "index", "-i", tmp_path / "gallery", "--watch"], stderr=said)
    try:
        wait_for(lambda: b"watching" in errors.read_bytes())
        watch.photos.rename(tmp_path / "unplugged")
        wait_for(lambda: b"photos is not there" in errors.read_bytes())
        add(tmp_path / "unplugged", "3.png", 3)
        with Gallery.open(tmp_path / "gallery") as gallery:
            assert len(gallery) == 3
            (tmp_path / "unplugged").rename(watch.photos)
            wait_for(lambda: len(gallery) == 4)
            add(watch.photos, "4.png", 4)
            wait_for(lambda: len(gallery) == 5)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
    assert process.returncode == 130


@pytest.mark.parametrize(
    ("limit", "most", "cause"), [("watches", 3, "the limit"), ("instances", 0, "max_user_instances")]
)
def test_where_the_system_watches_no_more_folders_that_is_said_and_new_files_are_looked_for(
    tmp_path: Path, limit: str, most: int, cause: str
) -> None:
    if subprocess.run(["unshare", "-Ur", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no user namespaces here")
    photos, gallery = tmp_path / "photos", tmp_path / "gallery"
    for seed in range(8):
        add(photos, f"{seed}/x.png", seed)
    command = [*COMMAND, "index", photos, "-i", gallery, "-e", "histogram", "--watch"]
    bound = f'echo {most} > /proc/sys/user/max_inotify_{limit}; exec "$@"'
    process = subprocess.Popen(["unshare", "-Ur", "bash", "-c", bound, "-", *command], stderr=subprocess.PIPE)
    try:
        wait_for((gallery / "gallery.db").exists)
        with Gallery.open(gallery) as opened:
            wait_for(lambda: len(opened) == 8)
            time.sleep(3)
            add(photos, "7/new.png", 50)
            wait_for(lambda: len(opened) == 9)
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert cause in errors.decode()
    assert b"every 5 s instead" in errors
    assert errors.count(b"warning") == 1
    assert process.returncode == -signal.SIGTERM


def test_without_watchfiles_new_files_are_looked_for(tmp_path: Path) -> None:
    photos, gallery = tmp_path / "photos", tmp_path / "gallery"
    add(photos, "0.png", 0)
    start = "import sys; sys.modules['watchfiles'] = None; from lookalike.__main__ import main; main()"
    arguments: list[str | Path] = ["index", photos, "-i", gallery, "-e", "histogram", "--watch"]
    process = subprocess.Popen([sys.executable, "-c", start, *arguments], stderr=subprocess.PIPE)
    try:
        wait_for((gallery / "gallery.db").exists)
        with Gallery.open(gallery) as opened:
            wait_for(lambda: len(opened) == 1)
            add(photos, "1.png", 1)
            wait_for(lambda: len(opened) == 2)
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert b"lookalike[watch]" in errors
    assert b"every 5 s instead" in errors
    assert process.returncode == 130


def test_file_systems_that_other_machines_change_are_recognized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (
        "36 35 98:0 / / rw,noatime - ext4 /dev/root rw",
        f"37 36 0:40 / {tmp_path} rw shared:1 - nfs4 nas:/photos rw",
        f"38 37 0:41 / {tmp_path}/a\\040b rw - tmpfs tmpfs rw",
    )
    (tmp_path / "mounts").write_text("\n".join(lines) + "\n")
    monkeypatch.setattr("lookalike.indexing.unnoticed._MOUNTS", str(tmp_path / "mounts"))
    for name in ("a b", "photos"):
        (tmp_path / name).mkdir()
    assert find_cause([os.fsencode(tmp_path / "a b")]) == ""
    assert "(nfs4)" in find_cause([os.fsencode(tmp_path / "a b"), os.fsencode(tmp_path / "photos")])
    monkeypatch.setattr("lookalike.indexing.unnoticed._MOUNTS", str(tmp_path / "none"))
    assert find_cause([os.fsencode(tmp_path / "photos")]) == ""


def test_folders_whose_changes_are_not_reported_are_looked_at_often_but_not_without_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, said = 1000.0, list[str]()
    monkeypatch.setattr("lookalike.indexing.watch.time.monotonic", lambda: now)
    eyes = _Eyes(said.append)
    clock = _Clock(2, eyes)
    eyes.close("it is a network drive")
    eyes.close("it is a network drive")
    assert len(said) == 1
    for seconds, pause in ((0.01, 5), (3, 60)):
        clock.looked(seconds)
        now += pause - 1
        assert not clock.is_time()
        now += 1
        assert clock.is_time()


def test_changes_without_a_pause_are_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("lookalike.indexing.watch.time.monotonic", lambda: now)
    clock = _Clock(settle=2)
    assert clock.is_time()  # to begin with
    clock.looked()
    assert not clock.is_time()
    for _ in range(30):
        clock.changed()
        now += 0.9
        assert not clock.is_time()
    clock.changed()
    now += 5
    assert clock.is_time()
    clock.looked()
    now += 599
    assert not clock.is_time()
    now += 1
    assert clock.is_time()  # nothing was told, but not every drive tells


@pytest.mark.parametrize(
    ("below", "matters"),
    [
        ("a.jpg", True),
        ("gone.jpg", True),
        ("folder", True),
        ("folder.d", True),
        (".lookalikeignore", True),
        ("folder/.lookalikeignore", True),
        ("IMG_0001", True),
        ("a.jpg?w=8", True),
        ("notes.txt", False),
        ("gone.txt", False),
        (".hidden/a.jpg", False),
        (".lookalike/gallery.db-wal", False),
        ("@eaDir/a.jpg", False),
        ("X.photoslibrary/resources/a.jpg", False),
        ("X.photoslibrary/originals/a.jpg", True),
        ("../other/a.jpg", False),
    ],
)
def test_only_what_may_be_of_the_gallery_wakes_it(tmp_path: Path, below: str, *, matters: bool) -> None:
    photos = tmp_path / "photos"
    for folder in ("folder", "folder.d"):
        (photos / folder).mkdir(parents=True)
    (photos / "notes.txt").write_text("a log that grows")
    with Gallery.open(tmp_path / "gallery", encoder="histogram", create=True) as gallery:
        path = os.path.abspath(os.fsencode(photos / below))
        assert _matters(path, [Root(os.fsencode(photos), Rules())], gallery) == matters


def test_a_folder_that_is_gone_matters_if_the_gallery_knows_it(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    add(photos, "gone.d/a.png", 1)
    with Gallery.open(tmp_path / "gallery", encoder="histogram", create=True) as gallery:
        gallery.index(photos, options=IndexOptions(workers=1))
        shutil.rmtree(photos / "gone.d")
        assert _matters(os.fsencode(photos / "gone.d"), gallery.roots, gallery)
