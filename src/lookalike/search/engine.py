"""From queries to hits: what is asked becomes embeddings, the store finds the nearest, and records make hits of them.

Pictures are read and encoded before the store is asked, so no transaction and no lock of it lasts that long. A picture
of the gallery whose file is unchanged is neither read nor encoded: its stored vector is the query, so that two pictures
have one distance in a search, among neighbours and in an inspection.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

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
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from lookalike.encoders import Encoder
    from lookalike.search.query import Query, Source
    from lookalike.store import Near, Record, Store
    from lookalike.store.filter import Filter

    Embeddings = NDArray[np.float32]
    """The views of a query, float32 (views, dim)."""

__all__ = ["Asked", "Options", "nearest", "read_queries", "read_vectors", "search", "weighted_space"]

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
    """A query on its way: what it looks like, what it is compared by, and which records are itself.

    image: a picture, or what reads it when it is needed. stored: the id of the picture whose stored vector is the
    query; embeddings are None then.
    """

    query: Query
    image: Image.Image | Callable[[], Image.Image]
    title: str
    embeddings: Embeddings | None = None
    space: SearchSpace = _ADAPTED
    own: set[int] = field(default_factory=set)
    stored: int | None = None
    is_recognised: bool = False  # by the path of its file


class _Gone(Exception):
    """A picture that was recognised by its path was removed before its vector was read."""


def search(store: Store, load: Callable[[], Encoder], queries: Sequence[Query], k: int, options: Options) -> list[Hits]:
    """The hits of each query. load: gives the encoder, where one is needed."""
    if k < 1:
        raise UsageError(f"k is {k}; at least 1 hit can be asked for")
    if options.order not in get_args(Order):
        raise UsageError(f"no order {options.order!r}", hint=f"one of {', '.join(get_args(Order))}")
    where = parse_filters(options.where)
    try:
        return _search(store, load, read_queries(store, load, queries), k, where, options)
    except _Gone:
        asked = _Reader(store, load, recognise=False).read(queries)
        return _search(store, load, asked, k, where, options)


def read_queries(store: Store, load: Callable[[], Encoder], queries: Sequence[Query]) -> list[Asked]:
    """Each query as it is compared; all of their pictures are encoded together.

    Raises UnreadableImage, UsageError, and what an encoder of texts raises.
    """
    return _Reader(store, load).read(queries)


def read_vectors(store: Store, asked: Asked) -> Embeddings:
    """What a query that is no text is compared by: the vectors of its views, float32 (views, w)."""
    if asked.stored is not None:
        return store.vectors([asked.stored])
    return store.adapt(cast("Embeddings", asked.embeddings))


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


def _search(  # noqa: PLR0913  (one step of `search`)
    store: Store,
    load: Callable[[], Encoder],
    asked: Sequence[Asked],
    k: int,
    where: Filter | None,
    options: Options,
) -> list[Hits]:
    encoder = load() if options.weights else None  # before the transaction
    with store.reading():
        weighted = _ADAPTED
        if encoder is not None:
            store.vectors([])  # reads the moment that is searched, so that the projection is that of its vectors
            weighted = weighted_space(store, encoder, options.weights or {})
        probes = [_probe(store, one, weighted) for one in asked]
        found = _find(store, asked, probes, k, where, options)
        records = store.get({id_ for near in found for id_, _ in near})
    return [_hits(store, one, near, records, k) for one, near in zip(asked, found, strict=True)]


def _probe(store: Store, asked: Asked, weighted: SearchSpace) -> tuple[Embeddings, SearchSpace]:
    """What the store is searched with, and the space that it is compared in. Raises UsageError; _Gone."""
    if _ADAPTED not in {asked.space, weighted}:
        raise UsageError("a text has no weights: it is compared by one part of the encoder alone")
    if asked.stored is None:
        space = weighted if asked.space == _ADAPTED else asked.space
        return cast("Embeddings", asked.embeddings), space
    try:
        return store.vectors([asked.stored], space=weighted), replace(weighted, compared=True)
    except KeyError:
        if asked.is_recognised:
            raise _Gone from None
        raise _unknown(asked.stored) from None


def _find(  # noqa: PLR0913  (as above)
    store: Store,
    asked: Sequence[Asked],
    probes: Sequence[tuple[Embeddings, SearchSpace]],
    k: int,
    where: Filter | None,
    options: Options,
) -> list[Near]:
    """What each query finds, those that are compared alike together; itself is left out unless it is wanted."""
    found: list[Near] = [[] for _ in asked]
    for space in dict.fromkeys(space for _, space in probes):
        places = [place for place, probe in enumerate(probes) if probe[1] == space]
        most = k if options.include_self else k + max(len(asked[place].own) for place in places)
        views = [probes[place][0] for place in places]
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


def _unknown(id_: int) -> UsageError:
    return UsageError(f"no picture of the gallery has the id {id_}")


class _Reader:
    """Reads queries; the pictures of all of them are encoded together.

    recognise: whether a picture of the gallery, known by its path, is compared by its stored vector.
    """

    def __init__(self, store: Store, load: Callable[[], Encoder], *, recognise: bool = True) -> None:
        self._store, self._load, self._recognise = store, load, recognise
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

    def _read_picture(self, query: Query, source: Source) -> Asked:
        if isinstance(source, Image.Image | np.ndarray):
            return self._wait(Asked(query, read_picture(source, self._load().view), "query"))
        path = absolute(source)
        record = self._store.find([path]).get(path)
        asked = Asked(query, partial(read_picture, path), show_path(os.path.basename(path)))
        if record is not None:
            asked.own.add(record.id)
            if self._recognise and record.digest is not None and _is_unchanged(path, record):
                asked.stored, asked.is_recognised = record.id, True
                return asked
        asked.image = read_picture(path, self._load().view)
        return self._wait(asked)

    def _wait(self, asked: Asked) -> Asked:
        self._waiting.append((asked, cast("Image.Image", asked.image)))
        return asked

    def _read_stored(self, query: Query, record: Record) -> Asked:
        title = show_path(os.path.basename(record.path))
        return Asked(query, partial(_draw_stored, record.path), title, own={record.id}, stored=record.id)

    def _record(self, id_: int) -> Record:
        record = self._store.get([id_]).get(id_)
        if record is None or record.digest is None:
            raise _unknown(id_)
        return record

    def _embeddings(self, asked: Asked) -> Embeddings:
        if asked.stored is None:
            return cast("Embeddings", asked.embeddings)
        for _, rows in self._store.embeddings([asked.stored]):
            return rows
        raise _Gone if asked.is_recognised else _unknown(asked.stored)

    def _add_up(self, query: Query, terms: Sequence[tuple[float, Asked]]) -> Asked:
        if len(terms) == 1 and terms[0][0] > 0:
            (_, one), *_ = terms
            return replace(one, query=query)
        if any(one.space != _ADAPTED for _, one in terms):
            raise UsageError("texts cannot be added up with other queries yet")
        shown = next((one for weight, one in terms if weight > 0), None)
        if shown is None or sum(weight for weight, _ in terms) <= 0:
            raise UsageError(
                "the weights of a query must add up to more than 0, or it is like nothing",
                hint="give what is wanted more weight: 2 * wanted - unwanted",
            )
        own = set().union(*(one.own for _, one in terms))
        return Asked(query, shown.image, "query", self._sum(terms), own=own)

    def _sum(self, terms: Sequence[tuple[float, Asked]]) -> Embeddings:
        """The weighted mean, view by view; for cosine of embeddings of length 1. A stored picture has one view."""
        is_cosine = self._store.space.metric == "cosine"
        each = [(weight, self._embeddings(one)) for weight, one in terms]
        total, views = sum(weight for weight, _ in each), max(len(rows) for _, rows in each)
        added = np.zeros((views, self._store.space.dim), np.float32)
        for weight, rows in each:
            scaled = unit(rows) if is_cosine else rows
            added += np.float32(weight / total) * scaled[np.minimum(np.arange(views), len(rows) - 1)]
        return added


def _draw_stored(path: bytes) -> Image.Image:
    """A picture of the gallery; where its file is gone, its name."""
    try:
        return read_picture(path)
    except UnreadableImage:
        return draw_text(show_path(os.path.basename(path)))


def _is_unchanged(path: bytes, record: Record) -> bool:
    """Whether the file is still the one that the embedding in the gallery was made from."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (record.size, record.mtime_ns)
