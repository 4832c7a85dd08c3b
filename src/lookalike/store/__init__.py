"""What a gallery remembers. A store knows records, embeddings and whose they are; no images, no encoders.

    store = open_store("Photos/.lookalike", create=space)
    with store.writing():
        store.put([Record(b"/home/me/Photos/1.jpg", size=10, digest=digest)], {digest: embedding})

`Store` is what every engine can answer, `Maintained` what one may offer besides, and `open_store` finds the engine by
the location. Every store passes the one contract suite in tests/store/test_contract.py.
"""

from __future__ import annotations

import importlib
import logging
import math
import os
import re
from collections.abc import Callable  # noqa: TC003  (of a table below)
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, cast, runtime_checkable

from lookalike.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from lookalike.adaptation.projection import Projection
    from lookalike.store.filter import Filter
    from lookalike.vectors.metric import Metric

__all__ = [
    "ADAPTED",
    "Capability",
    "Maintained",
    "Near",
    "Record",
    "SearchSpace",
    "Space",
    "Store",
    "checked",
    "is_folder",
    "open_store",
]

Near = list[tuple[int, float]]
"""Ids and distances, nearest first, ties by id."""

Capability = Literal["crash-safe", "snapshots", "one writer", "approximate"]
"""What engines differ in: committed batches survive a kill; `reading()` sees one moment; `writing()` excludes others;
large galleries are searched approximately unless asked otherwise."""


@dataclass(frozen=True, slots=True)
class Space:
    """Whose embeddings a store holds: the encoder's name and fingerprint, their dimension and metric.

    source: what the encoder was loaded from, so that a gallery can be opened without naming it again.
    """

    encoder: str
    fingerprint: str
    dim: int
    metric: Metric
    source: str


class Record(NamedTuple):  # a fifth of the time of a frozen dataclass, and every file of a run needs one
    """What a store keeps about one picture, or about a file that was met and skipped.

    path: absolute; unique in a store.
    size, mtime_ns: of the file, in bytes and nanoseconds; None where it is to be read again in any case.
    digest: SHA-256 of the file. Records of equal content share one embedding; None for a file that was skipped.
    width, height: pixels of the picture, upright. format: as Pillow names it.
    taken_at: by the camera's own clock; aware where the camera recorded its offset from UTC.
    camera: maker and model.
    skipped_because: why there is no embedding. max_megapixels: the limit that was in force then.
    id: positive, given by the store and never used again for another path; 0 before that.
    """

    path: bytes
    size: int | None = None
    mtime_ns: int | None = None
    digest: bytes | None = None
    width: int | None = None
    height: int | None = None
    format: str | None = None
    taken_at: datetime | None = None
    camera: str | None = None
    skipped_because: str | None = None
    max_megapixels: float | None = None
    id: int = 0


_log = logging.getLogger(__name__)


def checked(records: Sequence[Record]) -> list[Record]:
    """These records as every store keeps them: plain numbers of at most 64 bits, text that is valid Unicode.

    A number beyond that is left out: without its time a file is read again next time, which does no harm. Raises
    TypeError, naming the field, for a record that holds what no store can keep.
    """
    return [record._replace(**fields) if (fields := _plain_fields(record)) else record for record in records]


def _plain_fields(record: Record) -> dict[str, Any]:
    """The fields of a record that are to be kept otherwise than they are."""
    changed = {}
    for name, (types, to_plain) in _KEPT.items():
        value = getattr(record, name)
        if not isinstance(value, types):
            raise TypeError(f"{name} of a record is {value!r}")
        if value is not None and (plain := to_plain(value)) is not value:
            changed[name] = plain
    return changed


def _whole_number(value: int) -> int | None:
    return int(value) if abs(value) < _MOST else None


def _number(value: float) -> float | None:
    return float(value) + 0.0 if math.isfinite(value) else None


def _text(value: str) -> str:
    """Parts of a path that are not text have been decoded into lone surrogates, which UTF-8 does not have."""
    return str(value) if value.isascii() else value.encode("utf-8", "backslashreplace").decode()


_MOST = 2**63
_KEPT: dict[str, tuple[tuple[type, ...], Callable[[Any], Any]]] = {
    "path": ((bytes,), bytes),
    "digest": ((bytes, type(None)), bytes),
    **dict.fromkeys(("size", "mtime_ns", "width", "height"), ((int, type(None)), _whole_number)),
    **dict.fromkeys(("format", "camera", "skipped_because"), ((str, type(None)), _text)),
    "taken_at": ((datetime, type(None)), lambda moment: moment),
    "max_megapixels": ((float, int, type(None)), _number),
}


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """Which vectors a search compares, and what it is asked with.

    By default embeddings, adapted to the gallery as all of its vectors are.
    weights: a factor for each dimension of the adapted vectors, for queries and pictures alike; always exact.
    raw: embeddings as they were put, compared by cosine and always exactly; columns: the dimensions from start to stop.
    compared: the queries are vectors as `Store.vectors` returns them, not embeddings.
    """

    weights: tuple[float, ...] = ()
    raw: bool = False
    columns: tuple[int, int] | None = None
    compared: bool = False


ADAPTED = SearchSpace()


