"""How embeddings are compared. One definition, for searching and for measuring quality."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Metric", "distances", "unit"]

Metric = Literal["cosine", "euclidean"]
"""cosine: 1 - cosine of the angle, 0 to 2. euclidean: the length of the difference, 0 to infinity."""


def distances(query: NDArray[np.float32], rows: NDArray[np.float32], metric: Metric) -> NDArray[np.float64]:
    """The distance of one query (d,) to every row (n, d), in float64.

    An embedding of length zero has cosine distance 1 to everything.
    """
    exact, others = query.astype(np.float64), rows.astype(np.float64)
    if metric == "euclidean":
        return np.asarray(np.linalg.norm(others - exact, axis=1))
    lengths = np.linalg.norm(others, axis=1) * np.linalg.norm(exact)
    # Not `others @ exact`: BLAS rounds a row by its place in the matrix, and equal rows must be equally far.
    products = np.einsum("ij,j->i", others, exact)
    cosine = np.divide(products, lengths, out=np.zeros(len(others)), where=lengths > 0)
    return np.asarray(1.0 - np.clip(cosine, -1.0, 1.0))


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale every row (..., d) to length 1; a row of length zero stays what it is."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0))
