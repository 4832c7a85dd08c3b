"""A gallery in one SQLite database: everything committed is safe, and everything read is checked.

Every row carries a CRC-32 of its own content, and a tally of all rows is kept beside them, so that a damaged file leads
to an error and never to a wrong answer. Embeddings are kept as float16 with one exponent each: the same ranking as with
float32 (docs/decisions.md) at half the size.
"""

from __future__ import annotations

import contextlib
import heapq
import importlib
import json
import logging
import os
import threading
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from lookalike.adaptation.serialize import Summary, check_projection, to_entries
from lookalike.errors import StoreError
from lookalike.store import ADAPTED, NO_DESCRIPTIONS, check_descriptions, checked
from lookalike.store.blocks import Block
from lookalike.store.calibration import from_json, to_json
from lookalike.store.concepts import check_concepts, from_bytes, to_bytes
from lookalike.store.entries import read_base, read_distinct, read_roots, read_space
from lookalike.store.float16 import from_blobs, to_blobs
from lookalike.store.keys import base_of, key_ranges, moved, to_folder_key, to_key, to_path
from lookalike.store.location import DATABASE, no_gallery
from lookalike.store.new_folder import make_folder
from lookalike.store.rows import DIGEST, ID, KEY, PLACEHOLDERS, Tally, checksum, checksums_of, make_row, to_fields
from lookalike.store.sqlite import schema, verify
from lookalike.store.sqlite.cache_files import Tuning
from lookalike.store.sqlite.connections import Connections
from lookalike.store.sqlite.errors import corrupt, named_errors
from lookalike.store.sqlite.lock import WriterLock
from lookalike.store.sqlite.rename import has_strays, rename, take_in
from lookalike.store.sqlite.search import Search, Transactions
from lookalike.store.sqlite.sources import VectorsSource
from lookalike.store.sqlite.tables import Tables, write_meta
from lookalike.vectors.metric import cosine_distances

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from lookalike.adaptation.projection import Projection
    from lookalike.store import Capability, Described, Near, Record, SearchSpace, Space
    from lookalike.store.calibration import Calibration
    from lookalike.store.concepts import Concept
    from lookalike.store.filter import Filter
    from lookalike.store.rows import Row, Stored

__all__ = ["DATABASE", "SqliteStore"]

_SAMPLED = 16  # pictures at either end of the list that are looked up to find out whether they moved with their gallery
_CONCEPT = "concept "  # what the name of an entry with a concept begins with
_RELATIVE = "SELECT key FROM item WHERE key > x'2e2f' AND key < x'2e30'"  # keys that begin with ./

_log = logging.getLogger(__name__)


