"""Inverted lists without a store: nearly everything is found, distances are exact, parts are searched as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from lookalike.evaluation.scaling import make_clustered
from lookalike.vectors.exact import Matrix, Nearest, prepare_vectors
from lookalike.vectors.mapped import Damaged
from lookalike.vectors.metric import Metric, distances
from lookalike.vectors.searcher import Part, Searcher
from tests.vectors.building import damage, open_part, open_searcher, write_vectors

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

DIM = 20  # not a multiple of 8
COUNT = 6_000
EMBEDDINGS = make_clustered(COUNT + 800, DIM)
METRICS: list[Metric] = ["cosine", "euclidean"]

Pairs = list[tuple[int, float]]


class Gallery:
    """The first COUNT vectors, of which number n has the id n + 1, and queries that are none of them."""

    def __init__(self, file: Path, metric: Metric) -> None:
        self.metric = metric
        self.vectors = prepare_vectors(EMBEDDINGS, metric)
        self.queries = self.vectors[-300:]
        write_vectors(file, self.vectors[:COUNT], metric)
        self.searcher = open_searcher(file, metric)

    def search(
        self, queries: NDArray[np.float32], k: int, *, among: NDArray[np.int64] | None = None, exact: bool = False
    ) -> list[Pairs]:
        return to_pairs(self.searcher.search(queries, k, among=among, exact=exact))


@pytest.fixture(scope="module", params=METRICS)
def gallery(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    """Of many vectors in inverted lists; the tests leave it as it is."""
    chosen = Gallery(tmp_path_factory.mktemp("gallery") / "vectors", request.param)
    assert chosen.searcher.approximate
    assert len(chosen.searcher) == COUNT
    return chosen


def to_pairs(found: Iterable[Nearest]) -> list[Pairs]:
    return [list(zip(near.ids.tolist(), near.distances.tolist(), strict=True)) for near in found]


def recall(found: list[Pairs], wanted: list[Pairs]) -> float:
    shares = [len(dict(a).keys() & dict(b).keys()) / len(b) if b else 1 for a, b in zip(found, wanted, strict=True)]
    return float(np.mean(shares))


@pytest.mark.parametrize("k", [1, 10, 50])
def test_of_the_nearest_99_in_100_are_found(gallery: Gallery, k: int) -> None:
    found, exact = gallery.search(gallery.queries, k), gallery.search(gallery.queries, k, exact=True)
    assert recall(found, exact) >= 0.99
    assert found != exact or k == 1


def test_what_is_found_is_as_far_as_it_is_and_in_order(gallery: Gallery) -> None:
    for query, near in zip(gallery.queries, gallery.search(gallery.queries, 10), strict=True):
        rows = gallery.vectors[[id_ - 1 for id_, _ in near]]
        assert distances(query, rows, gallery.metric).tolist() == [distance for _, distance in near]
        assert near == sorted(near, key=lambda pair: (pair[1], pair[0]))


@pytest.mark.parametrize("metric", METRICS)
def test_what_was_added_is_found_and_what_was_removed_is_not(tmp_path: Path, metric: Metric) -> None:
    vectors = prepare_vectors(EMBEDDINGS[:4_300], metric)
    write_vectors(tmp_path / "vectors", vectors[:4_000], metric)
    base = open_part(tmp_path / "vectors", metric)
    gone = range(1, 600, 2)
    added = Part(Matrix(np.arange(4_001, 4_301), vectors[4_000:], metric))
    searcher = Searcher([Part(base.matrix, ~np.isin(base.matrix.ids, gone), *base[2:]), added])
    assert len(searcher) == 4_000
    for n in range(4_000, 4_300, 30):
        assert next(searcher.search(vectors[n : n + 1], 1)).ids.tolist() == [n + 1]
    found = to_pairs(searcher.search(vectors[:600], 10))
    assert not {id_ for near in found for id_, _ in near} & set(gone)
    assert recall(found, to_pairs(searcher.search(vectors[:600], 10, exact=True))) >= 0.99


def test_only_the_blocks_that_are_used_are_read(tmp_path: Path) -> None:
    """Damage elsewhere is found by whoever gets there."""
    gallery = Gallery(tmp_path / "vectors", "cosine")
    query = gallery.queries[:1]
    nearest = gallery.search(query, 1)
    met = 0
    for fraction in np.random.default_rng(0).random(12):
        gallery = Gallery(tmp_path / "vectors", "cosine")
        damage(tmp_path / "vectors", "vectors", float(fraction))
        searcher = open_searcher(tmp_path / "vectors", "cosine")
        try:
            assert to_pairs(searcher.search(query, 1)) == nearest
        except Damaged:
            met += 1
        with pytest.raises(Damaged):
            list(searcher.search(query, 1, exact=True))
    assert met < 12
