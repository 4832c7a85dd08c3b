"""The commands that make, search and care for a gallery, as scripts and people use them."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest
from PIL import Image

from lookalike import load_encoder
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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


def edit_unnoticeably(path: Path) -> Path:
    """Change a byte of a file, which keeps its size and time."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_mtime_ns,) * 2)
    return path


def test_refresh_notices_a_change_that_size_and_time_hide(run: Run, make_photos: MakePhotos, tmp_path: Path) -> None:
    photos, gallery = make_photos(3), tmp_path / "gallery"
    run("index", photos, "-e", "histogram", "-i", gallery)
    edit_unnoticeably(photos / "000.jpg")
    assert run("index", "-i", gallery, "--json").json["added"] == 0
    document = run("index", "-i", gallery, "--refresh", "--json").json
    assert (document["changed"], document["added"], document["unchanged"]) == (1, 0, 2)


def test_force_reads_one_folder_again_and_a_change_is_called_one(
    run: Run, make_photos: MakePhotos, tmp_path: Path
) -> None:
    photos, gallery = make_photos(3), tmp_path / "gallery"
    run("index", photos, "-e", "histogram", "-i", gallery)
    path = edit_unnoticeably(photos / "000.jpg")
    done = run("index", "--force", path, "-i", gallery)
    assert done.out.splitlines()[0].split()[-1] == "changed"
    assert "3 pictures, 1 changed" in done.err
    assert "encoded again: 3 unchanged pictures" in run("index", "--force", photos, "-i", gallery).err


@pytest.mark.parametrize("names", [["Nope"], ["Nope", "photos"], ["photos", "Nope"], ["Nope/deeper"]])
@pytest.mark.parametrize("options", [[], ["-i", "g"], ["-i", "a/b/g"], ["--dry-run"], ["-e", "patches"]])
def test_a_wrong_name_is_named_and_leaves_nothing_behind(
    run: Run,
    make_photos: MakePhotos,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    names: list[str],
    options: list[str],
) -> None:
    make_photos(2)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    done = run("index", *names, *options)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("lookalike: no such file or folder: Nope")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_wrong_name_beside_a_known_gallery_changes_nothing(run: Run, indexed: Path) -> None:
    done = run("index", indexed, indexed / "Nope", "--exclude", "000.jpg")
    assert done.status == 2
    assert "Nope" in done.err
    info = run("info", "-i", indexed / ".lookalike", "--json").json
    assert (info["pictures"], info["roots"][0]["exclude"]) == (12, [])