class SqliteStore:
    """A store in a folder; see `lookalike.store.Store` and `Maintained` for what its methods do.

    It cannot be used in a process forked after it was opened. base: the folder that pictures are kept relative to; by
    default the folder's parent, or the earlier base if the pictures are still there and not in the parent.
    """

    capabilities: frozenset[Capability] = frozenset(("crash-safe", "snapshots", "one writer", "approximate"))

    def __init__(
        self,
        location: str | Path,
        *,
        create: Space | None = None,
        tuning: Tuning | None = None,
        base: bytes | None = None,
    ) -> None:
        self.path = Path(location) / DATABASE
        self._lock = WriterLock(self.path.parent)
        self._writer: int | None = None  # the thread that is writing
        self._moment = threading.local()  # the state of this thread's transaction: see `_begin`
        with named_errors(self.path):
            if not os.path.lexists(self.path):
                if create is None or self.path.parent.is_file():
                    raise no_gallery(location)
                self._create(create)
            self._file = os.stat(self.path)
            self._connections = Connections(self._connect, self.path)
        try:
            self._migrate()
            self._tables = Tables(self._connections, self.path, base or base_of(self.path.parent))
            self.space = self._tables.entry("space", read_space)
            transactions = Transactions(self._reading_newest, self._restart, self._note_reading)
            self._search = Search(self._tables, self.space, tuning or Tuning(), transactions)
            if base is None:
                self._settle_in(self._tables.entry("base", read_base))
        except BaseException:
            self._connections.close()
            raise

    @property
    def location(self) -> str:
        """The folder that contains all files of the store."""
        return str(self.path.parent)

    @property
    def generation(self) -> int:
        """A number that grows with every change."""
        self._note_reading()
        return self._tables.number("generation")

    @property
    def state(self) -> str:
        """A short text that is the same only while everything is."""
        with self.reading():
            tally, summary = self._tables.tally(), self._tables.meta("projection")
            return f"{self.generation} {tally.records} {tally.embedded} {tally.checksums} {checksum(summary)}"

    @property
    def projection(self) -> Projection | None:
        """The projection of embeddings to the vectors that are compared."""
        with self.reading():
            self._note_reading()
            return self._tables.projection(self.space.dim)

    @property
    def distinct(self) -> list[tuple[bytes, bytes]]:
        """Pairs of contents that are not duplicates."""
        self._note_reading()
        return self._tables.entry("distinct", read_distinct)

    @property
    def calibration(self) -> Calibration | None:
        """How far apart the pictures are; None before that is measured."""
        self._note_reading()
        try:
            return from_json(self._tables.meta("calibration"))
        except (TypeError, ValueError, LookupError, OverflowError):
            raise corrupt(self.path, "the entry 'calibration' has an invalid value") from None

    @property
    def roots(self) -> dict[bytes, dict[str, Any]]:
        """The indexed paths, each with a small dict of rules."""
        self._note_reading()
        roots = self._tables.entry("roots", read_roots)
        return {to_path(key, self._tables.base): how for key, how in roots.items()}

    @property
    def concepts(self) -> dict[str, Concept]:
        """The concepts that the gallery was taught, by their normalised names."""
        with self.reading():
            self._note_reading()
            return {name: self._concept(name) for name in self._tables.names(_CONCEPT)}

    @property
    def is_approximate(self) -> bool:
        """Whether searches use inverted lists unless they are asked to be exact."""
        return self._search.prepare().approximate

    @contextlib.contextmanager
    def writing(self, *, wait: float = 0.0) -> Iterator[None]:
        """Make this thread the only writer while the context lasts, by a system lock that ends with the process."""
        self._connections.own()  # raises ClosedGallery if the store is closed
        with self._lock.held(wait=wait):
            if not self._is_still_in_place():
                raise StoreError(f"{self.path} was replaced while it was open", hint="open the gallery again")
            self._writer = threading.get_ident()
            try:
                # After a writer was killed, this must not fall below the generation that it noted as on disk.
                self._lock.note(max(self.generation, self._lock.noted_generation()))
                self._take_in()
                yield
            finally:
                self._writer = None
                self._settle()

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Read everything inside the context as of one moment."""
        db = self._db
        if db.in_transaction:
            yield
            return
        self._begin()
        try:
            yield
        finally:
            schema.roll_back(db)

    def put(
        self,
        records: Sequence[Record],
        embeddings: Mapping[bytes, NDArray[np.float32]],
        descriptions: Mapping[bytes, bytes] = NO_DESCRIPTIONS,
    ) -> None:
        """Add or replace records by path: all or none of them, on disk when this returns."""
        check_descriptions(descriptions)
        blobs = zip(embeddings, to_blobs(list(embeddings.values()), self.space.dim), strict=True)
        files = {record.path: to_fields(record) for record in checked(records)}
        self.put_block(Block(files, checksums_of(blobs), checksums_of(descriptions.items())))

    def put_block(self, block: Block) -> None:
        """Add or replace the records of a block: all or none of them, on disk when this returns."""
        after = {to_key(path, self._tables.base): fields for path, fields in block.files.items()}
        wanted = {digest for digest, *_ in after.values() if digest is not None}
        with self._transaction():
            known = self.known(wanted)
            if missing := wanted - known - block.contents.keys():
                raise ValueError(f"no embedding for {len(missing)} of the digests")
            self._write_contents({digest: kept for digest, kept in block.contents.items() if digest in wanted})
            if replaced := known & block.contents.keys():
                self._note_changes(self._tables.rows("digest", replaced))
            self._describe({digest: kept for digest, kept in block.descriptions.items() if digest in wanted})
            before = {row[KEY]: row for row in self._tables.rows("key", after)}
            next_id = self._tables.number("next_id")
            new_ids = {key: next_id + n for n, key in enumerate(key for key in after if key not in before)}
            rows = [make_row(new_ids.get(key) or before[key][ID], key, fields) for key, fields in after.items()]
            self._db.executemany(f"INSERT OR REPLACE INTO item VALUES ({PLACEHOLDERS})", rows)  # noqa: S608
            self._tables.set_entry("next_id", next_id + len(new_ids))
            self._tables.set_entry("tally", self._tables.tally().plus(rows).minus(before.values()))
            self._note_changes(before.values())
            self._drop_orphans({row[DIGEST] for row in before.values()} - wanted)

    def blocks(self) -> Iterator[Block]:
        """Everything as it is kept, each row checked, as of one moment. Raises Corrupt, also for missing records."""
        with self.reading():
            self._note_reading()
            met = 0
            for block in self._tables.blocks(self.space.dim):
                met += len(block.files)
                yield block
            if met != self._tables.tally().records:
                raise corrupt(self.path, "items are missing")

    def checksums(self, digests: Iterable[bytes]) -> dict[bytes, tuple[int, int | None]]:
        """The checksums of the embedding and of the description of each of these digests that has an embedding."""
        self._note_reading()
        return self._tables.checksums(digests)

    def remove(self, ids: Iterable[int]) -> int:
        """Remove the records with these ids, all or none; return how many existed."""
        with self._transaction():
            rows = self._tables.rows("id", set(ids))
            self._db.executemany("DELETE FROM item WHERE id = ?", [row[:1] for row in rows])
            self._tables.set_entry("tally", self._tables.tally().minus(rows))
            self._note_changes(rows)
            self._drop_orphans({row[DIGEST] for row in rows})
        return len(rows)

    def rename(self, old: bytes, new: bytes) -> int:
        """Move the record at `old`, all below it and the roots to `new`, all or none; return how many records."""
        with self._transaction():
            count, change = rename(self._tables, old, new)
            before = self._tables.tally()
            self._tables.set_entry("tally", before._replace(checksums=before.checksums + change))
            self._set_roots({moved(path, old, new): how for path, how in self.roots.items()})
        return count

    def set_projection(self, projection: Projection | None) -> None:
        """Store a projection with the embeddings; with None they are compared as they are."""
        if projection is not None:
            check_projection(projection, self.space.dim)
        with self._transaction():
            self._tables.set_entry("projection", projection and self._write_arrays(projection))

    def set_distinct(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Store the pairs of contents that are not duplicates."""
        with self._transaction():
            self._tables.set_entry("distinct", [[one.hex(), other.hex()] for one, other in pairs])

    def set_calibration(self, calibration: Calibration | None) -> None:
        """Store how far apart the pictures are."""
        with self._transaction():
            self._tables.set_meta("calibration", to_json(calibration))

    def set_roots(self, roots: Mapping[bytes, Mapping[str, Any]]) -> None:
        """Replace the stored roots by these."""
        with self._transaction():
            self._set_roots(roots)

    def set_concepts(self, concepts: Iterable[Concept]) -> None:
        """Replace the stored concepts by these."""
        after = check_concepts(concepts, self.space.dim)
        with self._transaction():
            for name in self._tables.names(_CONCEPT):
                self._tables.remove_meta(f"{_CONCEPT}{name}")
            for name, concept in after.items():
                self._tables.set_meta(f"{_CONCEPT}{name}", to_bytes(concept))

    def known(self, digests: Iterable[bytes]) -> set[bytes]:
        """The given digests for which an embedding is stored."""
        self._note_reading()
        return self._tables.known(digests)

    def find(self, paths: Iterable[bytes]) -> dict[bytes, Record]:
        """The records at these paths."""
        self._note_reading()
        keys = [to_key(path, self._tables.base) for path in paths]
        return {record.path: record for record in self._tables.records("key", keys)}

    def get(self, ids: Iterable[int]) -> dict[int, Record]:
        """The records with these ids."""
        self._note_reading()
        return {record.id: record for record in self._tables.records("id", ids)}

    def scan(self, prefix: bytes = b"") -> Iterator[Record]:
        """Every record whose path begins with `prefix`, ordered by path."""
        self._note_reading()
        generation, met = self.generation, 0
        for record in self._scan(prefix):
            met += 1
            yield record
        expected = self._tables.tally().records
        if not prefix and self.generation == generation and met != expected:  # in this order, as it may grow meanwhile
            raise corrupt(self.path, "items are missing")

    def count(self) -> tuple[int, int]:
        """The number of records with an embedding, and the number without."""
        self._note_reading()
        tally = self._tables.tally()
        return tally.embedded, tally.records - tally.embedded

    def embeddings(self, ids: Sequence[int] | None = None) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Ids and embeddings as they were put, in chunks: of all records ordered by id, or of these records."""
        self._note_reading()
        for chunk in self._tables.embedded(ids):
            yield self._tables.checked(chunk, self.space.dim)

    def described(self) -> list[Described]:
        """The descriptions of all records that have one, in one or two parts."""
        found = self._search.described()
        self._note_reading()
        return found

    def descriptions(self, ids: Iterable[int]) -> dict[int, bytes]:
        """The descriptions of these records, by id."""
        self._note_reading()
        return self._tables.descriptions(ids)

    def ids(self, where: Filter | None = None) -> NDArray[np.int64]:
        """The ids of all records with an embedding, or of those that pass a filter, in ascending order."""
        if where is not None:
            found = self._search.ids(where)
            self._note_reading()
            return found
        self._note_reading()
        with self.reading():
            rows = self._connections.fetch("SELECT id FROM item WHERE digest NOTNULL ORDER BY id")
            if len(rows) != self._tables.tally().embedded:
                raise corrupt(self.path, "items are missing, or there twice")
        return np.array(rows, np.int64).reshape(-1)

    def adapt(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """The vectors that a search compares for these embeddings."""
        return self._search.adapt(embeddings)

    def vectors(self, ids: Sequence[int], *, space: SearchSpace = ADAPTED) -> NDArray[np.float32]:
        """The vectors that a search compares for these records, float32 (n, w)."""
        found = self._search.vectors(ids, space)
        self._note_reading()
        return found

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        *,
        space: SearchSpace = ADAPTED,
        where: Filter | None = None,
        exact: bool = False,
    ) -> list[Near]:
        """The k records nearest to each query, nearest first, ties by id."""
        found = self._search.search(queries, k, space, where=where, exact=exact)
        self._note_reading()
        return found

    def raw_distances(self, query: NDArray[np.float32] | bytes, digests: Iterable[bytes]) -> dict[bytes, float]:
        """The cosine distance of each of these contents to the query, by the embeddings as they were put."""
        self._note_reading()
        asked = dict.fromkeys(digests)
        rows = self._tables.contents({*asked, query} if isinstance(query, bytes) else asked, self.space.dim)
        # The scale of an embedding makes no difference to an angle.
        numbers = from_blobs([blob for _, blob in rows], self.space.dim, scaled=False)
        views = numbers[[digest == query for digest, _ in rows]] if isinstance(query, bytes) else query
        if not len(views):
            return {}
        found = zip((digest for digest, _ in rows), cosine_distances(views, numbers).tolist(), strict=True)
        return {digest: distance for digest, distance in found if digest in asked}

    def close(self) -> None:
        """Release all files and locks."""
        self._search.close()
        self._connections.close()

    # Maintenance

    def prepare(self) -> None:
        """Load the vectors that searches compare."""
        self._search.prepare()

    def verify(self) -> list[str]:
        """The problems found in the stored data, one line each."""
        looks = [*verify.looks(self._db, self.space.dim), self._check_count, self._check_load]
        return [problem for look in looks for problem in verify.problems(look, self.path)]

    def compact(self) -> None:
        """Free the space of removed records."""
        with self._transaction():
            self._db.execute("DELETE FROM content WHERE digest NOT IN (SELECT digest FROM item WHERE digest NOTNULL)")
            self._db.execute("DELETE FROM description WHERE id NOT IN (SELECT id FROM content)")
        with named_errors(self.path):
            self._db.execute("VACUUM")

    def backup(self, target: Path, *, force: bool = False, beside: Iterable[str] = ()) -> int:
        """Copy everything into one file and return the number of pictures; see `lookalike.store.sqlite.backup`."""
        export = importlib.import_module("lookalike.store.sqlite.backup").export
        return cast("int", export(self.path.parent, target, force=force, beside=beside))

    def sizes(self) -> dict[str, int]:
        """The size of each file in bytes, by its path below the folder."""
        sizes = {}
        for file in sorted(self.path.parent.rglob("*")):
            with contextlib.suppress(FileNotFoundError):  # a log that its writer has just removed
                if file.is_file():
                    sizes[str(file.relative_to(self.path.parent))] = file.stat().st_size
        return sizes

    # Opening

    @property
    def _db(self) -> sqlite3.Connection:
        return self._connections.own()

    def _is_still_in_place(self) -> bool:
        """Whether the open database is still the file at `path`: a repair or an import may have renamed it."""
        try:
            return os.path.samestat(self._file, os.stat(self.path))
        except FileNotFoundError:
            return False

    def _create(self, space: Space) -> None:
        with make_folder(self.path.parent), self._lock.held(wait=schema.PATIENCE):
            if os.path.lexists(self.path):
                return  # another process was first
            self._lock.forget()
            schema.create(self.path, lambda db: _fill(db, space))

    def _migrate(self) -> None:
        with named_errors(self.path):
            if schema.needs_migration(self._db):
                with self._lock.held(wait=schema.PATIENCE):
                    schema.migrate(self._db, self.path)
                _log.info("%s was brought to format %d", self.path, len(schema.MIGRATIONS))

    def _settle_in(self, before: bytes) -> None:
        """Find the folder that keys are relative to now, and make all keys fit it, if the gallery is not where it was.

        Keys are left to the next writer if another process is writing or the folder is read-only.
        """
        if self._tables.base == before:
            return
        self._tables.base = self._find_base(self._tables.base, before)
        with contextlib.suppress(StoreError):
            if has_strays(self._tables):
                with self.writing():
                    pass

    def _find_base(self, here: bytes, before: bytes) -> bytes:
        """The folder that pictures are relative to: the gallery may have moved with or without them."""
        first, last = (
            self._connections.fetch(f"{_RELATIVE} ORDER BY key {order} LIMIT {_SAMPLED}") for order in ("ASC", "DESC")
        )
        keys = [key for (key,) in (*first, *last) if isinstance(key, bytes)]
        for base in (here, before):
            if any(os.path.lexists(to_path(key, base)) for key in keys):
                return base
        # No sign that the pictures have moved; perhaps their drive is not plugged in.
        return before if keys else here

    def _take_in(self) -> None:
        if not has_strays(self._tables):
            return
        with self._transaction():
            twins = take_in(self._tables)
            self._note_changes(twins)
            self._drop_orphans(row[DIGEST] for row in twins)
            self._set_roots(self.roots)

    def _connect(self) -> sqlite3.Connection:
        with named_errors(self.path):
            if not self._is_still_in_place():
                raise StoreError(f"{self.path} was replaced while it was open", hint="open the gallery again")
            return schema.connect(self.path)

    def _begin(self) -> None:
        self._moment.noted = self._lock.noted_generation()  # first, so that the database can only be newer
        self._moment.is_read = False
        self._connections.fetch("BEGIN")

    def _restart(self) -> bool:
        """Begin this thread's transaction again unless something was read in it; return whether it was begun again."""
        if self._moment.is_read:
            return False
        self._connections.fetch("ROLLBACK")
        self._begin()
        return True

    def _note_reading(self) -> None:
        """Prevent this thread's transaction from beginning again."""
        self._moment.is_read = True

    @contextlib.contextmanager
    def _reading_newest(self) -> Iterator[None]:
        """Do the same as `reading`, after checking that the last write is not missing."""
        with self.reading():
            if getattr(self._moment, "noted", 0) > self._tables.number("generation"):
                raise corrupt(self.path, "the last changes are missing: index the pictures again")
            yield

    def _scan(self, prefix: bytes) -> Iterator[Record]:
        base = self._tables.base
        parts = [self._tables.scan(some) for some in key_ranges(prefix, base)]
        return parts[0] if len(parts) == 1 else heapq.merge(*parts, key=lambda record: record.path)

    def _concept(self, name: str) -> Concept:
        content = self._tables.meta(f"{_CONCEPT}{name}")
        try:
            return from_bytes(content, self.space.dim)
        except (TypeError, ValueError, KeyError):
            raise corrupt(self.path, f"the concept {name!r} has an invalid value") from None

    # Damage

    def _check_count(self) -> Iterator[str]:
        with self.reading():
            rows = self._connections.fetch("SELECT count(*) FROM item NOT INDEXED")[0][0]
            expected = self._tables.tally().records
        if rows != expected:
            yield f"{rows:,} items found, but {expected:,} were written"

    def _check_load(self) -> list[str]:
        with self._reading_newest():
            for _ in VectorsSource(self._tables, self.space).rows():  # from the database, not from the cache
                pass
        return []

    # Writing

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._writer != threading.get_ident():
            self._connections.own()  # raises ClosedGallery if the store is closed
            raise RuntimeError("a store is written to inside `with store.writing():`, in the same thread")
        with named_errors(self.path):
            with schema.transaction(self._db):
                yield
                generation = self._next_generation()
                self._tables.set_entry("generation", generation)
                self._tables.set_entry("base", self._tables.base.decode("latin-1"))
                self._search.look_again()
            self._lock.note(generation)

    def _next_generation(self) -> int:
        return max(self.generation, self._lock.noted_generation()) + 1

    def _note_changes(self, rows: Iterable[Row]) -> None:
        """Note the items whose rows differ from what a cache holds; new items are recognised by their ids."""
        generation = self._next_generation()
        self._db.executemany("INSERT OR IGNORE INTO change VALUES (?, ?)", [(generation, row[ID]) for row in rows])

    def _settle(self) -> None:
        """Move everything from the log into the database itself, after which the note is no longer needed."""
        with contextlib.suppress(
            Exception
        ):  # a reader blocks it, the disk is full, or the store is closed: do it later
            self._db.execute("PRAGMA busy_timeout = 200")
            try:
                blocked, _, _ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                self._db.execute(f"PRAGMA busy_timeout = {schema.PATIENCE * 1000:.0f}")
            if not blocked:
                self._lock.forget()

    def _write_arrays(self, projection: Projection) -> Summary:
        """Write the arrays of a projection and return its summary."""
        summary, arrays = to_entries(projection)
        for name, content in arrays.items():
            self._tables.set_meta(name, content)
        return summary

    def _set_roots(self, roots: Mapping[bytes, Mapping[str, Any]]) -> None:
        base = self._tables.base
        self._tables.set_entry(
            "roots", [[to_folder_key(path, base).decode("latin-1"), dict(how)] for path, how in roots.items()]
        )

    def _write_contents(self, contents: Stored) -> None:
        self._db.executemany(
            "INSERT INTO content (digest, embedding, crc) VALUES (?, ?, ?)"
            " ON CONFLICT (digest) DO UPDATE SET embedding = excluded.embedding, crc = excluded.crc",
            [(digest, blob, crc) for digest, (blob, crc) in contents.items()],
        )

    def _describe(self, descriptions: Stored) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO description SELECT id, ?2, ?3 FROM content WHERE digest = ?1",
            [(digest, some, crc) for digest, (some, crc) in descriptions.items()],
        )

    def _drop_orphans(self, digests: Iterable[bytes | None]) -> None:
        """Delete the contents among these that no record refers to any more, with their descriptions."""
        orphan = "digest = ?1 AND NOT EXISTS (SELECT 1 FROM item WHERE digest = ?1)"
        some = [(digest,) for digest in digests if digest is not None]
        self._db.executemany(f"DELETE FROM description WHERE id IN (SELECT id FROM content WHERE {orphan})", some)  # noqa: S608
        self._db.executemany(f"DELETE FROM content WHERE {orphan}", some)  # noqa: S608


def _fill(db: sqlite3.Connection, space: Space) -> None:
    first = {"space": asdict(space), "generation": 0, "next_id": 1, "tally": Tally(), "projection": None, "roots": []}
    for key, value in first.items():
        write_meta(db, key, json.dumps(value).encode())
