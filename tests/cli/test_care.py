"""Commands that look after a gallery, as scripts and people use them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Run

    MakePhotos = Callable[..., Path]


@pytest.fixture
def indexed(run: Run, make_photos: MakePhotos, tmp_path: Path) -> Path:
    """A gallery of 12 pictures, by the histogram encoder."""
    assert run("index", make_photos(12), "-i", tmp_path / "gallery", "-e", "histogram").status == 0
    return tmp_path / "gallery"


def damage(gallery: Path, picture: Path) -> None:
    """Overwrite some numbers of a picture's embedding."""
    database = gallery / "gallery.db"
    content = bytearray(database.read_bytes())
    embedding = content.rindex(hashlib.sha256(picture.read_bytes()).digest()) + 100
    content[embedding : embedding + 8] = b"\x12\x34" * 4
    database.write_bytes(content)


def hits(run: Run, gallery: Path, query: Path) -> list[object]:
    return [(hit["path"], hit["distance"]) for hit in run("search", query, "-i", gallery, "--json").json["hits"]]


def test_info_tells_sizes_counts_generation_and_folders(run: Run, indexed: Path, tmp_path: Path) -> None:
    document = run("info", "-i", indexed, "--json").json
    assert (document["pictures"], document["skipped"], document["adapts_at"]) == (12, 0, 50)
    assert document["generation"] > 0
    assert document["files"]["gallery.db"] > 10_000
    assert document["bytes"] == sum(document["files"].values())
    assert [root["path"] for root in document["roots"]] == [str(tmp_path / "photos")]
    table = run("info", "-i", indexed).out
    assert "size of gallery.db" in table
    assert str(tmp_path / "photos") in table


def test_damage_is_repaired_and_the_files_read_again(run: Run, indexed: Path, tmp_path: Path) -> None:
    before = hits(run, indexed, tmp_path / "photos" / "000.jpg")
    damage(indexed, tmp_path / "photos" / "003.jpg")
    done = run("verify", "-i", indexed)
    assert done.status == 1
    assert "verify --repair" in done.err
    document = run("verify", "--repair", "-i", indexed, "--json").json
    assert any("003.jpg" in problem for problem in document["problems"])
    assert document["kept"] == 11
    assert [path["path"] for path in document["lost"]] == [str(tmp_path / "photos" / "003.jpg")]
    assert (document["report"]["added"], document["report"]["unchanged"]) == (1, 11)
    assert document["aside"]["path"] == str(indexed / "gallery.db.damaged-1")
    assert (indexed / "gallery.db.damaged-1").exists()
    assert run("verify", "-i", indexed).status == 0
    assert hits(run, indexed, tmp_path / "photos" / "000.jpg") == before


def test_a_repair_says_what_it_did_and_does_nothing_to_a_sound_gallery(run: Run, indexed: Path, tmp_path: Path) -> None:
    assert "no problem" in run("verify", "--repair", "-i", indexed).out
    damage(indexed, tmp_path / "photos" / "003.jpg")
    done = run("verify", "--repair", "-i", indexed)
    assert done.status == 0
    assert done.out.splitlines()[-2:] == ["kept  lost  read again", "  11     1           1"]
    assert "gallery.db.damaged-1" in done.err


def test_a_database_beyond_repair_is_put_aside_and_the_way_out_told(run: Run, indexed: Path) -> None:
    (indexed / "gallery.db").write_bytes(b"\0" * 5000)
    done = run("verify", "--repair", "-i", indexed)
    assert done.status == 1
    assert "gallery.db.damaged-1" in done.err
    assert f"lookalike index PHOTOS -i {indexed}" in done.err
    assert (indexed / "gallery.db.damaged-1").read_bytes() == b"\0" * 5000


def test_an_exported_gallery_comes_back_elsewhere(run: Run, indexed: Path, tmp_path: Path) -> None:
    assert run("export", tmp_path / "copy", "-i", indexed, "--json").json == {"pictures": 12}
    assert run("export", tmp_path / "copy", "-i", indexed).status == 2
    assert run("import", tmp_path / "copy", "-i", tmp_path / "other", "--json").json == {"pictures": 12}
    assert run("import", tmp_path / "copy", "-i", tmp_path / "other").status == 2
    assert run("import", tmp_path / "copy", "-i", tmp_path / "other", "--force").status == 0
    query = tmp_path / "photos" / "000.jpg"
    assert hits(run, tmp_path / "other", query) == hits(run, indexed, query)


def test_an_import_without_a_place_is_for_the_current_folder(
    run: Run, indexed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("export", tmp_path / "copy", "-i", indexed)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert run("import", tmp_path / "copy").status == 0
    assert run("info", "--json").json["pictures"] == 12


def test_a_table_for_other_programs_is_written(run: Run, indexed: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `parquet` is not installed")
    assert run("export", "--parquet", tmp_path / "table", "-i", indexed, "--json").json == {"rows": 12}
    assert parquet.read_table(tmp_path / "table").num_rows == 12
    assert run("export", "-i", indexed).status == 2


def test_compacting_gives_room_back(run: Run, indexed: Path, make_photos: MakePhotos) -> None:
    photos = make_photos(200, "many", first=100)
    run("index", photos, "-i", indexed)
    run("remove", photos, "-i", indexed)
    document = run("compact", "-i", indexed, "--json").json
    assert document["bytes"] < document["bytes_before"] / 2  # the projection stays
    assert run("verify", "-i", indexed).status == 0
