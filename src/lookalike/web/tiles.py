"""What the grid, the chips and the filters of a page show: values that templates write out."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lookalike.images.colors import mean_color
from lookalike.images.description import COLORS
from lookalike.images.paths import show_path
from lookalike.search.filters import split_filter
from lookalike.web import texts
from lookalike.web.asking import show
from lookalike.web.facets import count_values
from lookalike.web.state import HEAVIEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lookalike.search.hits import Hit
    from lookalike.store import Record
    from lookalike.web.served_gallery import ServedGallery
    from lookalike.web.state import Part, State

__all__ = ["Chip", "Facet", "Tile", "count_facets", "find_shape", "make_chips", "make_tiles", "name_filter"]

_NEUTRAL = "#8a8a86"
_VALUES = 8  # of each filter
_NARROWEST, _WIDEST = 30, 400  # hundredths: the proportions that the style sheet knows
_FINE, _STEP = 200, 5  # each of them up to 2, and every fifth beyond
_FACETS = {"label": "folder", "year": "year", "camera": "camera", "format": "format", "size": "file_size"}


@dataclass(frozen=True, slots=True)
class Tile:
    """A picture in the grid. shape: its proportions, for the style sheet."""

    id: int
    name: str
    place: str
    width: int
    height: int
    shape: int
    color: str
    version: str
    words: str = ""
    numbers: str = ""
    date: str = ""
    size: str = ""

    @property
    def facts(self) -> str:
        """What else is known of it, for those who hover."""
        return " \u00b7 ".join(filter(None, (self.date, self.size, self.numbers)))


@dataclass(frozen=True, slots=True)
class Chip:
    """A part of what is searched for, and the address without it.

    picture: the address of its thumbnail, large: of its large view. more, less: the addresses with other weights.
    """

    label: str
    without: str
    picture: str = ""
    large: str = ""
    weight: int = 1
    more: str = ""
    less: str = ""
    color: str = ""
    is_filter: bool = False
    mark: str = ""

    @property
    def is_minus(self) -> bool:
        """Whether hits should be unlike it."""
        return self.weight < 0


@dataclass(frozen=True, slots=True)
class Facet:
    """A filter and its values, each with how many of the pictures shown it would keep, and the address."""

    name: str
    values: tuple[tuple[str, int, str], ...]


def make_tiles(
    served: ServedGallery, ids: Sequence[int], records: dict[int, Record], base: bytes, hits: Iterable[Hit] = ()
) -> list[Tile]:
    """The pictures of a grid, without those that have been removed meanwhile."""
    described, by_id = served.gallery.store.descriptions(ids), {hit.id: hit for hit in hits}
    tiles = []
    for id_ in ids:
        if (record := records.get(id_)) is None:
            continue
        hit, histogram = by_id.get(id_), described.get(id_, b"")[COLORS]
        words = (texts.closeness(hit), texts.numbers(hit)) if hit is not None else ("", "")
        date = record.taken_at.strftime("%d %B %Y").lstrip("0") if record.taken_at else ""
        width, height = record.width or 4, record.height or 3
        tiles.append(
            Tile(
                id_,
                show_path(os.path.basename(record.path)),
                os.path.dirname(show(record.path, base)["display"]),
                width,
                height,
                find_shape(width, height),
                mean_color(histogram) if histogram else _NEUTRAL,
                (record.digest or b"").hex()[:12],
                *words,
                date,
                texts.show_size(record.size),
            )
        )
    return tiles


def find_shape(width: int, height: int) -> int:
    """The proportions of a picture in hundredths, within the range of the style sheet."""
    exact = min(max(100 * width / height, _NARROWEST), _WIDEST)
    return round(exact) if exact <= _FINE else round(exact / _STEP) * _STEP


def make_chips(served: ServedGallery, state: State) -> list[Chip]:
    """What is searched for, part by part: pictures, words, a colour, marks and filters."""
    ids = [part.id for part in state.pictures if not part.is_dropped]
    records = served.gallery.store.get([*ids, *state.good, *state.bad])
    chips = [_make_picture_chip(state, part, records) for part in state.pictures]
    if state.text:
        chips.append(Chip(f"“{state.text}”", state.without("text").url))
    if state.color:
        chips.append(Chip(state.color, state.without("color").url, color=state.color))
    for kind in ("good", "bad"):
        for id_ in getattr(state, kind):
            picture, weight = f"/thumbnails/{id_}/small", 1 if kind == "good" else -1
            chips.append(
                Chip(_name(records, id_), state.without(kind, id_).url, picture, f"/pictures/{id_}", weight, mark=kind)
            )
    return [
        *chips,
        *(Chip(name_filter(term), state.without("where", term).url, is_filter=True) for term in state.where),
    ]


def _make_picture_chip(state: State, part: Part, records: dict[int, Record]) -> Chip:
    name = texts.TEXTS["your_picture"] if part.is_dropped else _name(records, part.id)
    label = texts.TEXTS["part_of"].format(name=name) if part.crop else name
    picture = f"/dropped/{part.name}" if part.is_dropped else f"/thumbnails/{part.id}/small"
    large = f"/dropped/{part.name}/large" if part.is_dropped else f"/pictures/{part.id}"
    without = state.changing(part, None).url
    more, less = _step(state, part, 1), _step(state, part, -1)
    return Chip(label, without, picture, large, part.weight, more, less)


def _step(state: State, part: Part, step: int) -> str:
    """The address with a picture that counts more or less; "" at either end."""
    weight = part.weight + step or step
    return state.changing(part, replace(part, weight=weight)).url if abs(weight) <= HEAVIEST else ""


def _name(records: dict[int, Record], id_: int) -> str:
    return show_path(os.path.basename(records[id_].path)) if id_ in records else str(id_)


def name_filter(term: str) -> str:
    """A filter in words: `label:forest` is "Folder: forest"."""
    is_not, field, values = split_filter(term)
    name = texts.FIELDS.get(field, field.capitalize())
    return f"{texts.TEXTS['not'] if is_not else ''}{name}: {', '.join(map(_name_value, values))}"


def _name_value(value: str) -> str:
    """A value or a range of a filter in words: `>9000` is "over 9000"."""
    if value in texts.FILE_SIZES:
        return texts.FILE_SIZES[value]
    sign = next((sign for sign in texts.RANGES if value.startswith(sign)), "")
    return f"{texts.RANGES[sign]} {value[len(sign) :]}" if sign else value.replace("..", " to ")


def count_facets(state: State, records: Iterable[Record], base: bytes) -> list[Facet]:
    """The values that filters could keep, by how many of these pictures have them; none where all have the same."""
    counts, facets, used = count_values(records, _VALUES, base), [], set(state.where)
    for field, name in _FACETS.items():
        values = counts.get(field, [])
        if len(values) > 1 and not used & {one["where"] for one in values}:
            links = tuple((one["value"], one["count"], state.filtered(one["where"]).url) for one in values)
            facets.append(Facet(texts.TEXTS[name], links))
    return facets
