"""Where a gallery lives. A store knows items, embeddings and a fingerprint; no images, no encoders.

An *item* has a key (bytes, unique), a stamp (equal while the thing behind the key is unchanged), a small dict
and, unless it could not be embedded, the digest of its content. Items of equal content share one embedding.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from lookalike.adaptation.projection import Projection
    from lookalike.store.sqlite.cache_files import Tuning
    from lookalike.store.sqlite.column_cache import Facts
    from lookalike.vectors.metric import Metric
    from lookalike.vectors.searcher import Searcher

__all__ = ["Item", "Known", "Near", "Space", "Store", "open_store"]

Near = list[tuple[int, float]]
"""Ids and distances, nearest first, ties by id."""


@dataclass(frozen=True, slots=True)
class Space:
    """Whose embeddings a store holds: the encoder's name and fingerprint, their dimension and metric.

    `source` is what the encoder was loaded from, so that a gallery can be opened without naming it again.
    """

    encoder: str
    fingerprint: str
    dim: int
    metric: Metric
    source: str


@dataclass(frozen=True, slots=True)
class Item:
    """What is put into a store. Without a digest it is known but has no embedding (`info` says why)."""

    key: bytes
    stamp: str
    digest: bytes | None
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Known(Item):
    """An item as the store has it, with its id (positive; never used again for another key)."""

    id: int = 0


class Store(Protocol):
    """What every store does. Methods raise StoreError and its kinds; those that change anything need `writing()`."""

    @property
    def place(self) -> Path:
        """The folder that everything of the store is in."""

    @property
    def space(self) -> Space:
        """Whose embeddings these are."""

    @property
    def generation(self) -> int:
        """Grows with every change; equal generations mean equal content."""

    @property
    def projection(self) -> Projection | None:
        """What embeddings go through before they are compared."""

    @property
    def roots(self) -> dict[bytes, dict[str, Any]]:
        """Keys that items are gathered below, each with a small dict of how; nothing but remembered here."""

    def writing(self, *, wait: float = 0.0) -> AbstractContextManager[None]:
        """Be the only writer while the context lasts, after at most `wait` seconds.

        Raises StoreBusy, naming the process that is writing.
        """

    def reading(self) -> AbstractContextManager[None]:
        """Read everything inside as of one moment, whatever other processes write."""

    def put(self, items: Sequence[Item], embeddings: Mapping[bytes, NDArray[np.float32]]) -> None:
        """Add or replace items by key, all or none, on disk when it returns.

        embeddings: float32 (dim,) by digest, for the digests not yet `known`. Of items with the same key the
        last counts. Raises ValueError for an embedding that is not finite or of another length, and for a
        digest without an embedding.
        """

    def remove(self, ids: Iterable[int]) -> int:
        """Remove items, all or none; how many there were."""

    def project(self, projection: Projection | None) -> None:
        """Keep a projection with the embeddings; None compares them as they are.

        Raises ValueError for one that is not finite or of another dimension.
        """

    def set_roots(self, roots: Mapping[bytes, Mapping[str, Any]]) -> None:
        """Keep these roots and no others."""

    def rename(self, old: bytes, new: bytes) -> int:
        """Move the item with the key `old`, and all whose keys begin with it and a slash, to `new`: all or none.

        Items keep their ids and embeddings; roots go with them. How many items there were.
        Raises ValueError if a key would be there twice.
        """

    def compact(self) -> None:
        """Give back the room of what was removed. Nothing that can be asked changes."""

    def known(self, digests: Iterable[bytes]) -> set[bytes]:
        """Which of the digests have an embedding."""

    def find(self, keys: Iterable[bytes]) -> dict[bytes, Known]:
        """The items with these keys; keys that no item has are left out."""

    def get(self, ids: Iterable[int]) -> dict[int, Known]:
        """The items with these ids; ids that no item has are left out."""

    def items(self, prefix: bytes = b"") -> Iterator[Known]:
        """Every item whose key starts with `prefix`, ordered by key."""

    def facts(self) -> list[Facts]:
        """What every item with an embedding can be told by, each in one of some parts."""

    def ids(self) -> NDArray[np.int64]:
        """Those of all items with an embedding, in order."""

    def embeddings(self, ids: Sequence[int] | None = None) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Ids and embeddings as they were put, in chunks: of all items ordered by id, or of these."""

    def count(self) -> tuple[int, int]:
        """How many items have an embedding, and how many have none."""

    def prepare(self) -> Searcher:
        """What is searched, as new as the store: made ready now, which a search would otherwise do first."""

    def search(
        self, query: NDArray[np.float32], k: int, *, among: NDArray[np.int64] | None = None, exact: bool = False
    ) -> Near:
        """The k nearest items to float32 (dim,); of those with an id in `among`, sorted, if that is given.

        k come back where k exist; k < 1 gives none. Where items are very many it is approximate unless `exact`:
        of the ten nearest 99% are found, with their exact distances. Raises ValueError for a query that is not
        finite or of another length.
        """

    def search_many(
        self, queries: NDArray[np.float32], k: int, *, among: NDArray[np.int64] | None = None, exact: bool = False
    ) -> list[Near]:
        """`search` for each of float32 (m, dim), at once."""

    def search_stretched(
        self,
        query: NDArray[np.float32],
        k: int,
        stretch: NDArray[np.float32],
        *,
        among: NDArray[np.int64] | None = None,
    ) -> Near:
        """`search`, always exact, with the projected numbers multiplied by float32 (width,) before they are compared.

        Those of the query and those of the items.
        """

    def rows(self, ids: Sequence[int], *, stretch: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """What a search compares of the items with these ids, float32 (n, w), in their order; for cosine of length 1.

        stretch: as in `search_stretched`. Raises KeyError for an id without an embedding.
        """

    def search_as_put(
        self, query: NDArray[np.float32], k: int, columns: slice, *, among: NDArray[np.int64] | None = None
    ) -> Near:
        """The k nearest items to float32 (w,) by cosine, exactly: of embeddings as they were put, no projection.

        columns: which w numbers of an embedding are compared. among: as in `search`.
        """

    def neighbours(self, k: int, *, exact: bool = False) -> Iterator[tuple[int, Near]]:
        """Every item with its k nearest others, in no order, as of the first that is taken."""

    def check(self) -> list[str]:
        """What is wrong with the stored data, a line each; empty when all is well."""

    def close(self) -> None:
        """Give back files and locks; the store cannot be used any more."""


def open_store(place: str | Path, *, create: Space | None = None, tuning: Tuning | None = None) -> Store:
    """Open the store at a folder; with `create`, make one there if there is none. tuning: when searches change ways.

    Raises NoGallery, StoreError.
    """
    sqlite = importlib.import_module("lookalike.store.sqlite.store")
    return cast("Store", sqlite.SqliteStore(place, create=create, tuning=tuning))
