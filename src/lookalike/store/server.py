"""What stores on servers have in common: clients, vectors as searches compare them, and limits on time."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lookalike.errors import ClosedGallery, UsageError
from lookalike.store.float16 import from_blobs
from lookalike.store.rows import ID
from lookalike.vectors.exact import Matrix, prepare_vectors
from lookalike.vectors.searcher import Part, Searcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from lookalike.adaptation.projection import Projection
    from lookalike.store import SearchSpace, Space
    from lookalike.store.rows import Row
    from lookalike.vectors.metric import Metric

    Vectors = NDArray[np.float32]

__all__ = ["FetchedVectors", "ServerClient", "adapt", "are_close", "prepare_raw", "read_seconds", "unpack_raw", "weigh"]

_CLOSE = 1e-4  # of vectors computed in other batches
_LONGEST = 86_400  # seconds


def adapt(embeddings: Vectors, projection: Projection | None, space: Space) -> Vectors:
    """The vectors that are compared for embeddings, float32 (n, w)."""
    return prepare_vectors(projection.apply(embeddings) if projection else embeddings, space.metric)


def prepare_raw(embeddings: Vectors, space: SearchSpace) -> Vectors:
    """Embeddings as a raw search compares them."""
    return prepare_vectors(embeddings[:, slice(*(space.columns or (0, embeddings.shape[1])))], "cosine")


def unpack_raw(
    embedded: Iterable[tuple[Sequence[Row], Sequence[bytes]]], dim: int, space: SearchSpace
) -> tuple[NDArray[np.int64], Vectors]:
    """Ids (n,), and embeddings as a raw search compares them, of rows with the bytes of their embeddings."""
    ids, parts = list[int](), [prepare_raw(np.empty((0, dim), np.float32), space)]
    for rows, blobs in embedded:
        ids += [row[ID] for row in rows]
        parts.append(prepare_raw(from_blobs(blobs, dim), space))
    return np.array(ids, np.int64), np.concatenate(parts)


def weigh(vectors: Vectors, space: SearchSpace, metric: Metric) -> Vectors:
    """Adapted vectors as a search in this space compares them."""
    if not space.weights:
        return vectors
    return prepare_vectors(vectors[:, : len(space.weights)] * np.array(space.weights, np.float32), metric)


def are_close(found: Vectors, wanted: Vectors) -> bool:
    """Whether vectors are those that were computed again, up to rounding."""
    scale = np.abs(wanted).max(initial=1e-30)
    return found.shape == wanted.shape and bool((np.abs(found - wanted) <= _CLOSE * scale).all())


def read_seconds(asked: Mapping[str, str], name: str, default: float) -> float:
    """A number of seconds among the parameters of a URL. Raises UsageError."""
    try:
        seconds = float(asked.get(name, default))
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= _LONGEST:
        raise UsageError(f"{name} is {asked[name]!r}; it must be a number of seconds, up to 86,400")
    return seconds


class ServerClient:
    """What sends requests to a server, until it is closed, in the process that opened it."""

    def __init__(self, location: str) -> None:
        self._location = location
        self._process = os.getpid()
        self._is_closed = False

    def check(self) -> None:
        """Raise ClosedGallery after `close`, and in a process that was forked since."""
        if os.getpid() != self._process:
            raise ClosedGallery(
                f"{self._location} was opened before this process was forked", hint="open it again here"
            )
        if self._is_closed:
            raise ClosedGallery(f"{self._location} is closed", hint="open it again: Gallery.open")


class _Fetched(NamedTuple):
    """All vectors of one generation. key: the generation, and which dimensions of which vectors."""

    key: tuple[Any, ...]
    searcher: Searcher


class FetchedVectors:
    """The vectors of the newest generation, fetched once. Any number of threads may use them."""

    def __init__(self) -> None:
        self._fetched: _Fetched | None = None
        self._lock = threading.Lock()

    def find(self, generation: int, space: SearchSpace, fetch: Callable[[], Matrix]) -> Searcher:
        """What searches all vectors as a search in this space compares them. fetch: gets those without weights."""
        key = (generation, space.raw, space.columns if space.raw else None)
        with self._lock:
            known = self._fetched
            if known is None or known.key != key:
                known = _Fetched(key, Searcher([Part(fetch())]))
                if self._fetched is None or self._fetched.key[0] <= generation:
                    self._fetched = known
        return known.searcher.weighted(np.array(space.weights, np.float32)) if space.weights else known.searcher
