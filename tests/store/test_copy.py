"""A copy holds what was copied, whatever the stores are."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lookalike.adaptation.projection import fit_projection
from lookalike.errors import Corrupt, EncoderMismatch, UsageError
from lookalike.store import Record, Store, open_store
from lookalike.store.calibration import Calibration
from lookalike.store.concepts import Concept
from lookalike.store.copy import copy_store
from tests.engines import marks_of, milvus_galleries
from tests.store.making import DIM, STORES, digest, embedding, nearest, problems, put, space
from tests.store.test_descriptions import description

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAIRS = [
    ("sqlite", "memory"),
    ("sqlite", "sqlite in lists"),
    ("sqlite", "postgresql indexed"),
    ("postgresql indexed", "sqlite"),
    ("memory", "postgresql"),
    ("sqlite", "milvus"),
    ("milvus", "memory"),
]


@pytest.fixture(
    params=[pytest.param(pair, marks=[*marks_of(pair[0]), *marks_of(pair[1])], id=" to ".join(pair)) for pair in PAIRS]
)
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """A store with something of everything in it, and an empty one."""
    with contextlib.ExitStack() as stack:
        if "milvus" in request.param:
            stack.callback(milvus_galleries().give_back)
        made = [STORES[name](tmp_path / f"gallery{n}", space()) for n, name in enumerate(request.param)]
        for one in made:
            stack.callback(one.close)
        _fill(made[0])
        yield made[0], made[1]


def _fill(store: Store) -> None:
    rows = np.stack([embedding(n) for n in range(3)])
    with store.writing():
        put(store, {b"/p/%d" % n: n % 25 for n in range(40)} | {b"/p/bad": None})
        store.put([], {})
        store.put([next(store.scan(b"/p/7"))], {}, {digest(7): description(7)})
        store.remove([3, 4])
        store.set_projection(fit_projection((some for _, some in store.embeddings()), DIM, 3))
        store.set_roots({b"/p": {"exclude": ["*.gif"]}})
        store.set_concepts([Concept("boat", rows[:2], rows[2:])])
        store.set_distinct([(digest(1), digest(2))])
        store.set_calibration(Calibration.measure(3, "x", np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])))


def _content(store: Store) -> object:
    by_id = {one.id: one for one in store.scan()}
    rows = {
        by_id[id_].path: row.tolist() for ids, some in store.embeddings() for id_, row in zip(ids, some, strict=True)
    }
    near = [[(by_id[i].path, d) for i, d in nearest(store, embedding(n), 12, exact=True)] for n in range(9)]
    concepts = [(name, one.like.tolist(), one.unlike.tolist()) for name, one in store.concepts.items()]
    described = {by_id[id_].path: some for id_, some in store.descriptions(by_id).items()}
    calibration = store.calibration
    assert calibration is not None
    records = [one._replace(id=0) for one in by_id.values()]
    entries = store.roots, store.distinct, calibration.nearest.tolist(), calibration.pictures
    return records, rows, near, concepts, described, entries, store.count()


def test_everything_goes_along(stores: tuple[Store, Store]) -> None:
    source, target = stores
    assert copy_store(source, target) == 38
    assert _content(target) == _content(source)
    assert problems(target) == []


def test_a_copy_again_brings_what_is_new_and_force_removes_what_is_gone(stores: tuple[Store, Store]) -> None:
    source, target = stores
    copy_store(source, target)
    with source.writing():
        put(source, {b"/p/new": 99, b"/p/5": 98})
    copy_store(source, target)
    with source.writing():
        source.remove([source.find([b"/p/7"])[b"/p/7"].id])
    with pytest.raises(UsageError, match="holds 1 file that"):
        copy_store(source, target)
    copy_store(source, target, force=True)
    assert _content(target) == _content(source)


def test_a_copy_that_was_interrupted_continues(stores: tuple[Store, Store]) -> None:
    source, target = stores
    with target.writing():
        put(target, {b"/p/9": 9})
    assert copy_store(source, target) == 38
    assert target.count() == source.count()


def test_a_copy_mends_embeddings_and_descriptions_that_differ(stores: tuple[Store, Store]) -> None:
    """Another machine may have encoded the same file a little differently."""
    source, target = stores
    copy_store(source, target)
    (seventh,) = source.find([b"/p/7"]).values()
    with target.writing():
        target.put([seventh._replace(id=0)], {digest(7): embedding(70)}, {digest(7): description(70)})
    assert copy_store(source, target) == 38
    assert _content(target) == _content(source)


def test_a_copy_that_stops_in_the_middle_has_no_folders_and_is_finished_by_the_next(
    stores: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = stores
    for size in (
        "copy.BLOCK",
        "sqlite.tables.BLOCK",
        "sqlite.tables._CHUNK",
        "postgresql.tables.CHUNK",
        "memory._CHUNK",
    ):
        monkeypatch.setattr(f"lookalike.store.{size}", 5)

    def stop(done: int, _: int) -> None:
        if done >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_store(source, target, on_progress=stop)
    if not source.location.startswith("milvus"):  # whose chunks are larger than all of it
        assert 0 < target.count()[0] < 38
    assert (target.roots, target.calibration, target.concepts) == ({}, None, {})
    assert copy_store(source, target) == 38
    assert _content(target) == _content(source)


@pytest.mark.parametrize("damage", ["UPDATE content SET crc = crc + 1", "DELETE FROM content", "DELETE FROM item"])
def test_what_is_damaged_is_not_copied(tmp_path: Path, damage: str) -> None:
    source, target = (STORES["sqlite"](tmp_path / name, space()) for name in "ab")
    _fill(source)
    with contextlib.closing(sqlite3.connect(tmp_path / "a" / "gallery.db")) as db:
        db.execute(f"{damage} WHERE rowid = 2" if "item" in damage else f"{damage} WHERE digest = ?", *_values(damage))
        db.commit()
    with pytest.raises(Corrupt):
        copy_store(source, target)
    source.close()
    target.close()


def _values(damage: str) -> list[tuple[bytes]]:
    return [] if "item" in damage else [(digest(5),)]


def test_a_gallery_of_another_encoder_is_no_target(stores: tuple[Store, Store], tmp_path: Path) -> None:
    other = open_store(f"memory:{tmp_path}", create=space(dim=DIM + 1))
    with pytest.raises(EncoderMismatch):
        copy_store(stores[0], other)
    assert other.count() == (0, 0)


def test_records_without_embeddings_are_copied_too(tmp_path: Path) -> None:
    source, target = (open_store(f"memory:{tmp_path}{n}", create=space()) for n in range(2))
    with source.writing():
        source.put([Record(b"/%d" % n, skipped_because="not an image") for n in range(5)], {})
    assert copy_store(source, target) == 0
    assert target.count() == (0, 5)
