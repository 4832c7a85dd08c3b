"""How vectors are compared: one definition, for searching and for measuring quality."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Metric", "cosine_distances", "distances", "unit"]

F = TypeVar("F", bound=np.floating[Any])

Metric = Literal["cosine", "euclidean"]
"""cosine: 1 - cosine of the angle, 0 to 2. euclidean: the length of the difference, 0 to infinity."""


def distances(query: NDArray[np.float32], rows: NDArray[np.float32], metric: Metric) -> NDArray[np.float64]:
    """The distances of one query (d,) to every row (n, d), float64 (n,); a row's distance depends on nothing else.

    A vector of length zero has cosine distance 1 to everything.
    """
    # Row by row in memory, whatever the layout: numpy adds a row's products up in another order along columns.
    exact, others = query.astype(np.float64), rows.astype(np.float64, order="C")
    if metric == "euclidean":
        others -= exact
        return np.asarray(np.sqrt(np.einsum("ij,ij->i", others, others)))
    # Not `others @ exact`: BLAS rounds a row by its position in the matrix, and equal rows must be equally far. All
    # sums in the same order, and the root of a square is exact: the distance of a row to itself is 0.
    squares = np.einsum("ij,ij->i", others, others) * np.einsum("i,i->", exact, exact)
    lengths = np.sqrt(squares)
    lengths[lengths == 0] = 1.0
    cosine = np.einsum("ij,j->i", others, exact) / lengths
    return np.asarray(1.0 - np.minimum(np.maximum(cosine, -1.0), 1.0))


def cosine_distances(queries: NDArray[np.float32], rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """The cosine distance of each row (n, d) to the nearest of the queries (m, d), m >= 1, float64 (n,), quickly.

    Only to six digits: for judging, not for ranking. A row's distance depends on nothing else, as in `distances`.
    """
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    lengths[lengths == 0] = 1.0
    nearest = np.maximum.reduce([np.einsum("ij,j->i", rows, query) for query in unit(queries)]) / lengths
    return np.asarray(np.maximum(1.0 - nearest.astype(np.float64), 0.0))


def unit(rows: NDArray[F]) -> NDArray[F]:
    """Scale every row (..., d), float32 or float64, to length 1; a row of length zero stays as it is."""
    # What np.linalg.norm does, bit for bit, in a third of its time for one row.
    lengths = np.sqrt(np.add.reduce(rows * rows, axis=-1, keepdims=True))
    lengths[lengths == 0] = 1.0
    return np.asarray(rows / lengths)