@pytest.mark.parametrize(
    "options", [["-e", "nonsense"], ["-e", "nonsense.onnx"], ["-i", "photos/000.jpg/g"], ["-i", "/proc/x/g"]]
)
def test_a_gallery_that_cannot_be_made_leaves_nothing_behind(
    run: Run, make_photos: MakePhotos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    make_photos(2)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    for where in ([], ["-i", "a/b/g"] if "-e" in options else []):
        done = run("index", "photos", *options, *where)
        assert done.status in {1, 2}
        assert "hint" in done.err
        assert sorted(tmp_path.rglob("*")) == before


def test_an_encoder_that_cannot_be_learned_leaves_nothing_behind(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for where in ([], ["-i", tmp_path / "a" / "b"]):
        assert run("index", tmp_path / "empty", "-e", "patches", *where).status == 1
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "empty"]


def test_rules_stay_are_shown_and_end_with_no_exclude(run: Run, scenes: Path) -> None:
    gallery = scenes / ".lookalike"
    document = run("index", scenes / "beach", "--exclude", "000.jpg", "--exclude", "./001.jpg", "--json").json
    assert (document["removed"], document["excluded"]) == (2, 2)
    for folders in ([scenes], [scenes / "beach"], []):
        document = run("index", *folders, "-i", gallery, "--json").json
        assert (document["unchanged"], document["added"], document["excluded"]) == (
            4 if folders == [scenes / "beach"] else 10,
            0,
            2,
        )
    shown = [line.split() for line in run("info", "-i", gallery).out.splitlines()]
    assert ["excluded", "000.jpg"] in shown
    assert ["excluded", "/001.jpg"] in shown
    assert run("index", scenes / "beach", "--no-exclude", "--json").json["added"] == 2
    assert [root["exclude"] for root in run("info", "-i", gallery, "--json").json["roots"]] == [[]]


def test_a_pattern_without_effect_is_named_as_it_was_typed(run: Run, scenes: Path) -> None:
    done = run("index", scenes, "--exclude", "beach/", "--exclude", "./forst/", "--exclude", "BEACH")
    assert done.out.splitlines()[1].split() == ["0", "6", "0", "6", "0", "6"]
    assert done.out.splitlines()[0].split()[-1] == "excluded"
    assert "--exclude ./forst/ excludes nothing" in done.err
    assert "--exclude BEACH excludes nothing" in done.err
    assert "beach/" not in done.err
    assert "excludes nothing" not in run("index", "-i", scenes / ".lookalike").err


def test_rules_that_contradict_each_other_are_the_users_mistake(run: Run, indexed: Path) -> None:
    assert run("index", indexed, "--exclude", "x", "--no-exclude").status == 2
    assert run("index", "--no-exclude", "-i", indexed / ".lookalike").status == 2


def test_a_folder_of_other_files_says_what_it_holds(run: Run, tmp_path: Path) -> None:
    for name in ("a.PSD", "b.PSD", "c.MOV"):
        (tmp_path / "raw" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "raw" / name).write_bytes(b"x")
    done = run("index", tmp_path / "raw", "-e", "histogram")
    assert done.status == 0
    assert "3 files passed over, of kinds that are not read: .PSD 2, .MOV 1" in done.err
    assert f"no picture was found in {tmp_path / 'raw'}" in done.err
    document = run("index", tmp_path / "raw", "--json").json
    assert document["passed_over"] == {".PSD": 2, ".MOV": 1}


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "3601", "soon"])
def test_a_timeout_that_is_not_one_is_refused(run: Run, indexed: Path, seconds: str) -> None:
    for command in (["index", indexed], ["retry", "-i", indexed / ".lookalike"]):
        done = run(*command, "--timeout", seconds)
        assert done.status == 2
        assert "timeout" in done.err


def test_a_timeout_holds_for_each_picture(run: Run, make_photos: MakePhotos, tmp_path: Path) -> None:
    photos, gallery = make_photos(2), tmp_path / "gallery"
    Image.new("RGB", (9000, 9000), "teal").save(photos / "slow.png", compress_level=1)
    done = run("index", photos, "-i", gallery, "-e", "histogram", "--timeout", "0.01", "--json")
    assert [skipped["reason"] for skipped in done.json["skipped"]] == ["took longer than 0.01 s"]
    assert run("retry", "-i", gallery, "--timeout", "0.01", "--json").json["skipped"] != []
    assert run("index", "-i", gallery, "--json").json["added"] == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_signal_ends_a_run_in_order(make_photos: MakePhotos, tmp_path: Path, number: signal.Signals) -> None:
    photos, gallery = make_photos(600), tmp_path / "gallery"
    arguments = ["index", photos, "-i", gallery, "-e", "histogram", "--batch-size", "8"]
    as_in_a_terminal = (  # under nohup, SIGHUP is ignored
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    )
    command = [sys.executable, "-c", as_in_a_terminal, *COMMAND, *map(str, arguments)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        wait_for(
            lambda: (gallery / "gallery.db-wal").exists() and (gallery / "gallery.db-wal").stat().st_size > 200_000
        )
        workers = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else -number)  # a shell reports 143 and 129
    assert "pictures saved" in errors
    assert "Traceback" not in errors
    assert workers
    assert psutil.wait_procs(workers, timeout=10)[1] == []
    assert not (gallery / "writer.pid").exists()
    assert not (gallery / "gallery.db-wal").exists()


def test_a_signal_that_was_ignored_from_the_start_stays_ignored(make_photos: MakePhotos, tmp_path: Path) -> None:
    photos, gallery = make_photos(300), tmp_path / "gallery"
    ignoring = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    arguments = ["index", photos, "-i", gallery, "-e", "histogram", "--batch-size", "8"]
    command = [sys.executable, "-c", ignoring, *map(str, [*COMMAND, *arguments])]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        wait_for((gallery / "gallery.db-wal").exists)
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_folder_that_may_not_be_written_needs_a_gallery_elsewhere(
    run: Run, make_photos: MakePhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = make_photos(2)

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    done = run("index", photos, "-e", "histogram")
    assert done.status == 1
    assert f"{photos} is read-only" in done.err
    assert "--index" in done.err


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
