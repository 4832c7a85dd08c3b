"""Searches: the server finds candidates, and the few nearest are measured here, exactly as every store measures.

Queries by weights or by embeddings as they were put, many at once, or for a large part of all pictures, are compared
here with the vectors of the moment, which are fetched once for each generation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.store.milvus.encoding import listing, pad
from lookalike.store.milvus.moment import Moment
from lookalike.store.milvus.schema import METRICS
from lookalike.store.milvus.tables import Reader
from lookalike.store.server.search import Ask, Narrowed, ServerFinder
from lookalike.vectors.exact import Matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookalike.store import Near

    Vectors = NDArray[np.float32]
    Ids = NDArray[np.int64]

__all__ = ["Finder"]

_MORE = 16  # candidates beyond those wanted: enough unless many are equally near
_WIDER = 8  # times as many when those are not enough
_DEEPEST = 16_384  # hits that the server gives at most
_MANY = 8  # queries from which the vectors are fetched and compared here
_SHARE = 8  # and from one in eight of all pictures
_MOST = 1 << 30  # bytes of vectors that are fetched
_FEW = 3_000  # pictures that pass a filter, up to which they are named by their ids
_EPS = float(np.finfo(np.float32).eps)


class Finder(ServerFinder[Moment, Reader, str]):
    """Searches one gallery: by expressions of Milvus."""

    def _is_local(self, moment: Moment, queries: int, ask: Ask[str]) -> bool:
        if ask.space.raw or ask.space.weights:
            return True
        count = moment.state.embedded
        is_worth_it = queries >= _MANY or ask.k * _SHARE > count
        return is_worth_it and 4 * count * moment.state.width <= _MOST

    def _ask_server(self, moment: Moment, reader: Reader, query: Vectors, ask: Ask[str]) -> Near:
        """The candidates of the server, and more of them as long as there may be others as near as the k-th."""
        count, condition = ask.k + _MORE, _condition(ask.where)
        vector = [float(one) for one in pad(query[None])[0]]
        while count <= _DEEPEST:
            found = moment.search(vector, count, condition, METRICS[self._space.metric])
            if len(found) < count or self._is_enough(found, ask.k, moment.state.width):
                return self._measure(found, query, ask.k, moment.state.width)
            count = _DEEPEST if count < _DEEPEST < count * _WIDER else count * _WIDER
        return self._compare(moment, reader, query[None], ask)[0]

    def _is_enough(self, found: list[dict[str, Any]], k: int, width: int) -> bool:
        """Whether the last candidate is farther than the k-th by more than the server's rounding."""
        kth, last = (float(found[n]["distance"]) for n in (k - 1, -1))
        scale = 1.0 if self._space.metric == "cosine" else 1 + abs(kth)
        return abs(last - kth) > 4 * (width + 8) * _EPS * scale

    def _measure(self, found: list[dict[str, Any]], query: Vectors, k: int, width: int) -> Near:
        """The k nearest of the candidates by the distances that every store gives."""
        ids = np.array([one["id"] for one in found], np.int64)
        vectors = np.array([one["vector"] for one in found], np.float32).reshape(len(ids), max(2, width))
        matrix = Matrix(ids, np.ascontiguousarray(vectors[:, :width]), self._space.metric)
        return matrix.measure(query, np.arange(len(ids)), k).to_pairs()

    def _fetch_adapted(self, _moment: Moment, reader: Reader) -> tuple[Ids, Vectors]:
        return reader.vectors()


def _condition(where: Narrowed[str] | None) -> str:
    if where is None:
        return ""
    return f"id in {listing(where.ids.tolist())}" if len(where.ids) <= _FEW else where.condition
