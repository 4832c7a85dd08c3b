"""Queries of several kinds at once: pictures, texts and taught names, each compared in a space of its own.

The distances of texts spread less than those of pictures, so each is divided by its standard deviation among the
candidates: queries of equal weight then count equally in the order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lookalike.vectors.metric import distances

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lookalike.store import Near, SearchSpace, Store
    from lookalike.store.filter import Filter

__all__ = ["BOTH", "Blend", "Likeness", "find_blended", "first"]

BOTH = 1000
"""Pictures nearest by each kind of query that are compared by all of them."""


_FARTHEST = 2.0  # by cosine


@dataclass(frozen=True, slots=True)
class Likeness:
    """A query that is compared by vectors: its views float32 (v, w), as they are compared in `space`."""

    views: NDArray[np.float32]
    space: SearchSpace
    exact: bool = False

    def find(self, store: Store, k: int, where: Filter | None) -> list[int]:
        """The ids of the k pictures nearest to each view."""
        found = store.search(self.views, k, space=self.space, where=where, exact=self.exact)
        return [id_ for near in found for id_, _ in near]

    def distances(self, store: Store, ids: NDArray[np.int64]) -> NDArray[np.float64]:
        """The distance of each of these pictures to the nearest view, float64 (n,)."""
        rows = store.vectors(ids.tolist(), space=self.space)
        metric = "cosine" if self.space.raw else store.space.metric
        return np.asarray(np.minimum.reduce([distances(view, rows, metric) for view in self.views]))


@dataclass(frozen=True, slots=True)
class Blend:
    """Several such queries, each with its weight, of which at least one is above 0."""

    parts: Sequence[tuple[float, Likeness]]

    def find(self, store: Store, k: int, where: Filter | None) -> list[int]:
        """The ids of the k pictures nearest to each query that is wanted."""
        return [id_ for weight, part in self.parts if weight > 0 for id_ in part.find(store, k, where)]

    def distances(self, store: Store, ids: NDArray[np.int64]) -> NDArray[np.float64]:
        """The mean distance of each of these pictures to the queries, by their weights, float64 (n,).

        For an unwanted query, what counts is the largest distance, which is 2 for cosine, minus the distance to it.
        """
        if not len(ids):
            return np.empty(0)
        each = [part.distances(store, ids) for _, part in self.parts]
        spreads = [float(found.std()) for found in each]
        usual = max(spreads) or 1.0
        factors = [abs(weight) / (spread or usual) for (weight, _), spread in zip(self.parts, spreads, strict=True)]
        total = sum(factors)
        turned = [
            found if weight > 0 else max(_FARTHEST, float(found.max())) - found
            for (weight, _), found in zip(self.parts, each, strict=True)
        ]
        return np.asarray(sum(factor / total * found for factor, found in zip(factors, turned, strict=True)))


def find_blended(store: Store, blend: Blend, k: int, where: Filter | None) -> Near:
    """The k pictures nearest by all queries together, among the 1,000 nearest to each, or k if that is more."""
    with store.reading():
        ids = np.unique(np.array(blend.find(store, max(k, BOTH), where), np.int64))
        return first(ids, blend.distances(store, ids), k)


def first(ids: NDArray[np.int64], found: NDArray[np.float64], k: int) -> Near:
    """The k nearest, ties by id."""
    if k < len(ids):
        kth = np.partition(found, k - 1)[k - 1]
        ids, found = ids[found <= kth], found[found <= kth]
    order = np.lexsort((ids, found))[:k]
    return list(zip(ids[order].tolist(), found[order].tolist(), strict=True))
