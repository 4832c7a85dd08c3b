"""Searching through lists: nearly everything is found, what is found is as far as is said, filters come first."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lookalike.evaluation.scaling import make_clustered
from lookalike.explore.neighbours import neighbours
from lookalike.store import Near, Record, Space, Store
from lookalike.store.filter import Any, Condition
from lookalike.store.sqlite import vector_cache as cache
from lookalike.store.sqlite.store import SqliteStore
from lookalike.store.sqlite.vector_cache import Tuning
from lookalike.vectors.metric import Metric, distances
from tests.store.making import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DIM = 20  # no multiple of 8
COUNT = 6_000
ROWS = make_clustered(COUNT + 800, DIM)
QUERIES = ROWS[-300:]
TUNING = Tuning(approximate_from=1_000)
SHUFFLED = np.concatenate([np.random.default_rng(1).permutation(COUNT), np.arange(COUNT, COUNT + 800)])
METRICS: list[Metric] = ["cosine", "euclidean"]


def put(store: Store, numbers: range) -> None:
    with store.writing():
        items = [Record(b"/%05d/1.jpg" % n, int(SHUFFLED[n]), digest=b"%d" % n) for n in numbers]
        store.put(items, {b"%d" % n: ROWS[n] for n in numbers})


@pytest.fixture(scope="module", params=METRICS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Of many rows in lists; the tests leave it as it is."""
    space = Space("test", "test", DIM, request.param, "test")
    store = SqliteStore(tmp_path_factory.mktemp("gallery"), create=space, tuning=TUNING)
    put(store, range(COUNT))
    assert store.is_approximate
    yield store
    store.close()


def only(ids: np.ndarray) -> Any:
    """Lets the pictures with these ids pass; each lies in a folder of its own."""
    return Any(tuple(Condition("label", "=", f"{id_ - 1:05d}") for id_ in ids.tolist()))


def recall(found: list[Near], wanted: list[Near]) -> float:
    shares = [len(dict(a).keys() & dict(b).keys()) / len(b) if b else 1 for a, b in zip(found, wanted, strict=True)]
    return float(np.mean(shares))


@pytest.mark.parametrize("k", [1, 10, 50])
def test_of_the_nearest_99_in_100_are_found(store: Store, k: int) -> None:
    found, exact = store.search(QUERIES, k), store.search(QUERIES, k, exact=True)
    assert recall(found, exact) >= 0.99
    assert found != exact or k == 1


def test_one_at_a_time_and_together_the_answers_are_the_same(store: Store) -> None:
    together = store.search(QUERIES[:40], 10)
    assert [[id_ for id_, _ in near] for near in together] == [
        [id_ for id_, _ in nearest(store, query, 10)] for query in QUERIES[:40]
    ]


def test_what_is_found_is_as_far_as_it_is_and_in_order(store: Store) -> None:
    stored = {int(id_): row for ids, rows in store.embeddings() for id_, row in zip(ids, rows, strict=True)}
    for query, near in zip(QUERIES, store.search(QUERIES, 10), strict=True):
        measured = distances(query, np.stack([stored[id_] for id_, _ in near]), store.space.metric)
        assert measured == pytest.approx([distance for _, distance in near], abs=2e-3)
        assert near == sorted(near, key=lambda pair: (pair[1], pair[0]))


@pytest.mark.parametrize("allowed", [0, 1, 7, 60, 300, 1_500, 5_900])
def test_filters_come_first_so_that_k_come_back_where_k_exist(store: Store, allowed: int) -> None:
    among = np.nonzero(SHUFFLED[:COUNT] < allowed)[0] + 1
    where = Condition("size", "<", float(allowed))
    found = store.search(QUERIES, 10, where=where)
    assert {len(near) for near in found} == {min(10, allowed)}
    assert {id_ for near in found for id_, _ in near} <= set(among.tolist())
    assert recall(found, store.search(QUERIES, 10, where=where, exact=True)) >= 0.99


def test_allowed_rows_that_are_all_far_away_are_found(store: Store) -> None:
    """In other lists than those nearest to the query."""
    far = nearest(store, QUERIES[0], COUNT, exact=True)[-700:]
    where = only(np.array(sorted(id_ for id_, _ in far)))
    assert len(nearest(store, QUERIES[0], 10, where=where)) == 10


