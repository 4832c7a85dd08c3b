"""Exact nearest neighbours, also where a product of float32 is too coarse to tell them apart."""

from __future__ import annotations

import numpy as np
import pytest

from lookalike.vectors import exact
from lookalike.vectors.exact import Matrix, Nearest, merge, prepare_vectors
from lookalike.vectors.metric import Metric, distances
from lookalike.vectors.searcher import Part, Searcher


def pairs(near: Nearest) -> list[tuple[int, float]]:
    return list(zip(near.ids.tolist(), near.distances.tolist(), strict=True))


def search(matrix: Matrix, query: np.ndarray[tuple[int], np.dtype[np.float32]], k: int) -> list[tuple[int, float]]:
    (near,) = matrix.search(query[None], k)
    return pairs(near)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("dim", [3, 64, 1280])
@pytest.mark.parametrize("apart", [1e-7, 1e-6, 1e-5, 1e-3, 1.0])
def test_rows_that_rounding_could_exchange_are_told_apart(metric: Metric, dim: int, apart: float) -> None:
    rng = np.random.default_rng(dim)
    middle = rng.standard_normal(dim)
    rows = (middle + apart * rng.standard_normal((700, dim))).astype(np.float32)
    ids = rng.permutation(700) + 1
    matrix = Matrix(ids, prepare_vectors(rows, metric)[:, :dim], metric)
    queries = (middle + apart * rng.standard_normal((5, dim))).astype(np.float32)
    for query in prepare_vectors(queries, metric)[:, :dim]:
        measured = distances(query, matrix.vectors, metric)
        order = np.lexsort((ids, measured))
        for k in (1, 10, 300):
            wanted = list(zip(ids[order[:k]].tolist(), measured[order[:k]].tolist(), strict=True))
            assert search(matrix, query, k) == wanted


def test_very_many_that_are_equally_near_come_by_their_ids() -> None:
    ids = np.random.default_rng(0).permutation(20_000)
    matrix = Matrix(ids, np.full((20_000, 4), 0.5, np.float32), "cosine")
    assert [id_ for id_, _ in search(matrix, np.full(4, 0.5, np.float32), 9)] == list(range(9))


def test_no_rows_have_no_neighbours() -> None:
    for metric in ("cosine", "euclidean"):
        empty = Matrix(np.empty(0, np.int64), np.empty((0, 4), np.float32), metric)
        assert search(empty, np.ones(4, np.float32), 3) == []


def test_a_query_near_zero_tells_far_rows_apart() -> None:
    """Where the squares of the lengths decide, and are rounded themselves."""
    rng = np.random.default_rng(5)
    rows = rng.standard_normal((700, 64))
    rows *= 1000 * (1 + 1e-7 * rng.standard_normal((700, 1))) / np.linalg.norm(rows, axis=1, keepdims=True)
    matrix = Matrix(np.arange(700), rows.astype(np.float32), "euclidean")
    query = np.full(64, 1e-6, np.float32)
    measured = distances(query, matrix.vectors, "euclidean")
    assert [id_ for id_, _ in search(matrix, query, 10)] == np.lexsort((matrix.ids, measured))[:10].tolist()


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("k", [1, 7, 100])
def test_rows_sorted_by_likeness_are_found_as_well_as_any(metric: Metric, k: int) -> None:
    """Where the nearest are all in a few groups of rows that stand together, as in a file sorted into lists."""
    rng = np.random.default_rng(2)
    rows = prepare_vectors(rng.standard_normal((20_000, 16)).astype(np.float32), metric)
    rows = rows[np.argsort(rows @ rows[0])]
    matrix = Matrix(np.arange(20_000), rows, metric)
    queries = np.ascontiguousarray(rows[::1999])
    for query, near in zip(queries, matrix.search(queries, k), strict=True):
        measured = distances(query, rows, metric)
        assert near.ids.tolist() == np.lexsort((matrix.ids, measured))[:k].tolist()
        assert pairs(near) == search(matrix, query, k)


def test_only_the_rows_that_are_asked_for_are_found() -> None:
    rng = np.random.default_rng(3)
    rows = prepare_vectors(rng.standard_normal((9_000, 8)).astype(np.float32), "cosine")
    matrix = Matrix(rng.permutation(9_000), rows, "cosine")
    for among in (np.arange(0, 9_000, 3), np.array([5]), np.arange(8_999), np.empty(0, np.intp)):
        (near,) = matrix.search(rows[5:6], 12, among=among)
        measured = distances(rows[5], rows[among], "cosine")
        assert near.ids.tolist() == matrix.ids[among][np.lexsort((matrix.ids[among], measured))[:12]].tolist()


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_searching_measures_as_the_metric_does_whatever_the_order_and_the_blocks(
    metric: Metric, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last bit, in a matrix, in two of them that are merged, and among the neighbours of every row."""
    rng = np.random.default_rng(4)
    vectors = prepare_vectors(rng.standard_normal((900, 21)).astype(np.float32), metric)
    wanted = {id_: distances(vectors[id_], vectors, metric) for id_ in (0, 333, 899)}
    for order in (np.arange(900), np.arange(900)[::-1], rng.permutation(900)):
        whole = Matrix(order, vectors[order], metric)
        halves = [Matrix(part, vectors[part], metric) for part in (order[:77], order[77:])]
        for size in (1, 7, 8192):
            monkeypatch.setattr(exact, "_MEASURED_AT_ONCE", size)
            for id_, measured in wanted.items():
                query = vectors[id_]
                found = [
                    whole.measure(query, rng.permutation(900), 50),
                    next(whole.search(query[None], 50)),
                    merge([next(half.search(query[None], 50)) for half in halves], 50),
                ]
                nearest = np.lexsort((np.arange(900), measured))[:50]
                for near in found:
                    assert near.ids.tolist() == nearest.tolist()
                    assert near.distances.tolist() == measured[nearest].tolist()
        neighbours = dict(Searcher([Part(half) for half in halves]).neighbours(20))
        for id_, measured in wanted.items():
            others = np.lexsort((np.arange(900), measured))
            others = others[others != id_][:20]
            assert neighbours[id_].ids.tolist() == others.tolist()
            assert neighbours[id_].distances.tolist() == measured[others].tolist()
