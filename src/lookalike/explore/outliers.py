"""The pictures that are farthest from all others: what came into a collection by mistake, or is unique in it.

Pictures are compared by their embeddings before adaptation, which keeps what the pictures of a gallery have in common
and a stranger lacks: foreign pictures among those of another collection are found with a precision of 0.955 that way,
and of 0.14 after adaptation (docs/decisions.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from lookalike.explore.collection import Picture, read_collection
from lookalike.search.engine import check_count
from lookalike.vectors.graph import build_graph

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lookalike.store import Store

__all__ = ["Outlier", "Outliers", "find_outliers"]

_NEIGHBOURS = 10  # whose mean distance counts: a few foreign pictures of one kind must not hide each other


@dataclass(frozen=True, slots=True)
class Outlier(Picture):
    """A picture that is far from the others.

    distance: the mean distance to its ten nearest neighbours. times: how many times that of the median picture.
    around: how many times that of these neighbours themselves, the median of them: 1 where the pictures are as far from
    each other as from this one.
    """

    distance: float
    times: float
    around: float

    def to_dict(self) -> dict[str, Any]:
        """The picture and its figures as JSON-compatible values."""
        return {**Picture.to_dict(self), "distance": self.distance, "times": self.times, "around": self.around}


class Outliers(Sequence[Outlier]):
    """The pictures farthest from the others, the farthest first. median: the distance of the median picture."""

    def __init__(self, outliers: Iterable[Outlier], median: float) -> None:
        self._outliers, self.median = tuple(outliers), median

    @overload
    def __getitem__(self, index: int) -> Outlier: ...
    @overload
    def __getitem__(self, index: slice) -> Outliers: ...
    def __getitem__(self, index: int | slice) -> Outlier | Outliers:
        return Outliers(self._outliers[index], self.median) if isinstance(index, slice) else self._outliers[index]

    def __len__(self) -> int:
        return len(self._outliers)

    def __repr__(self) -> str:
        lines = [f"{each.distance:8.4f}  {each.times:5.2f}  {each.display}" for each in self._outliers]
        return "\n".join(["distance  times  path", *lines])

    def to_dict(self) -> dict[str, Any]:
        """The pictures as JSON-compatible values: one document of `lookalike outliers --json`."""
        return {"outliers": [each.to_dict() for each in self._outliers], "median": self.median}


def find_outliers(store: Store, k: int = 20, *, where: Sequence[str] = ()) -> Outliers:
    """The k pictures farthest from the others, of those that pass the filters. Raises UsageError, StoreError."""
    k = check_count(k)
    collection = read_collection(store, where, raw=True)
    graph = build_graph(collection.vectors, _NEIGHBOURS, collection.metric)
    if not graph.indices.shape[1]:
        return Outliers([], 0.0)
    distances = graph.distances.mean(axis=1, dtype=np.float64)
    median, around = float(np.median(distances)), np.median(distances[graph.indices], axis=1)
    farthest = np.argsort(-distances, kind="stable")[:k]
    return Outliers(
        (
            Outlier(
                collection.pictures[index].path,
                collection.pictures[index].id,
                float(distances[index]),
                _divide(distances[index], median),
                _divide(distances[index], around[index]),
            )
            for index in farthest.tolist()
        ),
        median,
    )


def _divide(distance: float, usual: float) -> float:
    """How many times as far; 1 where all are equally near."""
    return float(distance / usual) if usual > 1e-9 else 1.0
