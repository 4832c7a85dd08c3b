"""What is searched, as files beside the database: mapped in milliseconds, and safe to delete at any time.

The database is the truth. `search.cache` holds the rows of one state of it, sorted into lists when they are many;
`search.more` what has changed since, until that is worth a new `search.cache`. Each says of which state it is, and
neither is used for another: what has changed is read from the database, and rows and their checksums must add up
to the database's own tally, or all is made anew.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from lookalike.store.ranking import BLOCK, Matrix
from lookalike.store.searching import Part, Searcher
from lookalike.store.segment import Damaged, Segment, Writer, kept, opened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.distance import Metric
    from lookalike.store.lists import Clusters

__all__ = ["FILE", "MORE", "Chunk", "Source", "State", "Tuning", "discard", "load"]

FILE = "search.cache"
MORE = "search.more"
_WRITTEN = 65536  # rows written at once


@dataclass(frozen=True, slots=True)
class Tuning:
    """When a search changes its ways; the numbers are measured in docs/performance.md.

    approximate_from: rows; fewer are searched exactly. added: rows beside the cache before it is made anew, at least.
    """

    approximate_from: int = 30_000
    added: int = 2_000
    added_share: float = 1 / 32
    removed_share: float = 1 / 4


@dataclass(frozen=True, slots=True)
class State:
    """What tells one state of a database from all others, and from those of other galleries.

    made_by: the encoder's fingerprint, the projection's checksum and the version of how rows are made.
    """

    made_by: str
    generation: int
    next_id: int
    embedded: int
    checksums: int


class Chunk(NamedTuple):
    """Some rows: ids int64 (n,), the checksums of their items uint32 (n,), float32 (n, w)."""

    ids: NDArray[np.int64]
    crcs: NDArray[np.uint32]
    rows: NDArray[np.float32]


class Source(Protocol):
    """The database, as the cache sees it, at one moment."""

    state: State
    width: int
    metric: Metric

    def rows(self, ids: Sequence[int] | None = None) -> Iterator[Chunk]:
        """Checked rows of all items, in the order of their ids and as many as the tally says; or of these."""

    def changed(self, generation: int, next_id: int, most: int) -> list[int]:
        """The ids of items that may have changed since, at most so many and one."""


def load(folder: Path, source: Source, tuning: Tuning) -> Searcher:
    """What is searched as of the source's state: from the files, brought up to date; or made anew.

    Raises what reading the source raises; Damaged if even new files are.
    """
    with contextlib.suppress(Damaged):
        found = _Cache.open(folder)
        if found is not None and (found := found.brought_to(source, tuning)) is not None:
            return found.searcher(source.metric)
    return _Cache(folder, _built(folder, source, tuning), None).searcher(source.metric)


def discard(folder: Path) -> None:
    """Take files away that turned out to be damaged."""
    for name in (FILE, MORE):
        with contextlib.suppress(OSError):
            os.unlink(folder / name)


class _Cache:
    """The two files, open."""

    def __init__(self, folder: Path, base: Segment, more: Segment | None) -> None:
        self._folder, self._base, self._more = folder, base, more
        self.state = State(**(more or base).header["state"])

    @classmethod
    def open(cls, folder: Path) -> _Cache | None:
        """Raises Damaged."""
        base, more = opened(folder / FILE), opened(folder / MORE)
        if base is None:
            return None
        try:
            return cls(folder, base, more if more and more.header.get("base") == base.identity else None)
        except (KeyError, TypeError) as error:
            raise Damaged("a cache without a state") from error

    def brought_to(self, source: Source, tuning: Tuning) -> _Cache | None:
        """This cache as of the source's state; None where it is not worth it, or impossible. Raises Damaged."""
        if self.state == source.state:
            return self
        most = self._most(source.state, tuning)
        if self.state.made_by != source.state.made_by or self.state.generation > source.state.generation:
            return None
        changed = source.changed(self.state.generation, self.state.next_id, most)
        if len(changed) > most:
            return None
        removed, added = self._removed(changed), self._added(changed, source)
        if len(added.ids) > most or len(removed) > len(self._ids()) * tuning.removed_share:
            return None
        if not self._adds_up(removed, added, source.state):
            return None
        return _Cache(self._folder, self._base, self._written(removed, added, source.state))

    def searcher(self, metric: Metric) -> Searcher:
        """Raises Damaged."""
        if self._more is None:
            return Searcher([_part(self._base, metric)])
        alive = np.ones(len(self._ids()), bool)
        alive[self._more.array("removed")] = False
        return Searcher([_part(self._base, metric, None if alive.all() else alive), _part(self._more, metric)])

    def _ids(self) -> NDArray[np.int64]:
        return self._base.array("ids")

    def _most(self, state: State, tuning: Tuning) -> int:
        """How many rows may stand beside the base."""
        if state.embedded >= tuning.approximate_from and "lists" not in self._base.header:
            return -1
        return max(tuning.added, int(state.embedded * tuning.added_share))

    def _removed(self, changed: list[int]) -> NDArray[np.int64]:
        """Which rows of the base count no more."""
        gone = np.nonzero(np.isin(self._ids(), changed))[0]
        return gone if self._more is None else np.union1d(self._more.array("removed"), gone)

    def _added(self, changed: list[int], source: Source) -> Chunk:
        """The rows beside the base."""
        chunks = [Chunk(np.empty(0, np.int64), np.empty(0, np.uint32), np.empty((0, source.width), np.float32))]
        if self._more is not None:
            rows = self._more.blocks("rows")
            rows.touch()
            stays = ~np.isin(self._more.array("ids"), changed)
            chunks.append(Chunk(self._more.array("ids")[stays], self._more.array("crcs")[stays], rows.array[stays]))
        chunks += source.rows(changed)
        ids, crcs, rows_ = zip(*chunks, strict=True)
        return Chunk(np.concatenate(ids), np.concatenate(crcs), np.concatenate(rows_))

    def _adds_up(self, removed: NDArray[np.int64], added: Chunk, state: State) -> bool:
        crcs = self._base.array("crcs")
        checksums = [int(some.sum(dtype=np.int64)) for some in (crcs, crcs[removed], added.crcs)]
        embedded = len(crcs) - len(removed) + len(added.ids)
        is_whole = (embedded, checksums[0] - checksums[1] + checksums[2]) == (state.embedded, state.checksums)
        return is_whole and len(np.unique(added.ids)) == len(added.ids)

    def _written(self, removed: NDArray[np.int64], added: Chunk, state: State) -> Segment:
        def write(writer: Writer) -> None:
            _write_rows(writer, added, lambda: _slices(added.rows))
            writer.array("removed", removed)
            writer.finish({"state": asdict(state), "base": self._base.identity})

        return kept(self._folder / MORE, write)


