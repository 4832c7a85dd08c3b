"""Commands that look after a gallery, as scripts and people use them."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from typing import TYPE_CHECKING

import pytest

from tests.conftest import make_picture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Run

    MakePhotos = Callable[..., Path]


def damage(gallery: Path, picture: Path) -> None:
    """Overwrite some numbers of a picture's embedding."""
    database = gallery / "gallery.db"
    with contextlib.closing(sqlite3.connect(database)) as db:
        digest = hashlib.sha256(picture.read_bytes()).digest()
        (embedding,) = db.execute("SELECT embedding FROM content WHERE digest = ?", [digest]).fetchone()
    content = bytearray(database.read_bytes())
    start = content.index(embedding) + 60
    content[start : start + 8] = b"\x12\x34" * 4
    database.write_bytes(content)


def hits(run: Run, gallery: Path, query: Path) -> list[object]:
    return [(hit["path"], hit["distance"]) for hit in run("search", query, "-i", gallery, "--json").json["hits"]]


def test_info_tells_sizes_counts_generation_and_folders(run: Run, gallery: Path, tmp_path: Path) -> None:
    document = run("info", "-i", gallery, "--json").json
    assert (document["pictures"], document["skipped"], document["adapts_at"]) == (12, 0, 50)
    assert document["generation"] > 0
    assert document["files"]["gallery.db"] > 10_000
    assert document["bytes"] == sum(document["files"].values())
    assert [root["path"] for root in document["roots"]] == [str(tmp_path / "photos")]
    table = run("info", "-i", gallery).out
    assert "size of gallery.db" in table
    assert str(tmp_path / "photos") in table


def test_damage_is_repaired_and_the_files_read_again(run: Run, gallery: Path, tmp_path: Path) -> None:
    before = hits(run, gallery, tmp_path / "photos" / "000.jpg")
    damage(gallery, tmp_path / "photos" / "003.jpg")
    done = run("verify", "-i", gallery)
    assert done.status == 1
    assert "verify --repair" in done.err
    document = run("verify", "--repair", "-i", gallery, "--json").json
    assert any("003.jpg" in problem for problem in document["problems"])
    assert document["kept"] == 11
    assert [path["path"] for path in document["lost"]] == [str(tmp_path / "photos" / "003.jpg")]
    assert (document["report"]["added"], document["report"]["unchanged"]) == (1, 11)
    assert document["aside"]["path"] == str(gallery / "gallery.db.damaged-1")
    assert (gallery / "gallery.db.damaged-1").exists()
    assert run("verify", "-i", gallery).status == 0
    assert hits(run, gallery, tmp_path / "photos" / "000.jpg") == before


def test_a_repair_says_what_it_did_and_does_nothing_to_a_sound_gallery(run: Run, gallery: Path, tmp_path: Path) -> None:
    assert "no problem" in run("verify", "--repair", "-i", gallery).out
    damage(gallery, tmp_path / "photos" / "003.jpg")
    done = run("verify", "--repair", "-i", gallery)
    assert done.status == 0
    assert done.out.splitlines()[-2:] == ["kept  lost  read again", "  11     1           1"]
    assert "gallery.db.damaged-1" in done.err


def test_a_database_beyond_repair_is_put_aside_and_the_way_out_told(run: Run, gallery: Path) -> None:
    (gallery / "gallery.db").write_bytes(b"\0" * 5000)
    done = run("verify", "--repair", "-i", gallery)
    assert done.status == 1
    assert "gallery.db.damaged-1" in done.err
    assert f"lookalike index PHOTOS -i {gallery}" in done.err
    assert (gallery / "gallery.db.damaged-1").read_bytes() == b"\0" * 5000


def test_an_exported_gallery_comes_back_elsewhere(run: Run, gallery: Path, tmp_path: Path) -> None:
    assert run("export", tmp_path / "copy", "-i", gallery, "--json").json == {"pictures": 12}
    assert run("export", tmp_path / "copy", "-i", gallery).status == 2
    assert run("import", tmp_path / "copy", "-i", tmp_path / "other", "--json").json == {"pictures": 12}
    assert run("import", tmp_path / "copy", "-i", tmp_path / "other").status == 2
    assert run("import", tmp_path / "copy", "-i", tmp_path / "other", "--force").status == 0
    query = tmp_path / "photos" / "000.jpg"
    assert hits(run, tmp_path / "other", query) == hits(run, gallery, query)


