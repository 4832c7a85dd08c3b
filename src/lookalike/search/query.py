"""Queries as values: a picture, a picture of the gallery, a text, or a weighted sum of queries.

    Query.picture("beach.jpg")
    Query.stored(17)
    Query.text("a red boat")
    Query.color("red:2", "#0044ff")
    Query.palette("sunset.jpg")
    Query.picture("beach.jpg", crop="10%,10%,50%,50%")
    2 * Query.picture("a.jpg") + Query.picture("b.jpg") - Query.stored(17)

Each kind of query is a class that converts itself to JSON-compatible values (`to_dict`) and back (`read`);
`lookalike.search.engine` turns queries into embeddings.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PIL import Image

from lookalike.errors import UsageError
from lookalike.images.crop import Crop, read_crop
from lookalike.images.paths import path_fields, read_path
from lookalike.images.viewed import ViewedPicture

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "IN_MEMORY",
    "ColorQuery",
    "Content",
    "PaletteQuery",
    "PictureQuery",
    "Query",
    "StoredQuery",
    "SumQuery",
    "TextQuery",
    "as_query",
    "is_number",
    "read_color",
]


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a picture file that is not on disk, and what to call it."""

    data: bytes
    name: str = "picture"


if TYPE_CHECKING:
    Source = str | bytes | os.PathLike[str] | Image.Image | NDArray[np.uint8] | Content | ViewedPicture
    """A picture: the path of its file, a PIL image, uint8 (h, w, 3) or (h, w), the content of a file, or a picture
    that a worker has decoded."""

    CropSides = str | tuple[float, float, float, float] | Crop
    """A part of a picture: `"x,y,width,height"` in pixels or in percent, or four numbers in pixels."""

IN_MEMORY = (Image.Image, np.ndarray, Content, ViewedPicture)
"""The kinds of pictures that have no path."""

_SOURCES = (str, bytes, os.PathLike, *IN_MEMORY)
_CONTENT = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"RIFF", b"II*\x00", b"MM\x00*")  # of pictures, not names
_SHOWN = 60  # characters of a wrong value


