"""Why two pictures match: which parts of each, when covered, make the two less similar.

This is occlusion (Zeiler & Fergus 2014): a square is blurred beyond recognition at one position after another, and the
picture is embedded again each time. It needs nothing but the encoder, so it works for every encoder, adapted or not.
The square is blurred rather than grey because the edges of a grey square are visible features themselves: the heat lay
less on objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from lookalike.encoders.composition import encode_whole
from lookalike.errors import UsageError
from lookalike.images.decode import View, fit
from lookalike.images.drawing import as_drawing
from lookalike.images.whole import describe_whole
from lookalike.search.engine import read_queries, read_vectors
from lookalike.vectors.metric import distances

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from lookalike.encoders import Encoder
    from lookalike.search.query import Query
    from lookalike.store import Store

__all__ = ["Inspection", "inspect"]

_POSITIONS = 11  # of the square along a side; each overlaps the next by half: 121 embeddings per picture
_BLUR = 1 / 12  # of a side: half a square
_TILE = 400  # pixels of a side of a drawing
_GAP, _CAPTION = 16, 30
_PAPER, _INK = "#ffffff", "#1a1a1a"
_FOR, _AGAINST = np.array((222, 66, 20)), np.array((30, 110, 200))
_STRONGEST = 0.75  # how much of the picture the strongest heat hides


@dataclass(frozen=True, slots=True)
class Inspection:
    """Two pictures as the encoder sees them, their distance, and where they match.

    query_heat, hit_heat: float32 (12, 12), how much the distance grows when that part is covered; below 0 where the
    pictures would be more similar without it. scale: what is drawn in full colour, the most that covering a part of one
    of the two takes it away from itself; so pictures that hardly match are drawn pale.
    """

    query: Image.Image
    hit: Image.Image
    distance: float
    query_heat: NDArray[np.float32]
    hit_heat: NDArray[np.float32]
    scale: float

    def to_dict(self) -> dict[str, Any]:
        """The distance and both heat maps as JSON-compatible values."""
        heats = {"query_heat": self.query_heat.tolist(), "hit_heat": self.hit_heat.tolist()}
        return {"distance": self.distance, **heats}

    def draw(self) -> Image.Image:
        """Draw both side by side: red parts match more than the rest of their picture, blue ones less, on one scale."""
        sheet = Image.new("RGB", (2 * _TILE + 3 * _GAP, _TILE + 2 * _GAP + 2 * _CAPTION), _PAPER)
        for number, part in enumerate(self.draw_parts()):
            sheet.paste(part, (_GAP + number * (_TILE + _GAP), _GAP))
        text = f"distance {self.distance:.3f}; red matches more than the rest of its picture, blue less"
        ImageDraw.Draw(sheet).text((_GAP, _TILE + 1.5 * _GAP), text, _INK, ImageFont.load_default(16))
        _draw_scale(sheet, self.scale, _TILE + 1.5 * _GAP + _CAPTION)
        return as_drawing(sheet)

    def draw_parts(self) -> list[Image.Image]:
        """Draw the query and the hit alone, as in `draw`, each as the encoder sees it."""
        heats = [heat - np.median(heat) for heat in (self.query_heat, self.hit_heat)]
        pairs = zip((self.query, self.hit), heats, strict=True)
        return [_draw_heat(image, heat / (self.scale or 1)) for image, heat in pairs]


def inspect(store: Store, load: Callable[[], Encoder], query: Query, hit: Query) -> Inspection:
    """Cover each picture piece by piece and compare it with the other, by the distance of this store's gallery.

    Neither picture needs to be in the gallery. The distance is the one that a search for `query` reports for `hit`.
    load: returns the encoder. Raises UnreadableImage; UsageError for texts and colours.
    """
    encoder = load()
    asked, wanted = read_queries(store, load, [query, hit])
    if any(one.space.raw or one.concept is not None or one.is_mixed for one in (asked, wanted)):
        raise UsageError("only pictures can be inspected, not a text or colours")
    with store.reading():
        vectors, other = read_vectors(store, asked), read_vectors(store, wanted)[0]
    distance = float(min(distances(vector, other[None], store.space.metric)[0] for vector in vectors))
    images = [one.image() if callable(one.image) else one.image for one in (asked, wanted)]
    seen = [np.asarray(fit(image, encoder.view)) for image in images]
    wholes = [describe_whole(image) for image in images]
    own = encode_whole(encoder, np.stack(seen), wholes, store.space.dim)
    found = [_heat(store, encoder, (seen[one], wholes[one]), own[[1 - one, one]]) for one in range(2)]
    heats, scale = [heat for heat, _ in found], max(float(np.ptp(itself)) for _, itself in found)
    heats = [heat - np.float32(_distances(store, own[:1], own[1:])[0]) for heat in heats]
    view = View(_TILE, encoder.view.crop)
    return Inspection(fit(images[0], view), fit(images[1], view), distance, heats[0], heats[1], scale)


def _heat(
    store: Store, encoder: Encoder, seen: tuple[NDArray[np.uint8], bytes], others: NDArray[np.float32]
) -> list[NDArray[np.float32]]:
    """The mean distance to each other picture when a piece is covered, float32 (_POSITIONS + 1, _POSITIONS + 1) each.

    seen: the picture's view and the description of the whole, which stays as it is. others: embeddings (n, dim).
    """
    covered = _cover(seen[0])
    embeddings = encode_whole(encoder, covered, [seen[1]] * len(covered), store.space.dim)
    return [_spread(_distances(store, embeddings, other[None])) for other in others]


def _spread(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """The mean, for each piece of a picture, of the values (_POSITIONS ** 2,) of the squares that it belongs to."""
    far = values.reshape(_POSITIONS, _POSITIONS)
    total, count = np.zeros((2, _POSITIONS + 1, _POSITIONS + 1))
    for down in range(2):
        for right in range(2):  # the square is two pieces wide
            total[down : down + _POSITIONS, right : right + _POSITIONS] += far
            count[down : down + _POSITIONS, right : right + _POSITIONS] += 1
    return np.asarray(total / count, np.float32)


def _cover(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with each of the squares covered in turn, uint8 (_POSITIONS ** 2, h, w, 3)."""
    edges = np.linspace(0, len(pixels), _POSITIONS + 2).round().astype(int)
    blurred = np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(len(pixels) * _BLUR)))
    covered = np.repeat(pixels[None], _POSITIONS**2, axis=0)
    for position, image in enumerate(covered):
        row, column = divmod(position, _POSITIONS)
        square = slice(edges[row], edges[row + 2]), slice(edges[column], edges[column + 2])
        image[square] = blurred[square]
    return covered


