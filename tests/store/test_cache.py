"""The cache beside the database: never wrong, never missed, never needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from lookalike.store import Item, Space, Store, cache, open_store
from lookalike.store.projection import fit_projection

if TYPE_CHECKING:
    from pathlib import Path

SPACE = Space("test", "fingerprint", 16, "cosine", "test")
ROWS = np.random.default_rng(0).standard_normal((60, 16)).astype(np.float32)


def put(store: Store, numbers: range) -> None:
    items = [Item(b"/%03d.jpg" % n, "stamp", b"%d" % n) for n in numbers]
    with store.writing():
        store.put(items, {b"%d" % n: ROWS[n] for n in numbers})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A gallery that has been searched once, so that it has a cache."""
    store = open_store(tmp_path, create=SPACE)
    put(store, range(40))
    with store.writing():
        store.project(fit_projection([ROWS], 16, 8))
    store.search(ROWS[0], 5)
    store.close()
    return tmp_path


def answers(folder: Path) -> list[list[tuple[int, float]]]:
    store = open_store(folder)
    found = [store.search(row, 7) for row in ROWS[::6]]
    store.close()
    return found


def test_the_first_search_leaves_a_cache_and_answers_are_the_same_with_it(folder: Path) -> None:
    assert (folder / cache.FILE).exists()
    with_cache = answers(folder)
    (folder / cache.FILE).unlink()
    assert answers(folder) == with_cache
    assert (folder / cache.FILE).exists()
    assert not list(folder.glob(f"{cache.FILE}.*"))


def test_a_search_reads_the_cache_and_not_the_embeddings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(folder)
    monkeypatch.setattr(type(store), "_read_rows", None)
    assert store.search(ROWS[3], 1)[0][0] == 4
    store.close()


def test_a_stale_cache_is_not_read(folder: Path) -> None:
    old = (folder / cache.FILE).read_bytes()
    store = open_store(folder)
    put(store, range(40, 60))
    assert store.search(ROWS[50], 1)[0][0] == 51
    store.close()
    (folder / cache.FILE).write_bytes(old)
    store = open_store(folder)
    assert store.search(ROWS[50], 1)[0][0] == 51
    store.close()


def test_another_projection_is_another_cache(folder: Path) -> None:
    before = answers(folder)
    store = open_store(folder)
    with store.writing():
        store.project(None)
    store.close()
    assert answers(folder) != before


def test_a_cache_of_another_gallery_is_not_read(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    store = open_store(other, create=SPACE)
    put(store, range(20, 60))
    with store.writing():
        store.project(fit_projection([ROWS], 16, 8))
    expected = [store.search(row, 7) for row in ROWS[::6]]
    store.close()
    (other / cache.FILE).write_bytes((folder / cache.FILE).read_bytes())
    assert answers(other) == expected


def test_a_damaged_cache_is_made_anew_whatever_the_damage(folder: Path) -> None:
    expected = answers(folder)
    whole = (folder / cache.FILE).read_bytes()
    rng = np.random.default_rng(7)
    for _ in range(150):
        damaged = bytearray(whole)
        start = int(rng.integers(len(damaged)))
        kind = rng.integers(3)
        if kind == 0:
            damaged[start : start + 4] = rng.bytes(4)
        elif kind == 1:
            del damaged[start:]
        else:
            damaged[start:start] = rng.bytes(8)
        (folder / cache.FILE).write_bytes(damaged)
        assert answers(folder) == expected


@pytest.mark.parametrize(
    "content", [b"", b"x", b"LKAL search cache 1\n", b"\n" * 100, b"LKAL search cache 1\n[]\n0000"]
)
def test_what_is_no_cache_is_not_read(folder: Path, content: bytes) -> None:
    expected = answers(folder)
    (folder / cache.FILE).write_bytes(content)
    assert answers(folder) == expected


def test_a_cache_that_cannot_be_written_is_done_without(folder: Path) -> None:
    expected = answers(folder)
    (folder / cache.FILE).unlink()
    (folder / cache.FILE).mkdir()
    assert answers(folder) == expected


def test_an_empty_gallery_and_a_euclidean_one_have_caches_too(tmp_path: Path) -> None:
    store = open_store(tmp_path, create=Space("test", "fingerprint", 16, "euclidean", "test"))
    assert store.search(ROWS[0], 3) == []
    store.close()
    store = open_store(tmp_path)
    assert store.search(ROWS[0], 3) == []
    put(store, range(5))
    first = store.search(ROWS[2], 5)
    store.close()
    store = open_store(tmp_path)
    assert store.search(ROWS[2], 5) == first
    store.close()