@dataclass(frozen=True, eq=False)
class Query:
    """What to search for. Queries can be added, subtracted and multiplied by a number.

    name: what errors call it where it is a part of a query, such as `--good`; by default its number.
    """

    name: str = field(default="", kw_only=True, repr=False)
    kinds: ClassVar[dict[str, type[Query]]] = {}

    @staticmethod
    def picture(source: Source, *, crop: CropSides | None = None) -> Query:
        """A query for pictures like this one: the path of its file, a PIL image, or uint8 (h, w, 3) or (h, w).

        crop: search with this part of the upright picture: `"x,y,width,height"` in pixels or in percent, or four
        numbers in pixels.
        """
        return PictureQuery(source, None if crop is None else read_crop(crop))

    @staticmethod
    def content(data: bytes, name: str = "picture", *, crop: CropSides | None = None) -> Query:
        """A query for pictures like the one whose file has this content, such as an upload.

        name: what it is called where the query is shown and in errors. crop: as for `picture`.
        """
        return PictureQuery(Content(bytes(data), name), None if crop is None else read_crop(crop))

    @staticmethod
    def stored(id_: int, *, crop: CropSides | None = None) -> Query:
        """A query for pictures like the one with this id in the gallery, which is not encoded again.

        crop: as for `picture`; then its file is read and that part of it encoded.
        """
        return StoredQuery(id_, None if crop is None else read_crop(crop))

    @staticmethod
    def text(words: str) -> Query:
        """A query for pictures that these words describe: a taught name, a word that the encoder knows, or any text.

        Any text needs an encoder that also understands text, such as CLIP.
        """
        return TextQuery(words)

    @staticmethod
    def color(*colors: str) -> Query:
        """A query for pictures that have these colours: names of CSS or `#ff8800`, each perhaps with a weight, `red:2`.

        Two colours of equal weight are best met by a picture that is half of one and half of the other.
        """
        return ColorQuery(tuple(map(read_color, colors)))

    @staticmethod
    def palette(source: Query | Source) -> Query:
        """A query for pictures with the colours of this one: a picture as for `Query.picture`, or a stored one."""
        return PaletteQuery(as_query(source))

    @staticmethod
    def from_dict(fields: Mapping[str, Any], *, paths: bool = False) -> Query:
        """The query that `to_dict` wrote. Raises UsageError for anything else.

        paths: whether the query may name files to be read. Without it such a query raises UsageError, so that a server
        can take queries from strangers: the pictures in them are then those of the gallery, by their ids.
        """
        if not isinstance(fields, Mapping):
            raise UsageError(f"{_a(fields)} is not a query", hint="a query must be an object, such as {'id': 17}")
        for name, kind in Query.kinds.items():
            if name in fields:
                return kind.read(fields, paths=paths)
        known = ", ".join(Query.kinds)
        raise UsageError(f"{_short(dict(fields))} is not a query", hint=f"a query must have one of: {known}")

    @classmethod
    def read(cls, fields: Mapping[str, Any], *, paths: bool) -> Query:
        """Make a query of this kind from what its `to_dict` wrote. paths: whether it may name files."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """The query as JSON-compatible values."""
        raise NotImplementedError

    @property
    def terms(self) -> tuple[tuple[float, Query], ...]:
        """The queries that this one adds up, each with its weight."""
        return ((1.0, self),)

    def __add__(self, other: Query) -> Query:
        return SumQuery((*self.terms, *as_query(other).terms))

    def __sub__(self, other: Query) -> Query:
        return self + -1 * as_query(other)

    def __mul__(self, weight: float) -> Query:
        if not is_number(weight, int, float, np.number):
            raise UsageError(f"{_short(weight)} is not a weight", hint="multiply a query by a number: 2 * query")
        return SumQuery(tuple((weight * own, query) for own, query in self.terms))

    __rmul__ = __mul__


@dataclass(frozen=True, eq=False)
class PictureQuery(Query):
    """A query for pictures like one outside the gallery: see `Query.picture`."""

    source: Source
    crop: Crop | None = None

    def __post_init__(self) -> None:
        if isinstance(self.source, bytes) and self.source.startswith(_CONTENT):
            raise UsageError(
                "bytes are taken as the path of a file, but these are the content of one",
                hint="for the content of a file: Query.content(data), or PIL.Image.open(io.BytesIO(data))",
            )
        if not isinstance(self.source, _SOURCES):
            raise UsageError(f"{_a(self.source)} is not a picture", hint=_how_to_give(self.source))

    @classmethod
    def read(cls, fields: Mapping[str, Any], *, paths: bool) -> Query:
        """Make the query from the path of a file. Raises UsageError unless `paths` allows it."""
        if not paths:
            raise UsageError(
                f"the query names the file {_short(fields['path'])}, but files are not read here",
                hint="give the id of a picture in the gallery; in Python: Query.from_dict(fields, paths=True)",
            )
        return cls(read_path(_text(fields, "path")), _read_crop(fields))

    def to_dict(self) -> dict[str, Any]:
        """The fields of its path; for a picture in memory, its size or name; and its crop."""
        crop = _show_crop(self.crop)
        if isinstance(self.source, Content):
            return {"picture": {"name": self.source.name}} | crop
        if isinstance(self.source, Image.Image | ViewedPicture):
            return {"picture": {"width": self.source.width, "height": self.source.height}} | crop
        if isinstance(self.source, np.ndarray):
            sides = dict(zip(("height", "width"), self.source.shape, strict=False))
            return {"picture": {"width": sides.get("width", 1), "height": sides.get("height", 1)}} | crop
        return dict(path_fields(os.fsencode(self.source))) | crop


@dataclass(frozen=True, eq=False)
class StoredQuery(Query):
    """A query for pictures like one in the gallery: see `Query.stored`."""

    id: int
    crop: Crop | None = None

    def __post_init__(self) -> None:
        if not is_number(self.id, int, np.integer):
            raise UsageError(f"{_short(self.id)} is not an id", hint="ids are whole numbers, as in `hit.id`")

    @classmethod
    def read(cls, fields: Mapping[str, Any], *, paths: bool) -> Query:  # noqa: ARG003  (it names no file)
        """Make the query from an id."""
        return cls(fields["id"], _read_crop(fields))

    def to_dict(self) -> dict[str, Any]:
        """The picture's id, and its crop."""
        return {"id": int(self.id)} | _show_crop(self.crop)


@dataclass(frozen=True, eq=False)
class TextQuery(Query):
    """A query for pictures that a text describes: see `Query.text`."""

    words: str

    def __post_init__(self) -> None:
        if not isinstance(self.words, str):
            raise UsageError(f"{_a(self.words)} is not a text")

    @classmethod
    def read(cls, fields: Mapping[str, Any], *, paths: bool) -> Query:  # noqa: ARG003  (it names no file)
        """Make the query from its words."""
        return cls(_text(fields, "text"))

    def to_dict(self) -> dict[str, Any]:
        """The words of the text."""
        return {"text": self.words}


@dataclass(frozen=True, eq=False)
class ColorQuery(Query):
    """A query for pictures that have some colours, `#rrggbb`, each with its weight: see `Query.color`."""

    colors: tuple[tuple[str, float], ...]

    def __post_init__(self) -> None:
        if not self.colors:
            raise UsageError("no colour to search for", hint='name one: Query.color("red")')
        for color, weight in self.colors:
            if not is_number(weight, int, float, np.number) or not 0 < weight < math.inf:
                raise UsageError(f"the weight of {color} is {_short(weight)}; it must be a number above 0")

    @classmethod
    def read(cls, fields: Mapping[str, Any], *, paths: bool) -> Query:  # noqa: ARG003  (it names no file)
        """Make the query from its colours."""
        if not isinstance(fields["colors"], list) or not all(isinstance(one, dict) for one in fields["colors"]):
            raise UsageError("the colors of a query are not a list of colours")
        given = [(read_color(_text(one, "color")), one.get("weight", 1.0)) for one in fields["colors"]]
        return cls(tuple((color, weight) for (color, _), weight in given))

    def to_dict(self) -> dict[str, Any]:
        """The colours, each with its weight."""
        return {"colors": [{"color": color, "weight": float(weight)} for color, weight in self.colors]}


