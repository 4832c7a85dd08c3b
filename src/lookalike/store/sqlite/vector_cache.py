"""The vectors that searches compare, in cache files beside the database.

`search.cache` holds the vectors of one state of the database, sorted into inverted lists if there are many, and
`search.more` holds what has changed since. `put.cache` and `put.more` hold embeddings as they were put, for searches
that compare those. `cache_files` keeps the files up to date.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from lookalike.store.sqlite import cache_files
from lookalike.store.sqlite.cache_files import State, Tuning
from lookalike.vectors.exact import BLOCK, Matrix
from lookalike.vectors.searcher import Part, Searcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.vectors.ivf import Clusters
    from lookalike.vectors.mapped import Segment, Writer
    from lookalike.vectors.metric import Metric

__all__ = ["FILE", "MORE", "RAW", "Chunk", "Source", "State", "Tuning", "discard", "load", "load_in_memory"]

FILE = "search.cache"
MORE = "search.more"
RAW = ("put.cache", "put.more")
_WRITTEN = 65536  # vectors written at once


class Chunk(NamedTuple):
    """Some vectors, rows float32 (n, w), with the ids int64 (n,) and the checksums uint32 (n,) of their items."""

    ids: NDArray[np.int64]
    crcs: NDArray[np.uint32]
    rows: NDArray[np.float32]


class Source(cache_files.Source[Chunk], Protocol):
    """The database at one moment, as the cache sees it."""

    width: int
    metric: Metric


def load(folder: Path, source: Source, tuning: Tuning, files: tuple[str, str] = (FILE, MORE)) -> Searcher:
    """The searcher as of the source's state: from the files, after an update of these, or built again.

    Embeddings as they were put are always searched exactly, without inverted lists. Raises whatever reading the source
    raises, and Damaged if even newly written files are damaged.
    """
    lists_from = math.inf if files == RAW else tuning.approximate_from
    return cache_files.load(folder, source, _Vectors(files, source.width, source.metric, lists_from), tuning)


def load_in_memory(source: Source) -> Searcher:
    """The searcher as of the source's state, without files; its searches are always exact."""
    kind = _Vectors((FILE, MORE), source.width, source.metric, math.inf)
    whole = kind.concat(list(source.rows()))
    return Searcher([Part(Matrix(whole.ids, whole.rows, source.metric))])


def discard(folder: Path) -> None:
    """Delete files that turned out to be damaged."""
    for files in ((FILE, MORE), RAW):
        cache_files.discard(folder, files)


