"""From queries to hits: queries become embeddings, the store finds the nearest records, and these become hits.

Pictures are read and encoded before the store is searched, so that none of its transactions or locks lasts that long. A
picture of the gallery whose file is unchanged is neither read nor encoded: its stored vector is the query, so two
pictures have the same distance in a search, among neighbours and in an inspection.
"""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

import numpy as np

from lookalike.encoders.composition import divide
from lookalike.encoders.hybrid import balance, parts_of
from lookalike.errors import Corrupt, Unreachable, UnreadableImage, UsageError, name_in_errors
from lookalike.images.origins import look_up
from lookalike.images.paths import show_path
from lookalike.images.viewed import ViewedPicture
from lookalike.search.blend import Blend, Likeness, find_blended
from lookalike.search.concepts import find_concept, list_taught, probe, resolve_tags
from lookalike.search.diverse import CANDIDATES as DIVERSE
from lookalike.search.diverse import check_strength, select_diverse
from lookalike.search.filters import parse_filters
from lookalike.search.hits import Found, Hit, Hits, closest
from lookalike.search.judge import UNKNOWN, find_calibration, judge
from lookalike.search.pictures import draw_text, encode_views, read_crop_of, read_picture
from lookalike.search.query import (
    IN_MEMORY,
    ColorQuery,
    Content,
    PaletteQuery,
    PictureQuery,
    StoredQuery,
    TextQuery,
    is_number,
)
from lookalike.search.rerank import CANDIDATES, Order, by_diffusion
from lookalike.search.text import encode_text
from lookalike.store import JUDGED, SearchSpace
from lookalike.store.keys import absolute
from lookalike.store.location import name_command
from lookalike.vectors.exact import prepare_vectors
from lookalike.vectors.metric import unit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

    from numpy.typing import NDArray
    from PIL import Image

    from lookalike.encoders import Encoder
    from lookalike.images.crop import Crop
    from lookalike.search.color import Palette, Wanted
    from lookalike.search.judge import Verdict
    from lookalike.search.query import Query, Source
    from lookalike.store import Near, Record, Store
    from lookalike.store.concepts import Concept
    from lookalike.store.filter import Filter

    Embeddings = NDArray[np.float32]
    """The views of a query, float32 (views, dim)."""

__all__ = [
    "Asked",
    "Options",
    "check_count",
    "nearest",
    "read_queries",
    "read_vectors",
    "search",
    "select",
    "weighted_space",
]

