"""Searches of a store as of its newest generation, with what is made for them kept between one and the next."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from lookalike.store.sqlite import column_cache as facts
from lookalike.store.sqlite import vector_cache as cache
from lookalike.store.sqlite.float16 import rounded
from lookalike.store.sqlite.sources import FactsSource, RowsSource
from lookalike.vectors.exact import prepare_vectors
from lookalike.vectors.mapped import Damaged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.adaptation.projection import Projection
    from lookalike.store import Near, Space
    from lookalike.store.sqlite.cache_files import Tuning
    from lookalike.store.sqlite.column_cache import Facts
    from lookalike.store.sqlite.tables import Tables
    from lookalike.vectors.exact import Nearest
    from lookalike.vectors.searcher import Searcher

    Rows = NDArray[np.float32]
    Ids = NDArray[np.int64]

__all__ = ["Newest"]

_T = TypeVar("_T")


class _Loaded(NamedTuple):
    """What is searched, as of one generation."""

    generation: int
    projection: Projection | None
    searcher: Searcher


class Newest:
    """See `lookalike.store.Store` for what its methods do.

    reading: a transaction that has made sure that nothing is missing of what was written last.
    """

    def __init__(
        self, tables: Tables, space: Space, tuning: Tuning, reading: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._tables, self._space, self._tuning, self._reading = tables, space, tuning, reading
        self._loaded: _Loaded | None = None
        self._put: tuple[int, slice, Searcher] | None = None  # as of a generation
        self._facts: tuple[int, list[Facts]] | None = None  # as of a generation
        self._seen = -1  # what SQLite's data_version was when `_loaded` was found to be as new as the database

    def prepare(self) -> Searcher:
        """What is searched."""
        return self._current().searcher

    def facts(self) -> list[Facts]:
        """What filters look at."""
        with self._reading():
            generation = self._tables.number("generation")
            if self._facts is None or self._facts[0] != generation:
                self._facts = generation, facts.load(self._folder, FactsSource(self._tables), self._tuning)
            return self._facts[1]

    def search_many(self, queries: Rows, k: int, *, among: Ids | None, exact: bool) -> list[Near]:
        """The nearest to each of float32 (m, dim)."""
        asked = rounded(queries, self._space.dim)

        def search() -> list[Near]:
            now = self._current()
            projected = now.projection.apply(asked) if now.projection else asked
            wanted = prepare_vectors(projected, self._space.metric)
            return [_pairs(near) for near in now.searcher.search(wanted, k, among=among, exact=exact)]

        return self._undamaged(search)

    def search_stretched(self, query: Rows, k: int, stretch: Rows, *, among: Ids | None) -> Near:
        """The nearest to float32 (dim,), of numbers that are multiplied by float32 (width,)."""
        asked = rounded(query[None], self._space.dim)

        def search() -> Near:
            now = self._current()
            projected = now.projection.apply(asked) if now.projection else asked
            wanted = prepare_vectors(projected * stretch, self._space.metric)
            (near,) = now.searcher.weighted(stretch).search(wanted, k, among=among)
            return _pairs(near)

        return self._undamaged(search)

    def rows(self, ids: Sequence[int], stretch: Rows | None) -> Rows:
        """What is compared of these items, float32 (n, w)."""

        def take() -> Rows:
            searcher = self.prepare()
            return (searcher if stretch is None else searcher.weighted(stretch)).vectors(np.array(ids, np.int64))

        return self._undamaged(take)

    def search_as_put(self, query: Rows, k: int, columns: slice, *, among: Ids | None) -> Near:
        """The nearest to float32 (w,) by cosine, of embeddings as they were put, or of these w numbers of each."""
        wanted = prepare_vectors(query[None], "cosine")

        def search() -> Near:
            (near,) = self._as_put(columns).search(wanted, k, among=among, exact=True)
            return _pairs(near)

        return self._undamaged(search)

    def neighbours(self, k: int, *, exact: bool) -> Iterator[tuple[int, Near]]:
        """Every item with its k nearest others."""
        met = 0
        while True:
            try:
                for id_, near in islice(self._current().searcher.neighbours(k, exact=exact), met, None):
                    yield id_, _pairs(near)
                    met += 1
            except Damaged:
                self._forget_cache()
            else:
                return

    def look_again(self) -> None:
        """Something was written by this connection, of which SQLite's data_version does not tell."""
        self._seen = -1

    def close(self) -> None:
        """Let go of files: a drive with a mapped one cannot be taken out."""
        self._loaded = self._put = self._facts = None

    @property
    def _folder(self) -> Path:
        return self._tables.path.parent

    def _current(self) -> _Loaded:
        # Before the generation is read: what is committed in between is looked at by the next search. A third of the
        # time of reading the generation, which only has to be done when another connection has committed anything.
        version = self._tables.data_version()
        if self._loaded is None or (version != self._seen and self._is_old(self._loaded)):
            with self._reading():
                source = RowsSource(self._tables, self._space)
                searcher = cache.load(self._folder, source, self._tuning)
                self._loaded = _Loaded(source.state.generation, source.projection, searcher)
        self._seen = version
        return self._loaded

    def _as_put(self, columns: slice) -> Searcher:
        """What is searched of these columns of embeddings as they were put: of others the files are made anew."""
        with self._reading():
            generation = self._tables.number("generation")
            if self._put is None or self._put[:2] != (generation, columns):
                source = RowsSource(self._tables, self._space, as_put=columns)
                self._put = generation, columns, cache.load(self._folder, source, self._tuning, cache.AS_PUT)
            return self._put[2]

    def _is_old(self, loaded: _Loaded) -> bool:
        return loaded.generation != self._tables.number("generation")

    def _undamaged(self, search: Callable[[], _T]) -> _T:
        """What it finds; again, with caches made anew, if damage to one comes to light."""
        try:
            return search()
        except Damaged:
            self._forget_cache()
            return search()

    def _forget_cache(self) -> None:
        self._loaded = self._put = None
        cache.discard(self._folder)


def _pairs(near: Nearest) -> Near:
    return list(zip(near.ids.tolist(), near.distances.tolist(), strict=True))
