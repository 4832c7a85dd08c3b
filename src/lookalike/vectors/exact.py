"""Exact nearest neighbours in a matrix of embeddings."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lookalike.vectors.metric import Metric, distances, unit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from lookalike.vectors.mapped import Blocks

__all__ = ["BLOCK", "DEPTHS", "VERSION", "Matrix", "Nearest", "merge", "prepare_vectors"]

VERSION = 1  # of `prepare_vectors`: what another version made is made again

DEPTHS = (10, 40, 160, 640, 2560)  # neighbours for which it is measured how many lists to look into
BLOCK = 128  # rows that are checked together: 64 KiB of 128 numbers
_MEASURED_AT_ONCE = 8192  # candidates; bounds memory when very many are equally near
_PRODUCTS = 1 << 24  # numbers of one block of products: 64 MiB
_GROUP = 32  # rows whose largest product stands for all of them when the k-th largest is bounded


class Nearest(NamedTuple):
    """Some rows of one query, nearest first, ties by id: ids int64 (k,), distances float64 (k,)."""

    ids: NDArray[np.int64]
    distances: NDArray[np.float64]


class Matrix:
    """Rows laid out for exact searching: `ids` int64 (n,), `vectors` float32 (n, d), of length 1 for cosine.

    blocks: how rows that come from a file are checked, BLOCK of them at a time, before they are used.
    """

    def __init__(
        self, ids: NDArray[np.int64], vectors: NDArray[np.float32], metric: Metric, *, blocks: Blocks | None = None
    ) -> None:
        self.ids = ids
        self.vectors = vectors
        self.metric = metric
        self._blocks = blocks
        self._lengths: tuple[float, NDArray[np.float32] | None] | None = None

    def search(
        self, queries: NDArray[np.float32], k: int, *, among: NDArray[np.intp] | None = None
    ) -> Iterator[Nearest]:
        """The k nearest rows to each query (m, d), of all or `among` the rows at these places; exact.

        For cosine queries are of length 1, too.
        """
        count = len(self.ids) if among is None else len(among)
        k = max(0, min(k, count))
        size = max(1, _PRODUCTS // max(1, count))
        for start in range(0, len(queries), size):
            part = queries[start : start + size]
            for query, similarity in zip(part, self._similarity(part, among), strict=True):
                near = _candidates(similarity, k, 2 * self._rounding(query))
                yield self.measure(query, near if among is None else among[near], k)

    def weighted(self, weights: NDArray[np.float32]) -> Matrix:
        """The same rows, in memory, with their numbers multiplied by float32 (width,). Raises Damaged."""
        rows = self._all()[:, : len(weights)] * weights
        return Matrix(self.ids, prepare_vectors(rows, self.metric), self.metric)

    def find(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Which of the ids are here, and at which places: both int (m,)."""
        places = np.searchsorted(self.ids, ids, sorter=self._order)
        asked = np.nonzero(places < len(self.ids))[0]
        found = self._order[places[asked]]
        here = self.ids[found] == ids[asked]
        return asked[here], found[here]

    @cached_property
    def _order(self) -> NDArray[np.intp]:
        """The places in the order of their ids: lists put them in another."""
        return np.argsort(self.ids)

    def take(self, places: NDArray[Any]) -> NDArray[np.float32]:
        """The rows at these places. Raises Damaged."""
        if self._blocks is not None and self._blocks.left:
            self._blocks.check(places // BLOCK)
        return np.asarray(self.vectors[places])

    def measure(self, query: NDArray[np.float32], places: NDArray[Any], k: int) -> Nearest:
        """The k nearest of the rows at these places, measured in float64."""
        parts = [places[start : start + _MEASURED_AT_ONCE] for start in range(0, len(places) or 1, _MEASURED_AT_ONCE)]
        measured = [Nearest(self.ids[part], distances(query, self.take(part), self.metric)) for part in parts]
        return merge(measured, k)

    def _similarity(self, queries: NDArray[np.float32], among: NDArray[np.intp] | None) -> NDArray[np.float32]:
        """(m, n): what grows as rows come nearer, up to a bounded error."""
        rows = self._all() if among is None else self.take(among)
        # One query as a vector: BLAS has a faster product for it, 2.4 times at 10,000 x 128.
        similarity: NDArray[np.float32] = (rows @ queries[0])[None] if len(queries) == 1 else queries @ rows.T
        half_squares = self._measures()[1]
        if half_squares is not None:
            similarity -= half_squares if among is None else half_squares[among]
        return similarity

    def _all(self) -> NDArray[np.float32]:
        if self._blocks is not None and self._blocks.left:
            self._blocks.check()
        return self.vectors

    def _rounding(self, query: NDArray[np.float32]) -> float:
        """A bound of the error of one number of the product: gamma_n |x||y| (Higham 2002, section 3.1)."""
        steps = (len(query) + 2) * np.finfo(np.float32).eps
        longest, half_squares = self._measures()
        if half_squares is None:
            return float(steps * longest * longest)  # cosine: the query is of length 1, too
        return float(steps * longest * (np.linalg.norm(query) + longest))

    def _measures(self) -> tuple[float, NDArray[np.float32] | None]:
        """The length of the longest row; half of all squared lengths: what a product leaves out of a Euclidean one."""
        if self.metric == "cosine":
            return 1.0 + 1e-6, None  # a length of 1, rounded
        if self._lengths is None:
            half_squares = np.einsum("ij,ij->i", self._all(), self.vectors) / 2
            self._lengths = float(np.sqrt(2 * half_squares.max(initial=0.0))), half_squares
        return self._lengths


def merge(parts: Sequence[Nearest], k: int) -> Nearest:
    """The k nearest of all parts."""
    ids, measured = parts[0]
    if len(parts) > 1:
        ids, measured = (np.concatenate(some) for some in zip(*parts, strict=True))
    order = np.lexsort((ids, measured))[:k]
    return Nearest(ids[order], measured[order])


def _candidates(similarity: NDArray[np.float32], k: int, margin: float) -> NDArray[np.intp]:
    """Where the k largest are, and all that a rounding error may have put behind them."""
    if k in {0, len(similarity)}:
        return np.arange(k)
    groups = len(similarity) // _GROUP
    if groups < 4 * k:
        return np.nonzero(similarity >= np.partition(similarity, -k)[-k] - margin)[0]
    # k groups have a largest of at least this, so k rows have. Rows of a group stand far apart, as neighbours are
    # often alike; and numpy takes largests down columns 20 times as fast as along short rows.
    largest = similarity[: groups * _GROUP].reshape(_GROUP, groups).max(axis=0)
    near = np.nonzero(similarity >= np.partition(largest, -k)[-k] - margin)[0]
    if len(near) <= 2 * k:
        return near  # so few are measured sooner than they are made fewer
    kth = np.partition(similarity[near], -k)[-k]
    return np.asarray(near[similarity[near] >= kth - margin])


def prepare_vectors(projected: NDArray[np.float32], metric: Metric) -> NDArray[np.float32]:
    """float32 (n, d) in, the rows that are searched, float32 (n, w) out: of length 1 for cosine.

    w is a multiple of 8, as whole words of bytes are scanned; the numbers added are 0.
    """
    rows = unit(projected) if metric == "cosine" else projected
    missing = -rows.shape[1] % 8
    return np.pad(rows, ((0, 0), (0, missing))) if missing else rows
