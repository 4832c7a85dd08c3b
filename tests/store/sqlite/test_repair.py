"""What is sound of a damaged gallery is saved; what is damaged is put aside."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest

from lookalike.adaptation.projection import fit_blends, fit_projection
from lookalike.errors import Corrupt, NewerFormat, NoGallery, StoreBusy, StoreError
from lookalike.store import Maintained, open_store
from lookalike.store.concepts import Concept
from lookalike.store.sqlite.repair import repair
from tests.store.child import damage
from tests.store.making import DIM, embedding, nearest, problems, put, space

if TYPE_CHECKING:
    from pathlib import Path

    from lookalike.store import Record, Store

COUNT = 1000  # items: six pages of them
CONTENTS = {b"/photos/%03d" % n: n % 600 if n % 10 else None for n in range(COUNT)}
ROOTS = {b"/photos": {"exclude": ["x"]}}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("sound") / "gallery"
    store = open_store(place, create=space())
    with store.writing():
        put(store, CONTENTS)
        store.set_roots(ROOTS)
        store.set_projection(fit_projection((rows for _, rows in store.embeddings()), DIM, 5))
    store.close()
    return place


@pytest.fixture
def place(sound: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return shutil.copytree(sound, tmp_path / "gallery")


def run(place: Path, *statements: str) -> None:
    db = sqlite3.connect(place / "gallery.db")
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()


def _root(path: Path, table: str) -> int:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return int(db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0])


def _children(data: bytes, number: int) -> list[int]:
    """Pages below an interior page of a tree: https://sqlite.org/fileformat2.html section 1.6."""
    page = data[(number - 1) * 16384 : number * 16384]
    count = int.from_bytes(page[3:5], "big")
    cells = [int.from_bytes(page[at : at + 2], "big") for at in range(12, 12 + 2 * count, 2)]
    return [int.from_bytes(page[at : at + 4], "big") for at in cells]


def state(store: Store) -> dict[bytes, Record]:
    return {item.path: item for item in store.scan()}


def assert_part_of_the_sound_one(place: Path, sound: Path) -> int:
    """Sound, and everything in it is as it was; how many items."""
    store, whole = open_store(place), open_store(sound)
    assert problems(store) == []
    kept, before = state(store), state(whole)
    assert kept.items() <= before.items()
    rows = {int(id_): row.tobytes() for ids, some in whole.embeddings() for id_, row in zip(ids, some, strict=True)}
    for ids, some in store.embeddings():
        assert all(rows[int(id_)] == row.tobytes() for id_, row in zip(ids, some, strict=True))
    assert store.space == whole.space
    nearest(store, embedding(1), 5)
    store.close()
    whole.close()
    return len(kept)


def test_nothing_is_done_to_a_sound_gallery(place: Path) -> None:
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    assert repair(place).problems == []
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before


def test_bad_rows_are_dropped_and_named_and_all_others_kept(place: Path, sound: Path) -> None:
    run(
        place,
        "UPDATE content SET embedding = zeroblob(length(embedding)) WHERE id = 3",
        "UPDATE item SET camera = 'other' WHERE id = 9",
        "UPDATE item SET format = CAST(x'ff' AS TEXT) WHERE id IN (20, 60)",
        "UPDATE item SET crc = 'text', key = 'text' WHERE id = 30",
        "DELETE FROM content WHERE id = 5",
    )
    done = repair(place)
    assert done.problems != []
    assert done.aside == place / "gallery.db.damaged-1"
    # Of 600 contents no more than two items each have one; the key of one item cannot be told.
    assert {b"/photos/008", b"/photos/019", b"/photos/059"} <= set(done.lost)
    assert 3 + 2 <= len(done.lost) <= 3 + 2 * 2
    assert assert_part_of_the_sound_one(place, sound) == done.kept == COUNT - 1 - len(done.lost)
    store = open_store(place)
    assert store.roots == ROOTS
    assert store.projection is not None
    store.close()
    assert repair(place).problems == []


@pytest.mark.parametrize(
    ("statement", "is_kept"),
    [
        ("DELETE FROM meta WHERE key = 'tally'", True),
        ("UPDATE meta SET value = '1' WHERE key = 'generation'", True),
        ("UPDATE meta SET crc = 1 WHERE key = 'next_id'", True),
        ("UPDATE meta SET crc = 1 WHERE key = 'projection.mean'", False),
        ("DELETE FROM meta WHERE key = 'projection'", False),
    ],
)
def test_small_entries_are_made_anew(place: Path, sound: Path, statement: str, *, is_kept: bool) -> None:
    whole = open_store(sound)
    run(place, statement)
    assert repair(place).kept == COUNT
    assert assert_part_of_the_sound_one(place, sound) == COUNT
    store = open_store(place)
    assert (store.projection is not None) == is_kept
    assert store.generation > whole.generation or "generation" in statement
    with store.writing():
        put(store, {b"new": 1})
    assert store.find([b"new"])[b"new"].id == COUNT + 1
    store.close()
    whole.close()


def test_a_projection_from_before_there_were_blends_is_kept(place: Path) -> None:
    run(place, "DELETE FROM meta WHERE key = 'projection.blends'", "DELETE FROM meta WHERE key = 'tally'")
    assert repair(place).kept == COUNT
    store = open_store(place)
    assert store.projection is not None
    store.close()