class Store(Protocol):
    """What every store does. Safe to read from many threads while one of them writes.

    Methods raise StoreError and its kinds, ClosedGallery after `close`; those that change anything need `writing()`.
    """

    @property
    def location(self) -> str:
        """What `open_store` opens it by."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What can be relied on here and not everywhere."""

    @property
    def space(self) -> Space:
        """Whose embeddings these are."""

    @property
    def generation(self) -> int:
        """Grows with every change; equal generations mean equal content."""

    @property
    def projection(self) -> Projection | None:
        """How embeddings become the vectors that are compared; None: as they are."""

    @property
    def roots(self) -> dict[bytes, dict[str, Any]]:
        """Paths that records are gathered below, each with a small dict of how; only remembered here."""

    def writing(self, *, wait: float = 0.0) -> AbstractContextManager[None]:
        """Be the only writer while the context lasts, after at most `wait` seconds, in this thread.

        Raises StoreBusy, naming the process that is writing.
        """

    def reading(self) -> AbstractContextManager[None]:
        """Read everything inside as of one moment, in this thread, whatever others write."""

    def put(self, records: Sequence[Record], embeddings: Mapping[bytes, NDArray[np.float32]]) -> None:
        """Add or replace records by path, all or none, on disk when it returns.

        embeddings: float32 (dim,) by digest, for the digests not yet `known`. Among records of one path the last
        counts. Raises ValueError for an embedding that is not finite or of another length, and for a digest without an
        embedding.
        """

    def remove(self, ids: Iterable[int]) -> int:
        """Remove records, all or none; how many there were."""

    def rename(self, old: bytes, new: bytes) -> int:
        """Move the record at `old`, and all below it, to `new`, all or none; how many there were.

        Records keep their ids and embeddings; roots go with them. Raises ValueError if a path would be there twice.
        """

    def set_projection(self, projection: Projection | None) -> None:
        """Keep a projection with the embeddings. Raises ValueError for one that is not finite or does not fit."""

    def set_roots(self, roots: Mapping[bytes, Mapping[str, Any]]) -> None:
        """Keep these roots and no others."""

    def known(self, digests: Iterable[bytes]) -> set[bytes]:
        """The digests among these that have an embedding."""

    def find(self, paths: Iterable[bytes]) -> dict[bytes, Record]:
        """The records at these paths, by path; paths without one are left out."""

    def get(self, ids: Iterable[int]) -> dict[int, Record]:
        """The records with these ids, by id; ids without one are left out."""

    def scan(self, prefix: bytes = b"") -> Iterator[Record]:
        """Every record whose path begins with `prefix`, ordered by path."""

    def count(self) -> tuple[int, int]:
        """How many records have an embedding, and how many have none."""

    def embeddings(self, ids: Sequence[int] | None = None) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Ids int64 (n,) and embeddings as they were put, float32 (n, dim), in chunks: all ordered by id, or these."""

    def ids(self, where: Filter | None = None) -> NDArray[np.int64]:
        """The ids of all records with an embedding, or of those that qualify, in order, int64 (n,).

        Raises UsageError for a field that no record has: it is most likely misspelt.
        """

    def adapt(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """How embeddings float32 (n, dim) are compared with the pictures: float32 (n, w), of length 1 for cosine."""

    def vectors(self, ids: Sequence[int], *, space: SearchSpace = ADAPTED) -> NDArray[np.float32]:
        """What a search compares of these records, float32 (n, w), in their order; of length 1 for cosine.

        Raises KeyError for an id without an embedding.
        """

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        *,
        space: SearchSpace = ADAPTED,
        where: Filter | None = None,
        exact: bool = False,
    ) -> list[Near]:
        """The k nearest records to each of float32 (m, d), or of those that qualify.

        k come back where k exist; k < 1 gives none. A store that is approximate finds 99% of the ten nearest, with
        their exact distances, unless `exact`. Raises ValueError for a query that is not finite or of another length.
        """

    def close(self) -> None:
        """Let go of files and locks."""


@runtime_checkable
class Maintained(Protocol):
    """What a store that keeps its own files offers besides."""

    def prepare(self) -> None:
        """Make ready what a search needs, which the next one would otherwise do first."""

    def verify(self) -> list[str]:
        """What is wrong with the stored data, a line each; empty when everything checks."""

    def compact(self) -> None:
        """Free the space of removed records. Nothing that can be asked changes."""

    def backup(self, target: Path, *, force: bool = False, beside: Iterable[str] = ()) -> int:
        """Copy everything into one file, checked, also while it is being written; how many pictures are in it.

        beside: files that go with it, by their paths below the store's folder.
        """

    def sizes(self) -> dict[str, int]:
        """Bytes of each file, by its name below the store's folder."""


def open_store(location: str | Path, *, create: Space | None = None) -> Store:
    """Open the store at a location; with `create`, make one there if there is none.

    A location is a folder, or a URL: `memory:` for one that is gone with its process, `memory:NAME` for one that can be
    opened again by its name. Raises NoGallery, StoreError; UsageError for a URL that no store answers to.
    """
    scheme = _scheme(location)
    if scheme is not None and scheme not in _SCHEMES:
        known = ", ".join(["a folder", *(f"{name}:" for name in _SCHEMES)])
        raise UsageError(f"{location}: no store answers to {scheme}:", hint=f"a gallery's location is one of: {known}")
    module, name = _SCHEMES[scheme].split(":") if scheme else ("sqlite.store", "SqliteStore")
    kind = getattr(importlib.import_module(f"lookalike.store.{module}"), name)
    _log.debug("opening %s with %s", location, name)
    return cast("Callable[..., Store]", kind)(location, create=create)


_SCHEMES = {"memory": "memory:MemoryStore"}


def is_folder(location: str | Path) -> bool:
    """Whether a location names a folder rather than a URL."""
    return _scheme(location) is None


def _scheme(location: str | Path) -> str | None:
    """What stands before the colon of a URL; None for a folder, also for one on a drive of Windows."""
    found = re.match(r"([a-z][a-z0-9+.-]+):(?!\\)", location) if isinstance(location, str) else None
    return found[1] if found and not os.path.lexists(location) else None