_ADAPTED = SearchSpace()
_TAUGHT = SearchSpace(compared=True)
_ORDERS: tuple[str, ...] = get_args(Order)  # 0.01 ms each time
_MOST = 2**31 - 1  # hits
_AWAY = 0.35  # how far a query moves from what is not wanted: the best of 0 to 1 in eight collections
_MOST_ID = 2**63 - 1
_PART_ALONE = "a text: it is compared by one part of the encoder alone"
_ALONE = "a query of pictures and texts: each is compared by itself"


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a search: see `lookalike.Gallery.search`."""

    where: Sequence[str] = ()
    weights: Mapping[str, float] | None = None
    order: Order = "distance"
    exact: bool = False
    include_self: bool = False
    unique: bool = False
    offset: int = 0
    diverse: float = 0.0
    least: bool = False


@dataclass(slots=True)
class Asked:
    """A query that has been read: its picture, the embeddings it is compared by, and the records of the query itself.

    image: a picture, or a function that reads it when it is needed. space: the space that it is compared in. own: the
    ids of the query's own records, which are left out of its hits. stored: the id of the picture whose stored vector is
    the query; then embeddings is None, as it is for a concept, whose vector depends on the moment that is searched.
    colors: the colours that are wanted, each with its weight; share: theirs in the distance, 1 for colours alone.
    sum_of: pictures whose vectors are added up, each with its weight. parts: queries that cannot be added up to one
    vector. For both, embeddings is None.
    """

    query: Query
    image: Image.Image | Callable[[], Image.Image]
    title: str
    embeddings: Embeddings | None = None
    space: SearchSpace = _ADAPTED
    own: set[int] = field(default_factory=set)
    stored: int | None = None
    is_recognised: bool = False  # whether it is known by the path of its file
    concept: Concept | None = None
    colors: Sequence[tuple[float, Wanted | Palette]] = ()
    share: float = 0.0
    sum_of: Sequence[tuple[float, Asked]] = ()
    parts: Sequence[tuple[float, Asked]] = ()

    @property
    def is_mixed(self) -> bool:
        """Whether it is compared by more than one vector space."""
        return bool(self.colors or self.parts)


class _Gone(Exception):
    """A picture recognised by its path was removed before its vector was read."""


def search(store: Store, load: Callable[[], Encoder], queries: Sequence[Query], k: int, options: Options) -> list[Hits]:
    """The hits of each query. load: returns the encoder; called only if it is needed."""
    k = check_count(k)
    if options.order not in _ORDERS:
        raise UsageError(f"unknown order {options.order!r:.60}", hint=f"choose one of: {', '.join(_ORDERS)}")
    _check_weights(options.weights)
    if options.offset != 0 or options.diverse != 0 or options.least:  # 0.004 ms
        options = _check_selection(options)
    where = parse_filters(_terms(options.where)) if options.where else None
    try:
        return _search(store, load, read_queries(store, load, queries), k, where, options)
    except _Gone:
        asked = _Reader(store, load, recognise=False).read(queries)
        return _search(store, load, asked, k, where, options)


def select(store: Store, where: Sequence[str]) -> NDArray[np.int64]:
    """The ids of the pictures that pass these filters, in ascending order, int64 (n,). Raises UsageError."""
    parsed = parse_filters(_terms(where))
    with store.reading():
        return store.ids(parsed and resolve_tags(store, parsed))


def check_count(k: int) -> int:
    """The number of hits that is asked for, as a plain int of at most 32 bits. Raises UsageError."""
    if not is_number(k, int, np.integer):
        raise UsageError(f"k is {k!r:.60}; it must be a whole number", hint="k=10 asks for ten hits")
    if k < 1:
        raise UsageError(f"k is {k}; at least 1 hit can be asked for")
    return min(int(k), _MOST)


def _check_selection(options: Options) -> Options:
    """The options with an offset and a strength that are plain numbers. Raises UsageError."""
    if not is_number(options.offset, int, np.integer) or options.offset < 0:
        raise UsageError(f"the offset is {options.offset!r:.60}; it must be a whole number of at least 0")
    strength = check_strength(options.diverse)
    if options.least and (strength or options.order != "distance"):
        other = "diverse" if strength else f"order {options.order}"
        raise UsageError(f"least and {other} cannot be combined: the least similar pictures are ordered by distance")
    return replace(options, offset=min(int(options.offset), _MOST), diverse=strength)


def _check_weights(weights: Mapping[str, float] | None) -> None:
    if weights is not None and not isinstance(weights, Mapping):
        raise UsageError(f"weights are a {type(weights).__name__}", hint="give a dict: weights={'histogram': 0.3}")
    for name, share in (weights or {}).items():
        if not is_number(share, int, float, np.number) or not math.isfinite(share):
            raise UsageError(f"the weight of {name!r:.60} is {share!r:.60}; it must be a number from 0 to 1")


def _terms(where: Iterable[object]) -> list[str]:
    """The filters of a search; one alone need not be in a list."""
    if not isinstance(where, Iterable):
        raise UsageError(f"the filters are a {type(where).__name__}", hint="give a list: where=['folder:beach']")
    terms: list[str] = []
    for term in [where] if isinstance(where, str) else where:
        if not isinstance(term, str):
            raise UsageError(f"{term!r:.60} is not a filter", hint="write field:value, as in folder:beach")
        terms.append(term)
    return terms


def read_queries(store: Store, load: Callable[[], Encoder], queries: Sequence[Query]) -> list[Asked]:
    """Read each query into what is compared; the pictures of all queries are encoded together.

    Raises UnreadableImage, UsageError, and whatever a text encoder raises.
    """
    return _Reader(store, load).read(queries)


def read_vectors(store: Store, asked: Asked) -> Embeddings:
    """The vectors of a query's views, float32 (views, w); not for texts."""
    if asked.sum_of:
        return _sum(store, asked.sum_of, _ADAPTED)
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
    """The k pictures nearest to each query; a picture's distance is the one to the nearest of the query's views."""
    if order == "diffusion":
        with store.reading():
            found = nearest(store, queries, max(k, CANDIDATES), space=space, where=where, exact=exact)
            return [by_diffusion(store, near, space=space)[:k] for near in found]
    together = queries[0] if len(queries) == 1 else np.concatenate(queries)
    each = iter(store.search(together, k, space=space, where=where, exact=exact))
    return [closest(list(islice(each, len(views))), k) for views in queries]


