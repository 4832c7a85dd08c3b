"""Groups of pictures that are alike, each with a name and its most typical pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from lookalike.errors import UsageError
from lookalike.explore.collection import Picture, read_collection
from lookalike.explore.communities import find_communities
from lookalike.explore.naming import name_groups

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from lookalike.explore.collection import Collection
    from lookalike.explore.naming import Namer
    from lookalike.store import Store

__all__ = ["EXEMPLARS", "MOST_GROUPS", "Cluster", "Clusters", "check_groups", "find_clusters", "group_collection"]

EXEMPLARS = 4
"""Pictures that stand for a group."""

MOST_GROUPS = 1000
"""The most groups that can be asked for."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A group of pictures that are alike: its name, and its pictures, the most typical first."""

    name: str
    pictures: tuple[Picture, ...]

    @property
    def exemplars(self) -> tuple[Picture, ...]:
        """The few most typical pictures; the first is the group's medoid."""
        return self.pictures[:EXEMPLARS]

    def to_dict(self) -> dict[str, Any]:
        """The group as JSON-compatible values: `name`, `pictures`."""
        return {"name": self.name, "pictures": [picture.to_dict() for picture in self.pictures]}


class Clusters(Sequence[Cluster]):
    """All groups of a gallery, the largest first; every picture is in one of them."""

    def __init__(self, clusters: Iterable[Cluster]) -> None:
        self._clusters = tuple(clusters)

    @overload
    def __getitem__(self, index: int) -> Cluster: ...
    @overload
    def __getitem__(self, index: slice) -> Clusters: ...
    def __getitem__(self, index: int | slice) -> Cluster | Clusters:
        return Clusters(self._clusters[index]) if isinstance(index, slice) else self._clusters[index]

    def __len__(self) -> int:
        return len(self._clusters)

    def __repr__(self) -> str:
        lines = [f"{len(each.pictures):>8}  {each.name}" for each in self._clusters]
        return "\n".join(["pictures  name", *lines])

    def to_dict(self) -> dict[str, Any]:
        """The groups as JSON-compatible values: one document of `lookalike clusters --json`."""
        return {"clusters": [each.to_dict() for each in self._clusters]}


def find_clusters(
    store: Store, count: int | None = None, *, where: Sequence[str] = (), seed: int = 0, namers: Iterable[Namer] = ()
) -> Clusters:
    """The groups of the pictures that pass the filters.

    count: how many, or one for each picture if there are fewer; None for as many as the neighbours suggest. Raises
    UsageError, StoreError.
    """
    check_groups(count)
    collection = read_collection(store, where)
    labels, names = group_collection(collection, count, seed=seed, namers=namers)
    members = [np.nonzero(labels == label)[0] for label in range(len(names))]
    return Clusters(
        Cluster(name, tuple(collection.pictures[index] for index in order_by_typicality(collection, some)))
        for name, some in zip(names, members, strict=True)
    )


def check_groups(count: int | None) -> None:
    """Raise UsageError unless a number of groups can be asked for."""
    if count is not None and not 1 <= count <= MOST_GROUPS:
        raise UsageError(f"{count:,} groups cannot be made", hint=f"ask for 1 to {MOST_GROUPS:,}")


def group_collection(
    collection: Collection, count: int | None = None, *, seed: int = 0, namers: Iterable[Namer] = ()
) -> tuple[NDArray[np.int64], list[str]]:
    """The group of each picture, int64 (n,), the largest group first, and the name of each group."""
    if not len(collection):
        return np.empty(0, np.int64), []
    labels = find_communities(collection.graph, count=count, seed=seed)
    members = [np.nonzero(labels == label)[0] for label in range(int(labels.max()) + 1)]
    ordered = [order_by_typicality(collection, some) for some in members]
    return labels, name_groups([[collection.records[index] for index in some] for some in ordered], namers)


def order_by_typicality(collection: Collection, members: NDArray[np.int64]) -> NDArray[np.int64]:
    """The indices of a group's pictures by their distance to its mean, the nearest first, ties by id."""
    rows = collection.vectors[members]
    squares = ((rows - rows.mean(axis=0)) ** 2).sum(axis=1)
    return members[np.argsort(squares, kind="stable")]
