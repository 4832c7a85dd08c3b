"""Classes that are taken for each other, and pictures that probably have a wrong label.

Each picture's neighbours vote on its class, the nearer the more; the picture itself has no vote. As for outliers,
pictures are compared by their embeddings before adaptation, which finds more of the wrong labels (docs/decisions.md).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.errors import UsageError
from lookalike.explore.collection import Collection, Picture, read_collection
from lookalike.vectors.graph import build_graph

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from lookalike.store import Record, Store

__all__ = ["Confusion", "Confusions", "WrongLabel", "find_confusions", "label_by_folder"]

_VOTERS = 30  # neighbours that vote, the n-th with 1 / (n + 1): chosen by planting wrong labels (docs/decisions.md)
_LEAST = 0.5  # of all votes, by which another class leads, for a label to be listed as probably wrong
_COMPARED = 10  # neighbours by which classes are compared
_AT_ONCE = 4096  # pictures whose votes are counted at once


@dataclass(frozen=True, slots=True)
class Confusion:
    """Two classes that are mixed up.

    share: of the nearest neighbours of both classes' pictures, those that belong to the other class.
    """

    one: str
    other: str
    share: float

    def to_dict(self) -> dict[str, Any]:
        """The pair as JSON-compatible values."""
        return {"classes": [self.one, self.other], "share": self.share}


@dataclass(frozen=True, slots=True)
class WrongLabel(Picture):
    """A picture whose neighbours are of another class.

    lead: the share of the votes for that class minus the share for its label, 0 to 1.
    """

    label: str
    suggested: str
    lead: float

    def to_dict(self) -> dict[str, Any]:
        """The picture and both classes as JSON-compatible values."""
        own = {"label": self.label, "suggested": self.suggested, "lead": self.lead}
        return {**Picture.to_dict(self), **own}


@dataclass(frozen=True, slots=True)
class Confusions:
    """The pairs of classes that are mixed up and the labels that are probably wrong, the worst first in both.

    pictures, classes: how many were compared.
    """

    pairs: tuple[Confusion, ...]
    wrong_labels: tuple[WrongLabel, ...]
    pictures: int
    classes: int

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON-compatible values: one document of `lookalike confusions --json`."""
        return {
            "confusions": [pair.to_dict() for pair in self.pairs],
            "wrong_labels": [label.to_dict() for label in self.wrong_labels],
            "pictures": self.pictures,
            "classes": self.classes,
        }


def find_confusions(
    store: Store, labels: Mapping[bytes, str] | None = None, *, where: Sequence[str] = (), least: float = _LEAST
) -> Confusions:
    """Compare the labels of pictures with those of their neighbours.

    labels: by path, as the gallery knows it; None for the folder that directly contains each picture. Pictures without
    a label are left out. least: how far another class must lead for a label to be listed. Raises UsageError when fewer
    than two classes have pictures in the gallery.
    """
    collection = read_collection(store, where, raw=True)
    known = [_find_label(record, labels) for record in collection.records]
    chosen = [index for index, label in enumerate(known) if label]
    names, classes = np.unique([known[index] for index in chosen], return_inverse=True)
    if len(names) < 2:
        raise UsageError(
            f"the gallery has pictures of {len(names)} of the classes; two are needed",
            hint="name a folder with one folder for each class, or a CSV file with the columns file and class",
        )
    records = [collection.records[index] for index in chosen]
    some = Collection(records, collection.vectors[chosen], collection.metric)
    return _compare(some, classes, names.tolist(), least)


def label_by_folder(record: Record) -> str:
    """The name of the folder that directly contains a picture."""
    return os.fsdecode(os.path.basename(os.path.dirname(record.path)))


def _find_label(record: Record, labels: Mapping[bytes, str] | None) -> str:
    return label_by_folder(record) if labels is None else labels.get(record.path, "")


def _compare(collection: Collection, classes: NDArray[np.int64], names: list[str], least: float) -> Confusions:
    graph = build_graph(collection.vectors, _VOTERS, collection.metric)
    pairs = _find_pairs(graph.indices[:, :_COMPARED], classes, names)
    leads, winners = _vote(graph.indices, classes, len(names))
    wrong = [
        WrongLabel(picture.path, picture.id, names[classes[index]], names[winners[index]], float(leads[index]))
        for index in np.argsort(-leads, kind="stable").tolist()
        if leads[index] >= least
        for picture in [collection.pictures[index]]
    ]
    return Confusions(tuple(pairs), tuple(wrong), len(collection), len(names))


def _find_pairs(indices: NDArray[np.int64], classes: NDArray[np.int64], names: list[str]) -> list[Confusion]:
    counts = np.zeros((len(names), len(names)))
    np.add.at(counts, (classes[:, None], classes[indices]), 1)
    totals = counts.sum(axis=1)
    mixed = [
        Confusion(names[a], names[b], float((counts[a, b] + counts[b, a]) / (totals[a] + totals[b])))
        for a, b in zip(*np.nonzero(np.triu(counts + counts.T, 1)), strict=True)
    ]
    return sorted(mixed, key=lambda pair: (-pair.share, pair.one, pair.other))


def _vote(
    indices: NDArray[np.int64], classes: NDArray[np.int64], count: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """How far the best other class leads before each picture's own, float64 (n,), and which one it is, int64 (n,)."""
    leads, winners = np.empty(len(classes)), np.empty(len(classes), np.int64)
    ranks = np.arange(indices.shape[1])
    voters = np.bincount(classes)[classes] - 1  # a class that has no more could not win otherwise
    for start in range(0, len(classes), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        votes = np.zeros((len(indices[some]), count))
        weights = np.where(ranks < voters[some, None], 1 / (ranks + 2), 0)
        weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
        np.add.at(votes, (np.arange(len(votes))[:, None], classes[indices[some]]), weights)
        everyone, own = np.arange(len(votes)), classes[some]
        for_own = votes[everyone, own]
        votes[everyone, own] = -1
        winners[some] = votes.argmax(axis=1)
        leads[some] = np.minimum(votes.max(axis=1) - for_own, 1.0)
    return leads, winners
