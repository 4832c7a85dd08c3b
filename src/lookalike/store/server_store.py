"""The part of a store that is the same on every server: what is read and written in terms of records and entries.

A store of a server adds how it connects, how it writes, and how it searches; see `lookalike.store.Store` for what the
methods do.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import tempfile
import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np

from lookalike.adaptation.serialize import from_entries, read_summary
from lookalike.images.description import DESCRIPTION_SIZE
from lookalike.store import ADAPTED, NO_DESCRIPTIONS, Described, check_descriptions, checked
from lookalike.store.blocks import Block
from lookalike.store.calibration import from_json, to_json
from lookalike.store.concepts import check_concepts, from_bytes, to_bytes
from lookalike.store.entries import read_distinct, read_roots
from lookalike.store.float16 import from_blobs, rounded, to_blobs
from lookalike.store.rows import DIGEST, ID, KEY, checksums_of, to_fields, to_records
from lookalike.store.server import adapt
from lookalike.vectors.exact import prepare_vectors
from lookalike.vectors.metric import cosine_distances

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.adaptation.projection import Projection
    from lookalike.store import Record, SearchSpace, Space
    from lookalike.store.calibration import Calibration
    from lookalike.store.concepts import Concept
    from lookalike.store.rows import Row

    Vectors = NDArray[np.float32]

__all__ = ["ServerReader", "ServerStore"]

T = TypeVar("T")

_CONCEPT = "concept "  # what the name of an entry with a concept begins with


class _State(Protocol):
    """What counts at a moment."""

    @property
    def generation(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def records(self) -> int: ...
    @property
    def embedded(self) -> int: ...
    @property
    def checksums(self) -> int: ...


class _Moment(Protocol):
    """What belongs together, whatever others write."""

    @property
    def state(self) -> _State: ...


class ServerReader(ABC):
    """Rows as of one moment, checked. Methods raise StoreError or a subclass, such as Corrupt for damaged rows."""

    def __init__(self, location: str, space: Space) -> None:
        self._location, self._space = location, space

    @abstractmethod
    def corrupt(self, what: str) -> Exception:
        """The error for a damaged row."""

    @abstractmethod
    def meta(self, key: str) -> bytes | None:
        """The content of the entry with this name; None if there is none."""

    @abstractmethod
    def names(self, prefix: str) -> list[str]:
        """The rest of the name of each entry that begins with `prefix`, in order."""

    @abstractmethod
    def by_ids(self, ids: Iterable[int]) -> list[Row]:
        """Checked rows of the items with these ids."""

    @abstractmethod
    def by_paths(self, paths: Iterable[bytes]) -> list[Row]:
        """Checked rows of the items at these paths."""

    @abstractmethod
    def scan(self, prefix: bytes) -> Iterator[Record]:
        """The records whose path begins with `prefix`, ordered by path."""

    @abstractmethod
    def known(self, digests: Iterable[bytes]) -> set[bytes]:
        """The given digests for which an embedding is stored."""

    @abstractmethod
    def contents(self, digests: Iterable[bytes]) -> dict[bytes, bytes]:
        """The checked bytes of the embedding of each of these digests that has one."""

    @abstractmethod
    def checksums(self, digests: Iterable[bytes]) -> dict[bytes, tuple[int, int | None]]:
        """The checksums of the embedding and of the description of each of these digests that has an embedding."""

    @abstractmethod
    def descriptions(self, digests: Iterable[bytes]) -> dict[bytes, bytes]:
        """The checked description of each of these digests that has one."""

    @abstractmethod
    def with_digest(self, ids: Sequence[int] | None = None) -> Iterator[list[Row]]:
        """Checked rows of items with an embedding, in chunks: of all items ordered by id, or of these."""

    def entry(self, key: str, default: Any, of: Callable[[Any], T]) -> T:  # noqa: ANN401  (parsed JSON)
        """The entry with this name, which `of` makes from its parsed JSON, or from the default."""
        content = self.meta(key)
        try:
            return of(default if content is None else json.loads(content))
        except (TypeError, ValueError, OverflowError):
            raise self.corrupt(f"the entry {key!r} has an invalid value") from None

    def projection(self) -> Projection | None:
        """The projection of embeddings to the vectors that are compared."""
        summary = self.entry("projection", None, read_summary)
        if summary is None:
            return None
        try:
            return from_entries(summary, {name: self.meta(name) or b"" for name in summary.entries}, self._space.dim)
        except ValueError as error:
            raise self.corrupt(str(error)) from None

    def calibration(self) -> Calibration | None:
        """How far apart the pictures are; None before that is measured."""
        try:
            return from_json(self.meta("calibration") or b"null")
        except (TypeError, ValueError, LookupError, OverflowError):
            raise self.corrupt("the entry 'calibration' has an invalid value") from None

    def concept(self, name: str) -> Concept:
        """The concept with this normalised name, which exists."""
        try:
            return from_bytes(self.meta(f"{_CONCEPT}{name}") or b"", self._space.dim)
        except (TypeError, ValueError, KeyError):
            raise self.corrupt(f"the concept {name!r} has an invalid value") from None

    def embedded(self, ids: Sequence[int] | None = None) -> Iterator[tuple[list[Row], list[bytes]]]:
        """Checked items with the bytes of their embeddings, in chunks: of all items ordered by id, or of these."""
        for rows in self.with_digest(ids):
            blobs = self.contents(row[DIGEST] for row in rows)
            self._check_complete(rows, blobs)
            yield rows, [blobs[row[DIGEST]] for row in rows]

    def _check_complete(self, rows: Sequence[Row], contents: Container[bytes]) -> None:
        missing = next((row for row in rows if row[DIGEST] is not None and row[DIGEST] not in contents), None)
        if missing is not None:
            raise self.corrupt(f"the embedding of {os.fsdecode(missing[KEY])!r} is missing")


M = TypeVar("M", bound=_Moment)  # a moment of the server
R = TypeVar("R", bound=ServerReader)
C = TypeVar("C")  # a change while it is being made


class ServerStore(ABC, Generic[M, R, C]):
    """A store on a server: see the module."""

    space: Space

    def __init__(self, location: str) -> None:
        self._location = location
        self._own = threading.local()
        self._adapted: tuple[int, Projection | None] | None = None  # by the epoch
        self._described: tuple[int, list[Described]] | None = None  # by the generation

    @abstractmethod
    def reading(self) -> AbstractContextManager[None]:
        """Read everything inside the context as of one moment."""

    @abstractmethod
    def _moment(self) -> AbstractContextManager[M]:
        """The moment of `reading`, or one for what is done inside this context."""

    @abstractmethod
    def _reader_at(self, moment: M) -> R:
        """What reads as of a moment."""

    @abstractmethod
    def _reader_of(self, change: C) -> R:
        """What reads inside a change."""

    @abstractmethod
    def _change(self, make: Callable[[C], T]) -> T:
        """Make a change, all of it or nothing."""

    @abstractmethod
    def _write_entries(self, change: C, entries: Mapping[str, bytes | None]) -> None:
        """Write entries in place of those of the same names; None only removes them."""

    @abstractmethod
    def _vectors(self, moment: M, ids: list[int], space: SearchSpace) -> tuple[list[int], Vectors]:
        """The ids among these that have an embedding, and their vectors as a search in this space compares them."""

    @property
    def location(self) -> str:
        """The URL of the gallery, without a password."""
        return self._location

    @property
    def generation(self) -> int:
        """A number that grows with every change."""
        with self._moment() as moment:
            return moment.state.generation

    @property
    def state(self) -> str:
        """A short text that is the same only while everything is."""
        with self._moment() as moment:
            now = moment.state
            return f"{now.generation} {now.records} {now.embedded} {now.checksums}"

    @property
    def projection(self) -> Projection | None:
        """The projection of embeddings to the vectors that are compared."""
        with self._moment() as moment:
            return self._projection(moment)

    @property
    def distinct(self) -> list[tuple[bytes, bytes]]:
        """Pairs of contents that are not duplicates."""
        with self._reader() as reader:
            return reader.entry("distinct", [], read_distinct)

    @property
    def calibration(self) -> Calibration | None:
        """How far apart the pictures are; None before that is measured."""
        with self._reader() as reader:
            return reader.calibration()

    @property
    def roots(self) -> dict[bytes, dict[str, Any]]:
        """The indexed paths, each with a small dict of rules."""
        with self._reader() as reader:
            return reader.entry("roots", [], read_roots)

    @property
    def concepts(self) -> dict[str, Concept]:
        """The concepts that the gallery was taught, by their normalised names."""
        with self._reader() as reader:
            return {name: reader.concept(name) for name in reader.names(_CONCEPT)}

    @abstractmethod
    def put_block(self, block: Block) -> None:
        """Add or replace the records of a block: all or none of them, on the server's disk when this returns."""

    def put(
        self,
        records: Sequence[Record],
        embeddings: Mapping[bytes, Vectors],
        descriptions: Mapping[bytes, bytes] = NO_DESCRIPTIONS,
    ) -> None:
        """Add or replace records by path: all or none of them, on the server's disk when this returns."""
        check_descriptions(descriptions)
        files = {record.path: to_fields(record) for record in checked(records)}
        blobs = zip(embeddings, to_blobs(list(embeddings.values()), self.space.dim), strict=True)
        self.put_block(Block(files, checksums_of(blobs), checksums_of(descriptions.items())))

    def set_distinct(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Store the pairs of contents that are not duplicates."""
        content = json.dumps([[one.hex(), other.hex()] for one, other in pairs]).encode()
        self._change(lambda change: self._write_entries(change, {"distinct": content}))

    def set_calibration(self, calibration: Calibration | None) -> None:
        """Store how far apart the pictures are."""
        self._change(lambda change: self._write_entries(change, {"calibration": to_json(calibration)}))

    def set_roots(self, roots: Mapping[bytes, Mapping[str, Any]]) -> None:
        """Replace the stored roots by these."""
        after = {path: dict(how) for path, how in roots.items()}
        self._change(lambda change: self._write_roots(change, after))

    def set_concepts(self, concepts: Iterable[Concept]) -> None:
        """Replace the stored concepts by these."""
        after = check_concepts(concepts, self.space.dim)

        def set_concepts(change: C) -> None:
            before = self._reader_of(change).names(_CONCEPT)
            entries = {f"{_CONCEPT}{name}": to_bytes(concept) for name, concept in after.items()}
            self._write_entries(change, {**dict.fromkeys(f"{_CONCEPT}{name}" for name in before), **entries})

        self._change(set_concepts)

    def checksums(self, digests: Iterable[bytes]) -> dict[bytes, tuple[int, int | None]]:
        """The checksums of the embedding and of the description of each of these digests that has an embedding."""
        with self._reader() as reader:
            return reader.checksums(digests)

    def known(self, digests: Iterable[bytes]) -> set[bytes]:
        """The given digests for which an embedding is stored."""
        with self._reader() as reader:
            return reader.known(digests)

    def find(self, paths: Iterable[bytes]) -> dict[bytes, Record]:
        """The records at these paths."""
        with self._reader() as reader:
            return {record.path: record for record in to_records(reader.by_paths(paths))}

    def get(self, ids: Iterable[int]) -> dict[int, Record]:
        """The records with these ids."""
        with self._reader() as reader:
            return {record.id: record for record in to_records(reader.by_ids(ids))}

    def scan(self, prefix: bytes = b"") -> Iterator[Record]:
        """Every record whose path begins with `prefix`, ordered by path."""
        with self._moment() as moment:
            met = 0
            for record in self._reader_at(moment).scan(prefix):
                met += 1
                yield record
            if not prefix and met != moment.state.records:
                raise self._reader_at(moment).corrupt("items are missing")

    def count(self) -> tuple[int, int]:
        """The number of records with an embedding, and the number without."""
        with self._moment() as moment:
            return moment.state.embedded, moment.state.records - moment.state.embedded

    def embeddings(self, ids: Sequence[int] | None = None) -> Iterator[tuple[NDArray[np.int64], Vectors]]:
        """Ids and embeddings as they were put, in chunks: of all records ordered by id, or of these records."""
        with self._reader() as reader:
            for rows, blobs in reader.embedded(ids):
                yield np.array([row[ID] for row in rows], np.int64), from_blobs(blobs, self.space.dim)

    def described(self) -> list[Described]:
        """The descriptions of all records that have one, in one part."""
        with self._moment() as moment:
            generation, known = moment.state.generation, self._described
            if known is not None and known[0] == generation:
                return known[1]
            found = _describe_all(self._reader_at(moment))
            self._described = generation, found
            return found

    def descriptions(self, ids: Iterable[int]) -> dict[int, bytes]:
        """The descriptions of these records, by id."""
        with self._reader() as reader:
            rows = [row for row in reader.by_ids(ids) if row[DIGEST] is not None]
            found = reader.descriptions({row[DIGEST] for row in rows})
            return {row[ID]: found[row[DIGEST]] for row in rows if row[DIGEST] in found}

    def adapt(self, embeddings: Vectors) -> Vectors:
        """The vectors that a search compares for these embeddings."""
        with self._moment() as moment:
            return adapt(rounded(embeddings, self.space.dim), self._projection(moment), self.space)

    def vectors(self, ids: Sequence[int], *, space: SearchSpace = ADAPTED) -> Vectors:
        """The vectors that a search compares for these records, float32 (n, w)."""
        wanted = [int(id_) for id_ in ids]
        with self._moment() as moment:
            found, vectors = self._vectors(moment, wanted, space)
        index = {id_: n for n, id_ in enumerate(found)}
        if missing := sum(id_ not in index for id_ in wanted):
            raise KeyError(f"{missing} of {len(wanted)} ids have no embedding")
        return vectors[[index[id_] for id_ in wanted]]

    def raw_distances(self, query: Vectors | bytes, digests: Iterable[bytes]) -> dict[bytes, float]:
        """The cosine distance of each of these contents to the query, by the embeddings as they were put."""
        asked = dict.fromkeys(digests)
        with self._reader() as reader:
            blobs = reader.contents({*asked, query} if isinstance(query, bytes) else asked)
        # The scale of an embedding makes no difference to an angle.
        numbers = from_blobs(list(blobs.values()), self.space.dim, scaled=False)
        views = numbers[[digest == query for digest in blobs]] if isinstance(query, bytes) else query
        if not len(views):
            return {}
        found = zip(blobs, cosine_distances(views, numbers).tolist(), strict=True)
        return {digest: distance for digest, distance in found if digest in asked}

    def backup(self, target: Path, *, force: bool = False, beside: Iterable[str] = ()) -> int:
        """Copy everything into one file, by way of a temporary gallery in a folder; return the number of pictures."""
        copy = importlib.import_module("lookalike.store.copy").copy_store
        sqlite = importlib.import_module("lookalike.store.sqlite.store").SqliteStore
        with tempfile.TemporaryDirectory(prefix="lookalike-") as folder, contextlib.ExitStack() as stack:
            with self.reading():
                local = sqlite(folder, create=self.space, base=b"/")
                stack.callback(local.close)
                copy(self, local)
            return int(local.backup(target, force=force, beside=beside))

    @contextlib.contextmanager
    def _reader(self) -> Iterator[R]:
        with self._moment() as moment:
            yield self._reader_at(moment)

    def _projection(self, moment: M) -> Projection | None:
        return self._find_projection(moment.state.epoch, self._reader_at(moment))

    def _find_projection(self, epoch: int, reader: R) -> Projection | None:
        """The projection of an epoch, which is read once."""
        known = self._adapted
        if known is None or known[0] != epoch:
            self._adapted = known = epoch, reader.projection()
        return known[1]

    def _prepare(self, moment: M, queries: Vectors, space: SearchSpace) -> Vectors:
        """Queries as the vectors that are compared."""
        if space.raw:
            return queries if space.compared else prepare_vectors(queries, "cosine")
        if space.compared:
            return queries
        stored, projection = rounded(np.asarray(queries, np.float32), self.space.dim), self._projection(moment)
        adapted = projection.apply(stored) if projection else stored
        if space.weights:
            adapted = adapted * np.array(space.weights, np.float32)
        return prepare_vectors(adapted, self.space.metric)

    def _write_roots(self, change: C, roots: Mapping[bytes, Mapping[str, Any]]) -> None:
        entries = [[path.decode("latin-1"), dict(how)] for path, how in roots.items()]
        self._write_entries(change, {"roots": json.dumps(entries).encode()})


def _describe_all(reader: ServerReader) -> list[Described]:
    ids, rows = list[int](), list[bytes]()
    for items in reader.with_digest():
        found = reader.descriptions({row[DIGEST] for row in items})
        for row in items:
            if row[DIGEST] in found:
                ids.append(row[ID])
                rows.append(found[row[DIGEST]])
    array = np.frombuffer(b"".join(rows), np.uint8)
    shaped = array.reshape(len(ids), -1) if ids else array.reshape(0, DESCRIPTION_SIZE)
    return [Described(np.array(ids, np.int64), shaped)]
