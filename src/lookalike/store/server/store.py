"""The part of a store that is the same on every server: what is read and written in terms of records and entries.

A store of a server adds how it connects, how it writes, and how it searches; see `lookalike.store.Store` for what the
methods do.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import tempfile
import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np

from lookalike.errors import StoreError
from lookalike.images.description import DESCRIPTION_SIZE
from lookalike.store import ADAPTED, NO_DESCRIPTIONS, Described, check_descriptions, checked
from lookalike.store.blocks import Block
from lookalike.store.calibration import to_json
from lookalike.store.concepts import check_concepts, to_bytes
from lookalike.store.entries import read_distinct, read_roots
from lookalike.store.evaluate import check_fields, find_colored, list_conditions
from lookalike.store.float16 import from_blobs, rounded, to_blobs
from lookalike.store.rows import DIGEST, ID, Tally, checksums_of, to_fields, to_records
from lookalike.store.server.reader import CONCEPT, ServerMoment, ServerReader, ServerState
from lookalike.store.server.search import Ask, Narrowed
from lookalike.store.server.vectors import adapt, are_close, unpack_raw, weigh
from lookalike.vectors.exact import prepare_vectors
from lookalike.vectors.metric import cosine_distances

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.adaptation.projection import Projection
    from lookalike.store import Near, Record, SearchSpace, Space
    from lookalike.store.calibration import Calibration
    from lookalike.store.concepts import Concept
    from lookalike.store.filter import Filter
    from lookalike.store.server.client import ServerClient
    from lookalike.store.server.search import ServerFinder

    Vectors = NDArray[np.float32]
    Ids = NDArray[np.int64]

__all__ = ["ServerStore"]

T = TypeVar("T")

M = TypeVar("M", bound=ServerMoment)
R = TypeVar("R", bound=ServerReader)
C = TypeVar("C")  # a change while it is being made
C_co = TypeVar("C_co", covariant=True)
Q = TypeVar("Q")  # a condition in the server's language

_OPTIONAL = {"width", "height", "format", "camera"}  # fields that some records lack


class _Writer(Protocol[C_co]):
    """Who has the right to write."""

    @property
    def state(self) -> ServerState:
        """What counts now."""

    def change(self, make: Callable[[C_co], T]) -> T:
        """Make one change as a whole, on the server's disk when this returns; return what `make` does."""

    def compact(self) -> None:
        """Delete what no reader needs any more."""

    def close(self) -> None:
        """Let others write."""


