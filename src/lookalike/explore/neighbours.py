"""Every picture of a gallery with those nearest to it, without a list of all pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lookalike.store import SearchSpace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lookalike.store import Near, Store

__all__ = ["neighbours"]

_CHUNK = 256  # pictures whose neighbours are looked for at once
_COMPARED = SearchSpace(compared=True)


def neighbours(store: Store, k: int, *, exact: bool = False) -> Iterator[tuple[int, Near]]:
    """The id of every picture with its k nearest others, by id; those removed meanwhile are left out."""
    ids = store.ids().tolist()
    for start in range(0, len(ids), _CHUNK):
        with store.reading():
            some = sorted(id_ for id_, record in store.get(ids[start : start + _CHUNK]).items() if record.digest)
            found = store.search(store.vectors(some), k + 1, space=_COMPARED, exact=exact) if some else []
        for id_, near in zip(some, found, strict=True):
            yield id_, [pair for pair in near if pair[0] != id_][:k]
