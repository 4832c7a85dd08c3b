"""Exact nearest neighbours in a matrix of vectors."""

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

VERSION = 2  # of `prepare_vectors`: files with the vectors of another version are written again

DEPTHS = (
    10,
    40,
    160,
    640,
    2560,
)  # numbers of neighbours for which `ivf.calibrate` measures how many inverted lists to probe
BLOCK = 128  # vectors that are checked together: 64 KiB of 128 dimensions
_MEASURED_AT_ONCE = 8192  # candidates; bounds memory when a great many are equally near
_PRODUCTS = 1 << 24  # elements of one block of products: 64 MiB
_TOGETHER = 64  # queries up to which the matrix comes first in their product: 8 of 256 dimensions in half the time
_GROUP = 32  # rows whose largest product stands for all of them when the k-th largest is bounded


class Nearest(NamedTuple):
    """What one query found, nearest first, ties by id: ids int64 (k,), distances float64 (k,)."""

    ids: NDArray[np.int64]
    distances: NDArray[np.float64]

    def to_pairs(self) -> list[tuple[int, float]]:
        """The same as pairs of an id and a distance."""
        return list(zip(self.ids.tolist(), self.distances.tolist(), strict=True))


class Matrix:
    """Vectors laid out for exact searching: `ids` int64 (n,), `vectors` float32 (n, d), of length 1 for cosine.

    blocks: checks vectors that come from a file, BLOCK of them at a time, before they are used. Any number of threads
    may use a matrix at the same time.
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
        """The k nearest vectors to each query (m, d), exactly; fewer where there are not as many.

        For cosine, queries must be of length 1, too. among: the indices of the vectors that may be found, int (a,);
        None for all. Raises Damaged.
        """
        count = len(self.ids) if among is None else len(among)
        k = max(0, min(k, count))
        size = max(1, _PRODUCTS // max(1, count))
        for start in range(0, len(queries), size):
            part = queries[start : start + size]
            for query, similarity in zip(part, self._multiply(part, among), strict=True):
                near = _select_candidates(similarity, k, 2 * self._bound_rounding(query))
                yield self.measure(query, near if among is None else among[near], k)

    def weighted(self, weights: NDArray[np.float32]) -> Matrix:
        """A copy in memory with the dimensions multiplied by `weights`, float32 (w,), w <= d. Raises Damaged."""
        rows = self._check_all()[:, : len(weights)] * weights
        return Matrix(self.ids, prepare_vectors(rows, self.metric), self.metric)

    def find(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Which of `ids` are in this matrix, as indices into `ids`, and where: both int (f,), f the number found."""
        indices = np.searchsorted(self.ids, ids, sorter=self._order)
        asked = np.nonzero(indices < len(self.ids))[0]
        found = self._order[indices[asked]]
        here = self.ids[found] == ids[asked]
        return asked[here], found[here]

    @cached_property
    def _order(self) -> NDArray[np.intp]:
        """The indices in the order of their ids: inverted lists put vectors in another order."""
        return np.argsort(self.ids)

    def take(self, indices: NDArray[Any]) -> NDArray[np.float32]:
        """The vectors at these indices, float32 (m, d). Raises Damaged."""
        if self._blocks is not None and self._blocks.left:
            self._blocks.check(indices // BLOCK)
        return np.asarray(self.vectors[indices])

    def measure(self, query: NDArray[np.float32], indices: NDArray[Any], k: int) -> Nearest:
        """The k nearest of the vectors at these indices, by `distances`. Raises Damaged."""
        parts = [indices[start : start + _MEASURED_AT_ONCE] for start in range(0, len(indices) or 1, _MEASURED_AT_ONCE)]
        measured = [Nearest(self.ids[part], distances(query, self.take(part), self.metric)) for part in parts]
        return merge(measured, k)

    def _multiply(self, queries: NDArray[np.float32], among: NDArray[np.intp] | None) -> NDArray[np.float32]:
        """float32 (m, n): a number that grows as vectors come nearer, with an error bounded by `_bound_rounding`."""
        rows = self._check_all() if among is None else self.take(among)
        similarity = _multiply(rows, queries)
        half_squares = self._find_lengths()[1]
        if half_squares is not None:
            similarity -= half_squares if among is None else half_squares[among]
        return similarity

    def _check_all(self) -> NDArray[np.float32]:
        """All vectors, checked. Raises Damaged."""
        if self._blocks is not None and self._blocks.left:
            self._blocks.check()
        return self.vectors

    def _bound_rounding(self, query: NDArray[np.float32]) -> float:
        """A bound for the error of one element of the product: gamma_n |x||y| (Higham 2002, section 3.1)."""
        steps = (len(query) + 2) * np.finfo(np.float32).eps
        longest, half_squares = self._find_lengths()
        if half_squares is None:
            return float(steps * longest * longest)  # cosine: the query is of length 1, too
        return float(steps * longest * (np.linalg.norm(query) + longest))

    def _find_lengths(self) -> tuple[float, NDArray[np.float32] | None]:
        """The length of the longest vector, and half of all squared lengths, which a product lacks; None for cosine."""
        if self.metric == "cosine":
            return 1.0 + 1e-6, None  # a length of 1, rounded
        if self._lengths is None:
            half_squares = np.einsum("ij,ij->i", self._check_all(), self.vectors) / 2
            self._lengths = float(np.sqrt(2 * half_squares.max(initial=0.0))), half_squares
        return self._lengths


def _multiply(rows: NDArray[np.float32], queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """The product of each query (m, d) with every row (n, d), float32 (m, n)."""
    # One query as a vector: BLAS has a faster product for it, 2.4 times at 10,000 x 128.
    if len(queries) == 1:
        return np.asarray((rows @ queries[0])[None])
    return np.asarray(np.ascontiguousarray((rows @ queries.T).T) if len(queries) <= _TOGETHER else queries @ rows.T)


def merge(parts: Sequence[Nearest], k: int) -> Nearest:
    """The k nearest of several answers to one query, nearest first, ties by id; at least one part."""
    ids, measured = parts[0]
    if len(parts) > 1:
        ids, measured = (np.concatenate(some) for some in zip(*parts, strict=True))
    order = np.lexsort((ids, measured))[:k]
    return Nearest(ids[order], measured[order])


def _select_candidates(similarity: NDArray[np.float32], k: int, margin: float) -> NDArray[np.intp]:
    """The indices of the k largest of float32 (n,), and of all that a rounding error may have put behind them."""
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
        return near  # measuring so few is faster than selecting among them
    kth = np.partition(similarity[near], -k)[-k]
    return np.asarray(near[similarity[near] >= kth - margin])


def prepare_vectors(vectors: NDArray[np.float32], metric: Metric) -> NDArray[np.float32]:
    """Vectors float32 (n, d) as they are compared, float32 (n, w): of length 1 for cosine. Queries go through it, too.

    w is the next multiple of 8, because inverted lists are scanned in whole words; the added dimensions are 0.
    """
    rows = unit(vectors) if metric == "cosine" else vectors
    missing = -rows.shape[1] % 8
    return np.pad(rows, ((0, 0), (0, missing))) if missing else rows