def test_every_row_has_its_neighbours(store: Store) -> None:
    found = dict(neighbours(store, 5))
    assert set(found) == set(range(1, COUNT + 1))
    assert not any(id_ in dict(near) for id_, near in found.items())
    some = range(1, COUNT, 37)
    exact = dict(neighbours(store, 5, exact=True))
    assert recall([found[id_] for id_ in some], [exact[id_] for id_ in some]) >= 0.99
    for id_ in some:
        wanted = [pair for pair in nearest(store, ROWS[id_ - 1], 6, exact=True) if pair[0] != id_]
        assert [other for other, _ in exact[id_]] == [other for other, _ in wanted[:5]]


def test_more_equal_rows_than_are_fetched_come_by_their_ids(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path, create=Space("test", "test", DIM, "cosine", "test"), tuning=TUNING)
    put(store, range(2_000))
    with store.writing():
        same = [Record(b"same%03d" % n, digest=b"same%d" % n) for n in range(400)]
        store.put(same, {item.digest: ROWS[-1] for item in same if item.digest})
    ids = sorted(known.id for known in store.scan(b"same"))
    assert [id_ for id_, _ in nearest(store, ROWS[-1], 10)] == ids[:10]
    store.close()


@pytest.mark.parametrize("metric", METRICS)
def test_what_was_added_is_found_and_what_was_removed_is_not(tmp_path: Path, metric: Metric) -> None:
    store = SqliteStore(tmp_path, create=Space("test", "test", DIM, metric, "test"), tuning=TUNING)
    put(store, range(4_000))
    store.prepare()
    base = (tmp_path / cache.FILE).read_bytes()
    put(store, range(4_000, 4_300))
    gone = range(1, 600, 2)
    with store.writing():
        store.remove(gone)
    for n in range(4_000, 4_300, 30):
        assert nearest(store, ROWS[n], 1)[0][0] == n + 1
    found = store.search(ROWS[:600], 10)
    assert not {id_ for near in found for id_, _ in near} & set(gone)
    assert recall(found, store.search(ROWS[:600], 10, exact=True)) >= 0.99
    assert (tmp_path / cache.FILE).read_bytes() == base
    store.close()


def test_only_the_blocks_that_are_used_are_read(tmp_path: Path) -> None:
    """Damage elsewhere is found by whoever gets there, and mended."""
    space = Space("test", "test", DIM, "cosine", "test")
    store = SqliteStore(tmp_path, create=space, tuning=TUNING)
    put(store, range(COUNT))
    wanted = store.search(QUERIES, 10, exact=True)
    first = nearest(store, QUERIES[0], 1)
    store.close()
    content = bytearray((tmp_path / cache.FILE).read_bytes())
    arrays = json.loads(content[content.rindex(b'{"state"') :])["arrays"]
    for name in ("rows", "codes"):
        shape, offset = arrays[name]["shape"], arrays[name]["offset"]
        size = shape[0] * shape[1] * (4 if name == "rows" else 1)
        for place in np.random.default_rng(0).integers(0, size, 3):
            content[offset + place] ^= 0x40
    (tmp_path / cache.FILE).write_bytes(content)
    store = SqliteStore(tmp_path, tuning=TUNING)
    assert nearest(store, QUERIES[0], 1) == first
    assert recall(store.search(QUERIES, 10), wanted) >= 0.99
    assert store.search(QUERIES, 10, exact=True) == wanted
    assert (tmp_path / cache.FILE).read_bytes() != bytes(content)
    store.close()


def test_a_gallery_of_one_picture_many_times_can_be_searched(tmp_path: Path) -> None:
    """No list can tell them apart, and k-means has nothing to divide."""
    store = SqliteStore(tmp_path, create=Space("test", "test", DIM, "cosine", "test"), tuning=TUNING)
    with store.writing():
        store.put(
            [Record(b"%05d" % n, digest=b"%d" % n) for n in range(1_200)], {b"%d" % n: ROWS[0] for n in range(1_200)}
        )
    assert [id_ for id_, _ in nearest(store, ROWS[5], 3)] == [1, 2, 3]
    assert len(dict(neighbours(store, 2))) == 1_200
    store.close()