def weighted_space(store: Store, encoder: Encoder, weights: Mapping[str, float]) -> SearchSpace:
    """The search space in which each part of a hybrid encoder counts as much as its weight says."""
    parts, projection = parts_of(encoder), store.projection
    if projection is not None and projection.classes:
        raise UsageError(
            "weights cannot be used in a gallery adapted to labels",
            hint=f"adapt it to its pictures again: {name_command('adapt', store.location)}",
        )
    groups = divide(encoder, store.space.dim)
    widths = projection.widths if projection is not None else [group.dim for group in groups]
    factors = [*balance(parts, weights), *[1.0] * (len(groups) - len(parts))]
    return SearchSpace(weights=tuple(np.repeat(np.array(factors, np.float32), widths).tolist()))


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
            store.vectors([])  # fixes the moment that is searched, so that the projection matches its vectors
            weighted = weighted_space(store, encoder, options.weights or {})
        where = where and resolve_tags(store, where)
        probes = _probe_all(store, asked, weighted)
        most = k + options.offset
        found = _find(store, asked, probes, max(most, JUDGED) if any(map(_is_judged, asked)) else most, where, options)
        undescribed = _color().count_undescribed(store) if any(one.colors for one in asked) else 0
        stored = {one.stored for one in asked if one.stored is not None}
        records = store.get({id_ for near in found for id_, _ in near} | stored)
        if any(id_ not in records for near in found for id_, _ in near):
            raise Corrupt(
                "pictures that were found have no record in the gallery", hint=name_command("verify", store.location)
            )
        verdicts = _judge(store, asked, found, records)
    abouts = [
        Found(
            one.query,
            one.image,
            one.title,
            store.space.encoder,
            None if options.least else verdict.nothing_good,
            undescribed if one.colors else 0,
            options.offset,
        )
        for one, verdict in zip(asked, verdicts, strict=True)
    ]
    return [
        _hits(about, near[options.offset :][:k], records, verdict)
        for about, near, verdict in zip(abouts, found, verdicts, strict=True)
    ]


def _is_judged(asked: Asked) -> bool:
    """Whether a query is for likeness alone: nothing is known of how near a text or colours can be."""
    return not asked.space.raw and not asked.is_mixed


def _judge(store: Store, asked: Sequence[Asked], found: Sequence[Near], records: Mapping[int, Record]) -> list[Verdict]:
    """What is known of the hits of each query."""
    calibration = find_calibration(store)
    verdicts = []
    for one, near in zip(asked, found, strict=True):
        query = _read_judged(store, one) if one.stored is None else records[one.stored].digest
        if calibration is None or query is None or not _is_judged(one):
            verdicts.append(UNKNOWN)
        else:
            known = {id_: records[id_] for id_, _ in near if id_ in records}
            verdicts.append(judge(store, calibration, query, known, one.own))
    return verdicts


def _read_judged(store: Store, asked: Asked) -> Embeddings | None:
    """The embeddings by which hits are judged: of a sum, those of all that is wanted, of which the nearest counts."""
    if not asked.sum_of:
        return asked.embeddings
    wanted = [one for weight, one in asked.sum_of if weight > 0]
    stored = [one.stored for one in wanted if one.stored is not None]
    rows = [rows for _, rows in store.embeddings(stored)] if stored else []
    return np.concatenate([*rows, *(one.embeddings for one in wanted if one.embeddings is not None)])


def _sum(store: Store, terms: Sequence[tuple[float, Asked]], space: SearchSpace) -> Embeddings:
    """The vectors of what is wanted, moved away from what is not, view by view; a stored picture has one view.

    With the weighted means p and n of what is wanted and what is not, it is p + share * (p - n), where share is _AWAY
    times the sum of the unwanted weights by that of the wanted ones (docs/decisions.md).
    """
    each = _read_terms(store, [one for _, one in terms], space)
    wanted = sum(weight for weight, _ in terms if weight > 0)
    away = _AWAY / wanted
    share = -away * sum(weight for weight, _ in terms if weight < 0)
    added = np.zeros((max(map(len, each)), each[0].shape[1]), np.float32)
    for (weight, _), vectors in zip(terms, each, strict=True):
        factor = (1 + share) / wanted if weight > 0 else away
        added += np.float32(weight * factor) * vectors[np.minimum(np.arange(len(added)), len(vectors) - 1)]
    return unit(added) if store.space.metric == "cosine" else added


