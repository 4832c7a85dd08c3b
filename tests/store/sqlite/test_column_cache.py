"""The files that filters look at: never wrong, never missed, never needed; nothing where none is used."""

from __future__ import annotations

import json
import shutil
import sqlite3
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lookalike.errors import Corrupt
from lookalike.store import Record, Store, open_store
from lookalike.store.sqlite import vector_cache as cache
from lookalike.store.sqlite.cache_files import Tuning
from lookalike.store.sqlite.column_cache import FILES
from lookalike.store.sqlite.store import SqliteStore
from lookalike.store.sqlite.tables import Tables
from tests.store.making import DIM, columns_of, listed, nearest, space, wanted_columns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BASE, MORE = FILES
TUNING = Tuning(columns_from=10, added=12)
KEYS = [b"/photos/%d/IMG_%d.jpg", b"/photos/\xff/%d,%d", b"/%d\n%d", b"no slash %d-%d", b"/photos/%d/%d/"]
CAMERAS = [None, "one", "\u00e9", "a\0b\n", ""]


def put(store: Store, numbers: range, *, version: int = 0, digest: bytes | None = b"same") -> None:
    """Items of every kind there is; another version has other fields."""
    items = []
    for n in numbers:
        size, mtime_ns = (1000 * n + version, (1_700_000_000 + n) * 10**9) if n % 6 else (None, None)
        item = Record(KEYS[n % 5] % (n, n), size, mtime_ns, digest, 100 + n % 7 + version)
        taken_at = datetime(2024, 5, 1 + n % 9, tzinfo=[None, UTC][n % 2]) if n % 4 == 0 else None
        items.append(item._replace(format=["JPEG", "PNG", None][n % 3], camera=CAMERAS[n % 5], taken_at=taken_at))
    with store.writing():
        store.put(items, {digest: np.ones(DIM, np.float32)} if digest and not store.known([digest]) else {})


def columns(folder: Path, tuning: Tuning = TUNING) -> dict[int, tuple[Any, ...]]:
    store = SqliteStore(folder, tuning=tuning)
    try:
        return listed(columns_of(store))
    finally:
        store.close()


