"""What clients ask for, checked: queries, options, and how paths are shown to them.

A query names pictures by their ids, or brings one along: a path or a URL in a query is refused, so that nobody can make
this server open a file or fetch anything.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from lookalike.images.paths import path_fields
from lookalike.search.query import ColorQuery, Query
from lookalike.web.problems import Problem
from lookalike.web.settings import MOST_HITS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lookalike.gallery import Gallery
    from lookalike.search.hits import Hits
    from lookalike.search.rerank import Order
    from lookalike.store import Record

__all__ = ["Options", "describe", "find_base", "present", "read_count", "read_document", "read_query", "show"]

_DEPTH = 8
_TERMS = 64
_LONGEST = 2000  # characters of a text or a filter
_SMALLEST, _LARGEST = 1e-3, 1e3  # of a weight that is not 0
_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)
_OPTIONS: dict[str, type] = {
    "k": int,
    "where": list,
    "order": str,
    "exact": bool,
    "unique": bool,
    "include_self": bool,
    "weights": dict,
}


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a search: see `lookalike.Gallery.search`."""

    k: int = 10
    where: tuple[str, ...] = ()
    order: str = "distance"
    exact: bool = False
    unique: bool = False
    include_self: bool = False
    weights: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.k <= MOST_HITS:
            raise _invalid(f"k is from 1 to {MOST_HITS:,}")
        if len(self.where) > _TERMS:
            raise _invalid(f"at most {_TERMS} filters can be combined")
        for term in self.where:
            _check_text(term)

    def search(self, gallery: Gallery, query: Query) -> Hits:
        """Search a gallery."""
        return gallery.search(
            query,
            self.k,
            where=self.where,
            weights=self.weights,
            order=cast("Order", self.order),  # the search checks it
            exact=self.exact,
            unique=self.unique,
            include_self=self.include_self,
        )


def read_count(text: str, *, least: int = 0, most: int = MOST_HITS) -> int:
    """A whole number that a client wrote. Raises Problem."""
    if not _NUMBER.fullmatch(text) or not least <= int(text) <= most:
        raise _invalid(f"{text!r:.40} is not a whole number from {least:,} to {most:,}")
    return int(text)


def read_document(content: bytes, defaults: Options) -> tuple[Query, Options]:
    """The query and the options of a JSON document: `{"query": {...}, "k": 20}`, or a query with options beside it."""
    try:
        fields = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Problem(400, "invalid_json", "the body is not a JSON document") from None
    if not isinstance(fields, dict):
        raise _invalid('the document is not an object, such as {"query": {"id": 17}}')
    options = _read_options({name: value for name, value in fields.items() if name in _OPTIONS}, defaults)
    query = {name: value for name, value in fields.items() if name not in _OPTIONS}
    if "query" in query:
        if len(query) > 1:
            raise _invalid(f"beside the query there can be {', '.join(_OPTIONS)}")
        query = query["query"]
    return read_query(query), options


def read_query(fields: object) -> Query:
    """The query that `Query.to_dict` wrote. Raises Problem for one that names files, or is too large; UsageError."""
    _check_query(fields, 0)
    query = Query.from_dict(cast("dict[str, Any]", fields))
    terms = query.terms
    weights = [weight for weight, _ in terms]
    weights += [weight for _, one in terms if isinstance(one, ColorQuery) for _, weight in one.colors]
    if len(weights) > _TERMS:
        raise _invalid(f"a query has at most {_TERMS} parts")
    for weight in weights:
        if weight and not _SMALLEST <= abs(weight) <= _LARGEST:
            raise _invalid(f"weights are between {_SMALLEST:g} and {_LARGEST:g}")
    return query


def show(path: bytes | str | os.PathLike[str], base: bytes) -> dict[str, str]:
    """The fields of a path as a client may see it: relative to `base`, unless that is empty."""
    whole = os.fsencode(path)
    if base:
        whole = os.path.relpath(whole, base) if whole.startswith(base) else os.path.basename(whole)
    return path_fields(whole)


def find_base(gallery: Gallery, *, is_local: bool) -> bytes:
    """The folder that paths are shown relative to: none for a client on this machine.

    For others it is the one that holds all indexed folders, so that nothing is said of what is above them.
    """
    if is_local:
        return b""
    parents = [os.path.dirname(root.path) for root in gallery.roots]
    return os.path.commonpath(parents) if parents else b"/"


def present(hits: Hits, base: bytes) -> dict[str, Any]:
    """The document of a search, with paths as a client may see them."""
    document = hits.to_dict()
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
        kind = _OPTIONS[name]
        if type(value) is not kind:
            raise _invalid(f"{name} is not of the type {kind.__name__}")
        given[name] = tuple(value) if isinstance(value, list) else value
    if not all(isinstance(term, str) for term in given["where"]):
        raise _invalid('where is not a list of filters, such as ["folder:beach"]')
    _check_text(given["order"])
    for name in given["weights"] or {}:
        _check_text(name)
    return Options(**given)


def _check_query(fields: object, depth: int) -> None:
    if not isinstance(fields, dict):
        raise _invalid('a query is an object, such as {"id": 17} or {"text": "boat"}')
    if depth > _DEPTH:
        raise _invalid(f"a query is nested at most {_DEPTH} deep")
    if {"path", "url", "picture"} & fields.keys():
        raise Problem(
            422, "no_paths", "a query names pictures by their ids", hint="send the picture itself as the field `file`"
        )
    for value in fields.values():
        if isinstance(value, str):
            _check_text(value)
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict):
                _check_part(part, depth)


def _check_part(part: dict[str, Any], depth: int) -> None:
    if "color" not in part:
        _check_query(part, depth + 1)
    elif isinstance(part["color"], str):
        _check_text(part["color"])


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