def _read_terms(store: Store, some: Sequence[Asked], space: SearchSpace) -> list[Embeddings]:
    """The vectors of the views of each picture, as they are compared in a space."""
    stored = [one.stored for one in some if one.stored is not None]
    views = [one.embeddings for one in some if one.embeddings is not None]
    try:
        known = iter(store.vectors(stored, space=space) if stored else ())
    except KeyError as error:
        if any(one.is_recognised for one in some):
            raise _Gone from None
        raise _unknown(error.args[0]) from None
    encoded: Iterator[Embeddings] = iter(())
    if views:
        adapted = store.adapt(np.concatenate(views))
        if space.weights:
            weights = np.array(space.weights, np.float32)
            adapted = unit(np.pad(adapted[:, : len(weights)] * weights, ((0, 0), (0, adapted.shape[1] - len(weights)))))
        encoded = iter(np.split(adapted, np.cumsum([len(rows) for rows in views])[:-1]))
    return [next(encoded) if one.stored is None else next(known)[None] for one in some]


def _probe_all(store: Store, asked: Sequence[Asked], weighted: SearchSpace) -> list[tuple[Embeddings, SearchSpace]]:
    """What `_probe` gives for each query; the stored vectors of several pictures are read together."""
    if len(asked) == 1 or any(one.stored is None or one.is_mixed for one in asked):
        return [_probe(store, one, weighted) for one in asked]
    try:
        rows = store.vectors([cast("int", one.stored) for one in asked], space=weighted)
    except KeyError:
        return [_probe(store, one, weighted) for one in asked]  # which finds out what is gone
    space = replace(weighted, compared=True)
    return [(row[None], space) for row in rows]


def _probe(store: Store, asked: Asked, weighted: SearchSpace) -> tuple[Embeddings, SearchSpace]:
    """The query vectors for the store, and the space that they are compared in. Raises UsageError, _Gone."""
    if weighted != _ADAPTED and (asked.space != _ADAPTED or asked.is_mixed):
        kind = (
            "colours: they are compared without the encoder" if asked.colors else _ALONE if asked.parts else _PART_ALONE
        )
        raise UsageError(f"weights cannot be used with {kind}")
    if asked.parts or (asked.colors and asked.share == 1):
        return np.empty((0, 0), np.float32), asked.space
    if asked.concept is not None:
        found = probe(store, asked.concept)
        return found.vector, found.space
    if asked.sum_of:
        return _sum(store, asked.sum_of, weighted), replace(weighted, compared=True)
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
    """The nearest pictures of each query, searching queries of the same space together.

    A query's own records are left out unless `include_self` is set.
    """
    found: list[Near] = [[] for _ in asked]
    wanted = _count_wanted(store, k, options)
    looks = [_choose_look(store, one, probe, where, options) for one, probe in zip(asked, probes, strict=True)]
    mixed = [index for index, one in enumerate(asked) if one.is_mixed]
    plain = [index for index, one in enumerate(asked) if not one.is_mixed]
    for index in mixed:
        near = looks[index](wanted + len(asked[index].own))
        found[index] = _refine(store, near, k, asked[index].own, looks[index], options)
    for space in dict.fromkeys(probes[index][1] for index in plain):
        indices = [index for index in plain if probes[index][1] == space]
        most = wanted if options.include_self else wanted + max(len(asked[index].own) for index in indices)
        views = [probes[index][0] for index in indices]
        exact = (
            options.exact or options.least or any(asked[index].concept for index in indices)
        )  # lists are measured with pictures
        answers = nearest(store, views, most, space=space, where=where, order=options.order, exact=exact)
        for index, near in zip(indices, answers, strict=True):
            found[index] = _refine(store, near, k, asked[index].own, looks[index], options)
    return found


def _count_wanted(store: Store, k: int, options: Options) -> int:
    """How many of the nearest pictures are looked at to choose k hits."""
    if options.least:
        return max(1, store.count()[0])
    return max(k, DIVERSE) if options.diverse else k


def _choose_look(
    store: Store, asked: Asked, probe: tuple[Embeddings, SearchSpace], where: Filter | None, options: Options
) -> Callable[[int], Near]:
    """What finds as many of the pictures nearest to a query as it is asked for."""
    look = _look_at_colors if asked.colors else _look_at_parts if asked.parts else None
    if look is None:
        return partial(_look_again, store, probe, where, options)
    if options.order != "distance":
        kinds = "colours" if asked.colors else "texts beside pictures"
        raise UsageError(f"{kinds} and the order by diffusion cannot be combined")
    return partial(look, store, asked, probe, where, options)


