"""How embeddings are compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lookalike.vectors.metric import Metric, distances, unit

ROWS = np.array([[3, 4], [-3, -4], [4, -3], [6, 8], [0, 0]], np.float32)
QUERY = np.array([3, 4], np.float32)


def test_cosine_is_one_minus_the_cosine_and_1_for_length_zero() -> None:
    assert distances(QUERY, ROWS, "cosine").tolist() == pytest.approx([0, 2, 1, 0, 1])
    assert distances(np.zeros(2, np.float32), ROWS, "cosine").tolist() == [1, 1, 1, 1, 1]


def test_euclidean_is_the_length_of_the_difference() -> None:
    assert distances(QUERY, ROWS, "euclidean").tolist() == pytest.approx([0, 10, np.sqrt(50), 5, 5])


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("dim", [5, 64, 1280])
def test_equal_rows_are_equally_far_wherever_they_stand(metric: Metric, dim: int) -> None:
    """A product by BLAS is not so: it rounds the last rows of a matrix in another way than the others."""
    rng = np.random.default_rng(dim)
    row, query = rng.standard_normal((2, dim), np.float32)
    for count in range(1, 40):
        assert len(set(distances(query, np.tile(row, (count, 1)), metric).tolist())) == 1


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("dim", [5, 64, 1001])
def test_a_row_has_one_distance_whatever_is_measured_with_it(metric: Metric, dim: int) -> None:
    """To the last bit: alone, in any order, in blocks of any size, and in any layout of memory."""
    rng = np.random.default_rng(dim)
    rows, query = rng.standard_normal((300, dim), np.float32), rng.standard_normal(dim, np.float32)
    wanted = distances(query, rows, metric)
    for order in (np.arange(300)[::-1], rng.permutation(300), rng.integers(0, 300, 500)):
        assert np.array_equal(distances(query, rows[order], metric), wanted[order])
    for size in (1, 2, 7, 128, 299):
        parts = [distances(query, rows[start : start + size], metric) for start in range(0, 300, size)]
        assert np.array_equal(np.concatenate(parts), wanted)
    assert np.array_equal(distances(query, np.asfortranarray(rows), metric), wanted)
    assert np.array_equal(distances(np.repeat(query, 2)[::2], np.repeat(rows, 2, axis=1)[:, ::2], metric), wanted)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_two_rows_are_as_far_from_either_side(metric: Metric) -> None:
    rows = np.random.default_rng(0).standard_normal((40, 65), np.float32)
    every = np.stack([distances(row, rows, metric) for row in rows])
    assert np.array_equal(every, every.T)


def test_no_distance_is_negative_and_no_rows_have_none() -> None:
    rows = np.random.default_rng(0).standard_normal((500, 33), np.float32)
    for row in rows:
        assert distances(row, rows, "cosine").min() >= 0
    assert distances(rows[0], rows[:0], "cosine").shape == (0,)


def test_unit_rows_have_length_1_or_0() -> None:
    lengths = np.linalg.norm(unit(ROWS), axis=1)
    assert lengths.tolist() == pytest.approx([1, 1, 1, 1, 0])


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_rows_of_length_1_are_those_of_numpy_to_the_last_bit(kind: type[np.floating[Any]]) -> None:
    """Stored embeddings and fingerprints depend on it: whole rows, parts of rows, and one row alone."""
    rows = np.random.default_rng(0).standard_normal((50, 300)).astype(kind)
    for some in (rows, rows[:, 7:200], np.asfortranarray(rows), rows[3:4]):
        expected = some / np.linalg.norm(some, axis=1, keepdims=True)
        assert unit(some).dtype == kind
        np.testing.assert_array_equal(unit(some), expected)
    np.testing.assert_array_equal(unit(np.zeros((2, 3), kind)), 0)
