"""What every store keeps of the pictures beside their embeddings: descriptions, and how far apart the pictures are."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lookalike.errors import Corrupt
from lookalike.images.description import DESCRIPTION_SIZE
from lookalike.search.unique import find_unique
from lookalike.store import Store, open_store
from lookalike.store.calibration import Calibration, to_json
from lookalike.store.sqlite.backup import restore
from lookalike.store.sqlite.repair import repair
from lookalike.store.sqlite.store import SqliteStore
from lookalike.store.sqlite.vector_cache import Tuning
from tests.store.making import digest, embedding, problems, put, record, space

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lookalike.store import Space

    Open = Callable[[Space | None], Store]


def description(content: int) -> bytes:
    return np.random.default_rng(content).integers(0, 256, DESCRIPTION_SIZE, np.uint8).tobytes()


def put_described(store: Store, contents: dict[bytes, int]) -> None:
    """One batch: every key with its content, described."""
    rows = {digest(content): embedding(content) for content in contents.values()}
    descriptions = {digest(content): description(content) for content in contents.values()}
    store.put([record(key, content) for key, content in contents.items()], rows, descriptions)


def listed(store: Store) -> dict[bytes, bytes]:
    """The description of each path."""
    found: dict[bytes, bytes] = {}
    paths = {one.id: one.path for one in store.scan()}
    for part in store.described():
        assert len(part.ids) == len(part.rows)
        found |= {paths[id_]: row.tobytes() for id_, row in zip(part.ids.tolist(), part.rows, strict=True)}
    one_by_one = store.descriptions(paths)
    assert {paths[id_]: some for id_, some in one_by_one.items()} == found
    return found


def test_descriptions_come_back_as_they_were_put(reopen: Open, store: Store) -> None:
    contents = {b"%02d" % n: n % 15 for n in range(20)}
    with store.writing():
        put_described(store, contents)
    wanted = {key: description(content) for key, content in contents.items()}
    assert listed(store) == wanted
    again = reopen(None)
    assert listed(again) == wanted
    again.close()


def test_pictures_without_a_description_are_left_out_until_they_get_one(store: Store) -> None:
    with store.writing():
        put(store, {b"%02d" % n: n for n in range(20)} | {b"skipped": None})
        assert listed(store) == {}
        put_described(store, {b"30": 30})
        assert listed(store) == {b"30": description(30)}
        store.put([record(b"07", 7)], {}, {digest(7): description(7)})
    assert listed(store) == {b"30": description(30), b"07": description(7)}
    assert problems(store) == []


def test_a_new_description_replaces_the_old_one(store: Store) -> None:
    with store.writing():
        put_described(store, {b"%02d" % n: n for n in range(14)})
        assert listed(store)[b"03"] == description(3)
        store.put([record(b"03", 3)], {}, {digest(3): description(99)})
    assert listed(store)[b"03"] == description(99)
    assert listed(store)[b"04"] == description(4)


def test_a_description_goes_with_the_last_picture_of_its_content(store: Store) -> None:
    with store.writing():
        put_described(store, {b"a": 1, b"b": 1, b"c": 2})
        store.remove([store.find([b"a"])[b"a"].id])
        assert listed(store) == {b"b": description(1), b"c": description(2)}
        store.remove([store.find([b"b"])[b"b"].id])
        put(store, {b"d": 1, b"e": 5})
        assert listed(store) == {b"c": description(2)}
    assert problems(store) == []


def test_descriptions_of_nothing_that_is_put_are_ignored(store: Store) -> None:
    with store.writing():
        store.put([record(b"a", 1)], {digest(1): embedding(1)}, {digest(2): description(2)})
        put(store, {b"b": 2})
    assert listed(store) == {}


def test_a_description_of_another_length_is_refused(store: Store) -> None:
    with store.writing(), pytest.raises(ValueError, match="287 bytes, expected 288"):
        store.put([record(b"a", 1)], {digest(1): embedding(1)}, {digest(1): bytes(287)})
    assert store.count() == (0, 0)


def test_descriptions_move_along_when_a_folder_is_renamed(store: Store) -> None:
    with store.writing():
        put_described(store, {b"/a/1": 1, b"/a/2": 2})
        store.rename(b"/a", b"/b")
    assert listed(store) == {b"/b/1": description(1), b"/b/2": description(2)}


def test_a_reader_keeps_seeing_the_descriptions_of_its_moment(reopen: Open, store: Store) -> None:
    with store.writing():
        put_described(store, {b"%02d" % n: n for n in range(14)})
    other = reopen(None)
    with store.reading():
        before = store.count()
        with other.writing():
            put_described(other, {b"99": 99})
        assert store.count() == before
        assert len(listed(store)) == 14
    assert len(listed(store)) == 15
    other.close()


def test_a_calibration_is_kept_as_it_is(reopen: Open, store: Store) -> None:
    assert store.calibration is None
    measured = np.random.default_rng(0).uniform(0, 1, (50, 10))
    wanted = Calibration.measure(50, "so", measured)
    with store.writing():
        store.set_calibration(wanted)
    again = reopen(None)
    assert again.calibration is not None
    assert to_json(again.calibration) == to_json(wanted)
    assert to_json(store.calibration) == to_json(wanted)
    with store.writing():
        store.set_calibration(None)
    assert again.calibration is None
    again.close()


def test_pairs_that_are_no_duplicates_are_kept(reopen: Open, store: Store) -> None:
    assert store.distinct == []
    with store.writing():
        store.set_distinct([(b"1" * 32, b"2" * 32)])
    again = reopen(None)
    assert again.distinct == store.distinct == [(b"1" * 32, b"2" * 32)]
    again.close()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A gallery in SQLite with descriptions, some of which are missing."""
    store = open_store(tmp_path / "gallery", create=space())
    with store.writing():
        put_described(store, {b"/p/%02d" % n: n for n in range(30)})
        put(store, {b"/p/40": 40})
        store.set_calibration(Calibration.measure(31, "", np.empty((0, 10))))
    store.close()
    return tmp_path / "gallery"


