"""A gallery in Milvus: the server keeps, filters and searches; see `lookalike.store.Store` for what methods do.

Records, embeddings and their checksums are those of the SQLite store, and every search is exact, so hits are the same
to the last digit.
"""

from __future__ import annotations

import base64
import contextlib
import importlib
import json
import tempfile
import threading
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from lookalike.adaptation.serialize import check_projection, to_entries
from lookalike.store import ADAPTED, NO_DESCRIPTIONS, Described, check_descriptions, checked
from lookalike.store.blocks import Block
from lookalike.store.calibration import from_json, to_json
from lookalike.store.concepts import check_concepts, from_bytes, to_bytes
from lookalike.store.entries import read_distinct, read_roots
from lookalike.store.evaluate import check_fields, find_colored, list_conditions
from lookalike.store.float16 import blob_size, from_blobs, rounded, to_blobs
from lookalike.store.keys import is_within, moved
from lookalike.store.milvus import schema
from lookalike.store.milvus.address import read_address
from lookalike.store.milvus.client import Client
from lookalike.store.milvus.encoding import encode_bytes, encode_item, encode_text, quoted, to_lists
from lookalike.store.milvus.moment import Moment
from lookalike.store.milvus.predicate import translate
from lookalike.store.milvus.search import Ask, Finder, Narrowed
from lookalike.store.milvus.tables import ENTRY, Reader, encode_parts, key_of
from lookalike.store.milvus.writer import Change, Writer
from lookalike.store.rows import CRC, DIGEST, ID, KEY, Tally, checksum, to_records, to_row, with_key
from lookalike.store.server import adapt, unpack_raw, weigh
from lookalike.vectors.exact import prepare_vectors
from lookalike.vectors.metric import cosine_distances

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.adaptation.projection import Projection
    from lookalike.store import Capability, Near, Record, SearchSpace, Space
    from lookalike.store.calibration import Calibration
    from lookalike.store.concepts import Concept
    from lookalike.store.filter import Filter
    from lookalike.store.rows import Row, Stored

    Found = dict[str, Any]
    Items = tuple[Sequence[Row], Sequence[Found]]  # their rows, and the same as the server has them
    Vectors = NDArray[np.float32]

__all__ = ["MilvusStore"]

T = TypeVar("T")

_CONCEPT = "concept "  # what the name of an entry with a concept begins with
_NUMBERS, _TEXTS = ("width", "height"), ("format", "camera", "taken_at")


