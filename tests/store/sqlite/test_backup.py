"""A gallery as one file, and a gallery from it."""

from __future__ import annotations

import os
import shutil
import sqlite3
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lookalike.errors import Corrupt, DiskFull, NewerFormat, StoreBusy, StoreError, UsageError
from lookalike.store import open_store
from lookalike.store.concepts import Concept
from lookalike.store.rows import checksum
from lookalike.store.sqlite import schema as layout
from lookalike.store.sqlite.backup import export, restore
from tests.store.child import answer
from tests.store.making import embedding, put, space
from tests.store.sqlite.test_faults import go, largest_file, line, started, step_through

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    step_through(tmp_path / "gallery", 30).close()
    return tmp_path / "gallery"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_comes_back_answers_as_what_was_exported(place: Path, tmp_path: Path) -> None:
    pictures = export(place, tmp_path / "copy.lookalike")
    assert restore(tmp_path / "copy.lookalike", tmp_path / "other") == pictures > 0
    assert answer(str(tmp_path / "other")) == answer(str(place))
    assert names(tmp_path) == {"gallery", "copy.lookalike", "other"}


def test_a_copy_is_of_one_moment_while_another_process_writes(tmp_path: Path) -> None:
    place = tmp_path / "gallery"
    open_store(place, create=space()).close()
    sizes = set()
    with started("batches", place, 60) as process:
        line(process)
        while process.poll() is None:
            sizes.add(export(place, tmp_path / "copy", force=True))
    assert process.returncode == 0
    assert not any(size % 50 for size in sizes)
    assert len(sizes) > 1


def test_a_copy_holds_what_is_still_in_the_log_of_a_killed_writer(tmp_path: Path) -> None:
    place = tmp_path / "gallery"
    with started("steps", place) as process:
        while line(process) != "40":
            pass
        process.kill()
    shutil.copytree(place, tmp_path / "left")
    export(place, tmp_path / "copy")
    restore(tmp_path / "copy", tmp_path / "other")
    assert answer(str(tmp_path / "other")) == answer(str(tmp_path / "left"))


