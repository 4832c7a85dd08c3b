"""Searches of a database as of its newest generation; what they need is kept from one search to the next.

The vectors are loaded once per generation and shared by all threads. A thread whose transaction is older than the
loaded vectors begins it again, or, if it has already read something, searches what its transaction can see.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from lookalike.store.float16 import rounded
from lookalike.store.sqlite import vector_cache
from lookalike.store.sqlite.sources import VectorsSource
from lookalike.vectors.exact import prepare_vectors
from lookalike.vectors.mapped import Damaged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.adaptation.projection import Projection
    from lookalike.store import Described, Near, SearchSpace, Space
    from lookalike.store.columns import Columns
    from lookalike.store.filter import Filter
    from lookalike.store.sqlite.cache_files import Tuning
    from lookalike.store.sqlite.tables import Tables
    from lookalike.vectors.searcher import Searcher

    Vectors = NDArray[np.float32]
    Ids = NDArray[np.int64]

__all__ = ["Search", "Transactions"]

_T = TypeVar("_T")


class _Loaded(NamedTuple):
    """The adapted vectors of one generation."""

    generation: int
    projection: Projection | None
    searcher: Searcher


class _Raw(NamedTuple):
    """The embeddings of one generation as they were put."""

    generation: int
    columns: tuple[int, int]
    searcher: Searcher


class _Qualified(NamedTuple):
    """The ids of one generation that pass a filter."""

    generation: int
    where: Filter
    ids: Ids


class Transactions(NamedTuple):
    """How a search controls the transaction of its thread.

    reading: reads in a transaction after checking that the last write is not missing.
    restart: begins the transaction again unless something was read in it; returns whether it did.
    keep: prevents the transaction from beginning again.
    """

    reading: Callable[[], AbstractContextManager[None]]
    restart: Callable[[], bool]
    keep: Callable[[], None]


class Search:
    """Searches one database; see `lookalike.store.Store` for what its methods do."""

    def __init__(self, tables: Tables, space: Space, tuning: Tuning, transactions: Transactions) -> None:
        self._tables, self._space, self._tuning = tables, space, tuning
        self._reading, self._restart, self._keep = transactions
        self._lock = threading.RLock()  # held while something is loaded, never while a query is encoded or searched
        self._loaded: _Loaded | None = None
        self._raw: _Raw | None = None
        self._columns: tuple[int, list[Columns]] | None = None
        self._described: tuple[int, list[Described]] | None = None
        self._qualified: _Qualified | None = None
        self._seen = threading.local()  # the version and generation with which this thread's connection is up to date

    def prepare(self) -> Searcher:
        """Load the adapted vectors and return their searcher."""
        return self._current().searcher

    def ids(self, where: Filter) -> Ids:
        """The ids of the records that pass a filter, in ascending order."""
        with self._reading():
            return self._retry_damaged(lambda: self._find_qualifying(where))

    def search(self, queries: Vectors, k: int, space: SearchSpace, *, where: Filter | None, exact: bool) -> list[Near]:
        """The k records nearest to each query."""
        if where is None:
            return self._retry_damaged(lambda: self._search(queries, k, space, among=None, exact=exact))
        with self._reading():
            return self._retry_damaged(
                lambda: self._search(queries, k, space, among=self._find_qualifying(where), exact=exact)
            )

    def adapt(self, embeddings: Vectors) -> Vectors:
        """The vectors that a search compares for embeddings, float32 (n, w)."""
        stored, projection = rounded(embeddings, self._space.dim), self._retry_damaged(self._current).projection
        return prepare_vectors(projection.apply(stored) if projection else stored, self._space.metric)

    def described(self) -> list[Described]:
        """The descriptions of all records that have one."""
        from lookalike.store.sqlite import description_cache  # noqa: PLC0415  (only for colours and copies)

        with self._reading(), self._lock:
            generation = self._tables.number("generation")
            known = self._described
            if known is not None and known[0] == generation:
                return known[1]
            source = description_cache.open_source(self._tables)
            if known is not None and known[0] > generation:
                return description_cache.load_in_memory(source)
            self._described = generation, description_cache.load(self._folder, source, self._tuning)
            return self._described[1]

    def vectors(self, ids: Sequence[int], space: SearchSpace) -> Vectors:
        """The vectors that a search compares for these records, float32 (n, w)."""
        wanted = np.array(ids, np.int64)
        return self._retry_damaged(lambda: self._searcher(space).vectors(wanted))

    def look_again(self) -> None:
        """Note that this thread's connection has written something: SQLite's data_version does not count that."""
        self._seen.state = None

    def close(self) -> None:
        """Release mapped files, which would keep a drive from being ejected."""
        self._forget()

    def _search(self, queries: Vectors, k: int, space: SearchSpace, *, among: Ids | None, exact: bool) -> list[Near]:
        if space.raw:
            wanted = prepare_vectors(queries, "cosine")
            found = self._searcher(space).search(wanted, k, among=among, exact=True)
            return [near.to_pairs() for near in found]
        if space.compared:
            return [near.to_pairs() for near in self._searcher(space).search(queries, k, among=among, exact=exact)]
        stored = rounded(queries, self._space.dim)
        now = self._current()
        vectors = now.projection.apply(stored) if now.projection else stored
        searcher = now.searcher
        if space.weights:
            weights = np.array(space.weights, np.float32)
            vectors, searcher = vectors * weights, searcher.weighted(weights)
        wanted = prepare_vectors(vectors, self._space.metric)
        return [near.to_pairs() for near in searcher.search(wanted, k, among=among, exact=exact)]

    def _searcher(self, space: SearchSpace) -> Searcher:
        if space.raw:
            return self._current_raw(space.columns or (0, self._space.dim))
        searcher = self._current().searcher
        return searcher.weighted(np.array(space.weights, np.float32)) if space.weights else searcher

    @property
    def _folder(self) -> Path:
        return self._tables.path.parent

    def _current(self) -> _Loaded:
        # Read before the generation, so that the next search notices what is committed in between. It takes a third of
        # the time of reading the generation, which is needed only when another connection has committed something.
        seen, version = self._seen, self._tables.data_version()
        loaded = self._loaded
        if loaded is not None and getattr(seen, "state", None) == (version, loaded.generation):
            return loaded
        with self._reading():
            loaded = self._load()
        seen.state = version, loaded.generation  # not `loaded` itself, or every thread would keep its files open
        return loaded

    def _load(self) -> _Loaded:
        """The adapted vectors as of this thread's transaction."""
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
        """The searcher of these dimensions of embeddings as they were put; for other ones the files are built again."""
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

    def _find_qualifying(self, where: Filter) -> Ids:
        """The ids that pass a filter, read in the transaction whose generation is searched afterwards."""
        from lookalike.store.evaluate import qualifying  # noqa: PLC0415  (3 ms with what it imports, only for filters)

        self._current()  # first, because it may begin the transaction again
        self._keep()  # otherwise another thread's search of a newer generation could make it begin again
        generation = self._tables.number("generation")
        known = self._qualified
        if known is None or known[:2] != (generation, where):
            self._qualified = known = _Qualified(
                generation, where, qualifying(where, self._all_columns(generation), self.described)
            )
        return known.ids

    def _all_columns(self, generation: int) -> list[Columns]:
        from lookalike.store.columns import concat, place_below  # noqa: PLC0415  (as above)
        from lookalike.store.sqlite import column_cache  # noqa: PLC0415

        with self._lock:
            known = self._columns
            if known is not None and known[0] == generation:
                return known[1]
            source = column_cache.open_source(self._tables)
            if known is not None and known[0] > generation:
                return [place_below(concat(list(source.rows())), self._tables.base)]
            parts = column_cache.load(self._folder, source, self._tuning)
            self._columns = generation, [place_below(part, self._tables.base) for part in parts]
            return self._columns[1]

    def _retry_damaged(self, search: Callable[[], _T]) -> _T:
        """Run a search, and if a cache turns out to be damaged, once more with newly built caches."""
        try:
            return search()
        except Damaged:
            with self._lock:
                self._forget()
                vector_cache.discard(self._folder)
            return search()

    def _forget(self) -> None:
        self._loaded = self._raw = self._columns = self._described = self._qualified = None