def _part(segment: Segment, metric: Metric, alive: NDArray[np.bool_] | None = None) -> Part:
    rows = segment.blocks("rows")
    matrix = Matrix(segment.array("ids"), rows.array, metric, blocks=rows)
    lists = segment.header.get("lists")
    if lists is None:
        return Part(matrix, alive)
    from lookalike.store.lists import Lists  # noqa: PLC0415  (faiss: 0.15 s, only where rows are many)

    return Part(matrix, alive, Lists(segment, metric), lists["probes"], float(lists["error"]))


def _built(folder: Path, source: Source, tuning: Tuning) -> Segment:
    """All rows of the database as one file."""
    whole = _read(source)
    clusters, header = _clustered(whole.rows, source.metric, tuning)

    def write(writer: Writer) -> None:
        order = clusters.order if clusters else np.arange(len(whole.ids))
        sorted_ = Chunk(whole.ids[order], whole.crcs[order], whole.rows)
        _write_rows(writer, sorted_, lambda: (whole.rows[part] for part in _slices(order)))
        if clusters is not None:
            from lookalike.store.lists import write_lists  # noqa: PLC0415  (see above)

            lists = (whole.rows[order[start:end]] for start, end in _groups(clusters.ends))
            write_lists(writer, clusters, lambda: lists, source.metric)
        writer.finish({"state": asdict(source.state), **header})

    return kept(folder / FILE, write)


def _clustered(rows: NDArray[np.float32], metric: Metric, tuning: Tuning) -> tuple[Clusters | None, dict[str, Any]]:
    """Lists for rows that are many, and what the header says of them; faiss has no mapped lists on Windows."""
    if len(rows) < tuning.approximate_from or os.name == "nt":
        return None, {}
    from lookalike.store.lists import calibrate, cluster  # noqa: PLC0415  (see above)

    clusters = cluster(rows, metric)
    probes, error = calibrate(rows, clusters, metric)
    return clusters, {"lists": {"probes": probes, "error": error}}


def _read(source: Source) -> Chunk:
    """All rows, in one piece of memory that is asked for once."""
    count = source.state.embedded
    whole = Chunk(np.empty(count, np.int64), np.empty(count, np.uint32), np.empty((count, source.width), np.float32))
    done = 0
    for chunk in source.rows():
        part = slice(done, done + len(chunk.ids))
        whole.ids[part], whole.crcs[part], whole.rows[part] = (some[: count - done] for some in chunk)
        done += len(chunk.ids)
    return whole


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
