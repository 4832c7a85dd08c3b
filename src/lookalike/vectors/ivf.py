"""Approximate nearest neighbours: inverted lists of vectors around centroids, of which a search scans only a few.

An inverted file (Jegou, Douze & Schmid 2011) with one byte for each dimension of a vector. faiss finds the centroids
and scans the lists where they lie in a mapped file: it is given the addresses of checked blocks, and parses nothing.
The caller measures what it finds again, on the vectors themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import faiss
import numpy as np

from lookalike.vectors.exact import DEPTHS, Matrix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from lookalike.vectors.mapped import Blocks, Segment, Writer
    from lookalike.vectors.metric import Metric

    Rows = NDArray[np.float32]

__all__ = ["Clusters", "InvertedLists", "build_flat", "calibrate", "cluster", "find_centroids", "write_lists"]

_PER_ROOT = 4  # lists = 4 sqrt(n): 4,000 at a million vectors, 250 vectors each (docs/performance.md)
_LEAST = 4  # vectors in a list, on average, at least
_SAMPLED = 40  # vectors for each centroid that k-means sees; faiss warns below 39
_STEPS = 5  # of k-means; more hardly changes how many vectors a search scans (docs/performance.md)
_ASSIGNED = 16384  # vectors assigned to lists at once
_CALIBRATED = 256  # vectors that `calibrate` searches with
_SHARE = 0.993  # of their nearest that must be found; the promise for any query is 0.99
_SPARE = 1.15  # times as many lists as those vectors need: other queries may lie between lists
_LIST = np.dtype([("size", "<u8"), ("capacity", "<u8"), ("offset", "<u8")])  # faiss: OnDiskOneList


@dataclass(frozen=True, slots=True)
class Clusters:
    """How vectors are divided into inverted lists, and the range that one byte of each dimension stands for.

    centroids: float32 (lists, d). nearest: int64 (n,), the list of every vector. order: int64 (n,), the indices of the
    vectors list by list. ends: int64 (lists,), where every list ends in that order. bounds: float32 (2, d), the minimum
    of every dimension, and its maximum minus its minimum.
    """

    centroids: Rows
    nearest: NDArray[np.int64]
    order: NDArray[np.int64]
    ends: NDArray[np.int64]
    bounds: Rows


def cluster(rows: Rows, metric: Metric) -> Clusters:
    """Divide vectors (n, d) into lists around the centroids of k-means; the same vectors give the same lists."""
    count = max(1, min(round(_PER_ROOT * len(rows) ** 0.5), len(rows) // _LEAST))
    centroids = find_centroids(rows, count, metric)
    quantizer = build_flat(centroids, metric)
    nearest = np.empty(len(rows), np.int64)
    for start in range(0, len(rows), _ASSIGNED):
        part = slice(start, start + _ASSIGNED)
        nearest[part] = quantizer.search(rows[part], 1)[1][:, 0]
    order = np.argsort(nearest, kind="stable")
    least = rows.min(axis=0)
    bounds = np.stack([least, np.maximum(rows.max(axis=0) - least, np.float32(1e-30))])
    return Clusters(centroids, nearest, order, np.cumsum(np.bincount(nearest, minlength=count)), bounds)


def calibrate(rows: Rows, clusters: Clusters, metric: Metric) -> tuple[list[int], float]:
    """How many lists to probe for each of DEPTHS neighbours, and the largest error of a similarity by bytes.

    Measured by searching with some of the vectors themselves: enough lists to find _SHARE of their neighbours.
    """
    indices = np.unique(np.linspace(0, len(rows) - 1, _CALIBRATED).astype(np.int64))
    queries, matrix = rows[indices], Matrix(np.arange(len(rows)), rows, metric)
    ranking = build_flat(clusters.centroids, metric).search(queries, len(clusters.ends))[1]
    found: list[list[NDArray[np.int64]]] = [[] for _ in DEPTHS]
    errors = [np.zeros(1)]
    for index, near, ranked in zip(indices.tolist(), matrix.search(queries, DEPTHS[-1] + 1), ranking, strict=True):
        others = near.ids[near.ids != index]
        rank = np.empty(len(ranked), np.int64)
        rank[ranked] = np.arange(len(ranked))
        for ranks, depth in zip(found, DEPTHS, strict=True):
            ranks.append(rank[clusters.nearest[others[:depth]]])
        errors.append(_measure_byte_errors(rows[index], rows[others[: DEPTHS[0]]], clusters, metric))
    needed = [int(np.quantile(np.concatenate(ranks), _SHARE, method="higher")) + 1 for ranks in found]
    probes = np.maximum.accumulate([round(_SPARE * lists) for lists in needed]).tolist()
    return probes, 2 * float(np.concatenate(errors).max())


def write_lists(writer: Writer, clusters: Clusters, chunks: Callable[[], Iterator[Rows]], metric: Metric) -> None:
    """Write what `InvertedLists` reads. chunks: the vectors in the order of the clusters, whole lists in each chunk."""
    index = _build_index(build_flat(clusters.centroids, metric), clusters.bounds, metric)
    shape = (len(clusters.order), clusters.centroids.shape[1])
    writer.array("centroids", clusters.centroids)
    writer.array("bounds", clusters.bounds)
    writer.blocks(
        "codes", (index.sq.compute_codes(np.ascontiguousarray(rows)) for rows in chunks()), shape, clusters.ends
    )


class InvertedLists:
    """The inverted lists of an open segment.

    Any number of threads may scan them: faiss reads only, and what a scan is asked for is handed over with it.
    """

    def __init__(self, segment: Segment, metric: Metric) -> None:
        self._metric = metric
        self._codes: Blocks = segment.blocks("codes")
        self._ends: NDArray[np.int64] = segment.array("codes.ends")
        centroids = segment.array("centroids")
        self._quantizer = build_flat(centroids, metric)
        self._index = _build_index(self._quantizer, segment.array("bounds"), metric)
        self._map()

    def __len__(self) -> int:
        return len(self._ends)

    def __del__(self) -> None:
        # faiss would unmap memory that is not its own.
        if hasattr(self, "_lists"):
            self._lists.ptr = None

    def scan(
        self, queries: Rows, k: int, probes: int, *, among: NDArray[np.bool_] | None = None
    ) -> tuple[Rows, NDArray[np.int64]]:
        """The k most similar vectors to each query (m, d) by their bytes, of those in the `probes` nearest lists.

        Returns their similarities, float32 (m, k), which grow as vectors come nearer, and their indices, int64 (m, k),
        -1 where the lists hold no more. d is a multiple of 8. among: bool (n,), which vectors may be found. Raises
        Damaged.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        distances, nearest = self._quantizer.search(queries, min(probes, len(self)))
        self._codes.check(nearest)
        similarity = np.empty((len(queries), k), np.float32)
        indices = np.empty((len(queries), k), np.int64)
        parameters, _bits = self._make_parameters(nearest.shape[1], among)
        # Not the method without _c, which takes no parameters.
        self._index.search_preassigned_c(
            len(queries),
            faiss.swig_ptr(queries),
            k,
            faiss.swig_ptr(nearest),
            faiss.swig_ptr(distances),
            faiss.swig_ptr(similarity),
            faiss.swig_ptr(indices),
            False,  # noqa: FBT003  (positional only in C++)
            parameters,
        )
        return (similarity if self._metric == "cosine" else -similarity), indices

    def _map(self) -> None:
        """Lend faiss the bytes where they are mapped, and the indices of their vectors.

        faiss looks for the indices of a list `capacity` codes behind its bytes. So they begin at a whole number of
        codes from the mapped ones, wherever they are in memory; unsigned arithmetic wraps around where that is before.
        """
        codes = self._codes.array
        width, starts = codes.shape[1], np.concatenate([[0], self._ends[:-1]])
        sizes = self._ends - starts
        reserved = -(-8 * sizes // width)
        ahead = np.cumsum(reserved) - reserved
        self._indices = _lay_indices(starts - ahead * width // 8, reserved * width // 8, like=codes)
        entries = np.zeros(len(sizes), _LIST)
        entries["size"], entries["offset"] = sizes, starts * width
        gap = (self._indices.ctypes.data - codes.ctypes.data) // width
        entries["capacity"] = (gap + ahead - starts).astype(np.uint64)
        self._lists = faiss.OnDiskInvertedLists()
        self._lists.nlist, self._lists.code_size = len(sizes), width
        self._lists.read_only, self._lists.prefetch_nthread = True, 0
        self._lists.lists.resize(len(sizes))
        faiss.memcpy(self._lists.lists.data(), faiss.swig_ptr(entries.view(np.uint64)), entries.nbytes)
        self._lists.ptr = faiss.swig_ptr(codes)
        self._index.replace_invlists(self._lists, False)  # noqa: FBT003  (positional only in C++)
        self._index.ntotal = len(codes)

    @staticmethod
    def _make_parameters(probes: int, among: NDArray[np.bool_] | None) -> tuple[Any, Any]:
        if among is None:
            return faiss.SearchParametersIVF(nprobe=probes), None
        bits = np.packbits(among, bitorder="little")
        selector = faiss.IDSelectorBitmap(bits)
        return faiss.SearchParametersIVF(nprobe=probes, sel=selector), (bits, selector)


def find_centroids(rows: Rows, count: int, metric: Metric) -> Rows:
    """The centroids of k-means on an even sample, by faiss, which starts from the same vectors each time."""
    sample = np.ascontiguousarray(rows[:: max(1, len(rows) // (_SAMPLED * count))])
    means = faiss.Clustering(rows.shape[1], count)
    means.niter, means.spherical = _STEPS, metric == "cosine"
    means.min_points_per_centroid, means.max_points_per_centroid = 1, 2 * _SAMPLED
    means.train(sample, build_flat(sample[:0], metric))
    return np.asarray(faiss.vector_to_array(means.centroids).reshape(count, -1))


def build_flat(rows: Rows, metric: Metric) -> Any:  # noqa: ANN401  (faiss has no types)
    """A faiss index that compares with every row, float32 (n, d)."""
    index = (faiss.IndexFlatIP if metric == "cosine" else faiss.IndexFlatL2)(rows.shape[1])
    index.add(rows)
    return index


def _build_index(quantizer: Any, bounds: Rows, metric: Metric) -> Any:  # noqa: ANN401  (faiss has no types)
    """A faiss index that can read the bytes but holds no vectors of its own."""
    kind = faiss.METRIC_INNER_PRODUCT if metric == "cosine" else faiss.METRIC_L2
    lists, dim = quantizer.ntotal, bounds.shape[1]
    by_residual = False
    index = faiss.IndexIVFScalarQuantizer(quantizer, dim, lists, faiss.ScalarQuantizer.QT_8bit, kind, by_residual)
    faiss.copy_array_to_vector(bounds.reshape(-1), index.sq.trained)
    index.is_trained = True
    return index


def _measure_byte_errors(query: Rows, rows: Rows, clusters: Clusters, metric: Metric) -> NDArray[np.float64]:
    """How far off the similarity to each vector is when it is read from its bytes, float64 (n,)."""
    index = _build_index(build_flat(clusters.centroids, metric), clusters.bounds, metric)
    read = index.sq.decode(index.sq.compute_codes(np.ascontiguousarray(rows)))
    similarity = [
        -((some - query) ** 2).sum(axis=1) if metric == "euclidean" else some @ query for some in (rows, read)
    ]
    return np.abs(similarity[0] - similarity[1]).astype(np.float64)


def _lay_indices(firsts: NDArray[np.int64], counts: NDArray[np.int64], *, like: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The indices of each list in turn, `counts[l]` of them, a whole number of rows of `like` away in memory."""
    total, width = int(counts.sum()), like.shape[1]
    memory = np.empty(8 * total + width, np.uint8)
    ahead = (like.ctypes.data - memory.ctypes.data) % width
    indices = memory[ahead : ahead + 8 * total].view(np.int64)
    indices[:] = np.arange(total)
    indices += np.repeat(firsts, counts)
    return indices
