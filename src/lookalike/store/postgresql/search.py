"""Searches: the server finds candidates, and the few nearest are measured here, exactly as every store measures.

One query goes to the server. Many at once, or a large part of all pictures, are compared here with the vectors of the
moment, which are fetched once: 256 queries at 30,000 x 280 take 0.3 s instead of 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.store.float16 import from_blobs
from lookalike.store.postgresql.binary import to_blobs, to_literal
from lookalike.store.postgresql.moment import Moment
from lookalike.store.postgresql.predicate import Predicate
from lookalike.store.postgresql.tables import Reader
from lookalike.store.server.search import Ask, Narrowed, ServerFinder
from lookalike.store.server.vectors import prepare_raw, weigh
from lookalike.vectors.exact import Matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookalike.store import Near, SearchSpace
    from lookalike.vectors.metric import Metric

    Vectors = NDArray[np.float32]
    Ids = NDArray[np.int64]

__all__ = ["INDEXED_DIM", "Finder", "find_ids", "index_statement"]

INDEXED_DIM = 4_000  # the largest dimension that pgvector can index, in half precision
_FULL_DIM = 2_000  # the largest in single precision
_MORE = 16  # candidates beyond those wanted: enough unless many are equally near
_MANY = 8  # queries from which the vectors are fetched and compared here
_SHARE = 8  # and from one in eight of all pictures
_MOST = 1 << 30  # bytes of vectors that are fetched
_EPS = float(np.finfo(np.float32).eps)
_LEAST_DEPTH = 120  # candidates that the index keeps: recall@10 0.99 (docs/results/postgresql.json)
_FEW = 3_000  # pictures that pass a filter, up to which these are compared instead
_DEEPEST = 400  # hits that an index is asked for; more are found by comparing all


class Finder(ServerFinder[Moment, Reader, Predicate]):
    """Searches one gallery: by SQL."""

    def _is_local(self, moment: Moment, queries: int, ask: Ask[Predicate]) -> bool:
        count = moment.state.embedded
        dim = self._space.dim if ask.space.raw else moment.state.width
        is_worth_it = (queries >= _MANY and not self._is_indexed(moment, ask)) or ask.k * _SHARE > count
        return is_worth_it and 4 * count * dim <= _MOST

    def _is_indexed(self, moment: Moment, ask: Ask[Predicate]) -> bool:
        is_plain = not (ask.space.raw or ask.space.weights or ask.exact)
        is_wide = ask.where is None or len(ask.where.ids) > _FEW
        return is_plain and is_wide and moment.state.indexed and ask.k <= _DEEPEST

    def _ask_server(self, moment: Moment, reader: Reader, query: Vectors, ask: Ask[Predicate]) -> Near:
        rows = self._ask_index(moment, query, ask) if self._is_indexed(moment, ask) else []
        if len(rows) < ask.k:  # a filter may leave fewer than the index was willing to look for
            rows = self._ask_all(moment, query, ask)
        return self._measure(rows, query, ask, reader)

    def _ask_index(self, moment: Moment, query: Vectors, ask: Ask[Predicate]) -> list[tuple[Any, ...]]:
        """The candidates of the index, twice as many as are wanted."""
        least = _LEAST_DEPTH if ask.where is None else 3 * _LEAST_DEPTH
        moment.fetch(f"SET LOCAL hnsw.ef_search = {max(least, min(1000, 4 * ask.k))}")
        width, operator = moment.state.width, _OPERATORS[self._space.metric]
        compared = "v.vector" if width <= _FULL_DIM else f"v.vector::halfvec({width})"
        kind = "vector" if width <= _FULL_DIM else "halfvec"
        source, where, values = _source(_table(moment, ask.space), ask.where)
        order = f"{compared} {operator} %s::{kind} LIMIT {2 * ask.k}"
        select = f"SELECT v.id, 0.0, 0, vector_send(v.vector) FROM {source} {where} ORDER BY {order}"
        return moment.fetch(select, [*values, to_literal(query)])

    def _ask_all(self, moment: Moment, query: Vectors, ask: Ask[Predicate]) -> list[tuple[Any, ...]]:
        """The candidates of a comparison with all vectors: every one that may be among the k nearest."""
        source, where, filters = _source(_table(moment, ask.space), ask.where)
        distance, values = self._distance(query, ask.space)
        sent = "c.exponent, halfvec_send(c.embedding)" if ask.space.raw else "0, vector_send(v.vector)"
        select = f"SELECT {'i.id' if ask.space.raw else 'v.id'}, {distance} AS d, {sent} FROM {source} {where}"
        count = ask.k + _MORE
        rows = moment.fetch(f"{select} ORDER BY d LIMIT {count}", [*values, *filters])
        if len(rows) < count:
            return rows
        limit = self._limit(float(rows[ask.k - 1][1]), moment.state.width)
        if float(rows[-1][1]) > limit:
            return rows
        # Hundreds may be equally near.
        return moment.fetch(f"SELECT * FROM ({select}) AS found WHERE d <= %s", [*values, *filters, limit])

    def _distance(self, query: Vectors, space: SearchSpace) -> tuple[str, list[Any]]:
        """The expression by which the server compares, written so that it uses no index, and its values."""
        if space.raw:
            start, stop = space.columns or (0, self._space.dim)
            part = f"subvector(c.embedding, {start + 1}, {stop - start})::vector"
            return f"coalesce(nullif({part} <=> %s::vector, 'NaN'), 1)", [to_literal(query[: stop - start])]
        operator = _OPERATORS[self._space.metric]
        if not space.weights:
            return f"(v.vector {operator} %s::vector) + 0", [to_literal(query)]
        width = len(space.weights)
        weighted = f"subvector(v.vector, 1, {width}) * %s::vector"
        if self._space.metric == "cosine":
            weighted = f"l2_normalize({weighted})"
        weights = to_literal(np.array(space.weights, np.float32))
        return f"({weighted}) {operator} %s::vector", [weights, to_literal(query[:width])]

    def _limit(self, kth: float, width: int) -> float:
        """The largest distance by the server that may belong to one of the k nearest: sums are rounded there."""
        share = 4 * (max(width, self._space.dim) + 8) * _EPS
        return kth + share if self._space.metric == "cosine" else kth + share * (1 + abs(kth))

    def _measure(self, rows: list[tuple[Any, ...]], query: Vectors, ask: Ask[Predicate], reader: Reader) -> Near:
        """The k nearest of the candidates by the distances that every store gives."""
        ids = np.array([row[0] for row in rows], np.int64)
        if ask.space.raw:
            blobs = to_blobs([row[2] for row in rows], [row[3] for row in rows], self._space.dim)
            vectors = prepare_raw(from_blobs(blobs, self._space.dim), ask.space)
        else:
            vectors = reader.unpack([row[3] for row in rows], _width_sent(rows))
            vectors = weigh(vectors, ask.space, self._space.metric)
        matrix = Matrix(ids, vectors, "cosine" if ask.space.raw else self._space.metric)
        return matrix.measure(query, np.arange(len(ids)), ask.k).to_pairs()

    def _fetch_adapted(self, moment: Moment, reader: Reader) -> tuple[Ids, Vectors]:
        return reader.vectors(moment.state.epoch, moment.state.width)


def index_statement(epoch: int, width: int, metric: Metric) -> str:
    """The statement that makes the index of a table of vectors."""
    left, kind = ("vector", "vector") if width <= _FULL_DIM else (f"(vector::halfvec({width}))", "halfvec")
    operators = f"{kind}_{'ip' if metric == 'cosine' else 'l2'}_ops"
    return f"CREATE INDEX vector_{epoch}_near ON vector_{epoch} USING hnsw ({left} {operators})"


_OPERATORS = {"cosine": "<#>", "euclidean": "<->"}
"""Vectors are of length 1 for cosine, so their product will do: it is faster, and defined for a vector of length 0."""


def _table(moment: Moment, space: SearchSpace) -> str:
    if space.raw:
        return "item i JOIN content c ON c.digest = i.digest"
    return f"vector_{moment.state.epoch} v"


def _source(table: str, where: Narrowed[Predicate] | None) -> tuple[str, str, list[Any]]:
    """The tables to search, the condition, and its values: few records by their ids, many by the filter."""
    if where is None:
        return table, "", []
    if len(where.ids) <= _FEW:
        return table, f"WHERE {'i.id' if ' JOIN ' in table else 'v.id'} = ANY(%b::bigint[])", [where.ids.tolist()]
    source = table if " JOIN " in table else f"{table} JOIN item i ON i.id = v.id"
    return source, f"WHERE {where.condition.text}", where.condition.values


def _width_sent(rows: list[tuple[Any, ...]]) -> int:
    return (len(rows[0][3]) - 4) // 4 if rows else 8


def find_ids(moment: Moment, where: Predicate) -> Ids:
    """The ids of the records with an embedding that a filter lets pass, in ascending order."""
    statement = f"SELECT i.id FROM item i WHERE i.digest IS NOT NULL AND {where.text} ORDER BY i.id"
    return np.array([id_ for (id_,) in moment.fetch(statement, where.values)], np.int64)
