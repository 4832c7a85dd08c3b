"""What a search gives back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, overload

from lookalike.images.decode import show_path

if TYPE_CHECKING:
    from collections.abc import Container
    from pathlib import Path

    from PIL import Image

    from lookalike.store import Near

__all__ = ["Hit", "Hits", "closest", "draw_searches"]


@dataclass(frozen=True, slots=True)
class Hit:
    """One picture that was found. rank counts from 1; a smaller distance is closer; id is the gallery's own."""

    rank: int
    path: Path
    distance: float
    id: int

    @property
    def display(self) -> str:
        """The path as one printable line."""
        return show_path(os.fsencode(self.path))


class Hits(Sequence[Hit]):
    """The nearest pictures to a query, nearest first. Prints as a table, draws itself, converts to rows."""

    def __init__(self, hits: Sequence[Hit], query: Image.Image, title: str = "query") -> None:
        self._hits = tuple(hits)
        self._query = query
        self._title = title

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> Hits: ...
    def __getitem__(self, index: int | slice) -> Hit | Hits:
        if isinstance(index, slice):
            return Hits(self._hits[index], self._query, self._title)
        return self._hits[index]

    def __len__(self) -> int:
        return len(self._hits)

    def __repr__(self) -> str:
        lines = [f"{hit.rank:>4}  {hit.distance:8.4f}  {hit.display}" for hit in self._hits]
        return "\n".join(["rank  distance  path", *lines])

    @property
    def query(self) -> Image.Image:
        """The picture that was searched with; of a text, the text drawn."""
        return self._query

    def without(self, ids: Container[int], k: int) -> Hits:
        """The k nearest that have none of these ids, ranked anew."""
        kept = [hit for hit in self._hits if hit.id not in ids][:k]
        return Hits([replace(hit, rank=rank) for rank, hit in enumerate(kept, 1)], self._query, self._title)

    def within(self, distance: float | None) -> Hits:
        """Those at most so far; all of them for None."""
        near = [hit for hit in self._hits if distance is None or hit.distance <= distance]
        return Hits(near, self._query, self._title)

    def rows(self) -> list[dict[str, Any]]:
        """A dict a hit, as `pandas.DataFrame` takes them."""
        return [{"rank": hit.rank, "path": str(hit.path), "distance": hit.distance, "id": hit.id} for hit in self._hits]

    def montage(self, columns: int = 5) -> Image.Image:
        """The query above its hits, each with its rank, distance and name; a gap where a file is gone."""
        from lookalike.search.montage import draw_montage  # noqa: PLC0415  (0.012 s, which a search need not spend)

        return draw_montage(*self._drawn(), columns=columns)

    def _drawn(self) -> tuple[tuple[Image.Image, str], list[tuple[Path, str]]]:
        """The query and the hits, each with its caption."""
        captions = [f"{hit.rank}   {hit.distance:.3f}\n{show_path(os.fsencode(hit.path.name))}" for hit in self]
        return (self._query, self._title), [(hit.path, text) for hit, text in zip(self, captions, strict=True)]


def draw_searches(searches: Sequence[Hits]) -> Image.Image:
    """Several searches on one sheet: a row for each, the query before its hits."""
    from lookalike.search.montage import draw_answers  # noqa: PLC0415  (see above)

    return draw_answers([hits._drawn() for hits in searches])  # noqa: SLF001  (of the same module)


def closest(found: Sequence[Near], k: int) -> Near:
    """The k nearest of several answers, each with its least distance, ties by id."""
    if len(found) == 1:
        return found[0][:k]
    least: dict[int, float] = {}
    for near in found:
        for id_, distance in near:
            least[id_] = min(distance, least.get(id_, distance))
    return sorted(least.items(), key=lambda pair: (pair[1], pair[0]))[:k]