class MilvusStore:
    """A store in some collections of a Milvus server or cluster.

    location: `milvus://USER@HOST:PORT/NAME`. It cannot be used in a process forked after it was opened.
    """

    capabilities: frozenset[Capability] = frozenset(("crash-safe", "snapshots", "one writer"))

    def __init__(self, location: str | Path, *, create: Space | None = None) -> None:
        self._address = read_address(str(location))
        self._names = schema.Names(self._address.name)
        self._client = Client(self._address)
        self._own = threading.local()
        self._writing: tuple[int, Writer] | None = None
        self._adapted: tuple[int, Projection | None] | None = None  # by the epoch
        self._described: tuple[int, list[Described]] | None = None  # by the generation
        self._narrowed: tuple[int, Filter, Narrowed] | None = None
        try:
            self.space = self._open(create)
        except BaseException:
            self._client.close()
            raise
        self._finder = Finder(self.space)

    @property
    def location(self) -> str:
        """The URL of the gallery, without a password."""
        return self._address.location

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
            try:
                return from_json(reader.meta("calibration") or b"null")
            except (TypeError, ValueError, LookupError, OverflowError):
                raise reader.corrupt("the entry 'calibration' has an invalid value") from None

    @property
    def roots(self) -> dict[bytes, dict[str, Any]]:
        """The indexed paths, each with a small dict of rules."""
        with self._reader() as reader:
            return reader.entry("roots", [], read_roots)

    @property
    def concepts(self) -> dict[str, Concept]:
        """The concepts that the gallery was taught, by their normalised names."""
        with self._reader() as reader:
            return {name: self._concept(reader, name) for name in reader.names(_CONCEPT)}

    @contextlib.contextmanager
    def writing(self, *, wait: float = 0.0) -> Iterator[None]:
        """Make this thread the only writer while the context lasts, by a lease that the server keeps."""
        self._client.check()
        writer = Writer(self._client, self._names, wait)
        before, self._writing = self._writing, (threading.get_ident(), writer)
        try:
            yield
        finally:
            self._writing = before
            writer.close()

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Read everything inside the context as of one moment."""
        if getattr(self._own, "moment", None) is not None:
            yield
            return
        self._client.check()
        self._own.moment = Moment(self._client, self._names)
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
        """Add or replace records by path: all or none of them, on the server's disk when this returns."""
        check_descriptions(descriptions)
        files = {record.path: to_row(record, 0) for record in checked(records)}
        blobs = zip(embeddings, to_blobs(list(embeddings.values()), self.space.dim), strict=True)
        contents = {digest: (blob, checksum(digest, blob)) for digest, blob in blobs}
        described = {digest: (bytes(some), checksum(digest, some)) for digest, some in descriptions.items()}
        self._change(lambda change: self._put(change, files, contents, described))

    def put_block(self, block: Block) -> None:
        """Add or replace the records of a block: all or none of them, on the server's disk when this returns."""
        files: dict[bytes, Row] = {path: (0, path, *fields, 0) for path, fields in block.files.items()}
        self._change(lambda change: self._put(change, files, block.contents, block.descriptions))

    def blocks(self) -> Iterator[Block]:
        """Everything as it is kept, each row checked, as of one moment. Raises Corrupt, also for missing records."""
        with self._moment() as moment:
            reader, met = self._reader_at(moment), 0
            for rows, contents, descriptions in reader.blocks():
                met += len(rows)
                yield Block({path: row[DIGEST:CRC] for path, row in rows.items()}, contents, descriptions)
            if met != moment.state.records:
                raise reader.corrupt("items are missing")

    def checksums(self, digests: Iterable[bytes]) -> dict[bytes, tuple[int, int | None]]:
        """The checksums of the embedding and of the description of each of these digests that has an embedding."""
        with self._reader() as reader:
            return reader.checksums(digests)

    def remove(self, ids: Iterable[int]) -> int:
        """Remove the records with these ids, all or none; return how many existed."""
        wanted = sorted(set(ids))

        def remove(change: Change) -> int:
            reader = self._reader_at(change.moment)
            found = reader.whole_items("id", wanted)
            rows = [reader.check_item(one) for one in found]
            self._replace(change, found, rows, ([], []))
            self._end_orphans(change, {row[DIGEST] for row in rows}, {row[ID] for row in rows})
            return len(rows)

        return self._change(remove)

    def rename(self, old: bytes, new: bytes) -> int:
        """Move the record at `old`, all below it and the roots to `new`, all or none; return how many records."""

        def rename(change: Change) -> int:
            reader = self._reader_at(change.moment)
            below = old.rstrip(b"/") + b"/"
            there = {record.id for record in reader.scan(below)} | {row[ID] for row in reader.by_paths([old])}
            found = reader.whole_items("id", there)
            rows = [reader.check_item(one) for one in found]
            arrived = [with_key(row, moved(row[KEY], old, new)) for row in rows]
            if any(row[ID] not in there for row in reader.by_paths(row[KEY] for row in arrived)):
                raise ValueError("a path would be there twice")
            items = [encode_item(row, one["vector"]) for row, one in zip(arrived, found, strict=True)]
            self._replace(change, found, rows, (arrived, items))
            roots = reader.entry("roots", [], read_roots)
            self._write_roots(change, {moved(path, old, new): how for path, how in roots.items()})
            return sum(is_within(row[KEY], old) for row in rows)

        return self._change(rename)

    def set_projection(self, projection: Projection | None) -> None:
        """Store a projection with the embeddings, and all vectors by it."""
        if projection is not None:
            check_projection(projection, self.space.dim)

        def set_projection(change: Change) -> None:
            summary, arrays = (None, {}) if projection is None else to_entries(projection)
            self._write_entries(change, {**arrays, "projection": json.dumps(summary).encode()})
            self._write_all_vectors(change, projection)

        self._change(set_projection)

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

        def set_concepts(change: Change) -> None:
            before = self._reader_at(change.moment).names(_CONCEPT)
            entries = {f"{_CONCEPT}{name}": to_bytes(concept) for name, concept in after.items()}
            self._write_entries(change, {**dict.fromkeys(f"{_CONCEPT}{name}" for name in before), **entries})

        self._change(set_concepts)

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
            found = self._describe_all(self._reader_at(moment))
            self._described = generation, found
            return found

    def descriptions(self, ids: Iterable[int]) -> dict[int, bytes]:
        """The descriptions of these records, by id."""
        with self._reader() as reader:
            rows = [row for row in reader.by_ids(ids) if row[DIGEST] is not None]
            found = reader.descriptions({row[DIGEST] for row in rows})
            return {row[ID]: found[row[DIGEST]] for row in rows if row[DIGEST] in found}

    def ids(self, where: Filter | None = None) -> NDArray[np.int64]:
        """The ids of all records with an embedding, or of those that pass a filter, in ascending order."""
        with self._moment() as moment:
            return self._find_ids(moment, "" if where is None else self._translate(moment, where))

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
        with self._moment() as moment:
            prepared = self._prepare(moment, queries, space)
            most = min(k, moment.state.embedded)
            if most < 1:
                if where is not None:
                    self._translate(moment, where)  # raises for a field that no record has
                return [[] for _ in queries]
            ask = Ask(most, space, None if where is None else self._narrow(moment, where))
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

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    # Maintenance

    def prepare(self) -> None:
        """Nothing: the server is always ready."""

    def verify(self) -> list[str]:
        """The problems found in the stored data, one line each."""
        verify = importlib.import_module("lookalike.store.milvus.verify")
        with self._moment() as moment:
            return list(verify.problems(moment, self._reader_at(moment), self.space, self._projection))

    def compact(self) -> None:
        """Delete what was replaced, or left by killed processes, more than ten minutes ago.

        The server's own compaction frees the space later.
        """
        _, writer = self._own_writer()
        writer.purge()
        writer.purge_locks()

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

    def sizes(self) -> dict[str, int]:
        """Nothing: Milvus does not say how large its files are."""
        self._client.check()
        return {}

    # Opening and reading

    def _open(self, create: Space | None) -> Space:
        self._client.connect()
        if create is not None:
            schema.create(self._client, self._names, create)
        return schema.read_gallery(self._client, self._names)

    @contextlib.contextmanager
    def _moment(self) -> Iterator[Moment]:
        """The moment of `reading`, or one for what is done inside this context."""
        self._client.check()
        moment: Moment | None = getattr(self._own, "moment", None)
        yield Moment(self._client, self._names) if moment is None else moment

    @contextlib.contextmanager
    def _reader(self) -> Iterator[Reader]:
        with self._moment() as moment:
            yield self._reader_at(moment)

    def _reader_at(self, moment: Moment) -> Reader:
        return Reader(moment, self.location, self.space)

    def _projection(self, moment: Moment) -> Projection | None:
        known = self._adapted
        if known is None or known[0] != moment.state.epoch:
            self._adapted = known = moment.state.epoch, self._reader_at(moment).projection()
        return known[1]

    def _find_ids(self, moment: Moment, condition: str) -> NDArray[np.int64]:
        found = self._reader_at(moment).values(condition, ["id"])
        return np.sort(np.array([one["id"] for one in found], np.int64))

    def _concept(self, reader: Reader, name: str) -> Concept:
        try:
            return from_bytes(reader.meta(f"{_CONCEPT}{name}") or b"", self.space.dim)
        except (TypeError, ValueError, KeyError):
            raise reader.corrupt(f"the concept {name!r} has an invalid value") from None

    def _describe_all(self, reader: Reader) -> list[Described]:
        ids, rows = list[int](), list[bytes]()
        for items in reader.with_digest():
            found = reader.descriptions({row[DIGEST] for row in items})
            for row in items:
                if row[DIGEST] in found:
                    ids.append(row[ID])
                    rows.append(found[row[DIGEST]])
        array = np.frombuffer(b"".join(rows), np.uint8)
        return [Described(np.array(ids, np.int64), array.reshape(len(ids), -1) if ids else array.reshape(0, 288))]

    def _translate(self, moment: Moment, where: Filter) -> str:
        conditions = list(list_conditions(where))
        self._check_fields(moment, {one.field for one in conditions})
        colors = {str(one.value) for one in conditions if one.field == "color"}
        colored = find_colored(colors, self.described()) if colors else {}
        return translate(where, self._reader_at(moment).values, colored)

    def _narrow(self, moment: Moment, where: Filter) -> Narrowed:
        """The records that a filter lets pass; the last is remembered: many searches have the same filter."""
        known = self._narrowed
        if known is None or known[:2] != (moment.state.generation, where):
            expression = self._translate(moment, where)
            ids = self._find_ids(moment, expression)
            self._narrowed = known = moment.state.generation, where, Narrowed(expression, ids)
        return known[2]

    def _check_fields(self, moment: Moment, asked: set[str]) -> None:
        """Raise UsageError for a field that no record has."""
        if not asked & {*_NUMBERS, *_TEXTS}:
            return
        conditions = {name: f"{name} >= {schema.LEAST}" for name in _NUMBERS}
        conditions |= {name: f"{name} != {quoted(encode_text(None))}" for name in _TEXTS}
        reader = self._reader_at(moment)
        used = {name for name, condition in conditions.items() if next(iter(reader.values(condition, ["id"])), None)}
        check_fields(used, asked)

    def _prepare(self, moment: Moment, queries: Vectors, space: SearchSpace) -> Vectors:
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

    def _vectors(self, moment: Moment, ids: list[int], space: SearchSpace) -> tuple[list[int], Vectors]:
        reader = self._reader_at(moment)
        if space.raw:
            found, vectors = unpack_raw(reader.embedded(sorted(set(ids))), self.space.dim, space)
            return found.tolist(), vectors
        there, vectors = reader.vectors(sorted(set(ids)))
        return there.tolist(), weigh(vectors, space, self.space.metric)

    # Writing

    def _own_writer(self) -> tuple[int, Writer]:
        self._client.check()
        writing = self._writing
        if writing is None or writing[0] != threading.get_ident():
            raise RuntimeError("a store is written to inside `with store.writing():`, in the same thread")
        return writing

    def _change(self, make: Callable[[Change], T]) -> T:
        _, writer = self._own_writer()
        return writer.change(make)

    def _put(
        self,
        change: Change,
        files: Mapping[bytes, Row],
        contents: Stored,
        descriptions: Stored,
    ) -> None:
        """Add or replace items. files: their rows, by path, of which ids and checksums do not count yet."""
        reader, is_new = self._reader_at(change.moment), change.state.records == 0
        wanted = {row[DIGEST] for row in files.values() if row[DIGEST] is not None}
        known = {} if is_new else reader.whole_contents(wanted)
        if missing := wanted - known.keys() - contents.keys():
            raise ValueError(f"no embedding for {len(missing)} of the digests")
        before = [] if is_new else reader.whole_items("path", map(encode_bytes, files))
        others = self._find_others(reader, before, known.keys() & contents.keys())
        old = [reader.check_item(one) for one in (*before, *others)]
        ids, next_id = {row[KEY]: row[ID] for row in old}, change.state.next_id
        new_ids = {path: next_id + n for n, path in enumerate(path for path in files if path not in ids)}
        change.state = change.state._replace(next_id=next_id + len(new_ids))
        ids |= new_ids
        rows = [with_key((ids[path], *row[KEY:]), path) for path, row in files.items()]
        rows += old[len(before) :]
        there = {digest: reader.check_content(digest, row) for digest, row in known.items()}
        there |= {digest: blob for digest, (blob, _) in contents.items()}
        self._replace(change, [*before, *others], old, (rows, self._encode_items(rows, there, change.moment)))
        self._write_contents(change, known, {one: contents[one] for one in wanted & contents.keys()}, descriptions)
        self._end_orphans(change, {row[DIGEST] for row in old} - wanted, {row[ID] for row in old})

    def _find_others(self, reader: Reader, before: list[Found], replaced: Iterable[bytes]) -> list[Found]:
        """The items whose embeddings are replaced by a batch that does not name them."""
        named = {one["id"] for one in before}
        digests = [digest.hex() for digest in replaced]
        return [one for one in reader.whole_items("digest", digests) if one["id"] not in named] if digests else []

    def _encode_items(self, rows: Sequence[Row], blobs: Mapping[bytes, bytes], moment: Moment) -> list[Found]:
        """Items with their vectors; those without an embedding get one of zeros, which no search considers."""
        embedded = [row for row in rows if row[DIGEST] is not None]
        numbers = from_blobs([blobs[row[DIGEST]] for row in embedded], self.space.dim)
        vectors = iter(to_lists(adapt(numbers, self._projection(moment), self.space)) if embedded else [])
        zero = [0.0] * max(2, moment.state.width)
        return [encode_item(row, zero if row[DIGEST] is None else next(vectors)) for row in rows]

    def _replace(self, change: Change, found: Sequence[Found], before: Sequence[Row], after: Items) -> None:
        """Write items in place of others, and keep the tally. found: the others as the server has them."""
        rows, items = after
        change.end_items(found)
        change.add_items(items)
        state = change.state
        tally = Tally(state.records, state.embedded, state.checksums).minus(before).plus(rows)
        change.state = state._replace(**tally._asdict())

    def _write_contents(
        self,
        change: Change,
        known: Mapping[bytes, Found],
        contents: Stored,
        descriptions: Stored,
    ) -> None:
        """Write embeddings and descriptions, in place of any that are there. known: what is, as the server has it."""
        described = {digest: kept for digest, kept in descriptions.items() if digest in known or digest in contents}
        rows = {digest: dict(known[digest]) for digest in (contents.keys() | described.keys()) & known.keys()}
        change.end_contents(list(rows.values()))
        for digest, (blob, crc) in contents.items():
            new = {"key": key_of(digest), "part": 0, "value": "", "crc_value": 0}
            rows[digest] = {**new, **rows.get(digest, {}), "crc": crc, "vector": blob}
        for digest, (some, crc) in described.items():
            rows[digest] |= {"value": base64.b64encode(some).decode(), "crc_value": crc}
        change.add_contents(list(rows.values()))

    def _write_entries(self, change: Change, entries: Mapping[str, bytes | None]) -> None:
        """Write entries in place of those of the same names; None only removes them."""
        reader, zero = self._reader_at(change.moment), bytes(blob_size(self.space.dim))
        for key in entries:
            change.end_contents(reader.raw_contents(f"key == {quoted(ENTRY + encode_bytes(key.encode()))}"))
        rows = [row for key, content in entries.items() if content is not None for row in encode_parts(key, content)]
        change.add_contents([{**row, "vector": zero} for row in rows])

    def _write_roots(self, change: Change, roots: Mapping[bytes, Mapping[str, Any]]) -> None:
        entries = [[path.decode("latin-1"), dict(how)] for path, how in roots.items()]
        self._write_entries(change, {"roots": json.dumps(entries).encode()})

    def _end_orphans(self, change: Change, digests: set[Any], gone: set[int]) -> None:
        """Let contents among these count no longer that only records refer to that are gone."""
        some = {digest.hex() for digest in digests if digest is not None}
        if not some:
            return
        reader = self._reader_at(change.moment)
        kept = {one["digest"] for one in reader.whole_items("digest", some, ["id", "digest"]) if one["id"] not in gone}
        found = reader.whole_contents(bytes.fromhex(one) for one in some - kept) if some - kept else {}
        change.end_contents(list(found.values()))

    def _write_all_vectors(self, change: Change, projection: Projection | None) -> None:
        """Write all items again, with their vectors by another adaptation, into a collection of their own."""
        width = adapt(np.zeros((1, self.space.dim), np.float32), projection, self.space).shape[1]
        reader = self._reader_at(change.moment)
        change.begin_epoch(width, self.space)
        zero = [0.0] * max(2, width)
        for rows, blobs in reader.embedded():
            vectors = to_lists(adapt(from_blobs(blobs, self.space.dim), projection, self.space))
            change.add_items([encode_item(row, one) for row, one in zip(rows, vectors, strict=True)])
        for rows in reader.skipped():
            change.add_items([encode_item(row, zero) for row in rows])
