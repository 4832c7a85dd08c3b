"""A store that lives in this process: the reference for the other stores, and what fast tests use.

Everything is in dictionaries that a write replaces and never modifies, so a reader that holds on to them keeps seeing
the same moment. Searches are exact and compare with every vector.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.adaptation.serialize import check_projection
from lookalike.errors import ClosedGallery, NoGallery, StoreBusy
from lookalike.images.description import DESCRIPTION_SIZE
from lookalike.store import ADAPTED, NO_DESCRIPTIONS, Described, check_descriptions, checked
from lookalike.store.columns import Fields, build_columns
from lookalike.store.concepts import check_concepts
from lookalike.store.evaluate import qualifying
from lookalike.store.keys import is_within, moved
from lookalike.vectors.exact import Matrix, prepare_vectors
from lookalike.vectors.metric import cosine_distances

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.adaptation.projection import Projection
    from lookalike.store import Capability, Near, Record, SearchSpace, Space
    from lookalike.store.calibration import Calibration
    from lookalike.store.concepts import Concept
    from lookalike.store.filter import Filter
    from lookalike.vectors.metric import Metric

    Vectors = NDArray[np.float32]

__all__ = ["MemoryStore"]

_LARGEST = 1e16  # absolute value in an embedding: float32 ends at 3e38, and lengths are squared and summed
_CHUNK = 512  # embeddings in one chunk
_POLL = 0.01  # seconds between two checks whether the writer has finished


@dataclass(frozen=True, slots=True)
class _State:
    """Everything that a store holds at one moment, with records by path and embeddings by digest."""

    space: Space
    generation: int = 0
    next_id: int = 1
    records: dict[bytes, Record] = field(default_factory=dict)
    embeddings: dict[bytes, Vectors] = field(default_factory=dict)
    descriptions: dict[bytes, bytes] = field(default_factory=dict)
    projection: Projection | None = None
    roots: dict[bytes, dict[str, Any]] = field(default_factory=dict)
    concepts: dict[str, Concept] = field(default_factory=dict)
    calibration: Calibration | None = None
    distinct: tuple[tuple[bytes, bytes], ...] = ()

    def embedded(self) -> list[Record]:
        """The records with an embedding, ordered by id."""
        return sorted((one for one in self.records.values() if one.digest), key=lambda record: record.id)

    def stack(self, records: Sequence[Record]) -> Vectors:
        """The embeddings of these records, float32 (n, dim)."""
        stacked = [self.embeddings[record.digest] for record in records if record.digest]
        return np.array(stacked, np.float32).reshape(-1, self.space.dim)


class _Shared:
    """What all open stores of the same name share."""

    def __init__(self, space: Space) -> None:
        self.state = _State(space)
        self.lock = threading.Lock()
        self.name = uuid.uuid4().hex  # no other store has it, in whatever process


_NAMED: dict[str, _Shared] = {}


class MemoryStore:
    """A store in dictionaries; see `lookalike.store.Store` for what its methods do.

    location: `memory:` for a private store, or `memory:NAME` for one that is shared by everything that opens this name.
    """

    capabilities: frozenset[Capability] = frozenset(("snapshots", "one writer"))

    def __init__(self, location: str | Path, *, create: Space | None = None) -> None:
        self.location = str(location)
        shared = _NAMED.get(self.location)
        if shared is None:
            if create is None:
                raise NoGallery(f"there is no gallery at {location}", hint="Gallery.open(..., create=True)")
            shared = _Shared(create)
            if self.location != "memory:":
                shared = _NAMED.setdefault(self.location, shared)
        self._shared = shared
        self._is_closed = False
        self._own = threading.local()

    @property
    def space(self) -> Space:
        """The encoder behind the embeddings, with their dimension and metric."""
        return self._state.space

    @property
    def generation(self) -> int:
        """A number that grows with every change."""
        return self._state.generation

    @property
    def state(self) -> str:
        """A short text that is the same only while everything is."""
        return f"{self._state.generation} {self._shared.name}"

    @property
    def projection(self) -> Projection | None:
        """The projection of embeddings to the vectors that are compared."""
        return self._state.projection

    @property
    def distinct(self) -> list[tuple[bytes, bytes]]:
        """Pairs of contents that are not duplicates."""
        return list(self._state.distinct)

    @property
    def calibration(self) -> Calibration | None:
        """How far apart the pictures are; None before that is measured."""
        return self._state.calibration

    @property
    def roots(self) -> dict[bytes, dict[str, Any]]:
        """The indexed paths, each with a small dict of rules."""
        return {path: dict(how) for path, how in self._state.roots.items()}

    @property
    def concepts(self) -> dict[str, Concept]:
        """The concepts that the gallery was taught, by their normalised names."""
        return dict(sorted(self._state.concepts.items()))

    @contextlib.contextmanager
    def writing(self, *, wait: float = 0.0) -> Iterator[None]:
        """Make this thread the only writer while the context lasts."""
        _ = self._state  # raises ClosedGallery if the store is closed
        deadline = time.monotonic() + wait
        while not self._shared.lock.acquire(blocking=False):
            if time.monotonic() >= deadline:
                raise StoreBusy(f"{self.location} is being written by another thread", hint="try again when it is done")
            time.sleep(_POLL)
        self._own.is_writing = True
        try:
            yield
        finally:
            self._own.is_writing = False
            self._shared.lock.release()

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Read everything inside the context as of one moment."""
        if getattr(self._own, "moment", None) is not None:
            yield
            return
        self._own.moment = self._state
        try:
            yield
        finally:
            self._own.moment = None

    def put(
        self,
        records: Sequence[Record],
        embeddings: Mapping[bytes, Vectors],
        descriptions: Mapping[bytes, bytes] = NO_DESCRIPTIONS,
    ) -> None:
        """Add or replace records by path: all or none of them."""
        check_descriptions(descriptions)
        state = self._state
        after = {record.path: record for record in checked(records)}
        wanted = {record.digest for record in after.values() if record.digest is not None}
        known = {**state.embeddings, **{digest: self._check(row) for digest, row in embeddings.items()}}
        if missing := wanted - known.keys():
            raise ValueError(f"no embedding for {len(missing)} of the digests")
        next_id, everything = state.next_id, dict(state.records)
        for path, record in after.items():
            if path in everything:
                everything[path] = record._replace(id=everything[path].id)
            else:
                everything[path] = record._replace(id=next_id)
                next_id += 1
        described = {**state.descriptions, **{digest: bytes(some) for digest, some in descriptions.items()}}
        self._write(records=everything, embeddings=known, descriptions=described, next_id=next_id)

    def remove(self, ids: Iterable[int]) -> int:
        """Remove the records with these ids, all or none; return how many existed."""
        gone, before = set(ids), self._state.records
        kept = {path: record for path, record in before.items() if record.id not in gone}
        self._write(records=kept)
        return len(before) - len(kept)

    def rename(self, old: bytes, new: bytes) -> int:
        """Move the record at `old` and all records below it to `new`; return how many there were."""
        state = self._state
        there = {path: moved(path, old, new) for path in state.records}
        if len(set(there.values())) < len(there):
            raise ValueError("a path would be there twice")
        records = {there[path]: record._replace(path=there[path]) for path, record in state.records.items()}
        self._write(records=records, roots={moved(path, old, new): how for path, how in state.roots.items()})
        return sum(is_within(path, old) for path in there)

    def set_projection(self, projection: Projection | None) -> None:
        """Store a projection with the embeddings."""
        if projection is not None:
            check_projection(projection, self.space.dim)
        self._write(projection=projection)

    def set_distinct(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Store the pairs of contents that are not duplicates."""
        self._write(distinct=tuple((bytes(one), bytes(other)) for one, other in pairs))

    def set_calibration(self, calibration: Calibration | None) -> None:
        """Store how far apart the pictures are."""
        self._write(calibration=calibration)

    def set_roots(self, roots: Mapping[bytes, Mapping[str, Any]]) -> None:
        """Replace the stored roots by these."""
        self._write(roots={path: dict(how) for path, how in roots.items()})

    def set_concepts(self, concepts: Iterable[Concept]) -> None:
        """Replace the stored concepts by these."""
        self._write(concepts=check_concepts(concepts, self.space.dim))

    def known(self, digests: Iterable[bytes]) -> set[bytes]:
        """The given digests for which an embedding is stored."""
        return self._state.embeddings.keys() & set(digests)

    def find(self, paths: Iterable[bytes]) -> dict[bytes, Record]:
        """The records at these paths."""
        records = self._state.records
        return {path: records[path] for path in paths if path in records}

    def get(self, ids: Iterable[int]) -> dict[int, Record]:
        """The records with these ids."""
        wanted = set(ids)
        return {record.id: record for record in self._state.records.values() if record.id in wanted}

    def scan(self, prefix: bytes = b"") -> Iterator[Record]:
        """Every record whose path begins with `prefix`, ordered by path."""
        records = self._state.records
        return (records[path] for path in sorted(records) if path.startswith(prefix))

    def count(self) -> tuple[int, int]:
        """The number of records with an embedding, and the number without."""
        state = self._state
        embedded = len(state.embedded())
        return embedded, len(state.records) - embedded

    def embeddings(self, ids: Sequence[int] | None = None) -> Iterator[tuple[NDArray[np.int64], Vectors]]:
        """Ids and embeddings as they were put, in chunks: of all records ordered by id, or of these records."""
        state = self._state
        wanted = None if ids is None else set(ids)
        some = [one for one in state.embedded() if wanted is None or one.id in wanted]
        for start in range(0, len(some), _CHUNK):
            part = some[start : start + _CHUNK]
            yield np.array([record.id for record in part], np.int64), state.stack(part)

    def described(self) -> list[Described]:
        """The descriptions of all records that have one, in one part."""
        found = self.descriptions(record.id for record in self._state.embedded())
        rows = np.frombuffer(b"".join(found.values()), np.uint8).reshape(-1, DESCRIPTION_SIZE)
        return [Described(np.array(list(found), np.int64), rows)]

    def descriptions(self, ids: Iterable[int]) -> dict[int, bytes]:
        """The descriptions of these records, by id."""
        known = self._state.descriptions
        records = self.get(ids)
        return {id_: known[one.digest] for id_, one in sorted(records.items()) if one.digest and one.digest in known}

    def ids(self, where: Filter | None = None) -> NDArray[np.int64]:
        """The ids of all records with an embedding, or of those that pass a filter, in ascending order."""
        embedded = self._state.embedded()
        if where is not None:
            return qualifying(where, [build_columns([_to_fields(record) for record in embedded])], self.described)
        return np.array([record.id for record in embedded], np.int64)

    def adapt(self, embeddings: Vectors) -> Vectors:
        """The vectors that a search compares for these embeddings."""
        return self._prepare(self._check(embeddings, many=True), ADAPTED)

    def vectors(self, ids: Sequence[int], *, space: SearchSpace = ADAPTED) -> Vectors:
        """The vectors that a search compares for these records, float32 (n, w)."""
        with self.reading():
            matrix = self._matrix(space)
        wanted = np.array(ids, np.int64)
        _, indices = matrix.find(wanted)
        if len(indices) < len(wanted):
            raise KeyError(f"{len(wanted) - len(indices)} of {len(wanted)} ids have no embedding")
        return matrix.take(indices)

    def search(
        self,
        queries: Vectors,
        k: int,
        *,
        space: SearchSpace = ADAPTED,
        where: Filter | None = None,
        exact: bool = False,  # noqa: ARG002  (every search is exact)
    ) -> list[Near]:
        """The k records nearest to each query, nearest first, ties by id."""
        with self.reading():
            matrix = self._matrix(space)
            among = None if where is None else matrix.find(self.ids(where))[1]
            wanted = queries if space.compared or space.raw else self._check(queries, many=True)
            wanted = wanted if space.compared else self._prepare(wanted, space)
        found = matrix.search(wanted, k, among=among)
        return [list(zip(near.ids.tolist(), near.distances.tolist(), strict=True)) for near in found]

    def raw_distances(self, query: Vectors | bytes, digests: Iterable[bytes]) -> dict[bytes, float]:
        """The cosine distance of each of these contents to the query, by the embeddings as they were put."""
        known = self._state.embeddings
        found = [digest for digest in digests if digest in known]
        views = known[query][None] if isinstance(query, bytes) else query
        rows = np.array([known[digest] for digest in found], np.float32).reshape(-1, self.space.dim)
        return dict(zip(found, cosine_distances(views, rows).tolist(), strict=True))

    def close(self) -> None:
        """Close this store; a named one remains for others that open it."""
        self._is_closed = True

    @property
    def _state(self) -> _State:
        if self._is_closed:
            raise ClosedGallery(f"{self.location} is closed", hint="open it again: Gallery.open")
        moment: _State | None = getattr(self._own, "moment", None)
        return moment or self._shared.state

    def _write(self, **changes: Any) -> None:  # noqa: ANN401  (fields of the state)
        if not getattr(self._own, "is_writing", False):
            _ = self._state  # raises ClosedGallery if the store is closed
            raise RuntimeError("a store is written to inside `with store.writing():`, in the same thread")
        changed = replace(self._shared.state, generation=self._shared.state.generation + 1, **changes)
        used = {record.digest for record in changed.records.values()}
        kept = {digest: row for digest, row in changed.embeddings.items() if digest in used}
        described = {digest: some for digest, some in changed.descriptions.items() if digest in used}
        self._shared.state = replace(changed, embeddings=kept, descriptions=described)

    def _matrix(self, space: SearchSpace) -> Matrix:
        embedded = self._state.embedded()
        embeddings = self._state.stack(embedded)
        if space.raw:
            embeddings = embeddings[:, slice(*(space.columns or (0, self.space.dim)))]
        ids = np.array([record.id for record in embedded], np.int64)
        return Matrix(ids, self._prepare(embeddings, space), self._metric(space))

    def _prepare(self, embeddings: Vectors, space: SearchSpace) -> Vectors:
        """Turn embeddings into the vectors that are compared in this space."""
        if space.raw:
            return prepare_vectors(embeddings, "cosine")
        projection = self._state.projection
        adapted = projection.apply(embeddings) if projection else embeddings
        if space.weights:
            adapted = adapted * np.array(space.weights, np.float32)
        return prepare_vectors(adapted, self.space.metric)

    def _metric(self, space: SearchSpace) -> Metric:
        return "cosine" if space.raw else self.space.metric

    def _check(self, embeddings: Vectors, *, many: bool = False) -> Vectors:
        array = np.asarray(embeddings, np.float32)
        if array.shape[1 if many else 0 :] != (self.space.dim,):
            raise ValueError(f"an embedding of shape {array.shape}, expected ({self.space.dim},)")
        if not (np.abs(array) <= _LARGEST).all():
            raise ValueError(f"an embedding that is not finite, or has numbers beyond {_LARGEST:g}")
        return array.copy()


def _to_fields(record: Record) -> Fields:
    taken_at = record.taken_at.isoformat() if record.taken_at else None
    about = (record.width, record.height, record.format, taken_at, record.camera)
    return Fields(record.id, record.path, 0, record.size, record.mtime_ns, *about)
