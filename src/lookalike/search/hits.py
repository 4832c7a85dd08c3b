"""The hits of a search, and how they are printed, drawn and exported."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, overload

from lookalike.errors import MissingExtra, how_to_install
from lookalike.images.paths import AtPath, path_fields, show_path, to_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from pathlib import Path

    from PIL import Image

    from lookalike.search.gather import Gathered
    from lookalike.search.query import Query
    from lookalike.store import Near

__all__ = ["Found", "Hit", "Hits", "closest", "draw_searches"]


@dataclass(frozen=True, slots=True)
class Hit(AtPath):
    """One picture that was found.

    rank: counted from 1. distance: smaller means more similar. id: the picture's id in the gallery.
    chance: the share of the gallery's own pictures whose nearest is farther, by the embeddings as they were before they
    were adapted. expected: how many pictures a picture of the gallery has that near, on average. Both are None where
    that is not known: in a gallery of fewer than 20 different pictures, and for texts and colours.
    """

    rank: int
    path: Path
    distance: float
    id: int
    chance: float | None = None
    expected: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The hit as JSON-compatible values; `missing` is there only if its file no longer exists.

        `chance` and `expected` are there if they are known.
        """
        missing = {"missing": True} if self.is_missing else {}
        judged = {} if self.chance is None else {"chance": self.chance, "expected": self.expected}
        return {
            "rank": self.rank,
            **path_fields(os.fsencode(self.path)),
            "distance": self.distance,
            "id": self.id,
            **judged,
        } | missing


@dataclass(frozen=True, slots=True)
class Found:
    """What all hits of a search have in common: the query, its picture and title, and the encoder's name.

    image: the query's picture, or a function that reads it when it is needed. nothing_good: as for `Hits`. undescribed:
    how many pictures could not be found, because they have no description of their colours yet. offset: how many nearer
    hits were left out.
    """

    query: Query
    image: Image.Image | Callable[[], Image.Image]
    title: str
    encoder: str
    nothing_good: bool | None = None
    undescribed: int = 0
    offset: int = 0


