"""From queries to hits: what is asked becomes embeddings, the store finds the nearest, and records make hits of them.

Pictures are read and encoded before the store is asked, so no transaction and no lock of it lasts that long.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
from PIL import Image

from lookalike.encoders.hybrid import balance, parts_of
from lookalike.errors import Corrupt, UnreadableImage, UsageError
from lookalike.images.paths import show_path
from lookalike.search.filters import parse_filters
from lookalike.search.hits import Found, Hit, Hits, closest
from lookalike.search.pictures import draw_text, encode_views, read_picture
from lookalike.search.query import PictureQuery, StoredQuery, TextQuery
from lookalike.search.rerank import CANDIDATES, Order, by_diffusion
from lookalike.search.text import encode_text
from lookalike.store import SearchSpace
from lookalike.store.keys import absolute
from lookalike.vectors.metric import unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from lookalike.encoders import Encoder
    from lookalike.search.query import Query
    from lookalike.store import Near, Record, Store
    from lookalike.store.filter import Filter

    Embeddings = NDArray[np.float32]
    """The views of a query, float32 (views, dim)."""

__all__ = ["Asked", "Options", "nearest", "read_queries", "search", "weighted_space"]

_ADAPTED = SearchSpace()


@dataclass(frozen=True, slots=True)
class Options:
    """How to search: see `lookalike.Gallery.search`."""

    where: Sequence[str] = ()
    weights: Mapping[str, float] | None = None
    order: Order = "distance"
    exact: bool = False
    include_self: bool = False


@dataclass(slots=True)
class Asked:
    """A query on its way: what it looks like, what it is compared by, and which records are itself."""

    query: Query
    image: Image.Image
    title: str
    embeddings: Embeddings
    space: SearchSpace = _ADAPTED
    own: set[int] = field(default_factory=set)


def search(store: Store, load: Callable[[], Encoder], queries: Sequence[Query], k: int, options: Options) -> list[Hits]:
    """The hits of each query. load: gives the encoder, where one is needed."""
    if k < 1:
        raise UsageError(f"k is {k}; at least 1 hit can be asked for")
    if options.order not in get_args(Order):
        raise UsageError(f"no order {options.order!r}", hint=f"one of {', '.join(get_args(Order))}")
    where = parse_filters(options.where)
    asked = read_queries(store, load, queries)
    if options.weights:
        _weigh(asked, weighted_space(store, load(), options.weights))
    with store.reading():
        found = _find(store, asked, k, where, options)
        records = store.get({id_ for near in found for id_, _ in near})
    return [_hits(store, one, near, records, k) for one, near in zip(asked, found, strict=True)]


def read_queries(store: Store, load: Callable[[], Encoder], queries: Sequence[Query]) -> list[Asked]:
    """Each query as it is compared; all of their pictures are encoded together.

    Raises UnreadableImage, UsageError, and what an encoder of texts raises.
    """
    return _Reader(store, load).read(queries)


def nearest(  # noqa: PLR0913  (by name, all but three)
    store: Store,
    queries: Sequence[Embeddings],
    k: int,
    *,
    space: SearchSpace = _ADAPTED,
    where: Filter | None = None,
    order: Order = "distance",
    exact: bool = False,
) -> list[Near]:
    """The k pictures nearest to each query: as near as they are to the nearest of its views."""
    if order == "diffusion":
        with store.reading():
            found = nearest(store, queries, max(k, CANDIDATES), space=space, where=where, exact=exact)
            return [by_diffusion(store, near, space=space)[:k] for near in found]
    together = queries[0] if len(queries) == 1 else np.concatenate(queries)
    each = iter(store.search(together, k, space=space, where=where, exact=exact))
    return [closest(list(islice(each, len(views))), k) for views in queries]


def weighted_space(store: Store, encoder: Encoder, weights: Mapping[str, float]) -> SearchSpace:
    """The adapted vectors, their dimensions weighted so that each part of a hybrid counts as much as it is to."""
    parts, projection = parts_of(encoder), store.projection
    if projection is not None and projection.classes:
        raise UsageError("a gallery that is adapted to labels has no weights", hint="lookalike adapt")
    widths = projection.widths if projection is not None else [part.dim for part in parts]
    return SearchSpace(weights=tuple(np.repeat(np.array(balance(parts, weights), np.float32), widths).tolist()))


def _find(store: Store, asked: Sequence[Asked], k: int, where: Filter | None, options: Options) -> list[Near]:
    """What each query finds, those that are compared alike together; itself is left out unless it is wanted."""
    found: list[Near] = [[] for _ in asked]
    for space in dict.fromkeys(one.space for one in asked):
        places = [place for place, one in enumerate(asked) if one.space == space]
        most = k if options.include_self else k + max(len(asked[place].own) for place in places)
        views = [asked[place].embeddings for place in places]
        answers = nearest(store, views, most, space=space, where=where, order=options.order, exact=options.exact)
        for place, near in zip(places, answers, strict=True):
            own = () if options.include_self else asked[place].own
            found[place] = [pair for pair in near if pair[0] not in own][:k]
    return found


def _hits(store: Store, asked: Asked, near: Near, records: Mapping[int, Record], k: int) -> Hits:
    if any(id_ not in records for id_, _ in near):
        raise Corrupt("pictures that were found are not listed in the gallery", hint="lookalike verify")
    hits = [
        Hit(rank, Path(os.fsdecode(records[id_].path)), distance, id_)
        for rank, (id_, distance) in enumerate(near[:k], 1)
    ]
    return Hits(hits, Found(asked.query, asked.image, asked.title, store.space.encoder))


def _weigh(asked: Iterable[Asked], space: SearchSpace) -> None:
    for one in asked:
        if one.space != _ADAPTED:
            raise UsageError("a text has no weights: it is compared by one part of the encoder alone")
        one.space = space


class _Reader:
    """Makes embeddings of queries; the pictures of all of them are encoded together."""

    def __init__(self, store: Store, load: Callable[[], Encoder]) -> None:
        self._store, self._load = store, load
        self._waiting: list[tuple[Asked, Image.Image]] = []

    def read(self, queries: Sequence[Query]) -> list[Asked]:
        """Read every query."""
        terms = [[(weight, self._read(part)) for weight, part in query.terms] for query in queries]
        if self._waiting:
            embeddings = encode_views(self._load(), [image for _, image in self._waiting])
            for (one, _), views in zip(self._waiting, embeddings, strict=True):
                one.embeddings = views
        return [self._add_up(query, some) for query, some in zip(queries, terms, strict=True)]

    def _read(self, query: Query) -> Asked:
        match query:
            case PictureQuery(source):
                return self._read_picture(query, source)
            case StoredQuery(id_):
                return self._read_stored(query, self._record(id_))
            case TextQuery(words):
                embedding, space = encode_text(self._load(), words)
                return Asked(query, draw_text(words), "query", embedding, space)
        raise UsageError(f"{type(query).__name__} cannot be searched with here")

    def _read_picture(self, query: Query, source: object) -> Asked:
        encoder = self._load()
        image = read_picture(source, encoder.view)  # type: ignore[arg-type]
        none = np.empty((0, encoder.dim), np.float32)
        asked = Asked(query, image, "query", none)
        if not isinstance(source, Image.Image | np.ndarray):
            path = absolute(source)  # type: ignore[arg-type]
            asked.title = show_path(os.path.basename(path))
            record = self._store.find([path]).get(path)
            if record is not None:
                asked.own.add(record.id)
                if record.digest is not None and _is_unchanged(path, record):
                    asked.embeddings = self._embedding(record)
                    return asked
        self._waiting.append((asked, image))
        return asked

    def _read_stored(self, query: Query, record: Record) -> Asked:
        path = os.fsdecode(record.path)
        try:
            image = read_picture(path, self._load().view)
        except UnreadableImage:
            image = draw_text(show_path(os.path.basename(record.path)))
        title = show_path(os.path.basename(record.path))
        return Asked(query, image, title, self._embedding(record), own={record.id})

    def _record(self, id_: int) -> Record:
        record = self._store.get([id_]).get(id_)
        if record is None or record.digest is None:
            raise UsageError(f"no picture of the gallery has the id {id_}")
        return record

    def _embedding(self, record: Record) -> Embeddings:
        return np.concatenate([rows for _, rows in self._store.embeddings([record.id])])

    def _add_up(self, query: Query, terms: Sequence[tuple[float, Asked]]) -> Asked:
        if len(terms) == 1 and terms[0][0] > 0:
            (_, one), *_ = terms
            return Asked(query, one.image, one.title, one.embeddings, one.space, one.own)
        if any(one.space != _ADAPTED for _, one in terms):
            raise UsageError("texts cannot be added up with other queries yet")
        shown = next((one for weight, one in terms if weight > 0), None)
        if shown is None or sum(weight for weight, _ in terms) <= 0:
            raise UsageError("the weights of a query must add up to more than 0, or it is like nothing")
        own = set().union(*(one.own for _, one in terms))
        return Asked(query, shown.image, "query", self._sum(terms), own=own)

    def _sum(self, terms: Sequence[tuple[float, Asked]]) -> Embeddings:
        """The weighted mean, view by view; for cosine of embeddings of length 1. A stored picture has one view."""
        views = max(len(one.embeddings) for _, one in terms)
        total = sum(weight for weight, _ in terms)
        is_cosine = self._store.space.metric == "cosine"
        added = np.zeros((views, self._store.space.dim), np.float32)
        for weight, one in terms:
            rows = unit(one.embeddings) if is_cosine else one.embeddings
            added += np.float32(weight / total) * rows[np.minimum(np.arange(views), len(rows) - 1)]
        return added


def _is_unchanged(path: bytes, record: Record) -> bool:
    """Whether the file is still the one that the embedding in the gallery was made from."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (record.size, record.mtime_ns)