@pytest.mark.parametrize("statement", ["DELETE FROM meta", "UPDATE meta SET crc = 1"])
def test_a_projection_whose_blends_are_lost_is_lost(place: Path, statement: str) -> None:
    store = open_store(place)
    assert store.projection is not None
    with store.writing():
        rows = (rows for _, rows in store.embeddings())
        store.set_projection(fit_blends(store.projection, rows, [True], smoothed=[3], whitened=[4]))
    store.close()
    run(place, f"{statement} WHERE key = 'projection.blends'")
    assert repair(place).kept == COUNT
    store = open_store(place)
    assert store.projection is None
    store.close()


@pytest.mark.parametrize(("table", "least", "most"), [("item", COUNT // 2, COUNT - 100), ("item_digest", COUNT, COUNT)])
def test_a_damaged_page_costs_what_was_on_it(place: Path, sound: Path, table: str, least: int, most: int) -> None:
    """The rows behind it are read from the other end; an index is made anew."""
    path = place / "gallery.db"
    data = bytearray(path.read_bytes())
    pages = _children(bytes(data), _root(path, table))
    page = pages[len(pages) // 2] - 1  # in the middle of the table, or of its index
    data[page * 16384 : (page + 1) * 16384] = random.Random(1).randbytes(16384)
    path.write_bytes(data)
    done = repair(place)
    assert least <= done.kept <= most
    assert assert_part_of_the_sound_one(place, sound) == done.kept


def test_what_is_too_damaged_is_put_aside_with_the_command_that_makes_it_anew(place: Path) -> None:
    (place / "gallery.db").write_bytes(b"\0" * 100_000)
    for number in (1, 2):
        with pytest.raises(Corrupt, match=f"gallery.db.damaged-{number}") as lost:
            repair(place)
        assert f"lookalike index PHOTOS -i {place}" in lost.value.hint
        assert (place / f"gallery.db.damaged-{number}").stat().st_size == 100_000
        assert not (place / "gallery.db").exists()
        (place / "gallery.db").write_bytes(b"\0" * 100_000)
    (place / "gallery.db").unlink()
    open_store(place, create=space()).close()


def test_what_is_no_gallery_of_ours_is_left_alone(place: Path) -> None:
    run(place, "PRAGMA user_version = 99")
    with pytest.raises(NewerFormat):
        repair(place)
    (place / "gallery.db").unlink()
    with pytest.raises(NoGallery):
        repair(place)
    run(place, "CREATE TABLE other (id)")
    before = (place / "gallery.db").read_bytes()
    with pytest.raises(StoreError, match="another program"):
        repair(place)
    assert (place / "gallery.db").read_bytes() == before
    assert list(place.glob("*damaged*")) == []


def test_nothing_is_repaired_under_a_writer(place: Path) -> None:
    run(place, "DELETE FROM item WHERE id = 3")
    store = open_store(place)
    with store.writing(), pytest.raises(StoreBusy, match=str(os.getpid())):
        repair(place)
    store.close()
    assert repair(place).kept == COUNT - 1


def test_whatever_is_damaged_the_end_is_a_sound_part_or_the_file_put_aside(sound: Path, tmp_path: Path) -> None:
    outcomes = set()
    for seed in range(60):
        place = shutil.copytree(sound, tmp_path / f"gallery{seed}")
        what = damage(place, random.Random(seed))
        before = (place / "gallery.db").exists()
        try:
            done = repair(place)
        except NoGallery:
            assert not before, what
            continue
        except Corrupt:
            assert list(place.glob("*damaged-1")) != [], what
            outcomes.add("aside")
            continue
        outcomes.add("mended" if done.problems else "sound")
        assert assert_part_of_the_sound_one(place, sound) >= 0
        shutil.rmtree(place)
    assert outcomes == {"aside", "mended", "sound"}


def test_the_sound_ones_of_the_taught_concepts_are_saved_and_the_damaged_one_is_named(place: Path) -> None:
    store = open_store(place)
    with store.writing():
        rows = embedding(1)[None]
        store.set_concepts([Concept("boat", rows, rows[:0]), Concept("dog", 2 * rows, rows)])
    store.close()
    run(place, "UPDATE meta SET crc = crc + 1 WHERE key = 'concept dog'")
    store = open_store(place)
    assert "concept dog" in " ".join(store.verify() if isinstance(store, Maintained) else [])
    with pytest.raises(Corrupt, match="dog"):
        _ = store.concepts
    store.close()
    assert "dog" in " ".join(repair(place).problems)
    store = open_store(place)
    assert list(store.concepts) == ["boat"]
    assert problems(store) == []
    store.close()


@pytest.mark.parametrize("entry", ["calibration", "distinct", "next_id", "projection", "roots", "tally"])
def test_an_entry_that_is_missing_is_found_and_put_back(place: Path, entry: str) -> None:
    run(place, f"DELETE FROM meta WHERE key = '{entry}'")
    found = repair(place)
    assert any(f"the entry '{entry}' is missing" in problem for problem in found.problems)
    assert found.kept == COUNT
    assert repair(place).problems == []
    store = open_store(place)
    assert (store.distinct, store.calibration) == ([], None)
    assert problems(store) == []
    store.close()