class Hits(Sequence[Hit]):
    """The pictures nearest to a query, nearest first, which print as a table and can be drawn or exported."""

    def __init__(self, hits: Sequence[Hit], found: Found) -> None:
        self._hits = tuple(hits)
        self._found = found

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> Hits: ...
    def __getitem__(self, index: int | slice) -> Hit | Hits:
        if isinstance(index, slice):
            return Hits(self._hits[index], self._found)
        return self._hits[index]

    def __len__(self) -> int:
        return len(self._hits)

    def __repr__(self) -> str:
        lines = [f"{hit.rank:>4}  {hit.distance:8.4f}  {hit.display}" for hit in self._hits]
        return "\n".join(["rank  distance  path", *lines])

    def _repr_html_(self) -> str:
        """The query and its hits as thumbnails, for notebooks."""
        from lookalike.search.notebook import draw_html  # noqa: PLC0415  (0.006 s, and only in a notebook)

        return draw_html(self, self._found.title)

    @property
    def query(self) -> Query:
        """The query of the search."""
        return self._found.query

    @property
    def encoder(self) -> str:
        """The name of the gallery's encoder."""
        return self._found.encoder

    @property
    def nothing_good(self) -> bool | None:
        """Whether even the nearest is farther than the nearest of 95 in 100 of the gallery's own pictures.

        None where that is not known: see `Hit`.
        """
        return self._found.nothing_good

    @property
    def undescribed(self) -> int:
        """The number of pictures that a search by colour could not find: `index --refresh` describes them."""
        return self._found.undescribed

    @property
    def image(self) -> Image.Image:
        """The query's picture; for a text, a drawing of the text. Raises UnreadableImage if its file is gone."""
        image = self._found.image
        return image() if callable(image) else image

    @property
    def missing(self) -> int:
        """The number of hits whose file no longer exists."""
        return sum(hit.is_missing for hit in self._hits)

    def without(self, ids: Container[int], k: int) -> Hits:
        """The k nearest hits that have none of these ids, ranked from 1 again."""
        kept = [hit for hit in self._hits if hit.id not in ids][:k]
        return Hits([replace(hit, rank=rank) for rank, hit in enumerate(kept, 1)], self._found)

    def within(self, distance: float | None) -> Hits:
        """The hits within this distance; all hits for None."""
        near = [hit for hit in self._hits if distance is None or hit.distance <= distance]
        return Hits(near, self._found)

    def beyond_chance(self, expected: float | None) -> Hits:
        """The hits as near as at most `expected` others are to a picture of the gallery, on average; all for None.

        Hits of which that is not known are kept.
        """
        kept = [hit for hit in self._hits if expected is None or hit.expected is None or hit.expected <= expected]
        return Hits(kept, self._found)

    def rows(self) -> list[dict[str, Any]]:
        """One dict of plain values for each hit."""
        return [{"rank": hit.rank, "path": str(hit.path), "distance": hit.distance, "id": hit.id} for hit in self._hits]

    def to_dict(self) -> dict[str, Any]:
        """The search as JSON-compatible values: `query`, `hits`, `encoder`; `nothing_good` and `offset` if any."""
        hits = [hit.to_dict() for hit in self._hits]
        found = {"query": self.query.to_dict(), "hits": hits, "encoder": self._found.encoder}
        judged = {} if self.nothing_good is None else {"nothing_good": self.nothing_good}
        paged = {"offset": self._found.offset} if self._found.offset else {}
        return found | judged | paged | ({"undescribed": self.undescribed} if self.undescribed else {})

    def to_pandas(self) -> Any:  # noqa: ANN401  (pandas is not a dependency)
        """A `pandas.DataFrame` with the columns rank, path, distance and id. Raises MissingExtra without pandas."""
        try:
            import pandas as pd  # noqa: PLC0415  (0.4 s, and only where it is installed)
        except ImportError as error:
            raise MissingExtra("to_pandas needs pandas", hint=f"{how_to_install('pandas')}; or use rows()") from error
        return pd.DataFrame(self.rows(), columns=["rank", "path", "distance", "id"])

    def to_html(self) -> str:
        """A page of HTML with thumbnails, which needs no other file and links to the pictures on this machine."""
        from lookalike.search.sheet import draw_sheet  # noqa: PLC0415  (as below)

        return draw_sheet(self, self._found.title)

    def to_csv(self, separator: str = ",") -> str:
        """A table with a heading, for spreadsheets."""
        from lookalike.search.sheet import write_csv  # noqa: PLC0415  (as below)

        return write_csv(self, separator)

    def copy_to(self, folder: str | Path, *, link: bool = False) -> Gathered:
        """Copy the pictures into a folder, or link to them there; a name that is taken gets a number.

        Raises UsageError if the folder cannot be made.
        """
        from lookalike.search.gather import gather  # noqa: PLC0415  (as below)

        return gather([to_bytes(hit.path) for hit in self], folder, link=link)

    def montage(self, columns: int = 5) -> Image.Image:
        """Draw the query above its hits, each with rank, distance and name; an empty frame if a file is gone."""
        from lookalike.search.montage import draw_montage  # noqa: PLC0415  (0.012 s, which a search need not spend)

        return draw_montage(*self._with_captions(), columns=columns)

    def _with_captions(self) -> tuple[tuple[Image.Image, str], list[tuple[Path, str]]]:
        """The query and the hits, each with its caption."""
        names = [(show_path(os.fsencode(hit.path.name)), show_path(os.fsencode(hit.path.parent))) for hit in self]
        captions = [
            f"{hit.rank}   {hit.distance:.3f}\n{name}\n{folder}"
            for hit, (name, folder) in zip(self, names, strict=True)
        ]
        query = self.image, self._found.title
        return query, [(hit.path, text) for hit, text in zip(self, captions, strict=True)]


def draw_searches(searches: Sequence[Hits]) -> Image.Image:
    """Draw several searches on one sheet: one row for each, with the query before its hits."""
    from lookalike.search.montage import draw_answers  # noqa: PLC0415  (see above)

    return draw_answers([hits._with_captions() for hits in searches])  # noqa: SLF001  (in the same module)


def closest(found: Sequence[Near], k: int) -> Near:
    """The k nearest records of several answers, each with its smallest distance, ties by id."""
    if len(found) == 1:
        return found[0][:k]
    least: dict[int, float] = {}
    for near in found:
        for id_, distance in near:
            least[id_] = min(distance, least.get(id_, distance))
    return sorted(least.items(), key=lambda pair: (pair[1], pair[0]))[:k]
