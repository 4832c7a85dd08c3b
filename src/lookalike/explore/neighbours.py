"""Every picture of a gallery with the pictures nearest to it, without a list of all pairs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lookalike.images.paths import path_fields
from lookalike.search.engine import check_count
from lookalike.search.hits import Hit
from lookalike.store import SearchSpace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lookalike.store import Near, Store

__all__ = ["Neighbours", "list_neighbours", "neighbours"]

_CHUNK = 256  # pictures whose neighbours are searched at once
_COMPARED = SearchSpace(compared=True)


class Neighbours(NamedTuple):
    """One picture of a gallery and the others most similar to it, nearest first."""

    path: Path
    hits: list[Hit]

    def to_dict(self) -> dict[str, Any]:
        """The picture and its neighbours as JSON-compatible values: one document of `lookalike neighbours`."""
        near = [{**path_fields(os.fsencode(hit.path)), "distance": hit.distance} for hit in self.hits]
        return {**path_fields(os.fsencode(self.path)), "neighbours": near}


def list_neighbours(store: Store, k: int, *, exact: bool = False) -> Iterator[Neighbours]:
    """The path of every picture with the k others nearest to it as hits, by id. Raises UsageError for k < 1."""
    return _iterate(store, check_count(k), exact=exact)


def neighbours(store: Store, k: int, *, exact: bool = False) -> Iterator[tuple[int, Near]]:
    """The id of every picture with the k others nearest to it, by id; those removed meanwhile are left out."""
    for some in _chunks(store, k, exact=exact):
        yield from some.items()


def _iterate(store: Store, k: int, *, exact: bool) -> Iterator[Neighbours]:
    for some in _chunks(store, k, exact=exact):
        records = store.get({*some, *(id_ for near in some.values() for id_, _ in near)})
        paths = {id_: Path(os.fsdecode(record.path)) for id_, record in records.items()}
        for id_ in some.keys() & paths.keys():
            near = [pair for pair in some[id_] if pair[0] in paths]
            hits = [Hit(rank, paths[other], far, other) for rank, (other, far) in enumerate(near, 1)]
            yield Neighbours(paths[id_], hits)


def _chunks(store: Store, k: int, *, exact: bool) -> Iterator[dict[int, Near]]:
    ids = store.ids().tolist()
    for start in range(0, len(ids), _CHUNK):
        with store.reading():
            records = store.get(ids[start : start + _CHUNK])
            some = sorted(id_ for id_, record in records.items() if record.digest is not None)
            found = store.search(store.vectors(some), k + 1, space=_COMPARED, exact=exact) if some else []
        yield {id_: [pair for pair in near if pair[0] != id_][:k] for id_, near in zip(some, found, strict=True)}
