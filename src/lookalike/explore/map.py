"""A map of a gallery: every picture as a point in two dimensions, with pictures that are alike near each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from lookalike.explore.clusters import check_groups, group_collection
from lookalike.explore.collection import Picture, read_collection
from lookalike.explore.layout import NEIGHBOURS, lay_out
from lookalike.explore.tsne import check_tsne, lay_out_finely
from lookalike.files import expand_home
from lookalike.vectors.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lookalike.explore.naming import Namer
    from lookalike.files import Protects
    from lookalike.images.drawing import Drawing
    from lookalike.images.pool import OnProgress
    from lookalike.store import Store

__all__ = ["Map", "Point", "make_map"]


@dataclass(frozen=True, slots=True)
class Point(Picture):
    """A picture and its place: x to the right, y upwards, both in [-1, 1]. cluster: the name of its group."""

    x: float
    y: float
    cluster: str

    def to_dict(self) -> dict[str, Any]:
        """The point as JSON-compatible values."""
        return {**Picture.to_dict(self), "x": self.x, "y": self.y, "cluster": self.cluster}


class Map(Sequence[Point]):
    """The points of all pictures, ordered by id."""

    def __init__(self, points: Iterable[Point]) -> None:
        self._points = tuple(points)

    @overload
    def __getitem__(self, index: int) -> Point: ...
    @overload
    def __getitem__(self, index: slice) -> Map: ...
    def __getitem__(self, index: int | slice) -> Point | Map:
        return Map(self._points[index]) if isinstance(index, slice) else self._points[index]

    def __len__(self) -> int:
        return len(self._points)

    def to_dict(self) -> dict[str, Any]:
        """The points as JSON-compatible values: one document of `lookalike map --json`."""
        return {"points": [point.to_dict() for point in self._points]}

    def draw(self, size: int = 2400, *, on_progress: OnProgress | None = None) -> Drawing:
        """Draw the map as a square of `size` pixels, with as many thumbnails as fit beside each other."""
        from lookalike.explore.map_drawing import draw_map  # noqa: PLC0415  (Pillow's fonts: 0.01 s)

        return draw_map(self, size, on_progress=on_progress)

    def write_html(
        self,
        path: str | Path,
        *,
        megabytes: float = 16.0,
        force: bool = False,
        protects: Protects | None = None,
        on_progress: OnProgress | None = None,
    ) -> int:
        """Write the map as one HTML file that needs nothing else; return how many pictures have a thumbnail in it.

        megabytes: the most that the thumbnails may take; what is left out for it, and every picture whose file is gone,
        is shown as a point. Raises UsageError for a file that may not or cannot be written.
        """
        from lookalike.explore.map_page import write_page  # noqa: PLC0415  (as above)

        file = expand_home(Path(path))
        return write_page(self, file, megabytes, on_progress=on_progress, force=force, protects=protects)


def make_map(  # noqa: PLR0913  (by name, all but one)
    store: Store,
    *,
    where: Sequence[str] = (),
    groups: int | None = None,
    seed: int = 0,
    fine: bool = False,
    namers: Iterable[Namer] = (),
    on_progress: OnProgress | None = None,
) -> Map:
    """The map of the pictures that pass the filters; the same gallery and seed give the same map.

    groups: how many groups to name, as for `find_clusters`. fine: by t-SNE, which keeps more neighbours together and
    takes much longer. Raises UsageError, StoreError; MissingExtra for `fine` without openTSNE.
    """
    check_groups(groups)
    if fine:
        check_tsne()
    collection = read_collection(store, where)
    labels, names = group_collection(collection, groups, seed=seed, namers=namers)
    found = lay_out_finely(collection.vectors, collection.metric, seed=seed) if fine else None
    if found is None:
        near = Graph(collection.graph.indices[:, :NEIGHBOURS], collection.graph.distances[:, :NEIGHBOURS])
        found = lay_out(collection.vectors, near, seed=seed, on_progress=on_progress)
    places = found.astype(np.float64).tolist()
    return Map(
        Point(picture.path, picture.id, x, y, names[label])
        for picture, (x, y), label in zip(collection.pictures, places, labels.tolist(), strict=True)
    )
