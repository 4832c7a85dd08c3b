"""Exact nearest neighbours in a matrix of embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lookalike.distance import Metric, distances, unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Matrix"]

_MEASURED_AT_ONCE = 8192  # candidates; bounds memory when very many are equally near


class Matrix:
    """Embeddings laid out for searching: `ids` int64 (n,), `rows` float32 (n, d), rows of length 1 for cosine."""

    def __init__(self, ids: NDArray[np.int64], rows: NDArray[np.float32], metric: Metric) -> None:
        self.ids = ids
        self.metric = metric
        self.rows = unit(rows) if metric == "cosine" else rows
        # Half the squared length: what a product leaves out of a Euclidean distance.
        self._longest = float(np.linalg.norm(self.rows, axis=1).max(initial=0.0))
        self._half_squares = np.einsum("ij,ij->i", rows, rows) / 2 if metric == "euclidean" else None

    def search(self, query: NDArray[np.float32], k: int) -> list[tuple[int, float]]:
        """The k nearest rows to one query, float32 (d,): pairs of id and distance, nearest first, ties by id."""
        k = min(k, len(self.ids))
        if k <= 0:
            return []
        near = self._candidates(query, k)
        parts = [near[start : start + _MEASURED_AT_ONCE] for start in range(0, len(near), _MEASURED_AT_ONCE)]
        measured = np.concatenate([distances(query, self.rows[part], self.metric) for part in parts])
        ids = self.ids[near]
        order = np.lexsort((ids, measured))[:k]
        return list(zip(ids[order].tolist(), measured[order].tolist(), strict=True))

    def _candidates(self, query: NDArray[np.float32], k: int) -> NDArray[np.intp]:
        """Where the k nearest rows are, and all that a rounding error of the product may have put behind them."""
        if k == len(self.ids):
            return np.arange(k)
        likeness = self.rows @ query
        if self._half_squares is not None:
            likeness -= self._half_squares
        kth = np.partition(likeness, -k)[-k]
        return np.nonzero(likeness >= kth - 2 * self._rounding(query))[0]

    def _rounding(self, query: NDArray[np.float32]) -> float:
        """A bound of the error of one number of the product: gamma_n |x||y| (Higham 2002, section 3.1)."""
        steps = (len(query) + 2) * np.finfo(np.float32).eps
        beside = self._longest if self._half_squares is not None else 0.0
        return float(steps * self._longest * (np.linalg.norm(query) + beside))
