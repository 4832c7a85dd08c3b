"""What clients ask for, checked: queries, options, and how paths are shown to them.

A query names pictures by their ids, or by the names of pictures that were dropped, or brings one along: a path or a URL
in a query is refused, so that no client can make this server open a file or fetch anything.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from lookalike.images.crop import read_crop
from lookalike.images.paths import path_fields
from lookalike.search.diverse import USUAL
from lookalike.search.query import ColorQuery, PaletteQuery, Query, StoredQuery, SumQuery, is_number
from lookalike.web.problems import Problem
from lookalike.web.settings import MOST_HITS, MOST_OFFSET

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lookalike.gallery import Gallery
    from lookalike.search.hits import Hits
    from lookalike.search.rerank import Order
    from lookalike.store import Record
    from lookalike.web.served_gallery import ServedGallery

__all__ = [
    "MOST_TERMS",
    "Options",
    "Wanted",
    "describe",
    "find_base",
    "present",
    "read_count",
    "read_document",
    "read_json",
    "read_wanted",
    "show",
]

MOST_TERMS = 64
"""The most filters of a search, parts of a query, and pictures marked as good or bad."""

_DEPTH = 8
_NODES = 512  # objects in a query
_MOST_NUMBER = 2**63 - 1
_LONGEST = 2000  # characters of a text or a filter
_SMALLEST, _LARGEST = 1e-3, 1e3  # of a weight that is not 0
_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)
_OPTIONS: dict[str, tuple[type, ...]] = {
    "k": (int,),
    "where": (list,),
    "order": (str,),
    "exact": (bool,),
    "unique": (bool,),
    "include_self": (bool,),
    "weights": (dict,),
    "offset": (int,),
    "diverse": (bool, int, float),
    "least": (bool,),
    "max_false_match": (int, float),
    "threshold": (int, float),
}


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a search: see `lookalike.Gallery.search`.

    max_false_match and threshold: as on the command line, which hits are near enough to be shown; None for all.
    """

    k: int = 10
    where: tuple[str, ...] = ()
    order: str = "distance"
    exact: bool = False
    unique: bool = False
    include_self: bool = False
    weights: Mapping[str, float] | None = None
    offset: int = 0
    diverse: float = 0.0
    least: bool = False
    max_false_match: float | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.k <= MOST_HITS:
            raise _invalid(f"k must be from 1 to {MOST_HITS:,}")
        if len(self.where) > MOST_TERMS:
            raise _invalid(f"at most {MOST_TERMS} filters can be combined")
        if not 0 <= self.offset <= MOST_OFFSET:
            raise _invalid(f"offset must be from 0 to {MOST_OFFSET:,}")
        if not 0 <= self.diverse <= 1:
            raise _invalid("diverse must be from 0 to 1")
        for name, limit in (("max_false_match", self.max_false_match), ("threshold", self.threshold)):
            if limit is not None and not limit >= 0:
                raise _invalid(f"{name} must be a number of at least 0")
        for term in self.where:
            _check_text(term)

    def search(self, gallery: Gallery, query: Query) -> Hits:
        """Search a gallery."""
        hits = gallery.search(
            query,
            self.k,
            where=self.where,
            weights=self.weights,
            order=cast("Order", self.order),  # the search checks it
            exact=self.exact,
            unique=self.unique,
            include_self=self.include_self,
            offset=self.offset,
            diverse=self.diverse,
            least=self.least,
        )
        return hits.within(self.threshold).beyond_chance(self.max_false_match)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A query that was checked and is not built yet: its parts may have to be decoded, in threads for that.

    fields: as `Query.to_dict` writes them, and `{"dropped": NAME}` for a picture that was dropped.
    """

    fields: dict[str, Any]

    @property
    def needs_decoding(self) -> bool:
        """Whether a picture's file has to be read: for each part of a picture."""
        return _has(self.fields, "crop")

    def show(self, document: dict[str, Any]) -> dict[str, Any]:
        """The document of a search for it, which says the query as it was sent where a picture was decoded for it."""
        is_own = self.needs_decoding or _has(self.fields, "dropped")
        return document | {"query": self.fields} if is_own else document

    def build(self, served: ServedGallery) -> Query:
        """The query. Raises Problem, UsageError, UnreadableImage."""
        query = _build(self.fields, served)
        terms = query.terms
        weights = [weight for weight, _ in terms]
        weights += [weight for _, one in terms if isinstance(one, ColorQuery) for _, weight in one.colors]
        if len(weights) > MOST_TERMS:
            raise _invalid(f"a query can have at most {MOST_TERMS} parts")
        for weight in weights:
            if weight and not _SMALLEST <= abs(weight) <= _LARGEST:
                raise _invalid(f"weights must be between {_SMALLEST:g} and {_LARGEST:g}")
        return query


