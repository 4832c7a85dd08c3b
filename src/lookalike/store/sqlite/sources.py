"""The database as the caches see it, at one moment: see `lookalike.store.sqlite.cache_files.Source`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lookalike.store.sqlite import column_cache as facts
from lookalike.store.sqlite import vector_cache as cache
from lookalike.store.sqlite.cache_files import State
from lookalike.store.sqlite.errors import corrupt
from lookalike.store.sqlite.meta import fitted_checksum
from lookalike.vectors.exact import VERSION, prepare_vectors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from lookalike.store import Space
    from lookalike.store.sqlite.column_cache import Facts
    from lookalike.store.sqlite.tables import Tables
    from lookalike.vectors.metric import Metric

__all__ = ["FactsSource", "RowsSource"]


class RowsSource:
    """What is searched: embeddings through the projection, or, with `as_put`, these numbers of them by cosine.

    Made and used inside one transaction.
    """

    def __init__(self, tables: Tables, space: Space, *, as_put: slice | None = None) -> None:
        self.projection = tables.projection(space.dim) if as_put is None else None
        fitted = fitted_checksum(self.projection) if self.projection else 0
        made = f"{fitted}" if as_put is None else f"as put {as_put.start} {as_put.stop}"
        self.state = _state(tables, f"{space.fingerprint} {made} {VERSION}")
        self.metric: Metric = space.metric if as_put is None else "cosine"
        self._tables, self._dim, self._columns = tables, space.dim, as_put or slice(None)
        self.changed = tables.changed
        self.width = self._made(np.zeros((1, space.dim), np.float32)).shape[1]

    def rows(self, ids: Sequence[int] | None = None) -> Iterator[cache.Chunk]:
        """Checked rows. Raises Corrupt, also when there are not as many as there should be."""
        met, checksums, last = 0, 0, 0
        for chunk in self._tables.embedded(ids):
            some, rows = self._tables.checked(chunk, self._dim)
            crcs = np.array([row[5] for row in chunk], np.uint32)
            met, checksums = met + len(some), checksums + int(crcs.sum(dtype=np.int64))
            if ids is None and (some[0] <= last or (np.diff(some) <= 0).any()):
                raise corrupt(self._tables.path, "embeddings are out of order")
            last = int(some[-1])
            yield cache.Chunk(some, crcs, self._made(rows))
        if ids is None and (met, checksums) != (self.state.embedded, self.state.checksums):
            raise corrupt(self._tables.path, "embeddings are missing, or there twice")

    def _made(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        projected = self.projection.apply(embeddings) if self.projection else embeddings
        return prepare_vectors(projected[:, self._columns], self.metric)


class FactsSource:
    """What filters look at. Made and used inside one transaction."""

    def __init__(self, tables: Tables) -> None:
        self.state = _state(tables, f"facts {facts.VERSION}")
        self._tables = tables
        self.changed = tables.changed

    def rows(self, ids: Sequence[int] | None = None) -> Iterator[Facts]:
        """Of checked rows. Raises Corrupt, also when there are not as many as there should be."""
        met, checksums = 0, 0
        for rows in self._tables.with_embedding(ids):
            chunk = facts.facts_of(rows)
            met, checksums = met + len(rows), checksums + int(chunk.crcs.sum(dtype=np.int64))
            yield chunk
        if ids is None and (met, checksums) != (self.state.embedded, self.state.checksums):
            raise corrupt(self._tables.path, "items are missing, or there twice")


def _state(tables: Tables, made_by: str) -> State:
    """Now, of what is made like that."""
    return State(made_by, tables.number("generation"), tables.number("next_id"), *tables.tally()[1:])
