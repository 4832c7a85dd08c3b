"""What a gallery remembers: a store holds records, embeddings and which encoder made them, but no images or encoders.

    store = open_store("Photos/.lookalike", create=space)
    with store.writing():
        store.put([Record(b"/home/me/Photos/1.jpg", size=10, digest=digest)], {digest: embedding})

`Store` is what every engine provides, `Maintained` is what an engine may offer in addition, and `open_store` finds the
engine for a location. Every store passes the same contract suite, tests/store/test_contract.py.
"""

from __future__ import annotations

import importlib
import logging
import math
from collections.abc import Callable, Mapping  # noqa: TC003  (used by tables below)
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, cast, runtime_checkable

from lookalike.errors import UsageError
from lookalike.images.description import DESCRIPTION_SIZE
from lookalike.store.location import FOLDER, find_gallery, is_folder, locate, scheme_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from lookalike.adaptation.projection import Projection
    from lookalike.store.calibration import Calibration
    from lookalike.store.concepts import Concept
    from lookalike.store.filter import Filter
    from lookalike.vectors.metric import Metric

__all__ = [
    "ADAPTED",
    "FOLDER",
    "JUDGED",
    "NO_DESCRIPTIONS",
    "Capability",
    "Described",
    "Maintained",
    "Near",
    "Record",
    "SearchSpace",
    "Space",
    "Store",
    "check_descriptions",
    "checked",
    "find_gallery",
    "is_folder",
    "locate",
    "open_store",
]

NO_DESCRIPTIONS: Mapping[bytes, bytes] = MappingProxyType({})

JUDGED = 10
"""The nearest pictures by which it is judged whether anything near was found; in a search as in a calibration."""

Near = list[tuple[int, float]]
"""Ids and distances, nearest first, ties by id."""

Capability = Literal["crash-safe", "snapshots", "one writer", "approximate"]
"""What engines differ in, in this order: committed batches survive a kill; `reading()` sees one moment; `writing()`
excludes other writers; large galleries are searched approximately unless `exact` is set."""


@dataclass(frozen=True, slots=True)
class Space:
    """The encoder behind a store's embeddings, by name and fingerprint, with their dimension and metric.

    source: what the encoder was loaded from, so that a gallery can be opened without naming its encoder again.
    """

    encoder: str
    fingerprint: str
    dim: int
    metric: Metric
    source: str