def read_count(text: str, *, least: int = 0, most: int = MOST_HITS) -> int:
    """A whole number that a client wrote. Raises Problem."""
    if not _NUMBER.fullmatch(text) or not least <= int(text) <= most:
        raise _invalid(f"{text!r:.40} is not a whole number from {least:,} to {most:,}")
    return int(text)


def read_json(content: bytes) -> dict[str, Any]:
    """The object in a body. Raises Problem."""
    try:
        fields = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Problem(400, "invalid_json", "the body is not a JSON document") from None
    if not isinstance(fields, dict):
        raise _invalid('the document is not an object, such as {"query": {"id": 17}}')
    return fields


def read_document(fields: dict[str, Any], defaults: Options) -> tuple[Wanted, Options]:
    """The query and the options of a document: `{"query": {...}, "k": 20}`, or a query with options beside it."""
    options = _read_options({name: value for name, value in fields.items() if name in _OPTIONS}, defaults)
    query = {name: value for name, value in fields.items() if name not in _OPTIONS}
    if "query" in query:
        if len(query) > 1:
            raise _invalid(f"the only options beside the query are {', '.join(_OPTIONS)}")
        query = query["query"]
    return read_wanted(query), options


def read_wanted(fields: object) -> Wanted:
    """A query as `Query.to_dict` writes it. Raises Problem for one that names files, or is too large."""
    _check_query(fields, 0, [_NODES])
    return Wanted(cast("dict[str, Any]", fields))


def show(path: bytes | str | os.PathLike[str], base: bytes) -> dict[str, str]:
    """The fields of a path as a client may see it: relative to `base`, unless that is empty."""
    whole = os.fsencode(path)
    if base:
        whole = os.path.relpath(whole, base) if whole.startswith(base) else os.path.basename(whole)
    return path_fields(whole)


def find_base(gallery: Gallery, *, is_local: bool) -> bytes:
    """The folder that paths are shown relative to: none for a client on this machine.

    For others it is the one that holds all indexed folders, so that no answer names the folders above it.
    """
    if is_local:
        return b""
    parents = [os.path.dirname(root.path) for root in gallery.roots]
    return os.path.commonpath(parents) if parents else b"/"


def present(hits: Hits, base: bytes) -> dict[str, Any]:
    """The document of a search, with paths as a client may see them."""
    document = hits.to_dict()
    if not base:
        return document
    for fields, hit in zip(document["hits"], hits, strict=True):
        fields.update(show(hit.path, base))
    return document


def describe(record: Record, base: bytes) -> dict[str, Any]:
    """A picture of the gallery as JSON-compatible values."""
    fields = {name: getattr(record, name) for name in ("width", "height", "format", "size", "camera")}
    taken_at = record.taken_at and record.taken_at.isoformat()
    return {"id": record.id, **show(record.path, base), **fields, "taken_at": taken_at}