@dataclass(frozen=True, eq=False)
class PaletteQuery(Query):
    """A query for pictures with the colours of a picture: see `Query.palette`."""

    like: Query

    def __post_init__(self) -> None:
        if not isinstance(self.like, PictureQuery | StoredQuery):
            raise UsageError("only a picture has a palette", hint="give a file, or id:17")

    @classmethod
    def read(cls, fields: Mapping[str, Any], *, paths: bool) -> Query:
        """Make the query from that of its picture."""
        if not isinstance(fields["palette"], dict):
            raise UsageError("the palette of a query is not a query")
        return cls(Query.from_dict(fields["palette"], paths=paths))

    def to_dict(self) -> dict[str, Any]:
        """The query of its picture."""
        return {"palette": self.like.to_dict()}


@dataclass(frozen=True, eq=False)
class SumQuery(Query):
    """A weighted sum of queries: more like those with a positive weight, less like those with a negative one."""

    parts: tuple[tuple[float, Query], ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise UsageError("the sum of a query is empty")
        for weight, _ in self.parts:
            if not math.isfinite(weight):
                raise UsageError(f"{weight!r} is not a weight")

    @classmethod
    def read(cls, fields: Mapping[str, Any], *, paths: bool) -> Query:
        """Make the query from its parts; a part without a weight has the weight 1."""
        parts: list[tuple[float, Query]] = []
        if not isinstance(fields["sum"], list) or not all(isinstance(part, dict) for part in fields["sum"]):
            raise UsageError("the sum of a query is not a list of queries")
        for part in fields["sum"]:
            weight = part.get("weight", 1.0)
            if not isinstance(weight, int | float) or isinstance(weight, bool):
                raise UsageError(f"{weight!r} is not a weight")
            terms = Query.from_dict(part, paths=paths).terms
            parts += [(float(weight) * own, query) for own, query in terms]
        return cls(tuple(parts))

    def to_dict(self) -> dict[str, Any]:
        """The queries of the sum, each with its weight."""
        return {"sum": [{"weight": weight, **query.to_dict()} for weight, query in self.parts]}

    @property
    def terms(self) -> tuple[tuple[float, Query], ...]:
        """The queries that this one adds up, each with its weight."""
        return self.parts


Query.kinds.update({"sum": SumQuery, "colors": ColorQuery, "palette": PaletteQuery, "text": TextQuery})
Query.kinds.update({"id": StoredQuery, "path": PictureQuery})


def as_query(given: Query | Source) -> Query:
    """Return a query unchanged, and make a path, a PIL image or an array into a query. Raises UsageError."""
    if isinstance(given, Query):
        return given
    if isinstance(given, _SOURCES):
        return PictureQuery(given)
    raise UsageError(f"{_a(given)} is not a query", hint=_how_to_give(given))


def read_color(text: str) -> tuple[str, float]:
    """A colour as `#rrggbb` and its weight, from a text such as `red`, `#f80` or `red:2`. Raises UsageError."""
    name, _, weight = text.rpartition(":") if ":" in str(text) else (text, "", "1")
    try:
        number = float(weight)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise UsageError(f"{_short(text)}: the weight of a colour is a number above 0", hint="write red, or red:2")
    from lookalike.images.colors import parse_color  # noqa: PLC0415  (0.002 s, and only for colours)

    return parse_color(name), number


def is_number(value: object, *kinds: type) -> bool:
    """Whether a value is a number of one of these kinds; True and False are not."""
    return isinstance(value, kinds) and not isinstance(value, bool | np.bool_)


def _how_to_give(given: object) -> str:
    """How to search with something that is not a picture as it is."""
    if isinstance(given, int | np.integer) and not isinstance(given, bool):
        return f"for the picture with this id: Query.stored({_short(given)})"
    if hasattr(given, "__array__") or isinstance(given, list | tuple | memoryview | bytearray):
        return "give an array: np.asarray(x); for several queries: search_many"
    return "give a path, a PIL image, an array or a lookalike.Query"


def _a(value: object) -> str:
    """A value by its type, as in `an int`."""
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _short(value: object) -> str:
    """A value as one short line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _read_crop(fields: Mapping[str, Any]) -> Crop | None:
    return read_crop(fields["crop"]) if "crop" in fields else None


def _show_crop(crop: Crop | None) -> dict[str, Any]:
    return {} if crop is None else {"crop": str(crop)}


def _text(fields: Mapping[str, Any], name: str) -> str:
    text = fields.get(name)
    if not isinstance(text, str):
        raise UsageError(f"{name} of a query is {_short(text)}, not text")
    return text