def _refine(  # noqa: PLR0913  (one step of `_find`)
    store: Store, near: Near, k: int, own: set[int], look: Callable[[int], Near], options: Options
) -> Near:
    """The k hits among the nearest pictures: without the query itself, without copies, diverse, or the farthest."""
    own = set() if options.include_self else own
    if options.least:
        far = [pair for pair in reversed(near) if pair[0] not in own]
        return cast("Near", _unique().find_farthest(store, far, k)) if options.unique else far[:k]
    most = max(k, DIVERSE) if options.diverse else k
    others = [pair for pair in near if pair[0] not in own][:most]
    if options.unique:
        others = cast("Near", _unique().find_unique(store, near, own, most, look))
    return select_diverse(store, others, k, options.diverse) if options.diverse else others


def _look_again(
    store: Store, probe: tuple[Embeddings, SearchSpace], where: Filter | None, options: Options, k: int
) -> Near:
    views, space = probe
    return nearest(store, [views], k, space=space, where=where, order=options.order, exact=options.exact)[0]


def _look_at_colors(  # noqa: PLR0913  (as `_look_again`, for one query)
    store: Store,
    asked: Asked,
    probe: tuple[Embeddings, SearchSpace],
    where: Filter | None,
    options: Options,
    k: int,
) -> Near:
    """The k pictures nearest to a query by colours, or by colours and likeness."""
    like = None
    if asked.share < 1:
        like = _blend(store, asked, options) if asked.parts else _likeness(store, probe, options)
    return cast("Near", _color().nearest(store, asked.colors, k, where=where, share=asked.share, like=like))


def _look_at_parts(
    store: Store,
    asked: Asked,
    _probe: tuple[Embeddings, SearchSpace],
    where: Filter | None,
    options: Options,
    k: int,
) -> Near:
    """The k pictures nearest to queries of several kinds together."""
    return find_blended(store, _blend(store, asked, options), k, where)


def _blend(store: Store, asked: Asked, options: Options) -> Blend:
    parts = [(weight, _likeness(store, _probe(store, one, _ADAPTED), options)) for weight, one in asked.parts]
    return Blend(parts)


def _likeness(store: Store, probe: tuple[Embeddings, SearchSpace], options: Options) -> Likeness:
    return Likeness(*_as_compared(store, *probe), options.exact or options.least)


def _as_compared(store: Store, embeddings: Embeddings, space: SearchSpace) -> tuple[Embeddings, SearchSpace]:
    """Query vectors as they are compared, and the space in which they are."""
    if space.raw:
        return prepare_vectors(embeddings, "cosine"), space
    return (embeddings, space) if space.compared else (store.adapt(embeddings), replace(space, compared=True))


def _color() -> ModuleType:
    """What only queries by colour need."""
    return importlib.import_module("lookalike.search.color")


def _unique() -> ModuleType:
    """What only searches without copies need."""
    return importlib.import_module("lookalike.search.unique")


def _hits(about: Found, near: Near, records: Mapping[int, Record], verdict: Verdict) -> Hits:
    hits = [
        Hit(rank, Path(os.fsdecode(records[id_].path)), distance, id_, *verdict.hits.get(id_, ()))
        for rank, (id_, distance) in enumerate(near, about.offset + 1)
    ]
    return Hits(hits, about)


def _unknown(id_: int) -> UsageError:
    return UsageError(f"no picture in the gallery has the id {id_}")


