"""The pictures of a gallery, or those that pass filters, with the vectors that are compared, as of one moment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.images.paths import AtPath, path_fields
from lookalike.search.concepts import resolve_tags
from lookalike.search.filters import parse_filters
from lookalike.vectors.graph import Graph, build_graph
from lookalike.vectors.metric import unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lookalike.store import Record, Store
    from lookalike.vectors.metric import Metric

__all__ = ["GROUPING", "Collection", "Picture", "read_collection"]

GROUPING = 15
"""Neighbours of a picture by which communities are found."""


@dataclass(frozen=True, slots=True)
class Picture(AtPath):
    """One picture of a gallery, by its path and its id."""

    path: Path
    id: int

    def to_dict(self) -> dict[str, Any]:
        """The picture as JSON-compatible values."""
        return {"id": self.id, **path_fields(os.fsencode(self.path))}


class Collection:
    """Pictures ordered by id: `records`, and `vectors` float32 (n, w) as a search compares them, by `metric`."""

    def __init__(self, records: Sequence[Record], vectors: NDArray[np.float32], metric: Metric) -> None:
        self.records, self.vectors, self.metric = records, vectors, metric

    def __len__(self) -> int:
        return len(self.records)

    @cached_property
    def pictures(self) -> list[Picture]:
        """Every record as a picture."""
        return [Picture(Path(os.fsdecode(record.path)), record.id) for record in self.records]

    @cached_property
    def graph(self) -> Graph:
        """Every picture's nearest others, at most `GROUPING` of them."""
        return build_graph(self.vectors, GROUPING, self.metric)


def read_collection(store: Store, where: Sequence[str] = (), *, raw: bool = False) -> Collection:
    """The pictures that pass all filters, in the syntax of `lookalike.search.filters`.

    raw: with their embeddings as the encoder gave them, not adapted to the gallery. Raises UsageError for a filter that
    cannot be read; StoreError.
    """
    wanted = parse_filters([where] if isinstance(where, str) else where)
    with store.reading():
        ids = store.ids(wanted and resolve_tags(store, wanted)).tolist()
        records = store.get(ids)
        ids = [id_ for id_ in ids if id_ in records]
        vectors = _read_embeddings(store, ids) if raw else store.vectors(ids)
    return Collection([records[id_] for id_ in ids], vectors, store.space.metric)


def _read_embeddings(store: Store, ids: list[int]) -> NDArray[np.float32]:
    """Embeddings in the order of their ids, of length 1 where they are compared by cosine."""
    rows = np.empty((len(ids), store.space.dim), np.float32)
    indices = {id_: index for index, id_ in enumerate(ids)}
    for some, embeddings in store.embeddings(ids) if ids else ():
        rows[[indices[id_] for id_ in some.tolist()]] = embeddings
    return unit(rows) if store.space.metric == "cosine" else rows