def _change(place: Path, statement: str) -> None:
    with closing(sqlite3.connect(place / "gallery.db")) as db:
        db.execute(statement)
        db.commit()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE description SET described = x'00' || substr(described, 2) WHERE id = 3",
        "UPDATE description SET described = x'00' WHERE id = 3",
        "UPDATE description SET described = 'text' WHERE id = 3",
        "UPDATE description SET crc = crc + 1 WHERE id = 3",
        "UPDATE description SET id = 31 WHERE id = 3",  # of a content that has none
        "UPDATE description SET id = 1000 WHERE id = 3",
    ],
)
def test_damaged_descriptions_are_found_and_given_up(place: Path, statement: str) -> None:
    _change(place, statement)
    store = open_store(place)
    assert [problem for problem in problems(store) if "description" in problem]
    if "1000" not in statement:
        with pytest.raises(Corrupt, match="description"):
            store.described()
    store.close()
    done = repair(place)
    assert (done.kept, done.lost) == (31, [])
    store = open_store(place)
    assert problems(store) == []
    assert len(listed(store)) == 29
    assert store.calibration is not None
    assert store.calibration.pictures == 31
    store.close()


def test_an_export_keeps_descriptions_and_calibration(place: Path, tmp_path: Path) -> None:
    store = SqliteStore(place)
    wanted = listed(store)
    store.backup(tmp_path / "copy.db")
    store.close()
    restore(tmp_path / "copy.db", tmp_path / "new" / "gallery")
    with closing(open_store(tmp_path / "new" / "gallery")) as again:
        assert listed(again) == wanted
        assert again.calibration is not None
        assert again.calibration.pictures == 31


def test_compacting_keeps_the_descriptions_that_are_needed(place: Path) -> None:
    store = SqliteStore(place)
    wanted = listed(store)
    with store.writing():
        store.remove([1, 2])
        store.compact()
    assert len(listed(store)) == len(wanted) - 2
    assert problems(store) == []
    store.close()


def test_a_gallery_of_an_older_format_gains_a_place_for_descriptions(place: Path) -> None:
    store = open_store(place)
    paths = [one.path for one in store.scan()]
    store.close()
    _change(place, "DROP TABLE description")
    _change(place, "DELETE FROM meta WHERE key = 'calibration'")
    _change(place, "PRAGMA user_version = 4")
    store = open_store(place)
    assert [one.path for one in store.scan()] == paths
    assert (store.calibration, listed(store), problems(store)) == (None, {}, [])
    with store.writing():
        put_described(store, {b"/p/03": 3})
    assert listed(store) == {b"/p/03": description(3)}
    store.close()


def test_a_damaged_cache_of_descriptions_is_made_again(place: Path) -> None:
    tuning = Tuning(columns_from=1)
    store = SqliteStore(place, tuning=tuning)
    wanted = listed(store)
    store.close()
    cache = place / "described.cache"
    for content in (b"", b"x", cache.read_bytes()[:-1], bytes(len(cache.read_bytes()))):
        cache.write_bytes(content)
        store = SqliteStore(place, tuning=tuning)
        assert listed(store) == wanted
        store.close()
    spoilt = bytearray(cache.read_bytes())
    spoilt[len(spoilt) // 2] ^= 1
    cache.write_bytes(spoilt)
    store = SqliteStore(place, tuning=tuning)
    assert listed(store) == wanted
    store.close()


def test_hits_that_look_alike_count_once_in_every_store(store: Store) -> None:
    contents = {b"%02d" % n: n for n in range(6)}
    descriptions = {digest(n): description(n) for n in range(6)}
    first = bytearray(description(0))
    first[0] ^= 0b111  # three bits of the hash, and other tones of some colours
    first[40:44] = bytes(4)
    descriptions[digest(4)] = bytes(first)
    del descriptions[digest(5)]
    with store.writing():
        rows = {digest(content): embedding(content) for content in contents.values()}
        store.put([record(key, content) for key, content in contents.items()], rows, descriptions)
    near = store.search(embedding(0)[None], 6)[0]
    ids = {one.path: one.id for one in store.scan()}
    found = find_unique(store, near[:2], set(), 6, lambda k: near[:k])
    assert found == [pair for pair in near if pair[0] != ids[b"04"]]
    with store.writing():
        store.set_distinct([(digest(4), digest(0))])
    assert find_unique(store, near, set(), 6, lambda k: near[:k]) == near
