"""Queries by colour: how far the colours of every picture are from those that are wanted.

A picture's share of a colour is the mean over its pixels of how near they are to it, `images.colors.nearness`. What is
wanted is a division of the picture among colours, and the distance is 1 - the sum of the roots of wanted share times
share found (Bhattacharyya 1943): 0 for a picture divided as wanted, and a picture that lacks one of two colours is
farther than one that has both. Two palettes are compared in the same way, anchor by anchor. Distances lie in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from lookalike.errors import UsageError
from lookalike.images.colors import count_colors, find_near
from lookalike.images.decode import View
from lookalike.images.description import COLORS
from lookalike.images.ground import on_ground
from lookalike.images.sample import take_sample
from lookalike.images.viewed import ViewedPicture
from lookalike.search.blend import BOTH, first
from lookalike.search.pictures import read_picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lookalike.search.blend import Blend, Likeness
    from lookalike.search.query import ColorQuery, Source
    from lookalike.store import Near, Store
    from lookalike.store.filter import Filter

    Rows = NDArray[np.uint8]

__all__ = ["Palette", "Wanted", "count_undescribed", "draw_colors", "merge", "nearest", "read_palette"]

_BLOCK = 1 << 16  # pictures compared at once: 16 MiB of their descriptions
_SWATCH = 256  # pixels of a side
_REFRESH = "describe the pictures: lookalike index --refresh"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Colours, `#rrggbb`, each with the part of a picture that it should have; the parts sum to 1."""

    colors: tuple[tuple[str, float], ...]

    def distances(self, rows: Rows) -> NDArray[np.float32]:
        """The distance of each description, uint8 (n, s), in [0, 1]."""
        each = [np.sqrt(np.float32(part) * find_near(rows[:, COLORS], color)) for color, part in self.colors]
        return np.asarray(np.maximum(1 - np.sum(each, axis=0, dtype=np.float32), np.float32(0)))


@dataclass(frozen=True, slots=True)
class Palette:
    """All colours of a picture: its histogram, uint8 (256,)."""

    histogram: Rows

    def distances(self, rows: Rows) -> NDArray[np.float32]:
        """The distance of each description, uint8 (n, s), in [0, 1]."""
        own, others = self.histogram.astype(np.float32), rows[:, COLORS].astype(np.float32)
        lengths = np.sqrt(np.einsum("ij,ij->i", others, others) * (own @ own))  # 255, but for rounding
        return np.asarray(np.clip(1 - others @ own / np.maximum(lengths, 1), 0, 1))


def merge(queries: Sequence[tuple[float, ColorQuery]]) -> Wanted:
    """The colours of several weighted queries, as one."""
    parts: dict[str, float] = {}
    for weight, query in queries:
        for color, part in query.colors:
            parts[color] = parts.get(color, 0.0) + weight * part
    total = sum(parts.values())
    return Wanted(tuple((color, part / total) for color, part in parts.items()))


def read_palette(store: Store, source: Source | int) -> Palette:
    """The colours of a picture, given as for a query, or as its id in the gallery. Raises UnreadableImage, UsageError.

    They are computed from the pixels unless an id is given.
    """
    if isinstance(source, int):
        described = store.descriptions([source]).get(source)
        if described is None:
            raise UsageError(f"the picture with the id {source} has no colour description yet", hint=_REFRESH)
        return Palette(np.frombuffer(described, np.uint8)[COLORS])
    if isinstance(source, ViewedPicture):
        return Palette(np.frombuffer(count_colors([source.sample])[0], np.uint8))
    image = on_ground(read_picture(source, View(_SWATCH)))
    return Palette(np.frombuffer(count_colors([take_sample(image)])[0], np.uint8))


def draw_colors(colors: Sequence[tuple[str, float]]) -> Image.Image:
    """Draw colours side by side, each as wide as its part."""
    ends = np.rint(np.cumsum([part for _, part in colors]) / sum(part for _, part in colors) * _SWATCH).astype(int)
    image = Image.new("RGB", (_SWATCH, _SWATCH), colors[-1][0])
    for (color, _), start, end in zip(colors, [0, *ends[:-1].tolist()], ends.tolist(), strict=True):
        image.paste(color, (start, 0, end, _SWATCH))
    return image


def count_undescribed(store: Store) -> int:
    """The number of pictures that cannot be found by colour, because they have no description yet."""
    with store.reading():
        return store.count()[0] - sum(len(part.ids) for part in store.described())


def nearest(  # noqa: PLR0913  (by name, all but three)
    store: Store,
    wanted: Sequence[tuple[float, Wanted | Palette]],
    k: int,
    *,
    where: Filter | None = None,
    share: float = 1.0,
    like: Blend | Likeness | None = None,
) -> Near:
    """The k pictures nearest by colours, each of which counts by its weight, or by these and by likeness.

    share: of the colours in the distance, where the query is about likeness, too. Then the 1,000 nearest by colour and
    the 1,000 nearest by likeness, or k if that is more, are compared by both; one without a description is as far by
    colour as can be.
    """
    with store.reading():
        ids, found = _measure(store, wanted, where)
        if like is None:
            return first(ids, found, k)
        depth = max(k, BOTH)
        near = [id_ for id_, _ in first(ids, found, depth)]
        both = np.union1d(np.array(near, np.int64), np.array(like.find(store, depth, where), np.int64))
        return first(both, share * _look_up(both, ids, found) + (1 - share) * like.distances(store, both), k)


def _measure(
    store: Store, wanted: Sequence[tuple[float, Wanted | Palette]], where: Filter | None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The ids of all pictures that have a description and pass the filter, and their distances by colour."""
    among = None if where is None else store.ids(where)
    ids, found = [np.empty(0, np.int64)], [np.empty(0)]
    for part in store.described():
        chosen = np.arange(len(part.ids)) if among is None else np.nonzero(np.isin(part.ids, among))[0]
        for start in range(0, len(chosen), _BLOCK):
            block = chosen[start : start + _BLOCK]
            whole = among is None or len(chosen) == len(part.ids)
            rows = part.rows[start : start + _BLOCK] if whole else part.rows[block]
            ids.append(part.ids[block])
            found.append(_weigh(rows, wanted))
    return np.concatenate(ids), np.concatenate(found)


def _weigh(rows: Rows, wanted: Sequence[tuple[float, Wanted | Palette]]) -> NDArray[np.float64]:
    total = sum(weight for weight, _ in wanted)
    each = [weight / total * one.distances(rows).astype(np.float64) for weight, one in wanted]
    return np.asarray(np.sum(each, axis=0))


def _look_up(wanted: NDArray[np.int64], ids: NDArray[np.int64], found: NDArray[np.float64]) -> NDArray[np.float64]:
    """The distances of these pictures; 1 for those that have none."""
    if not len(ids):
        return np.ones(len(wanted))
    order = np.argsort(ids)
    at = order[np.minimum(np.searchsorted(ids, wanted, sorter=order), len(ids) - 1)]
    return np.where(ids[at] == wanted, found[at], 1.0)
