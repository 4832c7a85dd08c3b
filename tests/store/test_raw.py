"""Searching embeddings as they were put: what a text is compared with. The files for it are as safe as the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from lookalike.adaptation.projection import fit_projection
from lookalike.store import Record, SearchSpace, Space, Store
from lookalike.store.filter import Any, Condition
from lookalike.store.sqlite import vector_cache as cache
from lookalike.store.sqlite.store import SqliteStore
from lookalike.store.sqlite.tables import Tables
from lookalike.store.sqlite.vector_cache import Tuning
from lookalike.vectors.metric import distances
from tests.store.making import assert_same_answer, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from lookalike.store import Near

SPACE = Space("test", "fingerprint", 12, "euclidean", "test")
ROWS = np.random.default_rng(0).integers(-50, 50, (80, 12)).astype(np.float32)
QUERY = np.random.default_rng(1).standard_normal(12).astype(np.float32)
TUNING = Tuning(approximate_from=30, added=8)
ALL, SOME = SearchSpace(raw=True), SearchSpace(raw=True, columns=(4, 9))
BASE, MORE = cache.RAW


def put(store: Store, numbers: Sequence[int], shift: int = 0) -> None:
    digests = [b"%d" % (n + shift) for n in numbers]
    items = [Record(b"/%03d.jpg" % n, digest=digest) for n, digest in zip(numbers, digests, strict=True)]
    with store.writing():
        store.put(items, {digest: ROWS[int(digest)] for digest in digests})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A gallery with a projection, whose embeddings were searched as they were put, grown since and searched again."""
    store = SqliteStore(tmp_path, create=SPACE, tuning=TUNING)
    put(store, range(50))
    with store.writing():
        store.set_projection(fit_projection([ROWS], 12, 4))
    nearest(store, QUERY, 5, space=ALL)
    put(store, range(50, 54))
    put(store, range(5, 7), shift=60)
    with store.writing():
        store.remove([20])
    nearest(store, QUERY, 5, space=ALL)
    store.close()
    assert all((tmp_path / name).exists() for name in cache.RAW)
    return tmp_path


def wanted(store: Store, query: np.ndarray, k: int, columns: slice, among: set[int] | None = None) -> Near:
    found: Near = []
    for ids, rows in store.embeddings():
        found += zip(ids.tolist(), distances(query, rows[:, columns], "cosine").tolist(), strict=True)
    return sorted(((i, d) for i, d in found if among is None or i in among), key=lambda pair: pair[1])[:k]


@pytest.mark.parametrize("space", [ALL, SOME])
@pytest.mark.parametrize("among", [None, {1, 2, 7, 30, 52}])
def test_the_nearest_are_those_of_the_definition(folder: Path, space: SearchSpace, among: set[int] | None) -> None:
    store = SqliteStore(folder, tuning=TUNING)
    names = [record.path.decode()[1:] for record in store.get(among or ()).values()]
    where = None if among is None else Any(tuple(Condition("name", "=", name) for name in names))
    columns = slice(*(space.columns or (0, 12)))
    for k in (1, 7, 100):
        query = QUERY[columns]
        found = nearest(store, query, k, space=space, where=where)
        assert_same_answer(found, wanted(store, query, k, columns, among))
    store.close()


def nothing_but_none(_: Tables, ids: Sequence[int] | None = None) -> Iterator[list[tuple[object, ...]]]:
    assert ids is not None
    assert not ids
    return iter(())


def test_it_reads_no_embeddings_again_and_needs_none_of_a_projection(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(folder, tuning=TUNING)
    before = nearest(store, QUERY, 60, space=ALL)
    with store.writing():
        store.set_projection(None)
    monkeypatch.setattr(Tables, "embedded", nothing_but_none)
    assert nearest(store, QUERY, 60, space=ALL) == before
    store.close()


@pytest.mark.parametrize("name", cache.RAW)
def test_damaged_or_deleted_files_change_no_answer(folder: Path, name: str) -> None:
    store = SqliteStore(folder, tuning=TUNING)
    before = nearest(store, QUERY, 60, space=ALL)
    store.close()
    sound = (folder / name).read_bytes()
    rng = np.random.default_rng(2)
    for place in [None, *rng.integers(0, len(sound), 60).tolist()]:
        damaged = bytearray(sound)
        if place is None:
            (folder / name).unlink()
        else:
            damaged[place] ^= 1 << int(rng.integers(8))
            (folder / name).write_bytes(bytes(damaged))
        store = SqliteStore(folder, tuning=TUNING)
        assert nearest(store, QUERY, 60, space=ALL) == before
        store.close()