def _read_options(fields: Mapping[str, Any], defaults: Options) -> Options:
    given: dict[str, Any] = {name: getattr(defaults, name) for name in Options.__slots__}
    for name, value in fields.items():
        kinds = _OPTIONS[name]
        if type(value) not in kinds:
            raise _invalid(f"{name} is not of the type {kinds[-1].__name__}")
        given[name] = tuple(value) if isinstance(value, list) else value
    if given["diverse"] is True:
        given["diverse"] = USUAL
    if not all(isinstance(term, str) for term in given["where"]):
        raise _invalid('where is not a list of filters, such as ["folder:beach"]')
    _check_text(given["order"])
    for name in given["weights"] or {}:
        _check_text(name)
    return Options(**given)


def _has(fields: Mapping[str, Any], name: str) -> bool:
    """Whether a query or a part of it has such a field."""
    parts = fields.get("sum", [])
    some = [*(parts if isinstance(parts, list) else []), fields.get("palette")]
    return bool(fields.get(name)) or any(_has(part, name) for part in some if isinstance(part, dict))


def _build(fields: Any, served: ServedGallery) -> Query:  # noqa: ANN401  (what a client has sent)
    """The query of some fields, in the order in which `Query.from_dict` looks for them."""
    if isinstance(fields, dict) and "sum" in fields:
        return _build_sum(fields["sum"], served)
    if isinstance(fields, dict) and "palette" in fields and "colors" not in fields:
        like = fields["palette"]
        return PaletteQuery(_build(like, served)) if isinstance(like, dict) else Query.from_dict(fields)
    if isinstance(fields, dict) and "dropped" in fields:
        return _build_dropped(fields, served)
    query = Query.from_dict(fields)
    if isinstance(query, StoredQuery) and query.crop is not None:
        return Query.picture(served.read_stored(int(query.id), str(query.crop)))
    return query


def _build_sum(parts: object, served: ServedGallery) -> Query:
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise _invalid("the sum of a query is not a list of queries")
    if not parts or len(parts) > MOST_TERMS:
        raise _invalid(f"the sum of a query must have 1 to {MOST_TERMS} parts")
    terms: list[tuple[float, Query]] = []
    for part in parts:
        weight = part.get("weight", 1.0)
        if not is_number(weight, int, float):
            raise _invalid(f"{weight!r:.40} is not a weight")
        terms += [(float(weight) * own, query) for own, query in _build(part, served).terms]
    return SumQuery(tuple(terms))


def _build_dropped(fields: Mapping[str, Any], served: ServedGallery) -> Query:
    name, crop = fields["dropped"], fields.get("crop")
    if not isinstance(name, str):
        raise _invalid("the name of a dropped picture must be a text")
    return served.query(name, "" if crop is None else str(read_crop(crop)))


def _check_query(fields: object, depth: int, left: list[int]) -> None:
    """Raise Problem for a query that is too deep, too large, or names a file. left: objects that it may still have."""
    if not isinstance(fields, dict):
        raise _invalid('a query must be an object, such as {"id": 17} or {"text": "boat"}')
    left[0] -= 1
    if depth > _DEPTH or left[0] < 0:
        raise _invalid(f"a query can be nested at most {_DEPTH} deep, and have at most {_NODES} parts")
    if {"path", "url", "picture"} & fields.keys():
        raise Problem(
            422,
            "no_paths",
            "a query must name pictures by their ids",
            hint="send the picture itself as the field `file`",
        )
    for value in fields.values():
        for part in value if isinstance(value, list) else [value]:
            _check_part(part, depth, left)


def _check_part(part: object, depth: int, left: list[int]) -> None:
    if isinstance(part, str):
        _check_text(part)
    elif isinstance(part, int) and abs(part) > _MOST_NUMBER:
        raise _invalid("a number is too large")
    elif isinstance(part, dict):
        _check_query(part, depth + 1, left)


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _invalid("a text is not valid Unicode") from None
    if len(text) > _LONGEST:
        raise _invalid(f"a text is longer than {_LONGEST:,} characters")


def _refuse_constant(name: str) -> float:
    raise ValueError(name)


def _invalid(message: str) -> Problem:
    return Problem(422, "invalid_request", message)