class _Reader:
    """Reads queries and encodes the pictures of all of them together.

    recognise: whether a picture that the gallery knows by its path is compared by its stored vector.
    """

    def __init__(self, store: Store, load: Callable[[], Encoder], *, recognise: bool = True) -> None:
        self._store, self._load, self._recognise = store, load, recognise
        self._waiting: list[tuple[Asked, Image.Image | ViewedPicture]] = []
        self._records: Mapping[int, Record] = {}

    def read(self, queries: Sequence[Query]) -> list[Asked]:
        """Read every query."""
        named = {int(part.id) for query in queries for _, part in query.terms if isinstance(part, StoredQuery)}
        self._records = self._store.get([id_ for id_ in named if 0 < id_ <= _MOST_ID]) if named else {}
        terms = [self._read_terms(query) for query in queries]
        if self._waiting:
            images = [image for _, image in self._waiting]
            embeddings = encode_views(self._load(), images, self._store.space.dim)
            for (one, _), views in zip(self._waiting, embeddings, strict=True):
                one.embeddings = views
        return [self._add_up(query, some) for query, some in zip(queries, terms, strict=True)]

    def _read_terms(self, query: Query) -> list[tuple[float, Asked]]:
        """The parts of a query, each with its weight. An error names the part."""
        terms = query.terms
        if len(terms) == 1 and not terms[0][1].name:
            return [(weight, self._read(part)) for weight, part in terms]
        read = []
        for number, (weight, part) in enumerate(terms, 1):
            with name_in_errors(_name_part(number, part)):
                read.append((weight, self._read(part)))
        return read

    def _read(self, query: Query) -> Asked:
        match query:
            case PictureQuery(source, crop):
                return self._read_picture(query, source) if crop is None else self._read_part(query, source, crop)
            case StoredQuery(id_, crop):
                record = self._record(id_)
                return self._read_stored(query, record) if crop is None else self._read_part(query, record.path, crop)
            case ColorQuery(colors):
                color = _color()
                image, title = partial(color.draw_colors, colors), ", ".join(name for name, _ in colors)
                return Asked(query, image, title, colors=[(1.0, color.merge([(1.0, query)]))], share=1.0)
            case PaletteQuery(like):
                return self._read_palette(query, like)
            case TextQuery(words):
                return self._read_text(query, words)
        raise UsageError(f"a {type(query).__name__} cannot be searched here")

    def _read_text(self, query: Query, words: str) -> Asked:
        """A taught name, or whatever the encoder reads."""
        concept = find_concept(self._store, words)
        if concept is not None:
            return Asked(query, draw_text(words), "query", space=_TAUGHT, concept=concept)
        embeddings, space = encode_text(self._load(), words, lambda: list_taught(self._store))
        return Asked(query, draw_text(words), "query", embeddings, space)

    def _read_picture(self, query: Query, source: Source) -> Asked:
        if isinstance(source, IN_MEMORY):
            picture = read_picture(source, self._load().view)
            viewed = source if isinstance(source, ViewedPicture) else None
            return self._wait(Asked(query, picture, _name(source), own=_own(source)), viewed)
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

    def _read_part(self, query: Query, source: Source, crop: Crop) -> Asked:
        """A part of a picture, which is encoded also if the picture is in the gallery."""
        image, name, own = read_crop_of(source, crop), _name(source), set[int]()
        if not isinstance(source, IN_MEMORY):
            path = absolute(source)
            name = show_path(os.path.basename(path))
            own = {record.id for record in self._store.find([path]).values()}
        return self._wait(Asked(query, image, f"{name} ({crop})", own=own))

    def _read_palette(self, query: Query, like: Query) -> Asked:
        """A query by the colours of a picture, which is read again unless it is given by its id."""
        if isinstance(like, PictureQuery | StoredQuery) and like.crop is not None:
            source = self._record(like.id).path if isinstance(like, StoredQuery) else like.source
            asked = self._read_part(query, source, like.crop)
            self._waiting.pop()  # only its colours are compared
            palette = _color().read_palette(self._store, asked.image)
            return replace(asked, colors=[(1.0, palette)], share=1.0)
        if isinstance(like, StoredQuery):
            asked = self._read_stored(query, self._record(like.id))
            palette = _color().read_palette(self._store, int(like.id))
            return replace(asked, stored=None, colors=[(1.0, palette)], share=1.0)
        source = cast("PictureQuery", like).source
        palette = _color().read_palette(self._store, source)
        if isinstance(source, IN_MEMORY):
            image = partial(read_picture, source)
            return Asked(query, image, _name(source), own=_own(source), colors=[(1.0, palette)], share=1.0)
        path = absolute(source)
        own = {record.id for record in self._store.find([path]).values()}
        title = show_path(os.path.basename(path))
        return Asked(query, partial(read_picture, path), title, own=own, colors=[(1.0, palette)], share=1.0)

    def _wait(self, asked: Asked, viewed: ViewedPicture | None = None) -> Asked:
        """Let a query's picture be encoded with the others."""
        self._waiting.append((asked, viewed or cast("Image.Image", asked.image)))
        return asked

    def _read_stored(self, query: Query, record: Record) -> Asked:
        title = show_path(os.path.basename(record.path))
        return Asked(query, partial(_draw_stored, record.path), title, own={record.id}, stored=record.id)

    def _record(self, id_: int) -> Record:
        record = self._records.get(int(id_))
        if record is None and 0 < id_ <= _MOST_ID:  # the picture of a palette
            record = self._store.get([int(id_)]).get(int(id_))
        if record is None or record.digest is None:
            raise _unknown(id_)
        return record

    def _add_up(self, query: Query, terms: Sequence[tuple[float, Asked]]) -> Asked:
        if len(terms) == 1 and terms[0][0] > 0:
            (_, one), *_ = terms
            return one if one.query is query else replace(one, query=query)
        if any(one.colors for _, one in terms):
            return self._mix(query, terms)
        shown = next((one for weight, one in terms if weight > 0), None)
        if shown is None:
            raise UsageError(
                "a query needs something to look for: at least one weight must be above 0",
                hint="give what is wanted first: wanted.jpg - unwanted.jpg",
            )
        own = set().union(*(one.own for _, one in terms))
        if any(one.space != _ADAPTED for _, one in terms):
            return Asked(query, shown.image, _name_sum(terms), own=own, parts=self._divide(query, terms))
        return Asked(query, shown.image, _name_sum(terms), own=own, sum_of=terms)

    def _divide(self, query: Query, terms: Sequence[tuple[float, Asked]]) -> list[tuple[float, Asked]]:
        """The texts of a query, each by itself, and its pictures added up if some of them are wanted."""
        pictures = [(weight, one) for weight, one in terms if one.space == _ADAPTED]
        parts = [(weight, one) for weight, one in terms if one.space != _ADAPTED]
        if any(weight > 0 for weight, _ in pictures):
            together = self._add_up(query, pictures)
            return [(sum(weight for weight, _ in pictures if weight > 0), together), *parts]
        return [*pictures, *parts]

    def _mix(self, query: Query, terms: Sequence[tuple[float, Asked]]) -> Asked:
        """Colours together, or with what else is wanted; the share of the colours is that of their weights."""
        by_color = [(weight, one) for weight, one in terms if one.colors]
        others = [(weight, one) for weight, one in terms if not one.colors]
        for number, (weight, one) in enumerate(terms, 1):
            if one.colors and weight <= 0:
                name = _name_part(number, one.query)
                raise UsageError(f"{name} is a colour, and a colour can only be added: + and not -")
        named = [(weight, one.query) for weight, one in by_color if isinstance(one.query, ColorQuery)]
        colors = [(weight, one.colors[0][1]) for weight, one in by_color if not isinstance(one.query, ColorQuery)]
        if named:
            colors.append((sum(weight for weight, _ in named), _color().merge(named)))
        own = set().union(*(one.own for _, one in terms))
        if not others:
            return replace(by_color[0][1], query=query, colors=colors, own=own)
        like, weight = self._add_up(query, others), sum(weight for weight, _ in by_color)
        share = weight / (weight + sum(weight for weight, _ in others))
        return replace(like, query=query, colors=colors, share=share, own=own)