class Record(NamedTuple):  # a fifth of the time of a frozen dataclass, and every file of a run needs one
    """What a store keeps about one picture, or about a file that was skipped.

    path: absolute, and unique in a store.
    size, mtime_ns: the file's size in bytes and its modification time in nanoseconds; None if the file must be read
    again in any case.
    digest: SHA-256 of the file; None for a skipped file. Records with equal content share one embedding.
    width, height: the size of the upright picture in pixels. format: as Pillow names it.
    taken_at: the time by the camera's own clock; timezone-aware if the camera recorded its offset from UTC.
    camera: maker and model.
    skipped_because: why the file has no embedding. max_megapixels: the limit in force when it was skipped.
    id: positive, assigned by the store and never reused for another path; 0 before it is assigned.
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
    """The records in the form that every store keeps: plain numbers of at most 64 bits, and text in valid Unicode.

    A larger number becomes None: a file without a time is read again next time, which does no harm. Raises TypeError,
    naming the field, for a value that no store can keep.
    """
    return [record._replace(**fields) if (fields := _plain_fields(record)) else record for record in records]


def check_descriptions(descriptions: Mapping[bytes, bytes]) -> None:
    """Raise ValueError for a description of another length than all have."""
    for some in descriptions.values():
        if len(some) != DESCRIPTION_SIZE:
            raise ValueError(f"a description of {len(some)} bytes, expected {DESCRIPTION_SIZE}")


def _plain_fields(record: Record) -> dict[str, Any]:
    """The fields of a record that have to change before a store can keep them."""
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
    """Escape lone surrogates, which stand for the undecodable bytes of a path and which UTF-8 cannot represent."""
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
    """Which vectors a search compares, and what its queries are.

    By default queries are embeddings, and they and the pictures are compared after adaptation to the gallery.
    weights: a factor for each dimension of the adapted vectors, for queries and pictures alike; such a search is exact.
    raw: compare embeddings as they were put, by cosine and always exactly. columns: the dimensions [start, stop) to
    compare then.
    compared: the queries are vectors as `Store.vectors` returns them, not embeddings.
    """

    weights: tuple[float, ...] = ()
    raw: bool = False
    columns: tuple[int, int] | None = None
    compared: bool = False


ADAPTED = SearchSpace()


class Described(NamedTuple):
    """The descriptions of some records: ids int64 (n,), and rows uint8 (n, s) as `images.description` divides them."""

    ids: NDArray[np.int64]
    rows: NDArray[np.uint8]


class Store(Protocol):
    """What every store provides. Many threads may read it while one of them writes.

    Methods raise StoreError or a subclass, and ClosedGallery after `close`. Those that write need `writing()`.
    """

    @property
    def location(self) -> str:
        """The location that `open_store` opens this store by."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What this engine guarantees beyond what every store does."""

    @property
    def space(self) -> Space:
        """The encoder behind the embeddings, with their dimension and metric."""

    @property
    def generation(self) -> int:
        """A number that grows with every change; equal generations mean equal content."""

    @property
    def state(self) -> str:
        """A short text that is the same only while the pictures and what is compared of them are the same.

        It tells apart the galleries, too, that were at this location one after the other.
        """

    @property
    def projection(self) -> Projection | None:
        """The projection of embeddings to the vectors that are compared; None if they are compared as they are."""

    @property
    def calibration(self) -> Calibration | None:
        """How far apart the pictures are, which a store only remembers; None at first."""

    @property
    def roots(self) -> dict[bytes, dict[str, Any]]:
        """The indexed paths, each with a small dict of rules; a store only remembers them."""

    @property
    def concepts(self) -> dict[str, Concept]:
        """The concepts that the gallery was taught, by their normalised names, in the order of these."""

    @property
    def distinct(self) -> list[tuple[bytes, bytes]]:
        """Pairs of contents, by digest, that a person has marked as not duplicates; a store only remembers them."""

    def writing(self, *, wait: float = 0.0) -> AbstractContextManager[None]:
        """Make this thread the only writer while the context lasts, waiting at most `wait` seconds for another writer.

        Raises StoreBusy, naming the process that is writing.
        """

    def reading(self) -> AbstractContextManager[None]:
        """Let this thread read everything inside the context as of one moment, whatever others write."""

    def put(
        self,
        records: Sequence[Record],
        embeddings: Mapping[bytes, NDArray[np.float32]],
        descriptions: Mapping[bytes, bytes] = NO_DESCRIPTIONS,
    ) -> None:
        """Add or replace records by path: all or none of them, on disk when this returns.

        embeddings: float32 (dim,) by digest, for the digests not yet `known`; one for a known digest replaces what was
        stored, for all of its records. descriptions: by digest, in place of any that are stored for these. If several
        records have the same path, the last one counts. Raises ValueError for an embedding that is not finite or has
        another length, for a description of another length, and for a digest without an embedding.
        """

    def remove(self, ids: Iterable[int]) -> int:
        """Remove the records with these ids, all or none; return how many existed."""

    def rename(self, old: bytes, new: bytes) -> int:
        """Move the record at `old`, and all records below it, to `new`; return how many there were.

        Either all are moved or none. Records keep their ids and embeddings, and roots move along. Raises ValueError if
        two records would get the same path.
        """

    def set_projection(self, projection: Projection | None) -> None:
        """Store a projection with the embeddings. Raises ValueError for one that is not finite or does not fit."""

    def set_calibration(self, calibration: Calibration | None) -> None:
        """Store how far apart the pictures are; None to forget it."""

    def set_roots(self, roots: Mapping[bytes, Mapping[str, Any]]) -> None:
        """Replace the stored roots by these."""

    def set_concepts(self, concepts: Iterable[Concept]) -> None:
        """Replace the stored concepts by these. Raises ValueError for one whose examples do not fit, or has none."""

    def set_distinct(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Replace the pairs of contents that are not duplicates by these."""

    def known(self, digests: Iterable[bytes]) -> set[bytes]:
        """The given digests for which an embedding is stored."""

    def find(self, paths: Iterable[bytes]) -> dict[bytes, Record]:
        """The records at these paths, by path; paths without a record are left out."""

    def get(self, ids: Iterable[int]) -> dict[int, Record]:
        """The records with these ids, by id; ids without a record are left out."""

    def scan(self, prefix: bytes = b"") -> Iterator[Record]:
        """Every record whose path begins with `prefix`, ordered by path."""

    def count(self) -> tuple[int, int]:
        """The number of records with an embedding, and the number without."""

    def embeddings(self, ids: Sequence[int] | None = None) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Ids int64 (n,) and embeddings as they were put, float32 (n, dim), in chunks: of all by id, or of these."""

    def described(self) -> list[Described]:
        """The descriptions of all records that have one, in one or more parts, to compare something with all of them.

        They are kept from one call to the next, and must not be changed.
        """

    def descriptions(self, ids: Iterable[int]) -> dict[int, bytes]:
        """The descriptions of these records, by id; records without one are left out."""

    def ids(self, where: Filter | None = None) -> NDArray[np.int64]:
        """The ids of all records with an embedding, or of those that pass a filter, in ascending order, int64 (n,).

        Raises UsageError for a field that no record has, because it is most likely misspelt.
        """

    def adapt(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """The vectors that a search compares for embeddings float32 (n, dim): float32 (n, w), length 1 for cosine."""

    def vectors(self, ids: Sequence[int], *, space: SearchSpace = ADAPTED) -> NDArray[np.float32]:
        """The vectors that a search compares for these records, float32 (n, w), in this order; length 1 for cosine.

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
        """The k records nearest to each query, float32 (m, d), among all records or those that pass a filter.

        All k are returned if that many exist; k < 1 gives none. An approximate store finds 99% of the ten nearest, with
        their exact distances, unless `exact` is set. Raises ValueError for a query that is not finite or has another
        length.
        """

    def raw_distances(self, query: NDArray[np.float32] | bytes, digests: Iterable[bytes]) -> dict[bytes, float]:
        """The cosine distance of each of these contents to the query, by the embeddings as they were put.

        query: the embeddings of its views, float32 (v, dim), of which the nearest counts, or the digest of a content.
        Digests without an embedding are left out.
        """

    def close(self) -> None:
        """Release all files and locks."""


@runtime_checkable
class Maintained(Protocol):
    """What a store that keeps its own files offers in addition."""

    def prepare(self) -> None:
        """Prepare what a search needs, so that the next search does not have to."""

    def verify(self) -> list[str]:
        """The problems found in the stored data, one line each; empty when everything is sound."""

    def compact(self) -> None:
        """Free the space of removed records. No answer of the store changes."""

    def backup(self, target: Path, *, force: bool = False, beside: Iterable[str] = ()) -> int:
        """Copy everything into one checked file, even while the store is being written; return the number of pictures.

        beside: other files to include, by their paths below the store's folder.
        """

    def sizes(self) -> dict[str, int]:
        """The size of each file in bytes, by its path below the store's folder."""


def open_store(location: str | Path, *, create: Space | None = None) -> Store:
    """Open the store at a location; with `create`, make one if none exists there.

    A location is a folder, the folder of pictures around it, or a URL: `memory:` for a store that vanishes with its
    process, `memory:NAME` for one that can be opened again by its name, `postgresql://...` or `milvus://...` for one on
    a server. Raises NoGallery, StoreError, MissingExtra; UsageError for a URL with an unknown scheme.
    """
    location = locate(location, create=create is not None)
    scheme = scheme_of(location)
    if scheme is not None and scheme not in _SCHEMES:
        known = ", ".join(["a folder", *(f"{name}:" for name in _SCHEMES)])
        raise UsageError(f"{location}: unknown scheme {scheme}:", hint=f"a gallery's location is one of: {known}")
    module, name = _SCHEMES[scheme].split(":") if scheme else ("sqlite.store", "SqliteStore")
    kind = getattr(importlib.import_module(f"lookalike.store.{module}"), name)
    _log.debug("opening %s with %s", location, name)
    return cast("Callable[..., Store]", kind)(location, create=create)


_SCHEMES = {
    "memory": "memory:MemoryStore",
    "milvus": "milvus.store:MilvusStore",
    "postgresql": "postgresql.store:PostgresqlStore",
    "postgres": "postgresql.store:PostgresqlStore",
}
