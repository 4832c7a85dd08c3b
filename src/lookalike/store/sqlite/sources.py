"""The database at one moment, as the cache files see it: see `lookalike.store.sqlite.cache_files.Source`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import numpy as np

from lookalike.store.entries import fitted_checksum
from lookalike.store.rows import CRC
from lookalike.store.sqlite.cache_files import State
from lookalike.store.sqlite.errors import corrupt
from lookalike.store.sqlite.vector_cache import Chunk
from lookalike.vectors.exact import VERSION, prepare_vectors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from lookalike.store import Space
    from lookalike.store.sqlite.tables import Tables
    from lookalike.vectors.metric import Metric

__all__ = ["RowsSource", "VectorsSource"]


class _Counted(Protocol):
    @property
    def ids(self) -> NDArray[np.int64]: ...
    @property
    def crcs(self) -> NDArray[np.uint32]: ...


_Counts = TypeVar("_Counts", bound=_Counted)


class VectorsSource:
    """The vectors to search: adapted embeddings, or, with `raw`, these dimensions as they were put, by cosine.

    It must be created and used inside one transaction.
    """

    def __init__(self, tables: Tables, space: Space, *, raw: slice | None = None) -> None:
        self.projection = tables.projection(space.dim) if raw is None else None
        fitted = fitted_checksum(self.projection) if self.projection else 0
        made_by = f"{fitted}" if raw is None else f"as put {raw.start} {raw.stop}"
        self.state = _read_state(tables, f"{space.fingerprint} {made_by} {VERSION}")
        self.metric: Metric = space.metric if raw is None else "cosine"
        self._tables, self._dim, self._columns = tables, space.dim, raw or slice(None)
        self.changed = tables.changed
        self.width = self._adapt(np.zeros((1, space.dim), np.float32)).shape[1]

    def rows(self, ids: Sequence[int] | None = None) -> Iterator[Chunk]:
        """The vectors of checked rows, in chunks. Raises Corrupt for damaged rows, and if rows are missing."""
        chunks = self._read(ids)
        return chunks if ids is not None else _check_complete(self._tables, self.state, chunks, "embeddings")

    def _read(self, ids: Sequence[int] | None) -> Iterator[Chunk]:
        last = 0
        for chunk in self._tables.embedded(ids):
            some, embeddings = self._tables.checked(chunk, self._dim)
            crcs = np.array([row[CRC] for row in chunk], np.uint32)
            if ids is None and (some[0] <= last or (np.diff(some) <= 0).any()):
                raise corrupt(self._tables.path, "embeddings are out of order")
            last = int(some[-1])
            yield Chunk(some, crcs, self._adapt(embeddings))

    def _adapt(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        adapted = self.projection.apply(embeddings) if self.projection else embeddings
        return prepare_vectors(adapted[:, self._columns], self.metric)


class RowsSource(Generic[_Counts]):
    """What is computed from the rows of items, besides vectors. It must be created and used inside one transaction.

    read: computes the chunks of these items, or of all, from checked rows.
    """

    def __init__(self, tables: Tables, made_by: str, read: Callable[[Sequence[int] | None], Iterable[_Counts]]) -> None:
        self.state = _read_state(tables, made_by)
        self._tables, self._read = tables, read
        self.changed = tables.changed

    def rows(self, ids: Sequence[int] | None = None) -> Iterator[_Counts]:
        """What `read` computes, in chunks. Raises Corrupt for damaged rows, and if items are missing."""
        chunks = self._read(ids)
        return iter(chunks) if ids is not None else _check_complete(self._tables, self.state, chunks)


def _check_complete(tables: Tables, state: State, chunks: Iterable[_Counts], what: str = "items") -> Iterator[_Counts]:
    """Hand on the chunks of all items. Raises Corrupt behind the last if their number or checksums are not the state's.

    what: what to call them in the error.
    """
    met, checksums = 0, 0
    for chunk in chunks:
        met, checksums = met + len(chunk.ids), checksums + int(chunk.crcs.sum(dtype=np.int64))
        yield chunk
    if (met, checksums) != (state.embedded, state.checksums):
        raise corrupt(tables.path, f"{what} are missing, or there twice")


def _read_state(tables: Tables, made_by: str) -> State:
    """Read the current state of the database, for values that are computed as `made_by` says."""
    return State(made_by, tables.number("generation"), tables.number("next_id"), *tables.tally()[1:])