def _name_part(number: int, part: Query) -> str:
    """What errors call a part of a query."""
    return part.name or f"part {number} of the query"


def _own(source: Source) -> set[int]:
    """The gallery's picture that a picture in memory was cut from."""
    return {source.part_of} if isinstance(source, ViewedPicture) and source.part_of else set()


def _name(source: Source) -> str:
    """What a picture in memory is called where the query is shown."""
    return source.name if isinstance(source, Content) else "query"


def _name_sum(terms: Sequence[tuple[float, Asked]]) -> str:
    """A sum as it is written: `a.jpg + 2:b.jpg - c.jpg`."""
    text = ""
    for weight, one in terms:
        sign = " - " if weight < 0 else " + "
        text += (sign if text or weight < 0 else "") + (f"{abs(weight):g}:" if abs(weight) != 1 else "") + one.title
    return text.strip()


def _draw_stored(path: bytes) -> Image.Image:
    """The picture of a record, or a drawing of its name if the file cannot be read."""
    try:
        return read_picture(path)
    except UnreadableImage:
        return draw_text(show_path(os.path.basename(path)))


def _is_unchanged(path: bytes, record: Record) -> bool:
    """Whether the file is unchanged since its embedding in the gallery was made."""
    try:
        return look_up(path) == (record.size, record.mtime_ns)
    except Unreachable:
        return False
