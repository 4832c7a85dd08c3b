"""The cache beside the database: never wrong, never missed, never needed."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lookalike.adaptation.projection import fit_projection
from lookalike.store import Record, Space, Store, open_store
from lookalike.store.sqlite import vector_cache as cache
from lookalike.store.sqlite.store import SqliteStore
from lookalike.store.sqlite.tables import Tables
from lookalike.store.sqlite.vector_cache import Tuning
from tests.store.making import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SPACE = Space("test", "fingerprint", 16, "cosine", "test")
ROWS = np.random.default_rng(0).standard_normal((60, 16)).astype(np.float32)
TUNINGS = {"exact": Tuning(added=8), "lists": Tuning(approximate_from=30, added=8)}


def put(store: Store, numbers: range, first_row: int = 0) -> None:
    items = [Record(b"/%03d.jpg" % n, digest=b"%d" % (n + first_row)) for n in numbers]
    with store.writing():
        store.put(items, {b"%d" % (n + first_row): ROWS[(n + first_row) % 60] for n in numbers})


@pytest.fixture(params=list(TUNINGS))
def tuning(request: pytest.FixtureRequest) -> Tuning:
    return TUNINGS[request.param]


@pytest.fixture
def folder(tmp_path: Path, tuning: Tuning) -> Path:
    """A gallery that has been searched once, so that it has a cache."""
    store = SqliteStore(tmp_path, create=SPACE, tuning=tuning)
    put(store, range(40))
    with store.writing():
        store.set_projection(fit_projection([ROWS], 16, 8))
    nearest(store, ROWS[0], 5)
    store.close()
    return tmp_path


@pytest.fixture
def grown(folder: Path, tuning: Tuning) -> Path:
    """The same with pictures added, replaced and removed since, and searched again."""
    store = SqliteStore(folder, tuning=tuning)
    put(store, range(40, 44))
    put(store, range(5, 7), first_row=40)
    with store.writing():
        store.remove([20, 30])
    nearest(store, ROWS[0], 5)
    store.close()
    assert (folder / cache.MORE).exists()
    return folder


def answers(folder: Path, tuning: Tuning | None = None) -> list[list[tuple[int, float]]]:
    """All that is there by its distance from some queries: the same whether there are lists or not."""
    store = SqliteStore(folder, tuning=tuning)
    found = [nearest(store, row, 7, exact=True) for row in ROWS[::6]]
    for row, wanted in zip(ROWS[::6], (nearest(store, row, 60, exact=True) for row in ROWS[::6]), strict=True):
        assert set(nearest(store, row, 3)) <= set(wanted)
    store.close()
    return found


def without_cache(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[list[tuple[int, float]]]:
    copy = tmp_path_factory.mktemp("copy")
    shutil.copy(folder / "gallery.db", copy)
    return answers(copy)


def test_the_first_search_leaves_a_cache_and_answers_are_the_same_with_it(folder: Path, tuning: Tuning) -> None:
    assert (folder / cache.FILE).exists()
    with_cache = answers(folder, tuning)
    (folder / cache.FILE).unlink()
    assert answers(folder, tuning) == with_cache
    assert (folder / cache.FILE).exists()
    assert not list(folder.glob(f"{cache.FILE}.*"))


def test_what_a_killed_process_had_begun_to_write_is_taken_away(folder: Path, tuning: Tuning) -> None:
    old, new = (folder / f"part-{number:012x}-{cache.FILE}" for number in (1, 2))
    for left in (old, new):
        left.write_bytes(b"half")
    os.utime(old, (0, 0))
    (folder / cache.FILE).unlink()
    answers(folder, tuning)
    assert (old.exists(), new.exists()) == (False, True)


def unread(*_: object) -> object:
    raise AssertionError("the database was read")


def test_a_search_reads_the_cache_and_not_the_embeddings(
    grown: Path, tuning: Tuning, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(grown, tuning=tuning)
    monkeypatch.setattr(Tables, "embedded", unread)
    assert nearest(store, ROWS[3], 1)[0][0] == 4
    assert nearest(store, ROWS[42], 1)[0][0] == 43
    store.close()


def test_what_was_added_replaced_and_removed_since_is_all_that_is_read(
    folder: Path, tuning: Tuning, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(folder, tuning=tuning)
    base = (folder / cache.FILE).read_bytes()
    read: list[int] = []
    embedded = Tables.embedded

    def noted(self: Tables, ids: Sequence[int] | None = None) -> object:
        read.extend(ids or [-1])
        return embedded(self, ids)

    monkeypatch.setattr(Tables, "embedded", noted)
    put(store, range(40, 42))
    put(store, range(5, 6), first_row=40)
    with store.writing():
        store.remove([20])
    for row, id_ in ((40, 41), (41, 42), (45, 6), (18, 19)):
        assert nearest(store, ROWS[row], 1)[0][0] == id_
    assert 20 not in dict(nearest(store, ROWS[19], 41, exact=True))
    assert sorted(read) == [6, 20, 41, 42]
    read.clear()
    put(store, range(42, 43))
    assert nearest(store, ROWS[42], 1)[0][0] == 43
    assert read == [43]
    assert (folder / cache.FILE).read_bytes() == base
    store.close()


def test_what_has_grown_is_answered_as_if_made_anew(
    grown: Path, tuning: Tuning, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert answers(grown, tuning) == without_cache(grown, tmp_path_factory)


def test_when_much_was_added_or_removed_the_cache_is_made_anew(
    grown: Path, tuning: Tuning, tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = (grown / cache.FILE).read_bytes()
    store = SqliteStore(grown, tuning=tuning)
    put(store, range(44, 60))
    nearest(store, ROWS[0], 1)
    store.close()
    assert (grown / cache.FILE).read_bytes() != base
    assert answers(grown, tuning) == without_cache(grown, tmp_path_factory)


def test_a_gallery_that_has_become_large_enough_gets_lists(folder: Path) -> None:
    store = SqliteStore(folder, tuning=Tuning(approximate_from=41))
    assert not store.is_approximate or (folder / cache.FILE).stat().st_size > 0
    put(store, range(40, 42))
    assert store.is_approximate
    store.close()


@pytest.mark.parametrize("name", [cache.FILE, cache.MORE])
def test_a_stale_cache_is_not_read(grown: Path, tuning: Tuning, name: str) -> None:
    old = (grown / name).read_bytes()
    store = SqliteStore(grown, tuning=tuning)
    put(store, range(44, 60))
    assert nearest(store, ROWS[50], 1)[0][0] == 51
    store.close()
    (grown / name).write_bytes(old)
    store = SqliteStore(grown, tuning=tuning)
    assert nearest(store, ROWS[50], 1)[0][0] == 51
    store.close()


@pytest.mark.parametrize(
    "statement", ["DELETE FROM change", "UPDATE change SET id = 'x' WHERE id = 21", "UPDATE change SET id = id + 5"]
)
def test_nothing_rests_on_the_list_of_changes(folder: Path, tuning: Tuning, statement: str) -> None:
    """The rows must add up to the tally, or the cache is made anew."""
    store = SqliteStore(folder, tuning=tuning)
    with store.writing():
        store.remove([20, 21])
    store.close()
    db = sqlite3.connect(folder / "gallery.db")
    db.execute(statement)
    db.commit()
    db.close()
    store = SqliteStore(folder, tuning=tuning)
    assert not {20, 21} & set(dict(nearest(store, ROWS[20], 40, exact=True)))
    assert len(store._search.prepare()) == 38
    store.close()


def test_another_projection_is_another_cache(folder: Path, tuning: Tuning) -> None:
    before = answers(folder, tuning)
    store = SqliteStore(folder, tuning=tuning)
    with store.writing():
        store.set_projection(None)
    store.close()
    assert answers(folder, tuning) != before


def test_a_cache_of_another_gallery_is_not_read(
    folder: Path, tuning: Tuning, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    store = SqliteStore(other, create=SPACE, tuning=tuning)
    put(store, range(20, 60))
    with store.writing():
        store.set_projection(fit_projection([ROWS], 16, 8))
    store.close()
    expected = answers(other, tuning)
    shutil.copy(folder / cache.FILE, other / cache.FILE)
    assert answers(other, tuning) == expected


@pytest.mark.parametrize("name", [cache.FILE, cache.MORE])
def test_a_damaged_cache_is_made_anew_whatever_the_damage(grown: Path, tuning: Tuning, name: str) -> None:
    expected = answers(grown, tuning)
    sound = {file: (grown / file).read_bytes() for file in (cache.FILE, cache.MORE)}
    rng = np.random.default_rng(7)
    for _ in range(100):
        damaged = bytearray(sound[name])
        start = int(rng.integers(len(damaged)))
        kind = rng.integers(3)
        if kind == 0:
            damaged[start : start + 4] = rng.bytes(4)
        elif kind == 1:
            del damaged[start:]
        else:
            damaged[start:start] = rng.bytes(8)
        for file, content in sound.items():
            (grown / file).write_bytes(damaged if file == name else content)
        assert answers(grown, tuning) == expected


def test_damage_that_comes_to_light_in_mid_search_is_mended(folder: Path, tuning: Tuning) -> None:
    """Only rows are damaged, which are checked when they are used."""
    expected = answers(folder, tuning)
    content = bytearray((folder / cache.FILE).read_bytes())
    header = json.loads(content[content.rindex(b'{"state"') :])
    at = header["arrays"]["rows"]["offset"]
    content[at + 3] ^= 1
    (folder / cache.FILE).write_bytes(content)
    assert answers(folder, tuning) == expected
    assert (folder / cache.FILE).read_bytes() != bytes(content)


@pytest.mark.parametrize(
    "content", [b"", b"x", b"LKAL search cache 2\n", b"\n" * 100, b"LKAL search cache 1\n[]\n0000"]
)
def test_what_is_no_cache_is_not_read(folder: Path, tuning: Tuning, content: bytes) -> None:
    expected = answers(folder, tuning)
    (folder / cache.FILE).write_bytes(content)
    assert answers(folder, tuning) == expected


def test_a_cache_that_cannot_be_written_is_done_without(folder: Path, tuning: Tuning) -> None:
    expected = answers(folder, tuning)
    (folder / cache.FILE).unlink()
    (folder / cache.FILE).mkdir()
    assert answers(folder, tuning) == expected


def test_an_empty_gallery_and_a_euclidean_one_have_caches_too(tmp_path: Path) -> None:
    store = open_store(tmp_path, create=Space("test", "fingerprint", 16, "euclidean", "test"))
    assert nearest(store, ROWS[0], 3) == []
    store.close()
    store = open_store(tmp_path)
    assert nearest(store, ROWS[0], 3) == []
    put(store, range(5))
    first = nearest(store, ROWS[2], 5)
    store.close()
    store = open_store(tmp_path)
    assert nearest(store, ROWS[2], 5) == first
    store.close()
