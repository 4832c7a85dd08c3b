"""Measures of quality: arrays in, numbers out.

Retrieval measures take `relevant`, a boolean matrix (queries, ranks): whether the hit of a query at each rank, nearest
first, is relevant. A query without a relevant hit counts as 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Relevance = NDArray[np.bool_]

__all__ = [
    "average_precision",
    "mean_squared_error",
    "measure_retrieval",
    "ndcg_at",
    "precision_at",
    "recall_at",
]


def average_precision(relevant: Relevance) -> NDArray[np.float64]:
    """The mean of each query's precision at its relevant ranks, float64 (queries,), in [0, 1].

    The finite sum, without interpolation, as in scikit-learn's `average_precision_score`.
    """
    ranks = np.arange(1, relevant.shape[1] + 1)
    precision = np.cumsum(relevant, axis=1) / ranks
    return _divide((precision * relevant).sum(axis=1), relevant.sum(axis=1))


def precision_at(relevant: Relevance, k: int) -> NDArray[np.float64]:
    """The share of relevant hits among the first k, float64 (queries,); missing hits count as not relevant."""
    return np.asarray(relevant[:, :k].sum(axis=1) / k)


def recall_at(relevant: Relevance, k: int) -> NDArray[np.float64]:
    """The share of all relevant hits that are among the first k, float64 (queries,)."""
    return _divide(relevant[:, :k].sum(axis=1), relevant.sum(axis=1))


def ndcg_at(relevant: Relevance, k: int) -> NDArray[np.float64]:
    """Normalised discounted cumulative gain (nDCG) at k, float64 (queries,), in [0, 1].

    With relevance 0 or 1 and the discount log2(rank + 1) (Järvelin & Kekäläinen 2002).
    """
    discounts = 1 / np.log2(np.arange(2, min(k, relevant.shape[1]) + 2))
    gain = relevant[:, :k] @ discounts
    best = np.concatenate([[0.0], np.cumsum(discounts)])
    return _divide(gain, best[np.minimum(relevant.sum(axis=1), len(discounts))])


def measure_retrieval(relevant: Relevance) -> dict[str, float]:
    """The means over all queries by their usual names: mAP, P@1, P@5, P@10, top_1, recall@100, nDCG@10."""
    return {
        "mAP": float(average_precision(relevant).mean()),
        "P@1": float(precision_at(relevant, 1).mean()),
        "P@5": float(precision_at(relevant, 5).mean()),
        "P@10": float(precision_at(relevant, 10).mean()),
        "top_1": float(precision_at(relevant, 1).mean()),
        "recall@100": float(recall_at(relevant, 100).mean()),
        "nDCG@10": float(ndcg_at(relevant, 10).mean()),
    }


def mean_squared_error(pictures: NDArray[np.float32], others: NDArray[np.float32]) -> float:
    """The mean squared error over all pixels and channels of (n, h, w, c) in [0, 1], summed in float64."""
    return float(np.mean(np.square(pictures.astype(np.float64) - others)))


def _divide(parts: NDArray[np.float64], wholes: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(parts, wholes, out=np.zeros(len(wholes)), where=wholes > 0)