def test_nothing_is_replaced_without_being_told(place: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").write_bytes(b"precious")
    with pytest.raises(UsageError, match="already") as there:
        export(place, tmp_path / "copy")
    assert "--force" in there.value.hint
    assert (tmp_path / "copy").read_bytes() == b"precious"
    export(place, tmp_path / "copy", force=True)
    step_through(tmp_path / "other", 10).close()
    before = answer(str(tmp_path / "other"))
    with pytest.raises(UsageError, match="already"):
        restore(tmp_path / "copy", tmp_path / "other")
    assert answer(str(tmp_path / "other")) == before
    restore(tmp_path / "copy", tmp_path / "other", force=True)
    assert answer(str(tmp_path / "other")) == answer(str(place))


def test_nothing_of_the_gallery_that_was_there_gets_into_the_new_one(place: Path, tmp_path: Path) -> None:
    export(place, tmp_path / "copy")
    other = tmp_path / "other"
    with started("steps", other) as process:
        while line(process) != "80":
            pass
        process.kill()
    assert (other / "gallery.db-wal").exists()
    restore(tmp_path / "copy", other, force=True)
    assert answer(str(other)) == answer(str(place))


def test_a_damaged_gallery_is_not_exported_and_a_damaged_file_not_imported(place: Path, tmp_path: Path) -> None:
    export(place, tmp_path / "copy")
    for database in (place / "gallery.db", tmp_path / "copy"):
        db = sqlite3.connect(database)
        db.execute("UPDATE content SET embedding = zeroblob(length(embedding))")
        db.commit()
        db.close()
    with pytest.raises(Corrupt, match=r"gallery\.db"):
        export(place, tmp_path / "second")
    with pytest.raises(Corrupt, match="copy"):
        restore(tmp_path / "copy", tmp_path / "other")
    assert not (tmp_path / "second").exists()
    assert not (tmp_path / "other").exists()


def test_what_is_no_export_is_refused(place: Path, tmp_path: Path) -> None:
    (tmp_path / "picture.jpg").write_bytes(b"\xff\xd8\xff" * 1000)
    with pytest.raises(UsageError, match=r"picture\.jpg is not an exported gallery"):
        restore(tmp_path / "picture.jpg", tmp_path / "other")
    (tmp_path / "empty").mkdir()
    for no_file in (tmp_path / "empty", tmp_path / "nowhere"):
        with pytest.raises(UsageError, match="not a file"):
            restore(no_file, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_the_folder_of_a_gallery_is_restored_like_an_export(place: Path, tmp_path: Path) -> None:
    restore(place, tmp_path / "other")
    assert answer(str(tmp_path / "other")) == answer(str(place))


def test_an_export_of_another_version_is_brought_up_to_date_or_refused(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(place, tmp_path / "copy")
    with monkeypatch.context() as newer:
        newer.setattr(layout, "MIGRATIONS", (*layout.MIGRATIONS, "CREATE TABLE note (id)"))
        restore(tmp_path / "copy", tmp_path / "new")
        assert answer(str(tmp_path / "new")) == answer(str(place))
        export(tmp_path / "new", tmp_path / "new copy")
    assert names(tmp_path / "new") - {"search.cache", "facts.cache", "put.cache"} == {"gallery.db", "writer.lock"}
    with pytest.raises(NewerFormat):
        restore(tmp_path / "new copy", tmp_path / "old")


def test_the_files_that_go_with_a_gallery_go_with_its_copy(place: Path, tmp_path: Path) -> None:
    (place / "patches").mkdir()
    (place / "patches" / "model.onnx").write_bytes(b"a model" * 9999)
    export(place, tmp_path / "copy", beside=["patches/model.onnx"])
    restore(tmp_path / "copy", tmp_path / "other")
    assert (tmp_path / "other" / "patches" / "model.onnx").read_bytes() == b"a model" * 9999
    assert answer(str(tmp_path / "other")) == answer(str(place))
    assert (tmp_path / "other" / "gallery.db").stat().st_size == (place / "gallery.db").stat().st_size


@pytest.mark.parametrize(
    "name", ["../outside", "/tmp/outside", "a/../../outside", "gallery.db", "a/b/c", ".a/b", "a/", ""]
)
def test_nothing_is_written_outside_of_the_gallery(place: Path, tmp_path: Path, name: str) -> None:
    (place / "a").mkdir()
    (place / "a" / "b").write_bytes(b"content")
    export(place, tmp_path / "copy", beside=["a/b"])
    db = sqlite3.connect(tmp_path / "copy")
    db.execute("UPDATE beside SET name = ?, crc = ?", (name, checksum(name.encode(), b"content")))
    db.commit()
    db.close()
    with pytest.raises(Corrupt):
        restore(tmp_path / "copy", tmp_path / "other")
    assert names(tmp_path / "other") <= {"writer.lock"}
    assert names(tmp_path) == {"gallery", "copy", "other"}


def test_nothing_is_imported_under_a_writer(place: Path, tmp_path: Path) -> None:
    export(place, tmp_path / "copy")
    with started("hold", place) as process:
        assert line(process) == "held"
        with pytest.raises(StoreBusy, match=str(process.pid)):
            restore(tmp_path / "copy", place, force=True)
        go(process)


def test_a_full_disk_leaves_neither_a_copy_nor_a_gallery(place: Path, tmp_path: Path) -> None:
    export(place, tmp_path / "copy")
    with largest_file(60_000):
        with pytest.raises(DiskFull):
            export(place, tmp_path / "second")
        with pytest.raises(DiskFull):
            restore(tmp_path / "copy", tmp_path / "other")
    assert not (tmp_path / "second").exists()
    assert not (tmp_path / "other").exists()


def test_a_store_that_is_open_while_it_is_replaced_writes_to_neither(place: Path, tmp_path: Path) -> None:
    export(place, tmp_path / "copy")
    store = open_store(place)
    restore(tmp_path / "copy", place, force=True)
    with pytest.raises(StoreError, match="replaced"), store.writing():
        put(store, {b"lost": 1})
    store.close()
    assert os.listdir(place)
    assert answer(str(place))[1][0] == export(place, tmp_path / "again")  # type: ignore[index]


def test_taught_concepts_go_with_a_copy(place: Path, tmp_path: Path) -> None:
    store = open_store(place)
    with store.writing():
        store.set_concepts([Concept("Our boat", embedding(1)[None], embedding(2)[None])])
    store.close()
    export(place, tmp_path / "copy.lookalike")
    restore(tmp_path / "copy.lookalike", tmp_path / "other")
    other = open_store(tmp_path / "other")
    assert [concept.name for concept in other.concepts.values()] == ["Our boat"]
    np.testing.assert_array_equal(other.concepts["our boat"].unlike, embedding(2)[None])
    other.close()