def _distances(store: Store, embeddings: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    """The distance of each embedding (n, dim) to the other (1, dim), as the gallery measures it."""
    return distances(store.adapt(other)[0], store.adapt(embeddings), store.space.metric)


def _draw_scale(sheet: Image.Image, scale: float, top: float) -> None:
    """Draw the colours from the strongest blue to the strongest red, and what they stand for."""
    ramp = np.repeat(np.linspace(-1, 1, _TILE // 2, dtype=np.float32)[None], _CAPTION // 2, axis=0)
    grey = Image.new("RGB", (ramp.shape[1], ramp.shape[0]), "#808080")
    left = _GAP + 60
    sheet.paste(_draw_heat(grey, ramp), (left, round(top)))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    draw.text((left - 8, top), f"-{scale:.2f}", _INK, font, anchor="ra")
    draw.text((left + grey.width + 8, top), f"+{scale:.2f} in distance when that part is covered", _INK, font)


def _draw_heat(image: Image.Image, heat: NDArray[np.float32]) -> Image.Image:
    """Draw the picture in grey with its heat, in [-1, 1], as colour on top."""
    smooth = Image.fromarray(heat).resize(image.size, Image.Resampling.BICUBIC)
    strength = np.clip(np.asarray(smooth), -1, 1)[..., None]
    grey = np.asarray(image.convert("L").convert("RGB"), np.float32)
    colour = np.where(strength > 0, _FOR, _AGAINST)
    share = np.abs(strength) * _STRONGEST
    return Image.fromarray(np.clip(grey * (1 - share) + colour * share, 0, 255).astype(np.uint8))
