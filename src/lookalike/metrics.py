"""Measures of quality: arrays in, numbers out.

Retrieval measures take `relevant`, a boolean matrix (queries, ranks): whether the hit of a query at each rank, nearest
first, is relevant. A query without a relevant hit counts as 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Relevance = NDArray[np.bool_]

__all__ = [
    "RESAMPLES",
    "average_precision",
    "find_interval",
    "mean_squared_error",
    "measure_queries",
    "measure_retrieval",
    "ndcg_at",
    "precision_at",
    "recall_at",
    "resample_means",
]

RESAMPLES = 2000
"""How many resamples a bootstrap draws: the ends of a 95% interval then stand to a twentieth of its half-width."""

_LEVELS = (2.5, 97.5)  # percentiles: the ends of a 95% interval
_BLOCK = 1 << 21  # drawn queries that are in memory at once


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


def measure_queries(relevant: Relevance) -> dict[str, NDArray[np.float64]]:
    """The measures of each query by their usual names, float64 (queries,): mAP, P@1, P@5, P@10, top_1 and others."""
    first = precision_at(relevant, 1)
    return {
        "mAP": average_precision(relevant),
        "P@1": first,
        "P@5": precision_at(relevant, 5),
        "P@10": precision_at(relevant, 10),
        "top_1": first,
        "recall@100": recall_at(relevant, 100),
        "nDCG@10": ndcg_at(relevant, 10),
    }


def measure_retrieval(relevant: Relevance) -> dict[str, float]:
    """The means over all queries by their usual names: mAP, P@1, P@5, P@10, top_1, recall@100, nDCG@10."""
    return {name: float(values.mean()) for name, values in measure_queries(relevant).items()}


def resample_means(values: NDArray[np.float64], seed: int | Sequence[int] = 0) -> NDArray[np.float64]:
    """The means of bootstrap samples of the rows of (n, m): float64 (RESAMPLES, m) (Efron 1979).

    Each sample draws n rows with replacement. Every measure of a sample is of the same rows. The same seed and number
    of rows give the same samples.
    """
    rng, count = np.random.default_rng(seed), len(values)
    block = max(1, _BLOCK // count)
    parts = [min(block, RESAMPLES - start) for start in range(0, RESAMPLES, block)]
    return np.concatenate([_draw_counts(rng, part, count) @ values for part in parts]) / count


def find_interval(means: NDArray[np.float64]) -> tuple[float, float]:
    """The 95% percentile interval of bootstrapped means (resamples,)."""
    low, high = np.percentile(means, _LEVELS).tolist()
    return low, high


def mean_squared_error(pictures: NDArray[np.float32], others: NDArray[np.float32]) -> float:
    """The mean squared error over all pixels and channels of (n, h, w, c) in [0, 1], summed in float64."""
    return float(np.mean(np.square(pictures.astype(np.float64) - others)))


def _draw_counts(rng: np.random.Generator, samples: int, count: int) -> NDArray[np.float64]:
    """How often each of `count` rows is in each sample, float64 (samples, count)."""
    drawn = rng.integers(0, count, (samples, count))
    drawn += np.arange(samples)[:, None] * count
    return np.bincount(drawn.ravel(), minlength=samples * count).reshape(samples, count).astype(np.float64)


def _divide(parts: NDArray[np.float64], wholes: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(parts, wholes, out=np.zeros(len(wholes)), where=wholes > 0)