@dataclass(frozen=True, slots=True)
class _Vectors:
    """Vectors as a kind of cache: see `cache_files.Kind`."""

    files: tuple[str, str]
    width: int
    metric: Metric
    lists_from: float

    def serves(self, header: dict[str, Any], state: State) -> bool:
        """Whether the first file can serve: it needs inverted lists if there are now many vectors."""
        return state.embedded < self.lists_from or "lists" in header

    def build(self, source: cache_files.Source[Chunk]) -> Callable[[Writer], dict[str, Any]]:
        """Compute all vectors, sorted by inverted list if there are many; return a function that writes them."""
        whole = self._whole(source)
        clusters, header = _cluster(whole.rows, self.metric, self.lists_from)

        def write(writer: Writer) -> dict[str, Any]:
            order = clusters.order if clusters else np.arange(len(whole.ids))
            sorted_ = Chunk(whole.ids[order], whole.crcs[order], whole.rows)
            _write_vectors(writer, sorted_, lambda: (whole.rows[part] for part in _slices(order)))
            if clusters is not None:
                from lookalike.vectors.ivf import write_lists  # noqa: PLC0415  (see below)

                lists = (whole.rows[order[start:end]] for start, end in _groups(clusters.ends))
                write_lists(writer, clusters, lambda: lists, self.metric)
            return header

        return write

    def write(self, writer: Writer, chunk: Chunk) -> dict[str, Any]:
        """Write vectors in the order of the chunk."""
        _write_vectors(writer, chunk, lambda: _slices(chunk.rows))
        return {}

    def read(self, segment: Segment) -> Chunk:
        """Read vectors that `write` wrote. Raises Damaged."""
        rows = segment.blocks("rows")
        rows.check()
        return Chunk(segment.array("ids"), segment.array("crcs"), rows.array)

    def concat(self, chunks: Sequence[Chunk]) -> Chunk:
        """Join chunks in this order."""
        none = Chunk(np.empty(0, np.int64), np.empty(0, np.uint32), np.empty((0, self.width), np.float32))
        ids, crcs, rows = zip(none, *chunks, strict=True)
        return Chunk(np.concatenate(ids), np.concatenate(crcs), np.concatenate(rows))

    def select(self, chunk: Chunk, stays: NDArray[np.bool_]) -> Chunk:
        """The chunk with only the vectors that stay."""
        return Chunk(chunk.ids[stays], chunk.crcs[stays], chunk.rows[stays])

    def open(self, base: Segment, more: Segment | None, alive: NDArray[np.bool_] | None) -> Searcher:
        """Open the files as a searcher. Raises Damaged."""
        parts = [_part(base, self.metric, alive)]
        return Searcher(parts if more is None else [*parts, _part(more, self.metric)])

    def _whole(self, source: cache_files.Source[Chunk]) -> Chunk:
        """All vectors as one chunk, in memory that is allocated once."""
        count = source.state.embedded
        whole = Chunk(np.empty(count, np.int64), np.empty(count, np.uint32), np.empty((count, self.width), np.float32))
        done = 0
        for chunk in source.rows():
            part = slice(done, done + len(chunk.ids))
            whole.ids[part], whole.crcs[part], whole.rows[part] = (some[: count - done] for some in chunk)
            done += len(chunk.ids)
        return whole


def _part(segment: Segment, metric: Metric, alive: NDArray[np.bool_] | None = None) -> Part:
    rows = segment.blocks("rows")
    matrix = Matrix(segment.array("ids"), rows.array, metric, blocks=rows)
    lists = segment.header.get("lists")
    if lists is None:
        return Part(matrix, alive)
    from lookalike.vectors.ivf import InvertedLists  # noqa: PLC0415  (faiss: 0.15 s, only for many vectors)

    return Part(matrix, alive, InvertedLists(segment, metric), lists["probes"], float(lists["error"]))


def _cluster(vectors: NDArray[np.float32], metric: Metric, lists_from: float) -> tuple[Clusters | None, dict[str, Any]]:
    """Inverted lists if there are many vectors, and the header fields for them; not on Windows.

    There faiss cannot map inverted lists.
    """
    if len(vectors) < lists_from or os.name == "nt":
        return None, {}
    from lookalike.vectors.ivf import calibrate, cluster  # noqa: PLC0415  (see above)

    clusters = cluster(vectors, metric)
    probes, error = calibrate(vectors, clusters, metric)
    return clusters, {"lists": {"probes": probes, "error": error}}


def _write_vectors(writer: Writer, chunk: Chunk, rows: Callable[[], Iterator[NDArray[np.float32]]]) -> None:
    count = len(chunk.ids)
    writer.array("ids", chunk.ids)
    writer.array("crcs", chunk.crcs)
    ends = np.append(np.arange(BLOCK, count, BLOCK), [count] * (count > 0)).astype(np.int64)
    writer.blocks("rows", rows(), chunk.rows.shape, ends)


def _slices(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    return (array[start : start + _WRITTEN] for start in range(0, len(array), _WRITTEN))


def _groups(ends: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Ranges of whole inverted lists that hold about _WRITTEN vectors each."""
    start = 0
    while start < ends[-1]:
        end = int(ends[min(int(np.searchsorted(ends, start + _WRITTEN)), len(ends) - 1)])
        yield start, end
        start = end
