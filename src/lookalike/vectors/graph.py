"""The neighbour graph: every vector with the others nearest to it, found for all vectors together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import faiss
import numpy as np

from lookalike.vectors.ivf import build_flat, find_centroids

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookalike.vectors.metric import Metric

    Rows = NDArray[np.float32]

__all__ = ["Graph", "build_graph"]

_EXACT = 20_000  # vectors up to which all are compared with all: 3 s of CPU (docs/decisions.md)
_LISTS = 2  # times sqrt(n): 632 lists for 100,000 vectors
_PROBES = 8  # lists that are scanned for each vector: 97% of the neighbours (docs/decisions.md)
_AT_ONCE = 4096  # vectors whose neighbours are found at once


class Graph(NamedTuple):
    """Every vector's nearest others, nearest first: indices int64 (n, k), distances float32 (n, k).

    The distances are sums of float32: of equal vectors, they are about 0.
    """

    indices: NDArray[np.int64]
    distances: Rows


def build_graph(rows: Rows, k: int, metric: Metric) -> Graph:
    """The k nearest others of each vector (n, d), or all n - 1 if there are fewer.

    For cosine, vectors must be of length 1 or 0. Among very many vectors, about one neighbour in thirty is replaced by
    one that is a little farther. The same vectors give the same graph.
    """
    k = max(0, min(k, len(rows) - 1))
    if k == 0:
        return Graph(np.empty((len(rows), 0), np.int64), np.empty((len(rows), 0), np.float32))
    rows = np.ascontiguousarray(rows, np.float32)
    index = build_flat(rows, metric) if len(rows) <= _EXACT else _build_lists(rows, metric)
    indices = np.concatenate([_search(index, rows, start, k) for start in range(0, len(rows), _AT_ONCE)])
    distances = np.concatenate([_measure(rows, indices, start, metric) for start in range(0, len(rows), _AT_ONCE)])
    order = np.argsort(distances, axis=1, kind="stable")
    return Graph(np.take_along_axis(indices, order, axis=1), np.take_along_axis(distances, order, axis=1))


def _build_lists(rows: Rows, metric: Metric) -> Any:  # noqa: ANN401  (faiss has no types)
    centroids = find_centroids(rows, round(_LISTS * len(rows) ** 0.5), metric)
    kind = faiss.METRIC_INNER_PRODUCT if metric == "cosine" else faiss.METRIC_L2
    index = faiss.IndexIVFFlat(build_flat(centroids, metric), rows.shape[1], len(centroids), kind)
    index.nprobe = _PROBES
    index.add(rows)
    return index


def _search(index: Any, rows: Rows, start: int, k: int) -> NDArray[np.int64]:  # noqa: ANN401  (as above)
    """The neighbours of some vectors, each vector itself left out."""
    some = rows[start : start + _AT_ONCE]
    found = index.search(some, k + 1)[1]
    own = np.arange(start, start + len(some))[:, None]
    is_own = found == own
    is_own[~is_own.any(axis=1), -1] = True  # among more than k equal vectors, it may not be found itself
    indices = found[~is_own].reshape(-1, k)
    # Fewer than k in the lists that were scanned: the first one again, or the next vector if there is none at all.
    spare = np.where(indices[:, :1] < 0, (own + 1) % len(rows), indices[:, :1])
    return np.where(indices < 0, spare, indices)


def _measure(rows: Rows, indices: NDArray[np.int64], start: int, metric: Metric) -> Rows:
    """The distances of some vectors to their neighbours.

    Added up here and not taken from faiss, whose products are rounded by how many threads share the work: the same
    vectors give the same distances on any number of cores.
    """
    found = np.empty((len(indices[start : start + _AT_ONCE]), indices.shape[1]), np.float32)
    some = rows[start : start + _AT_ONCE]
    for column in range(indices.shape[1]):
        others = rows[indices[start : start + _AT_ONCE, column]]
        if metric == "cosine":
            found[:, column] = np.clip(1 - np.einsum("ij,ij->i", some, others), 0, 2)
        else:
            others -= some
            found[:, column] = np.sqrt(np.einsum("ij,ij->i", others, others))
    return found
