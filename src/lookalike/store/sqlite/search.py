"""Searches of a database as of its newest generation, with what they need kept from one to the next.

What is searched is loaded once for a generation and shared by all threads; a thread whose transaction is of an older
moment than what is loaded begins it again, or, where it has read something already, searches what it can see.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from lookalike.store.columns import Columns, concat, place_below
from lookalike.store.evaluate import qualifying
from lookalike.store.sqlite import column_cache, vector_cache
from lookalike.store.sqlite.float16 import rounded
from lookalike.store.sqlite.sources import ColumnsSource, VectorsSource
from lookalike.vectors.exact import prepare_vectors
from lookalike.vectors.mapped import Damaged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.adaptation.projection import Projection
    from lookalike.store import Near, SearchSpace, Space
    from lookalike.store.filter import Filter
    from lookalike.store.sqlite.cache_files import Tuning
    from lookalike.store.sqlite.tables import Tables
    from lookalike.vectors.exact import Nearest
    from lookalike.vectors.searcher import Searcher

    Vectors = NDArray[np.float32]
    Ids = NDArray[np.int64]

__all__ = ["Search"]

_T = TypeVar("_T")


class _Loaded(NamedTuple):
    """What is searched, as of one generation."""

    generation: int
    projection: Projection | None
    searcher: Searcher


class _Raw(NamedTuple):
    """Embeddings as they were put, as of one generation."""

    generation: int
    columns: tuple[int, int]
    searcher: Searcher


class _Qualified(NamedTuple):
    """The ids that a filter lets pass, as of one generation."""

    generation: int
    where: Filter
    ids: Ids


class Search:
    """See `lookalike.store.Store` for what its methods do.

    reading: a transaction that has made sure that nothing is missing of what was written last.
    restart: begins this thread's transaction again unless something was read in it; whether it did.
    keep: from now on this thread's transaction cannot begin again.
    """

    def __init__(  # noqa: PLR0913  (by name, all but three)
        self,
        tables: Tables,
        space: Space,
        tuning: Tuning,
        *,
        reading: Callable[[], AbstractContextManager[None]],
        restart: Callable[[], bool],
        keep: Callable[[], None],
    ) -> None:
        self._tables, self._space, self._tuning = tables, space, tuning
        self._reading, self._restart, self._keep = reading, restart, keep
        self._lock = threading.RLock()  # while something is loaded; never while a query is encoded or searched
        self._loaded: _Loaded | None = None
        self._raw: _Raw | None = None
        self._columns: tuple[int, list[Columns]] | None = None
        self._qualified: _Qualified | None = None
        self._seen = threading.local()  # what this thread's connection was found to be up to date with

    def prepare(self) -> Searcher:
        """What is searched, loaded."""
        return self._current().searcher

    def ids(self, where: Filter) -> Ids:
        """The ids of records that qualify, in order."""
        with self._reading():
            return self._undamaged(lambda: self._qualifying(where))

    def search(self, queries: Vectors, k: int, space: SearchSpace, *, where: Filter | None, exact: bool) -> list[Near]:
        """The nearest to each query."""
        if where is None:
            return self._undamaged(lambda: self._search(queries, k, space, among=None, exact=exact))
        with self._reading():
            return self._undamaged(lambda: self._search(queries, k, space, among=self._qualifying(where), exact=exact))

    def adapt(self, embeddings: Vectors) -> Vectors:
        """What is compared of embeddings, float32 (n, w)."""
        asked, projection = rounded(embeddings, self._space.dim), self._undamaged(self._current).projection
        return prepare_vectors(projection.apply(asked) if projection else asked, self._space.metric)

    def vectors(self, ids: Sequence[int], space: SearchSpace) -> Vectors:
        """What is compared of these records, float32 (n, w)."""
        wanted = np.array(ids, np.int64)
        return self._undamaged(lambda: self._searcher(space).vectors(wanted))

    def look_again(self) -> None:
        """Something was written by this thread's connection, of which SQLite's data_version does not tell."""
        self._seen.state = None

    def close(self) -> None:
        """Let go of files: a drive with a mapped one cannot be taken out."""
        self._forget()

    def _search(self, queries: Vectors, k: int, space: SearchSpace, *, among: Ids | None, exact: bool) -> list[Near]:
        if space.raw:
            wanted = prepare_vectors(queries, "cosine")
            found = self._searcher(space).search(wanted, k, among=among, exact=True)
            return [_pairs(near) for near in found]
        if space.compared:
            return [_pairs(near) for near in self._searcher(space).search(queries, k, among=among, exact=exact)]
        asked = rounded(queries, self._space.dim)
        now = self._current()
        vectors = now.projection.apply(asked) if now.projection else asked
        searcher = now.searcher
        if space.weights:
            weights = np.array(space.weights, np.float32)
            vectors, searcher = vectors * weights, searcher.weighted(weights)
        wanted = prepare_vectors(vectors, self._space.metric)
        return [_pairs(near) for near in searcher.search(wanted, k, among=among, exact=exact)]

    def _searcher(self, space: SearchSpace) -> Searcher:
        if space.raw:
            return self._current_raw(space.columns or (0, self._space.dim))
        searcher = self._current().searcher
        return searcher.weighted(np.array(space.weights, np.float32)) if space.weights else searcher

    @property
    def _folder(self) -> Path:
        return self._tables.path.parent

    def _current(self) -> _Loaded:
        # Before the generation is read: what is committed in between is looked at by the next search. A third of the
        # time of reading the generation, which only has to be done when another connection has committed anything.
        seen, version = self._seen, self._tables.data_version()
        loaded = self._loaded
        if loaded is not None and getattr(seen, "state", None) == (version, loaded.generation):
            return loaded
        with self._reading():
            loaded = self._load()
        seen.state = version, loaded.generation  # not what is loaded, or every thread would keep its files open
        return loaded

    def _load(self) -> _Loaded:
        """What is searched as of this thread's transaction."""
        generation = self._tables.number("generation")
        loaded = self._loaded
        if loaded is not None and loaded.generation == generation:
            return loaded
        with self._lock:
            loaded = self._loaded
            if loaded is not None and loaded.generation > generation:
                if self._restart():
                    return self._load()
                source = VectorsSource(self._tables, self._space)
                return _Loaded(generation, source.projection, vector_cache.load_in_memory(source))
            if loaded is None or loaded.generation < generation:
                source = VectorsSource(self._tables, self._space)
                searcher = vector_cache.load(self._folder, source, self._tuning)
                self._loaded = loaded = _Loaded(generation, source.projection, searcher)
            return loaded

    def _current_raw(self, columns: tuple[int, int]) -> Searcher:
        """What is searched of these columns of embeddings as they were put: for others the files are made again."""
        with self._reading(), self._lock:
            generation = self._tables.number("generation")
            raw = self._raw
            if raw is not None and raw[:2] == (generation, columns):
                return raw.searcher
            source = VectorsSource(self._tables, self._space, raw=slice(*columns))
            if raw is not None and raw.generation > generation:
                return vector_cache.load_in_memory(source)
            searcher = vector_cache.load(self._folder, source, self._tuning, vector_cache.RAW)
            self._raw = _Raw(generation, columns, searcher)
            return searcher

    def _qualifying(self, where: Filter) -> Ids:
        """Inside one transaction, the generation of which is searched afterwards."""
        self._current()  # first, as it may begin the transaction again
        self._keep()  # or another thread's search of a newer generation would let it begin again
        generation = self._tables.number("generation")
        known = self._qualified
        if known is None or known[:2] != (generation, where):
            self._qualified = known = _Qualified(generation, where, qualifying(where, self._all_columns(generation)))
        return known.ids

    def _all_columns(self, generation: int) -> list[Columns]:
        with self._lock:
            known = self._columns
            if known is not None and known[0] == generation:
                return known[1]
            source = ColumnsSource(self._tables)
            if known is not None and known[0] > generation:
                return [place_below(concat(list(source.rows())), self._tables.base)]
            parts = column_cache.load(self._folder, source, self._tuning)
            self._columns = generation, [place_below(part, self._tables.base) for part in parts]
            return self._columns[1]

    def _undamaged(self, search: Callable[[], _T]) -> _T:
        """What it finds; again, with caches made again, if damage to one comes to light."""
        try:
            return search()
        except Damaged:
            with self._lock:
                self._forget()
                vector_cache.discard(self._folder)
            return search()

    def _forget(self) -> None:
        self._loaded = self._raw = self._columns = self._qualified = None


def _pairs(near: Nearest) -> Near:
    return list(zip(near.ids.tolist(), near.distances.tolist(), strict=True))
