"""Why two pictures match: what of either, when it is covered, makes them less alike.

Occlusion (Zeiler & Fergus 2014): a square, blurred beyond recognition, is moved over it, and the picture embedded
anew each time. It asks the encoder and nothing else, so it works for every encoder, adapted or not. Blurred and not
grey, because the edges of a grey square are something to see as well: the heat lay less on things.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from lookalike.errors import UsageError
from lookalike.images.decode import View, fit
from lookalike.search.engine import read_queries, read_vectors
from lookalike.vectors.metric import distances

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from lookalike.encoders import Encoder
    from lookalike.search.query import Query
    from lookalike.store import Store

__all__ = ["Inspection", "inspect"]

_PLACES = 11  # of the square along a side; each overlaps the next by half: 121 embeddings a picture
_BLUR = 1 / 12  # of a side: half a square
_TILE = 400  # pixels of a side of a drawing
_GAP, _CAPTION = 16, 30
_PAPER, _INK = "#ffffff", "#1a1a1a"
_FOR, _AGAINST = np.array((222, 66, 20)), np.array((30, 110, 200))
_STRONGEST = 0.75  # how much of the picture the strongest heat hides


@dataclass(frozen=True, slots=True)
class Inspection:
    """Two pictures as the encoder sees them, their distance, and where they match.

    query_heat, hit_heat: float32 (12, 12), by how much the distance grows when that part is covered; below 0 where
    the pictures would be more alike without it.
    """

    query: Image.Image
    hit: Image.Image
    distance: float
    query_heat: NDArray[np.float32]
    hit_heat: NDArray[np.float32]

    def to_dict(self) -> dict[str, Any]:
        """The distance and both heat maps as JSON can have them."""
        heats = {"query_heat": self.query_heat.tolist(), "hit_heat": self.hit_heat.tolist()}
        return {"distance": self.distance, **heats}

    def draw(self) -> Image.Image:
        """Both side by side: red matches more than the rest of its picture, blue less; one scale for the two."""
        heats = [heat - np.median(heat) for heat in (self.query_heat, self.hit_heat)]
        most = max(float(np.abs(heat).max()) for heat in heats)
        sheet = Image.new("RGB", (2 * _TILE + 3 * _GAP, _TILE + 2 * _GAP + _CAPTION), _PAPER)
        for place, (image, heat) in enumerate(zip((self.query, self.hit), heats, strict=True)):
            sheet.paste(_glowing(image, heat / (most or 1)), (_GAP + place * (_TILE + _GAP), _GAP))
        text = f"distance {self.distance:.3f}; red matches more than the rest of its picture, blue less"
        ImageDraw.Draw(sheet).text((_GAP, _TILE + 1.5 * _GAP), text, _INK, ImageFont.load_default(16))
        return sheet


def inspect(store: Store, load: Callable[[], Encoder], query: Query, hit: Query) -> Inspection:
    """Cover either picture piece by piece and compare it with the other, as the gallery of this store compares them.

    Neither needs to be in the gallery. The distance is the one that a search with `query` gives for `hit`. load: gives
    the encoder. Raises UnreadableImage.
    """
    encoder = load()
    asked, wanted = read_queries(store, load, [query, hit])
    if any(one.space.raw for one in (asked, wanted)):
        raise UsageError("two pictures can be inspected, not a text")
    with store.reading():
        rows, other = read_vectors(store, asked), read_vectors(store, wanted)[0]
    distance = float(min(distances(row, other[None], store.space.metric)[0] for row in rows))
    images = [one.image() if callable(one.image) else one.image for one in (asked, wanted)]
    seen = [np.asarray(fit(image, encoder.view)) for image in images]
    own = encoder.encode(np.stack(seen))
    heats = [_heat(store, encoder, seen[one], own[1 - one : 2 - one]) for one in range(2)]
    heats = [heat - np.float32(_distances(store, own[:1], own[1:])[0]) for heat in heats]
    view = View(_TILE, encoder.view.crop)
    return Inspection(fit(images[0], view), fit(images[1], view), distance, heats[0], heats[1])


def _heat(store: Store, encoder: Encoder, pixels: NDArray[np.uint8], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 (_PLACES + 1, _PLACES + 1): the mean distance of the other when a piece is covered."""
    far = _distances(store, encoder.encode(_covered(pixels)), other).reshape(_PLACES, _PLACES)
    total, count = np.zeros((2, _PLACES + 1, _PLACES + 1))
    for down in range(2):
        for right in range(2):  # the square is two pieces wide
            total[down : down + _PLACES, right : right + _PLACES] += far
            count[down : down + _PLACES, right : right + _PLACES] += 1
    return np.asarray(total / count, np.float32)


def _covered(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 (_PLACES ** 2, h, w, 3): the picture with each of the squares covered."""
    edges = np.linspace(0, len(pixels), _PLACES + 2).round().astype(int)
    blurred = np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(len(pixels) * _BLUR)))
    covered = np.repeat(pixels[None], _PLACES**2, axis=0)
    for place, image in enumerate(covered):
        row, column = divmod(place, _PLACES)
        square = slice(edges[row], edges[row + 2]), slice(edges[column], edges[column + 2])
        image[square] = blurred[square]
    return covered


def _distances(store: Store, embeddings: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    """The distance of each embedding (n, dim) to the other (1, dim), as the gallery measures it."""
    return distances(store.adapt(other)[0], store.adapt(embeddings), store.space.metric)


def _glowing(image: Image.Image, heat: NDArray[np.float32]) -> Image.Image:
    """The picture in grey under its heat, in [-1, 1]."""
    smooth = Image.fromarray(heat).resize(image.size, Image.Resampling.BICUBIC)
    strength = np.clip(np.asarray(smooth), -1, 1)[..., None]
    grey = np.asarray(image.convert("L").convert("RGB"), np.float32)
    colour = np.where(strength > 0, _FOR, _AGAINST)
    share = np.abs(strength) * _STRONGEST
    return Image.fromarray(np.clip(grey * (1 - share) + colour * share, 0, 255).astype(np.uint8))
