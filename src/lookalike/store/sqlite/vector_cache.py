"""The vectors that are searched, in files beside the database.

`search.cache` holds the rows of one state of the database, sorted into lists when they are many; `search.more` what
has changed since. `put.cache` and `put.more` hold embeddings as they were put, where these are searched. `cache_files`
keeps them in step.
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
_WRITTEN = 65536  # rows written at once


class Chunk(NamedTuple):
    """Some rows: ids int64 (n,), the checksums of their items uint32 (n,), float32 (n, w)."""

    ids: NDArray[np.int64]
    crcs: NDArray[np.uint32]
    rows: NDArray[np.float32]


class Source(cache_files.Source[Chunk], Protocol):
    """The database, as the cache sees it, at one moment."""

    width: int
    metric: Metric


def load(folder: Path, source: Source, tuning: Tuning, files: tuple[str, str] = (FILE, MORE)) -> Searcher:
    """What is searched as of the source's state: from its files, brought up to date, or built again.

    What is searched as it was put is always searched exactly and has no lists. Raises what reading the source raises;
    Damaged if even new files are.
    """
    lists_from = math.inf if files == RAW else tuning.approximate_from
    return cache_files.load(folder, source, _Rows(files, source.width, source.metric, lists_from), tuning)


def load_in_memory(source: Source) -> Searcher:
    """What is searched as of the source's state, without files; always exact."""
    kind = _Rows((FILE, MORE), source.width, source.metric, math.inf)
    whole = kind.concat(list(source.rows()))
    return Searcher([Part(Matrix(whole.ids, whole.rows, source.metric))])


def discard(folder: Path) -> None:
    """Delete files that turned out to be damaged."""
    for files in ((FILE, MORE), RAW):
        cache_files.discard(folder, files)


@dataclass(frozen=True, slots=True)
class _Rows:
    """See `cache_files.Kind`."""

    files: tuple[str, str]
    width: int
    metric: Metric
    lists_from: float

    def serves(self, header: dict[str, Any], state: State) -> bool:
        """Unless it is to get inverted lists now."""
        return state.embedded < self.lists_from or "lists" in header

    def build(self, source: cache_files.Source[Chunk]) -> Callable[[Writer], dict[str, Any]]:
        """Compute all rows, list by list where they are many."""
        whole = self._whole(source)
        clusters, header = _clustered(whole.rows, self.metric, self.lists_from)

        def write(writer: Writer) -> dict[str, Any]:
            order = clusters.order if clusters else np.arange(len(whole.ids))
            sorted_ = Chunk(whole.ids[order], whole.crcs[order], whole.rows)
            _write_rows(writer, sorted_, lambda: (whole.rows[part] for part in _slices(order)))
            if clusters is not None:
                from lookalike.vectors.ivf import write_lists  # noqa: PLC0415  (see below)

                lists = (whole.rows[order[start:end]] for start, end in _groups(clusters.ends))
                write_lists(writer, clusters, lambda: lists, self.metric)
            return header

        return write

    def write(self, writer: Writer, chunk: Chunk) -> dict[str, Any]:
        """Write rows as they are."""
        _write_rows(writer, chunk, lambda: _slices(chunk.rows))
        return {}

    def read(self, segment: Segment) -> Chunk:
        """Read rows. Raises Damaged."""
        rows = segment.blocks("rows")
        rows.check()
        return Chunk(segment.array("ids"), segment.array("crcs"), rows.array)

    def concat(self, chunks: Sequence[Chunk]) -> Chunk:
        """Join chunks."""
        none = Chunk(np.empty(0, np.int64), np.empty(0, np.uint32), np.empty((0, self.width), np.float32))
        ids, crcs, rows = zip(none, *chunks, strict=True)
        return Chunk(np.concatenate(ids), np.concatenate(crcs), np.concatenate(rows))

    def select(self, chunk: Chunk, stays: NDArray[np.bool_]) -> Chunk:
        """Keep the rows that stay."""
        return Chunk(chunk.ids[stays], chunk.crcs[stays], chunk.rows[stays])

    def open(self, base: Segment, more: Segment | None, alive: NDArray[np.bool_] | None) -> Searcher:
        """Open what is searched. Raises Damaged."""
        parts = [_part(base, self.metric, alive)]
        return Searcher(parts if more is None else [*parts, _part(more, self.metric)])

    def _whole(self, source: cache_files.Source[Chunk]) -> Chunk:
        """All rows, in one piece of memory that is asked for once."""
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
    from lookalike.vectors.ivf import InvertedLists  # noqa: PLC0415  (faiss: 0.15 s, only where rows are many)

    return Part(matrix, alive, InvertedLists(segment, metric), lists["probes"], float(lists["error"]))


def _clustered(rows: NDArray[np.float32], metric: Metric, lists_from: float) -> tuple[Clusters | None, dict[str, Any]]:
    """Inverted lists for rows that are many, and what the header says of them; faiss has no mapped lists on Windows."""
    if len(rows) < lists_from or os.name == "nt":
        return None, {}
    from lookalike.vectors.ivf import calibrate, cluster  # noqa: PLC0415  (see above)

    clusters = cluster(rows, metric)
    probes, error = calibrate(rows, clusters, metric)
    return clusters, {"lists": {"probes": probes, "error": error}}


def _write_rows(writer: Writer, chunk: Chunk, rows: Callable[[], Iterator[NDArray[np.float32]]]) -> None:
    count = len(chunk.ids)
    writer.array("ids", chunk.ids)
    writer.array("crcs", chunk.crcs)
    ends = np.append(np.arange(BLOCK, count, BLOCK), [count] * (count > 0)).astype(np.int64)
    writer.blocks("rows", rows(), chunk.rows.shape, ends)


def _slices(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    return (array[start : start + _WRITTEN] for start in range(0, len(array), _WRITTEN))


def _groups(ends: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Runs of whole lists of about _WRITTEN rows."""
    start = 0
    while start < ends[-1]:
        end = int(ends[min(int(np.searchsorted(ends, start + _WRITTEN)), len(ends) - 1)])
        yield start, end
        start = end
