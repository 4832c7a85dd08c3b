"""Searching embeddings as they were put: what a text is compared with. The files for it are as safe as the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from lookalike.adaptation.projection import fit_projection
from lookalike.store import Item, Space, Store
from lookalike.store.sqlite import vector_cache as cache
from lookalike.store.sqlite.tables import Tables
from lookalike.store.sqlite.vector_cache import Tuning
from lookalike.vectors.metric import distances
from tests.store.making import assert_same_answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from lookalike.store import Near

SPACE = Space("test", "fingerprint", 12, "euclidean", "test")
ROWS = np.random.default_rng(0).integers(-50, 50, (80, 12)).astype(np.float32)
QUERY = np.random.default_rng(1).standard_normal(12).astype(np.float32)
TUNING = Tuning(approximate_from=30, added=8)
ALL, SOME = slice(0, 12), slice(4, 9)
BASE, MORE = cache.AS_PUT


def put(store: Store, numbers: Sequence[int], shift: int = 0) -> None:
    digests = [b"%d" % (n + shift) for n in numbers]
    items = [Item(b"/%03d.jpg" % n, "1:1", digest) for n, digest in zip(numbers, digests, strict=True)]
    with store.writing():
        store.put(items, {digest: ROWS[int(digest)] for digest in digests})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A gallery with a projection, whose embeddings were searched as they were put, grown since and searched again."""
    store = SqliteStore(tmp_path, create=SPACE, tuning=TUNING)
    put(store, range(50))
    with store.writing():
        store.set_projection(fit_projection([ROWS], 12, 4))
    store.search_as_put(QUERY, 5, ALL)
    put(store, range(50, 54))
    put(store, range(5, 7), shift=60)
    with store.writing():
        store.remove([20])
    store.search_as_put(QUERY, 5, ALL)
    store.close()
    assert all((tmp_path / name).exists() for name in cache.AS_PUT)
    return tmp_path


def wanted(store: Store, query: np.ndarray, k: int, columns: slice, among: set[int] | None = None) -> Near:
    found: Near = []
    for ids, rows in store.embeddings():
        found += zip(ids.tolist(), distances(query, rows[:, columns], "cosine").tolist(), strict=True)
    return sorted(((i, d) for i, d in found if among is None or i in among), key=lambda pair: pair[1])[:k]


@pytest.mark.parametrize("columns", [ALL, SOME])
@pytest.mark.parametrize("among", [None, {1, 2, 7, 30, 52}])
def test_the_nearest_are_those_of_the_definition(folder: Path, columns: slice, among: set[int] | None) -> None:
    store = SqliteStore(folder, tuning=TUNING)
    ids = None if among is None else np.array(sorted(among))
    for k in (1, 7, 100):
        query = QUERY[columns]
        assert_same_answer(store.search_as_put(query, k, columns, among=ids), wanted(store, query, k, columns, among))
    store.close()


def nothing_but_none(_: Tables, ids: Sequence[int] | None = None) -> Iterator[list[tuple[object, ...]]]:
    assert ids is not None
    assert not ids
    return iter(())


def test_it_reads_no_embeddings_again_and_needs_none_of_a_projection(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(folder, tuning=TUNING)
    before = store.search_as_put(QUERY, 60, ALL)
    with store.writing():
        store.set_projection(None)
    monkeypatch.setattr(Tables, "embedded", nothing_but_none)
    assert store.search_as_put(QUERY, 60, ALL) == before
    store.close()


@pytest.mark.parametrize("name", cache.AS_PUT)
def test_damaged_or_deleted_files_change_no_answer(folder: Path, name: str) -> None:
    store = SqliteStore(folder, tuning=TUNING)
    before = store.search_as_put(QUERY, 60, ALL)
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
        assert store.search_as_put(QUERY, 60, ALL) == before
        store.close()
