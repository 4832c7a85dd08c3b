"""Answers in another order: as pictures are reached from the query through pictures that are alike.

A picture of the query's kind may be far from the query and yet near to pictures that are near to it. What is near
hands on, step by step, a share of its rank to its own neighbours (ranking on manifolds: Zhou et al. 2004; for pictures
Iscen et al. 2017; among the nearest only, as here: Yang et al. 2019). Nothing is kept for it in a gallery: the graph is
that of the pictures nearest to this one query. docs/decisions.md has what it brings and what else was tried.
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
"""distance: the nearest first. diffusion: as they are reached from the nearest, which stay first."""

CANDIDATES = 1000  # of the nearest that are put in another order; those behind stay where they are
_NEIGHBOURS = 100  # two pictures are linked where each is among so many nearest of the other
_SEEDS = 5  # of the nearest, from which the others are reached
_SHARE = 0.85  # of its rank that a picture hands on
_STEPS = 10
_SAME = 1e-6  # of the rows' mean square: a spread that is nothing but rounding


def by_diffusion(store: Store, near: Near, *, space: SearchSpace = ADAPTED) -> Near:
    """An answer of the store's search, its first CANDIDATES in the order of diffusion; distances stay what they are.

    space: that of the search. The query's copies and the nearest other stay
    first. To be called in the `store.reading()` of the search.
    """
    first, rest = near[:CANDIDATES], near[CANDIDATES:]
    if len(first) < 3:  # the nearest stays, and one other has no order
        return near
    rows = store.vectors([id_ for id_, _ in first], space=space)
    distances = np.array([distance for _, distance in first])
    places = diffused(rows, _squares(distances, store.space.metric), still=1 + int((distances == 0.0).sum()))
    return [first[place] for place in places.tolist()] + rest


def diffused(rows: NDArray[np.float32], squares: NDArray[np.float64], *, still: int = 1) -> NDArray[np.intp]:
    """The places of rows float32 (n, d) in the order of diffusion, int (n,); they come nearest first.

    squares: float64 (n,), of their Euclidean distances to the query. still: so many of the first stay first.
    """
    n = len(rows)
    lengths, mean = np.einsum("ij,ij->i", rows, rows), rows.mean(axis=0)
    spread = float(2 * (lengths.mean() - mean @ mean))  # how far apart, squared, two rows are on average
    if spread <= _SAME * lengths.mean():
        return np.arange(n)
    weights = _links(_likeness(rows, lengths, spread))
    sums = weights.sum(axis=1)
    scale = np.divide(1.0, np.sqrt(sums), out=np.zeros_like(sums), where=sums > 0)
    seeds = _weight(np.maximum(1.0 - squares / spread, 0.0).astype(np.float32))
    seeds[_SEEDS:] = 0.0
    share, reached = np.float32(_SHARE), seeds
    for _ in range(_STEPS):
        reached = share * scale * (weights @ (scale * reached)) + seeds
    behind = still + np.argsort(-reached[still:], kind="stable")
    return np.concatenate([np.arange(min(still, n)), behind])


def _likeness(rows: NDArray[np.float32], lengths: NDArray[np.float32], spread: float) -> NDArray[np.float32]:
    """float32 (n, n): 1 for equal rows, 0 for two that are as far apart as two of them on average.

    lengths: squared. So the rows' own spread is the measure, by whatever distance they are compared.
    """
    likeness = rows @ rows.T
    likeness *= np.float32(2 / spread)
    halves = 0.5 - lengths / np.float32(spread)
    likeness += halves[:, None]
    likeness += halves
    return likeness


def _links(likeness: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much each hands on to each, float32 (n, n), symmetrical: nothing to itself, or to no mutual neighbour."""
    n = len(likeness)
    np.fill_diagonal(likeness, 0.0)
    count = min(_NEIGHBOURS, n - 1)
    least = np.maximum(np.partition(likeness, n - count, axis=1)[:, n - count], 0.0)
    mutual = (likeness >= least[:, None]) & (likeness >= least)
    return _weight(np.where(mutual, likeness, np.float32(0.0)))


def _weight(likeness: NDArray[np.float32]) -> NDArray[np.float32]:
    """The fourth power: how much a link hands on."""
    return np.square(np.square(likeness))


def _squares(distances: NDArray[np.float64], metric: Metric) -> NDArray[np.float64]:
    """The squared Euclidean distances; of rows of length 1 for cosine."""
    return 2.0 * distances if metric == "cosine" else distances**2