class ServerStore(ABC, Generic[M, R, C, Q]):
    """A store on a server: see the module."""

    space: Space
    _finder: ServerFinder[M, R, Q]

    def __init__(self, location: str, client: ServerClient) -> None:
        self._location = location
        self._client = client
        self._own = threading.local()
        self._writing: tuple[int, _Writer[C]] | None = None
        self._adapted: tuple[int, Projection | None] | None = None  # by the epoch
        self._described: tuple[int, list[Described]] | None = None  # by the generation
        self._narrowed: tuple[int, Filter, Narrowed[Q]] | None = None  # by the generation

    @abstractmethod
    def _begin(self) -> AbstractContextManager[M]:
        """A moment that ends with the context."""

    @abstractmethod
    def _reader_at(self, moment: M) -> R:
        """What reads as of a moment."""

    @abstractmethod
    def _reader_of(self, change: C) -> R:
        """What reads inside a change."""

    @abstractmethod
    def _write_entries(self, change: C, entries: Mapping[str, bytes | None]) -> None:
        """Write entries in place of those of the same names; None only removes them."""

    @abstractmethod
    def _fetch_vectors(self, moment: M, ids: list[int]) -> tuple[Ids, Vectors]:
        """The ids among these that have an embedding, and their vectors as a search without weights compares them."""

    @abstractmethod
    def _find_ids(self, moment: M, condition: Q | None) -> Ids:
        """The ids of the records with an embedding that a condition selects, in ascending order."""

    @abstractmethod
    def _find_used(self, moment: M) -> set[str]:
        """The columns in which a record with an embedding has a value, among those that some lack."""

    @abstractmethod
    def _to_condition(self, moment: M, where: Filter, colored: Mapping[str, Ids]) -> Q:
        """A filter in the server's language. colored: the records that show each colour it asks for."""

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Read everything inside the context as of one moment."""
        with self._moment() as moment:
            before, self._own.moment = getattr(self._own, "moment", None), moment
            try:
                yield
            finally:
                self._own.moment = before

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
            return {name: reader.concept(name) for name in reader.names(CONCEPT)}

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
            before = self._reader_of(change).names(CONCEPT)
            entries = {f"{CONCEPT}{name}": to_bytes(concept) for name, concept in after.items()}
            self._write_entries(change, {**dict.fromkeys(f"{CONCEPT}{name}" for name in before), **entries})

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

    def blocks(self) -> Iterator[Block]:
        """Everything as it is kept, each row checked, as of one moment. Raises Corrupt, also for missing records."""
        with self._moment() as moment:
            met, reader = 0, self._reader_at(moment)
            for block in reader.blocks():
                met += len(block.files)
                yield block
            if met != moment.state.records:
                raise reader.corrupt("items are missing")

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
            return self._descriptions_at(moment)

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
            found, vectors = self._find_vectors(moment, sorted(set(wanted)), space)
        index = {id_: n for n, id_ in enumerate(found.tolist())}
        if missing := sum(id_ not in index for id_ in wanted):
            raise KeyError(f"{missing} of {len(wanted)} ids have no embedding")
        return vectors[[index[id_] for id_ in wanted]]

    def ids(self, where: Filter | None = None) -> Ids:
        """The ids of all records with an embedding, or of those that pass a filter, in ascending order."""
        with self._moment() as moment:
            return self._find_ids(moment, None if where is None else self._translate(moment, where))

    def search(
        self,
        queries: Vectors,
        k: int,
        *,
        space: SearchSpace = ADAPTED,
        where: Filter | None = None,
        exact: bool = False,
    ) -> list[Near]:
        """The k records nearest to each query, nearest first, ties by id."""
        with self._moment() as moment:
            prepared = self._prepare(moment, queries, space)
            most = min(k, moment.state.embedded)
            if most < 1:
                if where is not None:
                    self._translate(moment, where)  # raises for a field that no record has
                return [[] for _ in queries]
            ask = Ask(most, space, None if where is None else self._narrow(moment, where), exact)
            return self._finder.search(moment, self._reader_at(moment), prepared, ask)

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

    def prepare(self) -> None:
        """Nothing: the server is always ready."""

    def verify(self) -> list[str]:
        """The problems found in the stored data, one line each."""
        found = list[str]()
        with self._moment() as moment:
            for look in (self._check_items, self._check_entries, self._check_vectors):
                try:
                    found.extend(look(moment, self._reader_at(moment)))
                except StoreError as error:
                    found.append(str(error))
        return found

    def compact(self) -> None:
        """Delete what no reader needs any more; the server itself frees the space later."""
        self._own_writer().compact()

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

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
    def _moment(self) -> Iterator[M]:
        """The moment of `reading`, or one for what is done inside this context."""
        self._client.check()
        moment: M | None = getattr(self._own, "moment", None)
        if moment is not None:
            yield moment
            return
        with self._begin() as moment:
            yield moment

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

    def _find_vectors(self, moment: M, ids: list[int], space: SearchSpace) -> tuple[Ids, Vectors]:
        """The ids among these that have an embedding, and their vectors as a search in this space compares them."""
        if space.raw:
            return unpack_raw(self._reader_at(moment).embedded(ids), self.space.dim, space)
        found, vectors = self._fetch_vectors(moment, ids)
        return found, weigh(vectors, space, self.space.metric)

    def _translate(self, moment: M, where: Filter) -> Q:
        """A filter in the server's language. Raises UsageError for a field that no record has."""
        conditions = list(list_conditions(where))
        asked = {one.field for one in conditions}
        if asked & _OPTIONAL:
            check_fields(self._find_used(moment), asked)
        colors = {str(one.value) for one in conditions if one.field == "color"}
        return self._to_condition(moment, where, find_colored(colors, self._descriptions_at(moment)) if colors else {})

    def _descriptions_at(self, moment: M) -> list[Described]:
        """The descriptions of all records of a moment; those of the last generation asked for are remembered."""
        known = self._described
        if known is None or known[0] != moment.state.generation:
            self._described = known = moment.state.generation, _describe_all(self._reader_at(moment))
        return known[1]

    def _narrow(self, moment: M, where: Filter) -> Narrowed[Q]:
        """The records that a filter lets pass; the last is remembered: many searches have the same filter."""
        known = self._narrowed
        if known is None or known[:2] != (moment.state.generation, where):
            condition = self._translate(moment, where)
            narrowed = Narrowed(condition, self._find_ids(moment, condition))
            self._narrowed = known = moment.state.generation, where, narrowed
        return known[2]

    def _check_items(self, moment: M, reader: R) -> Iterator[str]:
        """The problems of items, embeddings and descriptions, and of their tally."""
        tally, state = Tally(), moment.state
        for rows in reader.every():
            tally = tally.plus(rows)
            reader.descriptions({row[DIGEST] for row in rows if row[DIGEST] is not None})
        if tuple(tally) != (state.records, state.embedded, state.checksums):
            yield f"{tally.records:,} items found, but {state.records:,} were written, or others"

    def _check_entries(self, _moment: M, reader: R) -> Iterator[str]:
        for key in reader.names(""):
            reader.meta(key)
        yield from ()

    def _check_vectors(self, moment: M, reader: R) -> Iterator[str]:
        """Where vectors are not those of their embeddings."""
        projection = self._projection(moment)
        for rows, blobs in reader.embedded():
            ids = [row[ID] for row in rows]
            found, vectors = self._fetch_vectors(moment, ids)
            order, expected = np.argsort(found), adapt(from_blobs(blobs, self.space.dim), projection, self.space)
            if found[order].tolist() != ids or not are_close(vectors[order], expected):
                yield f"vectors of items {ids[0]} to {ids[-1]} are missing or do not fit their embeddings"

    @contextlib.contextmanager
    def _write_as(self, writer: _Writer[C]) -> Iterator[None]:
        """Let this thread write while the context lasts."""
        before, self._writing = self._writing, (threading.get_ident(), writer)
        try:
            yield
        finally:
            self._writing = before
            writer.close()

    def _own_writer(self) -> _Writer[C]:
        self._client.check()
        writing = self._writing
        if writing is None or writing[0] != threading.get_ident():
            raise RuntimeError("a store is written to inside `with store.writing():`, in the same thread")
        return writing[1]

    def _change(self, make: Callable[[C], T]) -> T:
        """Make a change, all of it or nothing."""
        return self._own_writer().change(make)

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
