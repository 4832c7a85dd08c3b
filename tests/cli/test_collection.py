"""The commands that make, search and care for a gallery, as scripts and people use them."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from lookalike import load_encoder
from tests.conftest import make_picture

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Run

    MakePhotos = Callable[..., Path]

COMMAND: list[str | Path] = [sys.executable, "-m", "lookalike"]


@pytest.fixture
def indexed(run: Run, make_photos: MakePhotos) -> Path:
    """A folder of 12 pictures with its own gallery, by the histogram encoder."""
    photos = make_photos(12)
    assert run("index", photos, "-e", "histogram").status == 0
    return photos


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


def test_without_a_gallery_the_error_says_how_to_make_one(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("search", "x.jpg")
    assert done.status == 2
    assert "no gallery" in done.err
    assert "lookalike index" in done.err
    assert done.out == ""


def test_a_search_prints_the_promised_document(run: Run, indexed: Path) -> None:
    query = indexed / "003.jpg"
    document = run("search", query, "-i", indexed / ".lookalike", "-k", 4, "--json").json
    assert document["query"] == {"path": str(query), "display": str(query)}
    assert document["encoder"] == "histogram"
    hits = document["hits"]
    assert [hit["rank"] for hit in hits] == [1, 2, 3, 4]
    assert [hit["distance"] for hit in hits] == sorted(hit["distance"] for hit in hits)
    assert all(Path(hit["path"]).is_file() and hit["id"] > 0 for hit in hits)
    assert str(query) not in [hit["path"] for hit in hits]


def test_the_query_is_its_own_nearest_hit_on_request(run: Run, indexed: Path) -> None:
    query = indexed / "003.jpg"
    (hit,) = run("search", query, "-i", indexed / ".lookalike", "-k", 1, "--include-self", "--json").json["hits"]
    assert hit["path"] == str(query)
    assert hit["distance"] == pytest.approx(0, abs=1e-6)


def test_hits_come_in_the_order_that_is_asked_for(run: Run, indexed: Path) -> None:
    asked = ["search", indexed / "003.jpg", "-i", indexed / ".lookalike", "-k", 50, "--json", "--order"]
    near, reached = (run(*asked, order).json["hits"] for order in ("distance", "diffusion"))
    assert {(hit["path"], hit["distance"]) for hit in reached} == {(hit["path"], hit["distance"]) for hit in near}
    assert [hit["rank"] for hit in reached] == [hit["rank"] for hit in near]
    assert reached[0] == near[0]
    assert run(*asked, "alphabet").status == 2


def test_paths_alone_are_printed_for_other_programs(run: Run, indexed: Path) -> None:
    done = run("search", indexed / "000.jpg", "-i", indexed / ".lookalike", "-k", 3, "-f")
    assert len(done.out.splitlines()) == 3
    assert all(Path(line).is_file() for line in done.out.splitlines())


def test_a_table_goes_to_stdout_and_nothing_else(run: Run, indexed: Path) -> None:
    done = run("search", indexed / "000.jpg", "-i", indexed / ".lookalike", "-k", 2)
    heading, *rows = done.out.splitlines()
    assert heading.split() == ["rank", "distance", "path"]
    assert [row.split()[0] for row in rows] == ["1", "2"]
    assert done.err == ""


def test_a_montage_is_written_and_its_place_told(run: Run, indexed: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    done = run("search", indexed / "000.jpg", "-i", indexed / ".lookalike", "-k", 7, "--montage", sheet)
    assert str(sheet) in done.err
    with Image.open(sheet) as image:
        assert image.size[0] > 1000


def test_a_montage_that_cannot_be_written_is_the_users_mistake(run: Run, indexed: Path, tmp_path: Path) -> None:
    done = run("search", indexed / "000.jpg", "-i", indexed / ".lookalike", "--montage", tmp_path / "no" / "a.png")
    assert done.status == 2


@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
def test_a_query_that_is_no_picture_is_the_users_mistake(
    run: Run, indexed: Path, tmp_path: Path, content: bytes | None
) -> None:
    query = tmp_path / "query.jpg"
    if content is not None:
        query.write_bytes(content)
    done = run("search", query, "-i", indexed / ".lookalike")
    assert done.status == 2
    assert "query.jpg" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("k", ["0", "-1", "x"])
def test_an_impossible_number_of_hits_is_the_users_mistake(run: Run, indexed: Path, k: str) -> None:
    assert run("search", indexed / "000.jpg", "-i", indexed / ".lookalike", "-k", k).status == 2


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


def test_removed_pictures_are_no_hits_and_come_back_with_the_next_run(run: Run, indexed: Path) -> None:
    gallery = indexed / ".lookalike"
    assert run("remove", indexed / "005.jpg", "-i", gallery, "--json").json == {"removed": 1}
    hits = run("search", indexed / "004.jpg", "-i", gallery, "-k", 50, "--json").json["hits"]
    assert len(hits) == 10
    assert str(indexed / "005.jpg") not in [hit["path"] for hit in hits]
    assert run("remove", indexed / "005.jpg", "-i", gallery).status == 2
    assert run("index", indexed, "--json").json["added"] == 1


def test_skipped_files_are_listed_again_later(run: Run, indexed: Path) -> None:
    (indexed / "bad.png").write_bytes(b"\xff" * 1000)
    run("index", indexed)
    (skipped,) = run("skipped", "-i", indexed / ".lookalike", "--json").json["skipped"]
    assert skipped["path"] == str(indexed / "bad.png")
    assert skipped["reason"] == "not an image"
    assert "bad.png" in run("skipped", "-i", indexed / ".lookalike").out


def test_excluded_names_are_left_out(run: Run, make_photos: MakePhotos, tmp_path: Path) -> None:
    photos = make_photos(6)
    arguments = ("index", photos, "-i", tmp_path / "g", "-e", "histogram", "--json", "--exclude", "00[01].jpg")
    assert run(*arguments).json["added"] == 4


def test_verify_is_content_with_a_whole_gallery_and_not_with_a_damaged_one(run: Run, indexed: Path) -> None:
    gallery = indexed / ".lookalike"
    done = run("verify", "-i", gallery, "--json")
    assert (done.status, done.json) == (0, {"problems": []})
    database = gallery / "gallery.db"
    content = bytearray(database.read_bytes())
    embedding = content.rindex(hashlib.sha256((indexed / "003.jpg").read_bytes()).digest()) + 100
    content[embedding : embedding + 8] = b"\x12\x34" * 4
    database.write_bytes(content)
    done = run("verify", "-i", gallery, "--json")
    assert done.status == 1
    assert any("003.jpg" in problem and "checksum" in problem for problem in done.json["problems"])
    assert "Traceback" not in done.err


def test_adapting_says_how_many_numbers_it_keeps(run: Run, indexed: Path) -> None:
    document = run("adapt", "-i", indexed / ".lookalike", "-n", 5, "--json").json
    assert document == {"dim": 5, "pictures": 12}
    assert run("info", "-i", indexed / ".lookalike", "--json").json["dim"] == 5


def test_names_that_a_terminal_could_act_on_are_escaped_and_json_keeps_them(
    tmp_path: Path,
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    names = [b"\x1b[31mred.jpg", b"new\nline.jpg", b"\xff\xfe.jpg", b"<img onerror=x>.jpg", b"plain.jpg"]
    for seed, name in enumerate(names):
        make_picture(seed).save(tmp_path / "one.jpg")
        shutil.copy(os.fsencode(tmp_path / "one.jpg"), os.fsencode(photos) + b"/" + name)
    gallery = tmp_path / "gallery"
    subprocess.run([*COMMAND, "index", photos, "-i", gallery, "-e", "histogram"], check=True, capture_output=True)
    search = [*COMMAND, "search", photos / "plain.jpg", "-i", gallery]
    table = subprocess.run(search, check=True, capture_output=True).stdout
    assert b"\x1b" not in table
    assert len(table.splitlines()) == 5
    raw = subprocess.run([*search, "-f", "-0"], check=True, capture_output=True).stdout
    assert sorted(raw.rstrip(b"\0").split(b"\0")) == sorted(os.fsencode(photos) + b"/" + n for n in names[:-1])
    document = subprocess.run([*search, "--json"], check=True, capture_output=True).stdout
    assert b"%FF%FE.jpg" in document


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


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    script = "import sys; sys.argv = ['lookalike', '--help']\nimport lookalike.__main__ as m\n"
    script += "try: m.main()\nexcept SystemExit: pass\nprint(sorted(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    for command in (
        "index",
        "search",
        "remove",
        "skipped",
        "info",
        "verify",
        "adapt",
        "retry",
        "relocate",
        "export",
        "import",
        "compact",
        "bench",
    ):
        assert f"  {command} " in done.stdout
    for module in ("numpy", "PIL", "onnxruntime", "pydantic", "tensorflow"):
        assert f"'{module}'" not in done.stderr


def test_indexing_and_searching_import_no_training_library(make_photos: MakePhotos, tmp_path: Path) -> None:
    load_encoder()  # the first time of all the model is made, with onnx
    photos, gallery = make_photos(2), tmp_path / "gallery"
    for arguments in (["index", photos, "-i", gallery], ["search", photos / "000.jpg", "-i", gallery]):
        command = [sys.executable, "-X", "importtime", "-m", "lookalike", *map(str, arguments)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        imported = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}
        assert "onnxruntime" in imported
        assert not {"tensorflow", "keras", "torch", "matplotlib", "ray", "onnx"} & imported
