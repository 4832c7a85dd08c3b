"""Relevance feedback: mark hits as good or bad, and search again.

What was marked is added to the query (Rocchio 1971): good pictures count as much as the query itself, and the query
moves away from the mean of the bad ones, by the same amount however many they are. So it is sound with a single mark,
and the query is a sum like any other, which is searched as fast. docs/decisions.md says what else was tried.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from lookalike.errors import UsageError
from lookalike.search.hits import Hit
from lookalike.search.pictures import read_crop_of, read_picture
from lookalike.search.query import PictureQuery, StoredQuery, as_query
from lookalike.store.keys import absolute

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lookalike.search.hits import Hits
    from lookalike.search.query import Query, Source
    from lookalike.store import Store

    Mark = Hit | Query | Source

__all__ = ["Feedback", "mark_query"]

_MOST_ID = 2**63 - 1
_BAD = 2.0  # the weight of all bad pictures together, by that of the query and the good ones


def mark_query(query: Query, good: Sequence[Query], bad: Sequence[Query], *, names: str = "{}") -> Query:
    """The query with what was marked as good or bad. names: what errors call a mark, `{}` being good or bad."""
    wanted = sum(max(weight, 0.0) for weight, _ in query.terms)
    if wanted <= 0 or not (good or bad):
        return query  # one that wants nothing is refused where it is searched for
    marked = (1 / wanted) * query if wanted != 1 or len(query.terms) > 1 else query
    for one in good:
        marked = marked + replace(one, name=names.format("good"))
    for one in bad:
        marked = marked - _BAD * (1 + len(good)) / len(bad) * replace(one, name=names.format("bad"))
    return marked


class Feedback:
    """A query that learns from marks: `good` and `bad` take hits, ids or pictures, and `search` searches again.

    Pictures that were marked are not shown again, unless `search` is given `include_self=True`. Marking a picture again
    changes its mark.
    """

    def __init__(self, store: Store, search: Callable[..., Hits], query: Query | Source) -> None:
        """Begin with a query and no marks. search: what searches for a query, such as `Gallery.search`."""
        self._store, self._search, self._first = store, search, as_query(query)
        self._marks: dict[int | bytes | Query, tuple[bool, Query]] = {}

    def good(self, *pictures: Mark | int) -> Self:
        """Mark pictures as wanted."""
        return self._mark(pictures, is_good=True)

    def bad(self, *pictures: Mark | int) -> Self:
        """Mark pictures as not wanted."""
        return self._mark(pictures, is_good=False)

    def clear(self) -> Self:
        """Forget all marks."""
        self._marks.clear()
        return self

    @property
    def query(self) -> Query:
        """The query as it is now."""
        marks = self._marks.values()
        return mark_query(
            self._first, [one for is_good, one in marks if is_good], [one for is_good, one in marks if not is_good]
        )

    def search(self, k: int = 10, **options: Any) -> Hits:  # noqa: ANN401  (those of `Gallery.search`)
        """The k pictures most similar to the query as it is now; options as for `Gallery.search`."""
        return self._search(self.query, k, **options)

    def _mark(self, pictures: Sequence[Mark | int], *, is_good: bool) -> Self:
        read = [self._read(picture) for picture in pictures]  # all of them, before anything is marked
        for key, query in read:
            self._marks.pop(key, None)
            self._marks[key] = is_good, query
        return self

    def _read(self, picture: Mark | int) -> tuple[int | bytes | Query, Query]:
        """What tells a picture from others, and its query.

        Raises UsageError for what is not a picture or not in the gallery, UnreadableImage: a session in which every
        search fails would be of no use.
        """
        if isinstance(picture, Hit):
            return picture.id, StoredQuery(picture.id)
        if isinstance(picture, int | np.integer):
            query: Query = StoredQuery(picture)
        else:
            query = as_query(picture)
        if isinstance(query, StoredQuery):
            self._check_id(int(query.id))
            return (int(query.id) if query.crop is None else query), query
        if not isinstance(query, PictureQuery):
            raise UsageError("only pictures can be good or bad", hint="mark a hit, a path or an id")
        return self._find(query), query

    def _check_id(self, id_: int) -> None:
        record = self._store.get([id_]).get(id_) if 0 < id_ <= _MOST_ID else None
        if record is None or record.digest is None:
            raise UsageError(f"no picture in the gallery has the id {id_}")

    def _find(self, query: PictureQuery) -> int | bytes | Query:
        """What tells a picture from others: its id if the gallery has it, or its path. Raises UnreadableImage."""
        if query.crop is not None:
            read_crop_of(query.source, query.crop)
            return query
        if not isinstance(query.source, str | bytes | os.PathLike):
            read_picture(query.source)
            return query
        path = absolute(query.source)
        record = self._store.find([path]).get(path)
        if record is None or record.digest is None:
            read_picture(path)
            return path
        return record.id
