"""Exact nearest neighbours in a matrix of embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lookalike.distance import Metric, distances, unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Matrix"]

_SPARE = (
    8  # candidates beyond k that are measured again, so that rounding in the product cannot drop a neighbour
)


class Matrix:
    """Embeddings laid out for searching: `ids` int64 (n,), `rows` float32 (n, d), rows of length 1 for cosine."""

    def __init__(self, ids: NDArray[np.int64], rows: NDArray[np.float32], metric: Metric) -> None:
        self.ids = ids
        self.metric = metric
        self.rows = unit(rows) if metric == "cosine" else rows
        # Half the squared length: what a product leaves out of a Euclidean distance.
        self._half_squares = np.einsum("ij,ij->i", rows, rows) / 2 if metric == "euclidean" else None

    def search(self, query: NDArray[np.float32], k: int) -> list[tuple[int, float]]:
        """The k nearest rows to one query, float32 (d,): pairs of id and distance, nearest first, ties by id."""
        k = min(k, len(self.ids))
        if k <= 0:
            return []
        likeness = self.rows @ query
        if self._half_squares is not None:
            likeness -= self._half_squares
        wanted = min(k + _SPARE, len(likeness))
        near = np.argpartition(likeness, -wanted)[-wanted:] if wanted < len(likeness) else np.arange(wanted)
        measured = distances(query, self.rows[near], self.metric)
        ids = self.ids[near]
        order = np.lexsort((ids, measured))[:k]
        return list(zip(ids[order].tolist(), measured[order].tolist(), strict=True))
