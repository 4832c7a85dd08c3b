"""The commands that make, search and care for a gallery, as scripts and people use them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from lookalike import load_encoder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from tests.cli.conftest import Run

    MakePhotos = Callable[..., Path]

COMMAND: list[str | Path] = [sys.executable, "-m", "lookalike"]


def test_indexing_prints_the_promised_document(run: Run, make_photos: MakePhotos, tmp_path: Path) -> None:
    photos = make_photos(5)
    (photos / "broken.jpg").write_bytes(b"nonsense")
    done = run("index", photos, "-e", "histogram", "-i", tmp_path / "gallery", "--json")
    assert done.status == 0
    document = done.json
    assert {key: document[key] for key in ("added", "unchanged", "renamed", "removed")} == {
        "added": 5,
        "unchanged": 0,
        "renamed": 0,
        "removed": 0,
    }
    broken = str(photos / "broken.jpg")
    assert document["skipped"] == [{"path": broken, "display": broken, "reason": "not an image"}]
    assert document["seconds"] > 0


def test_a_second_run_adds_nothing(run: Run, indexed: Path) -> None:
    document = run("index", indexed, "--json").json
    assert (document["added"], document["unchanged"], document["removed"]) == (0, 12, 0)


def test_the_gallery_is_found_upward_from_the_current_folder(
    run: Run, indexed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = indexed / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert run("info", "--json").json["pictures"] == 12
    assert (indexed / ".lookalike").is_dir()


def test_another_encoder_is_refused_and_both_are_named(run: Run, indexed: Path) -> None:
    done = run("index", indexed, "-e", "efficientnet-lite0")
    assert done.status == 2
    assert "histogram" in done.err
    assert "efficientnet-lite0" in done.err


def test_a_folder_that_is_not_there_is_the_users_mistake(run: Run, tmp_path: Path) -> None:
    done = run("index", tmp_path / "nowhere", "-i", tmp_path / "gallery", "-e", "histogram")
    assert done.status == 2
    assert "nowhere" in done.err


def test_pictures_of_a_missing_drive_stay_and_the_drive_is_named(run: Run, indexed: Path, tmp_path: Path) -> None:
    gallery = tmp_path / "gallery"
    run("index", indexed, "-i", gallery, "-e", "histogram")
    indexed.rename(tmp_path / "unplugged")
    done = run("index", indexed, "-i", gallery, "--json")
    assert done.status == 0
    assert "photos is not there" in done.err
    assert run("info", "-i", gallery, "--json").json["pictures"] == 12


def test_excluded_names_are_left_out(run: Run, make_photos: MakePhotos, tmp_path: Path) -> None:
    photos = make_photos(6)
    arguments = ("index", photos, "-i", tmp_path / "g", "-e", "histogram", "--json", "--exclude", "00[01].jpg")
    assert run(*arguments).json["added"] == 4


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_ctrl_c_keeps_what_is_finished_and_exits_with_130(make_photos: MakePhotos, tmp_path: Path) -> None:
    photos, gallery = make_photos(600), tmp_path / "gallery"
    arguments = ["index", photos, "-i", gallery, "-e", "histogram", "--batch-size", "8"]
    process = subprocess.Popen([*COMMAND, *map(str, arguments)], stderr=subprocess.PIPE, start_new_session=True)
    wait_for(lambda: (gallery / "gallery.db-wal").exists() and (gallery / "gallery.db-wal").stat().st_size > 200_000)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the group
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert b"interrupted" in errors
    assert b"Traceback" not in errors
    info = subprocess.run([*COMMAND, "info", "-i", gallery, "--json"], check=True, capture_output=True, text=True)
    assert '"pictures": 0' not in info.stdout
    subprocess.run([*COMMAND, "verify", "-i", gallery], check=True, capture_output=True)


def test_a_second_writer_is_told_who_is_first_and_exits_with_75(
    run: Run, make_photos: MakePhotos, tmp_path: Path
) -> None:
    from lookalike import Gallery

    photos, gallery = make_photos(4), tmp_path / "gallery"
    run("index", photos, "-i", gallery, "-e", "histogram")
    with Gallery.open(gallery) as opened, opened.store.writing():
        done = run("index", photos, "-i", gallery)
    assert done.status == 75
    assert f"process {os.getpid()}" in done.err


def test_indexing_and_searching_import_no_training_library(make_photos: MakePhotos, tmp_path: Path) -> None:
    load_encoder()  # the first time of all the model is made, with onnx
    photos, gallery = make_photos(2), tmp_path / "gallery"
    query = make_photos(1, "query", first=9) / "009.jpg"  # not in the gallery: it has to be encoded
    for arguments in (["index", photos, "-i", gallery], ["search", query, "-i", gallery]):
        command = [sys.executable, "-X", "importtime", "-m", "lookalike", *map(str, arguments)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        imported = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}
        assert "onnxruntime" in imported
        assert not {"tensorflow", "keras", "torch", "matplotlib", "ray", "onnx"} & imported


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
    run: Run, gallery: Path, make_photos: MakePhotos
) -> None:
    second = make_photos(2, "second", first=20)
    run("index", second, "-i", gallery, "--exclude", "*1.jpg")
    roots = run("info", "-i", gallery, "--json").json["roots"]
    assert [(root["path"], root["exclude"]) for root in roots] == [
        (str(gallery.with_name("photos")), []),
        (str(second), ["*1.jpg"]),
    ]
    make_photos(3, first=30)
    document = run("index", "-i", gallery, "--json").json
    assert (document["added"], document["unchanged"]) == (3, 13)


def test_rules_without_a_folder_are_the_users_mistake(run: Run, gallery: Path) -> None:
    for rule in (["--exclude", "x"], ["--follow-links"]):
        done = run("index", "-i", gallery, *rule)
        assert done.status == 2
        assert "folders" in done.err
    assert run("index", gallery.with_name("photos"), "-i", gallery, "--watch", "--dry-run").status == 2


def test_a_known_folder_that_is_not_there_is_named(run: Run, gallery: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").rename(tmp_path / "unplugged")
    done = run("index", "-i", gallery, "--json")
    assert done.status == 0
    assert [root["path"] for root in done.json["missing"]] == [str(tmp_path / "photos")]
    assert "photos is not there" in done.err


def test_a_folder_that_was_renamed_is_named_with_the_command_that_mends_it(
    run: Run, make_photos: MakePhotos, tmp_path: Path
) -> None:
    photos, gallery = make_photos(5), tmp_path / "elsewhere" / "gallery"
    run("index", photos, "-e", "histogram", "-i", gallery)
    photos.rename(tmp_path / "holiday 2024")
    done = run("index", "-i", gallery)
    assert done.status == 0
    assert f"lookalike relocate {photos} '{tmp_path / 'holiday 2024'}'" in done.err
    (moved,) = run("index", "-i", gallery, "--json").json["moved"]
    assert (moved["old"]["path"], moved["new"]["path"]) == (str(photos), str(tmp_path / "holiday 2024"))
    assert run("relocate", photos, tmp_path / "holiday 2024", "-i", gallery).status == 0
    document = run("index", "-i", gallery, "--json").json
    assert (document["unchanged"], document["missing"], document["moved"]) == (5, [], [])


def test_refresh_notices_a_change_that_size_and_time_hide(run: Run, make_photos: MakePhotos, tmp_path: Path) -> None:
    photos, gallery = make_photos(3), tmp_path / "gallery"
    run("index", photos, "-e", "histogram", "-i", gallery)
    path = photos / "000.jpg"
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_mtime_ns,) * 2)
    assert run("index", "-i", gallery, "--json").json["added"] == 0
    document = run("index", "-i", gallery, "--refresh", "--json").json
    assert (document["added"], document["unchanged"]) == (1, 2)


def test_a_url_that_no_store_answers_to_is_not_taken_for_a_folder(
    run: Run, make_photos: MakePhotos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = make_photos(1)
    monkeypatch.chdir(tmp_path)
    for command in (("index", photos), ("info",), ("search", photos / "000.jpg")):
        done = run(*command, "-i", "nonsense://host/name")
        assert (done.status, done.out) == (2, "")
        assert "nonsense" in done.err
        assert "hint" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
