"""Reorder the hits of a search by diffusion: by how they are reached from the query through similar pictures.

A picture of the query's kind may be far from the query and yet near to pictures that are near to it. Step by step, each
picture passes a share of its rank on to its own neighbours (ranking on manifolds: Zhou et al. 2004; for pictures: Iscen
et al. 2017; among the nearest only, as here: Yang et al. 2019). A gallery stores nothing for this: the graph consists
of the pictures nearest to this one query. docs/decisions.md says how much it helps and what else was tried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from lookalike.store import ADAPTED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookalike.store import Near, SearchSpace, Store
    from lookalike.vectors.metric import Metric

__all__ = ["CANDIDATES", "Order", "by_diffusion", "diffused"]

Order = Literal["distance", "diffusion"]
"""distance: the nearest first. diffusion: by how they are reached from the nearest, which stay first."""

CANDIDATES = 1000  # nearest pictures that are reordered; those behind them stay where they are
_NEIGHBOURS = 100  # two pictures are linked if each is among this many nearest of the other
_SEEDS = 5  # nearest pictures from which the others are reached
_SHARE = 0.85  # the share of its rank that a picture passes on
_STEPS = 10
_SAME = 1e-6  # a spread below this share of the vectors' mean square is nothing but rounding


def by_diffusion(store: Store, near: Near, *, space: SearchSpace = ADAPTED) -> Near:
    """Reorder the first CANDIDATES of a search by diffusion, keeping their distances to the query.

    The query's copies and the nearest other picture stay first. space: the space of the search. Call it inside the
    same `store.reading()` as the search.
    """
    first, rest = near[:CANDIDATES], near[CANDIDATES:]
    if len(first) < 3:  # the nearest stays first, and a single other one cannot be reordered
        return near
    vectors = store.vectors([id_ for id_, _ in first], space=space)
    distances = np.array([distance for _, distance in first])
    order = diffused(vectors, _squares(distances, store.space.metric), still=1 + int((distances == 0.0).sum()))
    return [first[index] for index in order.tolist()] + rest


def diffused(rows: NDArray[np.float32], squares: NDArray[np.float64], *, still: int = 1) -> NDArray[np.intp]:
    """The indices of vectors float32 (n, d), given nearest first, in the order of diffusion, int (n,).

    squares: their squared Euclidean distances to the query, float64 (n,). still: how many of the first stay first.
    """
    n = len(rows)
    lengths, mean = np.einsum("ij,ij->i", rows, rows), rows.mean(axis=0)
    spread = float(2 * (lengths.mean() - mean @ mean))  # the mean squared distance between two vectors
    if spread <= _SAME * lengths.mean():
        return np.arange(n)
    weights = _link(_similarities(rows, lengths, spread))
    sums = weights.sum(axis=1)
    scale = np.divide(1.0, np.sqrt(sums), out=np.zeros_like(sums), where=sums > 0)
    seeds = _weight(np.maximum(1.0 - squares / spread, 0.0).astype(np.float32))
    seeds[_SEEDS:] = 0.0
    share, reached = np.float32(_SHARE), seeds
    for _ in range(_STEPS):
        reached = share * scale * (weights @ (scale * reached)) + seeds
    behind = still + np.argsort(-reached[still:], kind="stable")
    return np.concatenate([np.arange(min(still, n)), behind])


def _similarities(vectors: NDArray[np.float32], lengths: NDArray[np.float32], spread: float) -> NDArray[np.float32]:
    """The similarity of each pair, float32 (n, n): 1 for equal vectors, 0 for two that are the mean distance apart.

    The vectors' own spread is the scale, whatever the metric. lengths: the squared lengths of the vectors.
    """
    similarities = vectors @ vectors.T
    similarities *= np.float32(2 / spread)
    halves = 0.5 - lengths / np.float32(spread)
    similarities += halves[:, None]
    similarities += halves
    return similarities


def _link(similarities: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much each passes on to each, float32 (n, n), symmetrical; 0 to itself and to all but mutual neighbours."""
    n = len(similarities)
    np.fill_diagonal(similarities, 0.0)
    count = min(_NEIGHBOURS, n - 1)
    least = np.maximum(np.partition(similarities, n - count, axis=1)[:, n - count], 0.0)
    mutual = (similarities >= least[:, None]) & (similarities >= least)
    return _weight(np.where(mutual, similarities, np.float32(0.0)))


def _weight(similarities: NDArray[np.float32]) -> NDArray[np.float32]:
    """The weights of links: the fourth power of their similarities."""
    return np.square(np.square(similarities))


def _squares(distances: NDArray[np.float64], metric: Metric) -> NDArray[np.float64]:
    """The squared Euclidean distances; for cosine, those of vectors of length 1."""
    return 2.0 * distances if metric == "cosine" else distances**2
