"""A folder of everything that can be wrong with files is indexed like any other."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from lookalike import Gallery, IndexOptions, Rules
from tests import badfiles
from tests.badfiles import FILES, INDEXED, NO_ROW, PLACES, encoded, picture

if TYPE_CHECKING:
    from collections.abc import Iterator

GOOD = [b"good-1.jpg", b"good-2.png", b"good-3.gif"]

# Indexes a folder and says what came of it, and how many processes it took. In a process of its own, because the
# memory of this one is that of all tests before.
_INDEX = """
import json, os, sys
started = []
sys.addaudithook(lambda event, _: started.append(event) if event == "subprocess.Popen" else None)
from lookalike import Gallery
with Gallery.open(sys.argv[1], encoder="histogram", create=True) as gallery:
    report = gallery.index(sys.argv[2])
    print(json.dumps({
        "pictures": [item.path.decode("latin-1") for item in gallery.pictures()],
        "skipped": {os.fsencode(path).decode("latin-1"): reason for path, reason in report.skipped},
        "added": report.added, "unchanged": report.unchanged, "removed": report.removed,
        "processes": len(started),
    }))
"""


@dataclass
class Run:
    """What an index of a folder gave, and what it took: MiB at most, in all its processes, and seconds."""

    report: dict[str, Any]
    stderr: str
    mib: float
    seconds: float


def index(gallery: Path, folder: Path) -> Run:
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", _INDEX, gallery, folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    peak = 0

    def watch() -> None:
        nonlocal peak
        while process.poll() is None:
            peak = max(peak, _memory(process.pid))
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    stdout, stderr = process.communicate(timeout=120)
    watcher.join()
    assert process.returncode == 0, stderr
    return Run(json.loads(stdout), stderr, peak / 2**20, time.monotonic() - start)


def _memory(pid: int) -> int:
    """Bytes of a process and all below it; what they share is counted once."""
    try:
        parent = psutil.Process(pid)
        family = [parent, *parent.children(recursive=True)]
    except psutil.Error:
        return 0
    return sum(map(_share, family))


def _share(process: psutil.Process) -> int:
    try:
        memory = process.memory_full_info()
    except psutil.Error:
        return 0
    return int(getattr(memory, "pss", memory.uss))


@pytest.fixture(scope="module")
def bad_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    for case in (*FILES, *PLACES):
        case.make(folder)
    for seed, name in enumerate(GOOD):
        format_ = {b"jpg": "JPEG", b"png": "PNG", b"gif": "GIF"}[name[-3:]]
        badfiles.write(os.path.join(os.fsencode(folder), name), encoded(picture(1000 + seed), format_))
    badfiles.make_deep(folder, b"d" * 200, 30)
    return folder


@pytest.fixture(scope="module")
def runs(bad_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    gallery = tmp_path_factory.mktemp("gallery") / "g"
    return index(gallery, bad_folder), index(gallery, bad_folder)


def test_the_builders_stand_for_every_row_of_files_and_have_names_of_their_own() -> None:
    cases = (*FILES, *PLACES)
    assert len({case.name for case in cases}) == len(cases)
    elsewhere = {13, 14, 15, 16, 20, 21}  # in test_reader, test_decode and test_walk, and below
    assert {case.row for case in cases} | elsewhere == set(range(1, 23))


def test_of_a_folder_of_bad_files_only_the_promised_ones_become_pictures(
    bad_folder: Path, runs: tuple[Run, Run]
) -> None:
    prefix = os.fsencode(bad_folder) + b"/"
    promised = {case.name for case in (*FILES, *PLACES) if case.promise == INDEXED} | set(GOOD)
    names = {key.encode("latin-1").removeprefix(prefix) for key in runs[0].report["pictures"]}
    assert names == promised
    assert runs[0].report["added"] == len(promised)


def test_every_other_file_is_named_with_its_reason(bad_folder: Path, runs: tuple[Run, Run]) -> None:
    prefix = os.fsencode(bad_folder) + b"/"
    skipped = {
        path.encode("latin-1").removeprefix(prefix): reason for path, reason in runs[0].report["skipped"].items()
    }
    (deep,) = [path for path in skipped if path.startswith(b"ddd")]
    assert skipped.pop(deep) == "path is too long"
    assert skipped == {case.name: case.promise for case in (*FILES, *PLACES) if case.promise not in {INDEXED, NO_ROW}}


def test_it_takes_less_than_20_seconds_and_500_mib_and_says_nothing(runs: tuple[Run, Run]) -> None:
    assert runs[0].seconds < 20
    assert 20 < runs[0].mib < 500
    assert runs[0].stderr == runs[1].stderr == ""


def test_a_second_run_adds_nothing_and_tries_nothing_again(runs: tuple[Run, Run]) -> None:
    first, second = (run.report for run in runs)
    assert first["processes"] > 0
    assert second["processes"] == 0
    assert second["added"] == second["removed"] == 0
    assert second["unchanged"] == first["added"]
    assert second["skipped"] == first["skipped"]


@pytest.fixture
def gallery(tmp_path: Path) -> Any:
    with Gallery.open(tmp_path / "gallery", encoder="histogram", create=True) as opened:
        yield opened


def test_a_skipped_file_is_tried_again_when_it_changes(tmp_path: Path, gallery: Gallery) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    whole = encoded(picture(), "JPEG")
    (photos / "a.jpg").write_bytes(whole[:500])
    assert [reason for _, reason in gallery.index(photos).skipped] == [badfiles.TRUNCATED]
    (photos / "a.jpg").write_bytes(whole)
    report = gallery.index(photos)
    assert (report.added, report.skipped) == (1, [])


def test_a_picture_that_is_damaged_later_is_no_longer_found(tmp_path: Path, gallery: Gallery) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    whole = encoded(picture(), "JPEG")
    (photos / "a.jpg").write_bytes(whole)
    assert gallery.index(photos).added == 1
    (photos / "a.jpg").write_bytes(whole[:500])
    assert len(gallery.index(photos).skipped) == 1
    assert len(gallery) == 0


def test_the_same_picture_under_many_names_is_kept_under_all_and_encoded_once(tmp_path: Path, gallery: Gallery) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    data = encoded(picture(), "PNG")
    for number in range(200):
        (photos / f"{number}.png").write_bytes(data)
    os.link(photos / "0.png", photos / "hard-link.png")
    assert gallery.index(photos).added == 201
    assert len(gallery) == 201
    with sqlite3.connect(tmp_path / "gallery" / "gallery.db") as database:
        assert database.execute("SELECT count(*) FROM content").fetchone() == (1,)
    database.close()


def test_a_followed_link_is_a_picture_under_its_own_name(tmp_path: Path, gallery: Gallery) -> None:
    photos, outside = tmp_path / "photos", tmp_path / "outside.jpg"
    photos.mkdir()
    outside.write_bytes(encoded(picture(1), "JPEG"))
    (photos / "link.jpg").symlink_to(outside)
    (photos / "dangling.jpg").symlink_to("nothing")
    options = IndexOptions(rules=Rules(follow_links=True))
    report = gallery.index(photos, options=options)
    assert report.added == 1
    assert [reason for _, reason in report.skipped] == [badfiles.NOWHERE]
    assert [hit.path for hit in gallery.search(outside)] == [photos / "link.jpg"]
    assert gallery.index(photos, options=options).unchanged == 1
    (photos / "link.jpg").unlink()
    assert gallery.index(photos, options=options).removed == 1


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may look into; pytest's own are closed anew by every run that begins."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


def test_pictures_of_a_folder_that_cannot_be_read_any_more_are_kept(open_folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may become another user, who may not read the folder")
    code = """if True:
        import os, sys
        from lookalike import Gallery
        place, photos = sys.argv[1:]
        with Gallery.open(place, encoder="histogram", create=True) as gallery:
            print(gallery.index(photos).added)
        os.chmod(os.path.join(photos, "closed"), 0)
        for folder, _, names in os.walk(place):
            for path in (folder, *(os.path.join(folder, name) for name in names)):
                os.chown(path, 65534, 65534)
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        with Gallery.open(place) as gallery:
            report = gallery.index(photos)
            print(report.removed, len(gallery), *(reason for _, reason in report.skipped))
    """
    (open_folder / "photos" / "closed").mkdir(parents=True)
    (open_folder / "photos" / "closed" / "a.jpg").write_bytes(encoded(picture(), "JPEG"))
    done = subprocess.run(
        [sys.executable, "-c", code, open_folder / "gallery", open_folder / "photos"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == ["1", "0 1 permission denied"], done.stderr


def test_the_command_ends_well_on_a_folder_of_nothing_but_damage(tmp_path: Path) -> None:
    """The command line ends well whatever the folder holds, and writes nothing into it but the gallery."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for case in FILES[:10]:
        case.make(photos)
    done = subprocess.run(
        [sys.executable, "-m", "lookalike", "index", photos, "-i", tmp_path / "gallery", "-e", "histogram", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert {entry["reason"] for entry in report["skipped"]} == {badfiles.TRUNCATED}
    assert len(list(photos.iterdir())) == 10
