"""The machine and its system go wrong while a command runs: rows 25 and 34 of the list of faults."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import make_picture
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    MakePhotos = Callable[..., Path]

COMMAND: list[str | Path] = [sys.executable, "-m", "lookalike"]


def run(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=120, **options)


def pictures(gallery: Path) -> int:
    assert run("verify", "-i", gallery).returncode == 0
    return int(json.loads(run("info", "-i", gallery, "--json").stdout)["pictures"])


@pytest.mark.parametrize("kibibytes", [400, 900])
def test_a_full_disk_says_how_many_pictures_are_safe_and_the_next_run_goes_on(
    make_photos: MakePhotos, tmp_path: Path, kibibytes: int
) -> None:
    photos, gallery = make_photos(200), tmp_path / "gallery"
    limit = (kibibytes << 10, kibibytes << 10)
    arguments = ["index", photos, "-i", gallery, "-e", "histogram", "--batch-size", 8]
    done = run(*arguments, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    safe = pictures(gallery)
    assert 0 < safe < 200
    assert f"{safe} pictures are safely indexed" in done.stderr
    assert "make room" in done.stderr
    assert not [path for path in gallery.iterdir() if path.name not in {"gallery.db", "writer.lock"}]
    assert run(*arguments).returncode == 0
    assert pictures(gallery) == 200


def test_a_run_that_is_ended_by_the_system_is_gone_on_with(make_photos: MakePhotos, tmp_path: Path) -> None:
    photos, gallery = make_photos(400), tmp_path / "gallery"
    arguments = ["index", photos, "-i", gallery, "-e", "histogram", "--batch-size", 8]
    process = subprocess.Popen([*COMMAND, *map(str, arguments)], stderr=subprocess.DEVNULL)

    def is_under_way() -> bool:
        assert process.poll() is None
        return (gallery / "gallery.db-wal").stat().st_size >= 200_000

    wait_for(is_under_way, not_yet=FileNotFoundError)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == -signal.SIGTERM
    assert 0 < pictures(gallery) < 400
    assert run(*arguments).returncode == 0
    assert pictures(gallery) == 400


@pytest.mark.parametrize("utf8", ["0", "1"])
def test_any_name_can_be_indexed_found_and_printed_in_any_locale(tmp_path: Path, utf8: str) -> None:
    names = ["é.png".encode(), b"\xff.png", "\u6771.png".encode(), "\U0001f60a.png".encode(), b"plain.png"]
    (tmp_path / "photos").mkdir()
    for seed, name in enumerate(names):
        make_picture(seed).save(tmp_path / "one.png")
        (tmp_path / "one.png").rename(os.fsdecode(os.fsencode(tmp_path / "photos") + b"/" + name))
    plain = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": utf8, "PYTHONCOERCECLOCALE": "0"}
    gallery = tmp_path / "gallery"
    for arguments in (
        ["index", tmp_path / "photos", "-i", gallery, "-e", "histogram"],
        ["info", "-i", gallery],
        ["search", tmp_path / "photos" / "plain.png", "-i", gallery],
        ["search", tmp_path / "photos" / "plain.png", "-i", gallery, "--json"],
        ["search", tmp_path / "photos" / "plain.png", "-i", gallery, "-f"],
    ):
        done = subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, env=plain, timeout=120)
        assert done.returncode == 0, done.stderr
        if "--json" in arguments:
            assert "\u6771.png" in {os.path.basename(hit["path"]) for hit in json.loads(done.stdout)["hits"]}
    raw = [*COMMAND, "search", tmp_path / "photos" / "plain.png", "-i", gallery, "-f", "-0"]
    paths = subprocess.run(raw, capture_output=True, env=plain, timeout=120).stdout.rstrip(b"\0").split(b"\0")
    assert {os.path.basename(path) for path in paths} == set(names[:-1])


def test_a_home_that_cannot_be_written_to_is_no_hindrance(make_photos: MakePhotos, tmp_path: Path) -> None:
    (tmp_path / "home").write_bytes(b"a file, so that not even root can make a folder in it")
    homeless = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    environment = {**homeless, "HOME": str(tmp_path / "home")}
    photos, gallery = make_photos(3), tmp_path / "gallery"
    assert run("index", photos, "-i", gallery, env=environment).returncode == 0
    done = run("search", photos / "000.jpg", "-i", gallery, "--json", env=environment)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["hits"]) == 2
