"""Exact nearest neighbours, also where a product of float32 is too coarse to tell them apart."""

from __future__ import annotations

import numpy as np
import pytest

from lookalike.distance import Metric, distances
from lookalike.store.ranking import Matrix


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("dim", [3, 64, 1280])
@pytest.mark.parametrize("apart", [1e-7, 1e-6, 1e-5, 1e-3, 1.0])
def test_rows_that_rounding_could_exchange_are_told_apart(metric: Metric, dim: int, apart: float) -> None:
    rng = np.random.default_rng(dim)
    middle = rng.standard_normal(dim)
    rows = (middle + apart * rng.standard_normal((700, dim))).astype(np.float32)
    ids = rng.permutation(700) + 1
    matrix = Matrix(ids, rows, metric)
    for query in (middle + apart * rng.standard_normal((5, dim))).astype(np.float32):
        measured = distances(query, matrix.rows, metric)
        order = np.lexsort((ids, measured))
        for k in (1, 10, 300):
            wanted = list(zip(ids[order[:k]].tolist(), measured[order[:k]].tolist(), strict=True))
            assert matrix.search(query, k) == wanted


def test_very_many_that_are_equally_near_come_by_their_ids() -> None:
    ids = np.random.default_rng(0).permutation(20_000)
    matrix = Matrix(ids, np.ones((20_000, 4), np.float32), "cosine")
    assert [id_ for id_, _ in matrix.search(np.ones(4, np.float32), 9)] == list(range(9))


def test_no_rows_have_no_neighbours() -> None:
    for metric in ("cosine", "euclidean"):
        empty = Matrix(np.empty(0, np.int64), np.empty((0, 4), np.float32), metric)
        assert empty.search(np.ones(4, np.float32), 3) == []


def test_a_query_near_zero_tells_far_rows_apart() -> None:
    """Where the squares of the lengths decide, and are rounded themselves."""
    rng = np.random.default_rng(5)
    rows = rng.standard_normal((700, 64))
    rows *= 1000 * (1 + 1e-7 * rng.standard_normal((700, 1))) / np.linalg.norm(rows, axis=1, keepdims=True)
    matrix = Matrix(np.arange(700), rows.astype(np.float32), "euclidean")
    query = np.full(64, 1e-6, np.float32)
    measured = distances(query, matrix.rows, "euclidean")
    assert [id_ for id_, _ in matrix.search(query, 10)] == np.lexsort((matrix.ids, measured))[:10].tolist()