def test_an_import_without_a_place_is_for_the_current_folder(
    run: Run, gallery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("export", tmp_path / "copy", "-i", gallery)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert run("import", tmp_path / "copy").status == 0
    assert run("info", "--json").json["pictures"] == 12


def test_a_table_for_other_programs_is_written(run: Run, gallery: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `parquet` is not installed")
    assert run("export", "--parquet", tmp_path / "table", "-i", gallery, "--json").json == {"rows": 12}
    assert parquet.read_table(tmp_path / "table").num_rows == 12
    assert run("export", "-i", gallery).status == 2


def test_compacting_gives_room_back(run: Run, gallery: Path, make_photos: MakePhotos) -> None:
    photos = make_photos(200, "many", first=100)
    run("index", photos, "-i", gallery)
    run("remove", photos, "-i", gallery)
    document = run("compact", "-i", gallery, "--json").json
    assert document["bytes"] < document["bytes_before"] * 0.6  # the projection stays
    assert run("verify", "-i", gallery).status == 0


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


def test_verify_is_content_with_a_whole_gallery_and_not_with_a_damaged_one(run: Run, indexed: Path) -> None:
    gallery = indexed / ".lookalike"
    done = run("verify", "-i", gallery, "--json")
    assert (done.status, done.json) == (0, {"problems": []})
    damage(gallery, indexed / "003.jpg")
    done = run("verify", "-i", gallery, "--json")
    assert done.status == 1
    assert any("003.jpg" in problem and "checksum" in problem for problem in done.json["problems"])
    assert "Traceback" not in done.err


def test_adapting_says_how_many_dimensions_it_keeps(run: Run, indexed: Path) -> None:
    document = run("adapt", "-i", indexed / ".lookalike", "-n", 5, "--json").json
    assert document == {"dim": 5, "pictures": 12}
    assert run("info", "-i", indexed / ".lookalike", "--json").json["dim"] == 5


def test_skipped_files_are_read_again_on_request(run: Run, gallery: Path, make_photos: MakePhotos) -> None:
    photos = make_photos(0)
    (photos / "bad.png").write_bytes(b"\xff" * 1000)
    make_picture(50, (1500, 1000)).save(photos / "large.jpg")
    run("index", photos, "-i", gallery, "--max-megapixels", 1)
    assert len(run("skipped", "-i", gallery, "--json").json["skipped"]) == 2
    document = run("retry", "-i", gallery, "--json").json
    assert document["added"] == 1
    assert [entry["reason"] for entry in document["skipped"]] == ["not an image"]
    done = run("retry", photos / "bad.png", "-i", gallery)
    assert "bad.png: not an image" in done.err
    assert run("retry", photos / "000.jpg", "-i", gallery).status == 2


def test_pictures_that_were_moved_keep_their_place_in_the_gallery(run: Run, gallery: Path, tmp_path: Path) -> None:
    old, new = tmp_path / "photos", tmp_path / "moved"
    assert run("relocate", old, new, "-i", gallery, "--dry-run", "--json").json == {"relocated": 12}
    assert "is not there" in run("relocate", old, new, "-i", gallery, "--dry-run").err
    old.rename(new)
    done = run("relocate", old, new, "-i", gallery)
    assert done.out.split() == ["relocated", "12"]
    assert done.err == ""
    document = run("index", "-i", gallery, "--json").json
    assert (document["added"], document["unchanged"], document["missing"]) == (0, 12, [])
    assert run("relocate", old, new, "-i", gallery).status == 2


def test_labels_and_blending_exclude_each_other(run: Run, labelled: Path) -> None:
    for blend in ("--blend", "--no-blend"):
        refused = run("adapt", "-i", labelled / ".lookalike", "--labels", labelled, blend)
        assert refused.status == 2
        assert "not blended" in refused.err


@pytest.mark.usefixtures("few_patches")
def test_a_gallery_is_adapted_to_labels_and_says_whether_it_helped(run: Run, labelled: Path) -> None:
    run("index", labelled, "-e", "patches")
    figures = run("adapt", "-i", labelled / ".lookalike", "--labels", labelled, "--json").json
    assert figures["adapted"] == (figures["with_labels"]["mAP"] > figures["without_labels"]["mAP"])
    shown = run("adapt", "-i", labelled / ".lookalike", "--labels", labelled)
    assert "with_labels" in shown.out
    assert "kept" in shown.err