def wanted(folder: Path) -> dict[int, tuple[Any, ...]]:
    store = open_store(folder)
    try:
        return wanted_columns(store)
    finally:
        store.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A gallery whose columns have been asked for."""
    place = tmp_path / "gallery"
    store = SqliteStore(place, create=space(), tuning=TUNING)
    put(store, range(40))
    put(store, range(40, 43), digest=None)
    columns_of(store)
    store.close()
    return place


@pytest.fixture
def grown(folder: Path) -> Path:
    """The same with items added, replaced and removed since, two that have lost their embedding; asked again."""
    store = SqliteStore(folder, tuning=TUNING)
    put(store, range(50, 53))
    put(store, range(5, 7), version=9)
    put(store, range(8, 10), digest=None)
    with store.writing():
        store.remove([20, 30])
    columns_of(store)
    store.close()
    assert (folder / MORE).exists()
    return folder


def unread(*_: object) -> object:
    raise AssertionError("the database was read")


def test_a_gallery_whose_columns_nobody_asks_for_has_no_files_for_them(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path, create=space(), tuning=TUNING)
    put(store, range(40))
    nearest(store, np.ones(DIM, np.float32), 3)
    store.close()
    assert not {BASE, MORE} & {file.name for file in tmp_path.iterdir()}


def test_nor_has_a_small_one(folder: Path, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "small", create=space(), tuning=TUNING)
    put(store, range(9))
    assert listed(columns_of(store)) == wanted_columns(store)
    store.close()
    assert not (tmp_path / "small" / BASE).exists()
    assert (folder / BASE).exists()


def test_columns_are_what_the_items_are(grown: Path) -> None:
    assert len(wanted(grown)) == 39
    assert columns(grown) == wanted(grown)
    for file in FILES:
        (grown / file).unlink()
    assert columns(grown) == wanted(grown)
    assert not list(grown.glob(f"{BASE}.*"))


def test_they_come_from_the_files(grown: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = wanted(grown)
    store = SqliteStore(grown, tuning=TUNING)
    monkeypatch.setattr(Tables, "rows", unread)
    monkeypatch.setattr(Tables, "with_embedding", unread)
    assert listed(columns_of(store)) == expected
    assert columns_of(store) is columns_of(store)
    store.close()


def test_what_was_added_replaced_and_removed_since_is_all_that_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(folder, tuning=TUNING)
    base = (folder / BASE).read_bytes()
    read: list[int] = []
    with_embedding = Tables.with_embedding

    def noted(self: Tables, ids: Sequence[int] | None = None) -> object:
        read.extend([-1] if ids is None else ids)
        return with_embedding(self, ids)

    monkeypatch.setattr(Tables, "with_embedding", noted)
    put(store, range(50, 52))
    put(store, range(5, 6), version=9)
    with store.writing():
        store.remove([20])
    assert listed(columns_of(store)) == wanted_columns(store)
    assert sorted(read) == [6, 20, 44, 45]
    read.clear()
    put(store, range(52, 53))
    assert listed(columns_of(store)) == wanted_columns(store)
    assert read == [46]
    assert (folder / BASE).read_bytes() == base
    store.close()


def test_a_folder_that_was_moved_has_its_new_path(grown: Path) -> None:
    store = SqliteStore(grown, tuning=TUNING)
    with store.writing():
        assert store.rename(b"/photos", b"/new\xff") > 20
    assert listed(columns_of(store)) == wanted_columns(store)
    assert not any(folder.startswith("/photos") for folder, *_ in listed(columns_of(store)).values())
    store.close()


def test_when_much_was_added_or_removed_the_first_file_is_made_anew(grown: Path) -> None:
    base = (grown / BASE).read_bytes()
    store = SqliteStore(grown, tuning=TUNING)
    put(store, range(60, 80))
    assert listed(columns_of(store)) == wanted_columns(store)
    added = (grown / BASE).read_bytes()
    assert added != base
    with store.writing():
        store.remove(range(30))
    assert listed(columns_of(store)) == wanted_columns(store)
    assert (grown / BASE).read_bytes() != added
    store.close()


def test_an_item_that_changes_over_and_over_takes_no_more_room(folder: Path) -> None:
    store = SqliteStore(folder, tuning=TUNING)
    sizes = []
    for version in range(1000, 1010):
        put(store, range(5, 6), version=version)
        assert listed(columns_of(store)) == wanted_columns(store)
        sizes.append((folder / MORE).stat().st_size)
    store.close()
    assert max(sizes) - min(sizes) < 64


@pytest.mark.parametrize(
    "statement", ["DELETE FROM change", "UPDATE change SET id = 'x' WHERE id = 21", "UPDATE change SET id = id + 5"]
)
def test_nothing_rests_on_the_list_of_changes(folder: Path, statement: str) -> None:
    store = SqliteStore(folder, tuning=TUNING)
    with store.writing():
        store.remove([20, 21])
    put(store, range(30, 31), version=9)
    store.close()
    db = sqlite3.connect(folder / "gallery.db")
    db.execute(statement)
    db.commit()
    db.close()
    assert columns(folder) == wanted(folder)


@pytest.mark.parametrize("name", FILES)
def test_stale_files_are_not_read(grown: Path, name: str) -> None:
    old = (grown / name).read_bytes()
    store = SqliteStore(grown, tuning=TUNING)
    put(store, range(60, 80))
    columns_of(store)
    put(store, range(80, 82))
    columns_of(store)
    store.close()
    (grown / name).write_bytes(old)
    assert columns(grown) == wanted(grown)


def test_nor_are_those_of_another_gallery_or_of_rows(grown: Path, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "other", create=space(), tuning=TUNING)
    put(store, range(20, 80))
    nearest(store, np.ones(DIM, np.float32), 3)
    store.close()
    for file in FILES:
        shutil.copy(grown / file, tmp_path / "other" / file)
    assert columns(tmp_path / "other") == wanted(tmp_path / "other")
    shutil.copy(tmp_path / "other" / cache.FILE, tmp_path / "other" / BASE)
    assert columns(tmp_path / "other") == wanted(tmp_path / "other")


def _arrays(content: bytes) -> list[int]:
    """Where arrays begin, the header, and the start of the file."""
    at = content.rindex(b'{"state"')
    return [0, 30, at, *(place["offset"] for place in json.loads(content[at:])["arrays"].values())]


@pytest.mark.parametrize("name", FILES)
def test_damaged_files_are_made_anew_whatever_the_damage(grown: Path, name: str) -> None:
    expected = wanted(grown)
    sound = {file: (grown / file).read_bytes() for file in FILES}
    rng = np.random.default_rng(7)
    places = [*_arrays(sound[name]), *rng.integers(len(sound[name]), size=100).tolist()]
    for place in places:
        for kind in range(4):
            damaged = bytearray(sound[name])
            if kind == 0:
                damaged[place] ^= 1 << int(rng.integers(8))
            elif kind == 1:
                damaged[place : place + 4] = rng.bytes(4)
            elif kind == 2:
                del damaged[place:]
            else:
                damaged[place:place] = rng.bytes(8)
            for file, content in sound.items():
                (grown / file).write_bytes(damaged if file == name else content)
            assert columns(grown) == expected


@pytest.mark.parametrize("content", [b"", b"x", b"LKAL search cache 2\n", b"\n" * 100])
def test_what_is_no_such_file_is_not_read(folder: Path, content: bytes) -> None:
    (folder / BASE).write_bytes(content)
    assert columns(folder) == wanted(folder)
    assert (folder / BASE).read_bytes() != content


def test_files_that_cannot_be_written_are_done_without(folder: Path) -> None:
    (folder / BASE).unlink()
    (folder / BASE).mkdir()
    assert columns(folder) == wanted(folder)


def test_what_another_process_wrote_is_known_at_once(folder: Path) -> None:
    reader, writer = (SqliteStore(folder, tuning=TUNING) for _ in range(2))
    columns_of(reader)
    with reader.reading():
        before = listed(columns_of(reader))
        put(writer, range(50, 53))
        assert listed(columns_of(reader)) == before
    assert listed(columns_of(reader)) == wanted_columns(writer) != before
    reader.close()
    writer.close()


@pytest.mark.parametrize(
    "change", ["DELETE FROM item", "UPDATE item SET camera = 'other'", "UPDATE item SET key = 'x'"]
)
def test_a_damaged_database_gives_an_error_or_what_is_in_the_files(folder: Path, change: str) -> None:
    expected = wanted(folder)
    db = sqlite3.connect(folder / "gallery.db")
    db.execute(f"{change} WHERE id = 3")
    db.commit()
    db.close()
    assert columns(folder) == expected
    (folder / BASE).unlink()
    with pytest.raises(Corrupt):
        columns(folder)
    assert not (folder / BASE).exists()


def test_an_empty_gallery_has_columns_too(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path, create=space(), tuning=Tuning(columns_from=0))
    assert listed(columns_of(store)) == {}
    put(store, range(3))
    assert listed(columns_of(store)) == wanted_columns(store)
    store.close()
    assert columns(tmp_path, Tuning(columns_from=0)) == wanted(tmp_path)
