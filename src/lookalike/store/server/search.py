"""What every search on a server has in common: what is asked, and how vectors that were fetched are compared here."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import numpy as np

from lookalike.store.server.reader import ServerMoment, ServerReader
from lookalike.store.server.vectors import unpack_raw
from lookalike.vectors.exact import Matrix
from lookalike.vectors.searcher import Part, Searcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from lookalike.store import Near, SearchSpace, Space

    Vectors = NDArray[np.float32]
    Ids = NDArray[np.int64]

__all__ = ["Ask", "Narrowed", "ServerFinder"]

M = TypeVar("M", bound=ServerMoment)
R = TypeVar("R", bound=ServerReader)
Q = TypeVar("Q")  # a condition in the server's language


class Narrowed(NamedTuple, Generic[Q]):
    """The records that a filter lets pass: as a condition for the server, and their ids in ascending order."""

    condition: Q
    ids: Ids


class Ask(NamedTuple, Generic[Q]):
    """One search. k: at most as many as there are pictures. where: None for all pictures."""

    k: int
    space: SearchSpace
    where: Narrowed[Q] | None
    exact: bool


class ServerFinder(ABC, Generic[M, R, Q]):
    """Searches one gallery. Any number of threads may use it."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._fetched = _Fetched()

    @abstractmethod
    def _is_local(self, moment: M, queries: int, ask: Ask[Q]) -> bool:
        """Whether all vectors are fetched and compared here."""

    @abstractmethod
    def _ask_server(self, moment: M, reader: R, query: Vectors, ask: Ask[Q]) -> Near:
        """The nearest to one query, by way of candidates of the server."""

    @abstractmethod
    def _fetch_adapted(self, moment: M, reader: R) -> tuple[Ids, Vectors]:
        """All ids, and vectors as a search without weights compares them."""

    def search(self, moment: M, reader: R, queries: Vectors, ask: Ask[Q]) -> list[Near]:
        """The nearest to each query, which is a vector as it is compared in `ask.space`."""
        if self._is_local(moment, len(queries), ask):
            return self._compare(moment, reader, queries, ask)
        return [self._ask_server(moment, reader, query, ask) for query in queries]

    def _compare(self, moment: M, reader: R, queries: Vectors, ask: Ask[Q]) -> list[Near]:
        """The nearest to each query, with all vectors of the moment, which are fetched once for each generation."""
        among = None if ask.where is None else ask.where.ids
        fetch = self._fetch_raw if ask.space.raw else self._fetch_all
        searcher = self._fetched.find(moment.state.generation, ask.space, lambda: fetch(moment, reader, ask.space))
        return [near.to_pairs() for near in searcher.search(queries, ask.k, among=among, exact=True)]

    def _fetch_all(self, moment: M, reader: R, _space: SearchSpace) -> Matrix:
        ids, vectors = self._fetch_adapted(moment, reader)
        if len(ids) != moment.state.embedded:
            raise reader.corrupt("vectors are missing, or there twice")
        return Matrix(ids, vectors, self._space.metric)

    def _fetch_raw(self, _moment: M, reader: R, space: SearchSpace) -> Matrix:
        return Matrix(*unpack_raw(reader.embedded(), self._space.dim, space), "cosine")


class _Vectors(NamedTuple):
    """All vectors of one generation. key: the generation, and which dimensions of which vectors."""

    key: tuple[Any, ...]
    searcher: Searcher


class _Fetched:
    """The vectors of the newest generation, fetched once. Any number of threads may use them."""

    def __init__(self) -> None:
        self._fetched: _Vectors | None = None
        self._lock = threading.Lock()

    def find(self, generation: int, space: SearchSpace, fetch: Callable[[], Matrix]) -> Searcher:
        """What searches all vectors as a search in this space compares them. fetch: gets those without weights."""
        key = (generation, space.raw, space.columns if space.raw else None)
        with self._lock:
            known = self._fetched
            if known is None or known.key != key:
                known = _Vectors(key, Searcher([Part(fetch())]))
                if self._fetched is None or self._fetched.key[0] <= generation:
                    self._fetched = known
        return known.searcher.weighted(np.array(space.weights, np.float32)) if space.weights else known.searcher
