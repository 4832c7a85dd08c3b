"""A gallery in one SQLite database: what is committed is safe, what is read is checked.

Every row carries a CRC-32 of its own content, and a tally of all rows is kept beside them, so that a damaged
file gives an error and never another answer. Embeddings are kept as float16 with an exponent of their own: the
ranking is the same as with float32 (docs/decisions.md) at half the size.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.adaptation.serialize import Summary, check_projection, to_entries
from lookalike.errors import NoGallery, StoreError
from lookalike.store.sqlite import schema as layout
from lookalike.store.sqlite import verify as damage
from lookalike.store.sqlite.cache_files import Tuning
from lookalike.store.sqlite.checksums import ITEM, Tally, checksum, item_row
from lookalike.store.sqlite.errors import corrupt, named_errors
from lookalike.store.sqlite.float16 import to_blobs
from lookalike.store.sqlite.lock import WriterLock
from lookalike.store.sqlite.meta import read_roots, read_space
from lookalike.store.sqlite.rename import moved_key, rename
from lookalike.store.sqlite.search import Newest
from lookalike.store.sqlite.sources import RowsSource
from lookalike.store.sqlite.tables import Tables, write_meta

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from lookalike.adaptation.projection import Projection
    from lookalike.store import Item, Known, Near, Space
    from lookalike.store.sqlite.column_cache import Facts
    from lookalike.vectors.searcher import Searcher

__all__ = ["DATABASE", "SqliteStore"]

DATABASE = "gallery.db"


class SqliteStore:
    """See `lookalike.store.Store` for what its methods do. Not to be shared between threads or with a fork."""

    def __init__(self, folder: str | Path, *, create: Space | None = None, tuning: Tuning | None = None) -> None:
        self.path = Path(folder) / DATABASE
        self._lock = WriterLock(self.path.parent)
        self._is_writing = False
        self._noted = 0
        with named_errors(self.path):
            if not os.path.lexists(self.path):
                if create is None:
                    raise NoGallery(f"there is no gallery at {folder}", hint=f"lookalike index PHOTOS -i {folder}")
                self._create(create)
            self._tables = Tables(layout.connect(self.path), self.path)
            self._file = os.stat(self.path)
        try:
            self._migrate()
            self.space = self._tables.entry("space", read_space)
            self._newest = Newest(self._tables, self.space, tuning or Tuning(), self._reading_newest)
        except BaseException:
            self._tables.connection.close()
            raise

    @property
    def place(self) -> Path:
        """The folder that everything of the store is in."""
        return self.path.parent

    @property
    def generation(self) -> int:
        """Grows with every change."""
        return self._tables.number("generation")

    @property
    def projection(self) -> Projection | None:
        """What embeddings go through before they are compared."""
        with self.reading():
            return self._tables.projection(self.space.dim)

    @property
    def roots(self) -> dict[bytes, dict[str, Any]]:
        """Keys that items are gathered below, each with a small dict."""
        return self._tables.entry("roots", read_roots)

    @contextlib.contextmanager
    def writing(self, *, wait: float = 0.0) -> Iterator[None]:
        """Be the only writer while the context lasts: a lock of the operating system, gone with the process."""
        with self._lock.held(wait=wait):
            if not self._is_at_its_place():
                raise StoreError(f"{self.path} was replaced while it was open", hint="open the gallery again")
            self._is_writing = True
            try:
                # After a writer that was killed this must not fall below what it said was on disk.
                self._lock.note(max(self.generation, self._lock.noted_generation()))
                yield
            finally:
                self._is_writing = False
                self._settle()

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Read everything inside as of one moment."""
        if self._db.in_transaction:
            yield
            return
        self._noted = self._lock.noted_generation()  # first, because the database may only be newer
        with named_errors(self.path):
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._db.execute("ROLLBACK")

    def put(self, items: Sequence[Item], embeddings: Mapping[bytes, NDArray[np.float32]]) -> None:
        """Add or replace items by key, all or none, on disk when it returns."""
        after = {item.key: item for item in items}
        wanted = {item.digest for item in after.values() if item.digest is not None}
        blobs = list(zip(embeddings, to_blobs(list(embeddings.values()), self.space.dim), strict=True))
        with self._transaction():
            self._db.executemany(
                "INSERT OR IGNORE INTO content (digest, embedding, crc) VALUES (?, ?, ?)",
                [(digest, blob, checksum(digest, blob)) for digest, blob in blobs if digest in wanted],
            )
            if missing := wanted - self.known(wanted):
                raise ValueError(f"no embedding for {len(missing)} of the digests")
            before = {row[1]: row for row in self._tables.rows("key", after)}
            next_id = self._tables.number("next_id")
            new_ids = {key: next_id + n for n, key in enumerate(key for key in after if key not in before)}
            rows = [item_row(new_ids.get(key) or before[key][0], item) for key, item in after.items()]
            self._db.executemany("INSERT OR REPLACE INTO item VALUES (?, ?, ?, ?, ?, ?)", rows)
            self._tables.set_entry("next_id", next_id + len(new_ids))
            self._tables.set_entry("tally", self._tables.tally().plus(rows).minus(before.values()))
            self._note_changes(before.values())
            self._drop_orphans({row[3] for row in before.values()} - wanted)

    def remove(self, ids: Iterable[int]) -> int:
        """Remove items, all or none; how many there were."""
        with self._transaction():
            rows = self._tables.rows("id", set(ids))
            self._db.executemany("DELETE FROM item WHERE id = ?", [row[:1] for row in rows])
            self._tables.set_entry("tally", self._tables.tally().minus(rows))
            self._note_changes(rows)
            self._drop_orphans({row[3] for row in rows})
        return len(rows)

    def project(self, projection: Projection | None) -> None:
        """Keep a projection with the embeddings; None compares them as they are."""
        if projection is not None:
            check_projection(projection, self.space.dim)
        with self._transaction():
            self._tables.set_entry("projection", projection and self._keep(projection))

    def set_roots(self, roots: Mapping[bytes, Mapping[str, Any]]) -> None:
        """Keep these roots and no others."""
        with self._transaction():
            self._set_roots(roots)

    def rename(self, old: bytes, new: bytes) -> int:
        """Move the item `old` and all below it to `new`, and the roots, all or none; how many items there were."""
        with self._transaction():
            moved, change = rename(self._db, old, new, check=self._tables.check)
            before = self._tables.tally()
            self._tables.set_entry("tally", before._replace(checksums=before.checksums + change))
            self._set_roots({moved_key(key, old, new): info for key, info in self.roots.items()})
        return moved

    def compact(self) -> None:
        """Give back the room of what was removed."""
        with self._transaction():
            self._db.execute("DELETE FROM content WHERE digest NOT IN (SELECT digest FROM item WHERE digest NOTNULL)")
        with named_errors(self.path):
            self._db.execute("VACUUM")

    def known(self, digests: Iterable[bytes]) -> set[bytes]:
        """Which of the digests have an embedding."""
        return self._tables.known(digests)

    def find(self, keys: Iterable[bytes]) -> dict[bytes, Known]:
        """The items with these keys."""
        return {row[1]: self._tables.item(row) for row in self._tables.rows("key", keys)}

    def get(self, ids: Iterable[int]) -> dict[int, Known]:
        """The items with these ids."""
        return {row[0]: self._tables.item(row) for row in self._tables.rows("id", ids)}

    def items(self, prefix: bytes = b"") -> Iterator[Known]:
        """Every item whose key starts with `prefix`, ordered by key."""
        generation, met, last = self.generation, 0, b""
        with named_errors(self.path):
            for row in self._db.execute(f"{ITEM} WHERE key >= ? ORDER BY key", (prefix,)):
                item = self._tables.item(row)
                if not item.key.startswith(prefix):
                    return
                if met and item.key <= last:
                    raise corrupt(self.path, "the list of items is out of order")
                met, last = met + 1, item.key
                yield item
        expected = self._tables.tally().items
        if not prefix and self.generation == generation and met != expected:  # in this order: it grows meanwhile
            raise corrupt(self.path, "items are missing")

    def facts(self) -> list[Facts]:
        """Those of every item with an embedding, in some parts."""
        return self._newest.facts()

    def ids(self) -> NDArray[np.int64]:
        """Those of all items with an embedding, in order; what they stand for is not looked at."""
        with self.reading():
            rows = self._db.execute("SELECT id FROM item WHERE digest NOTNULL ORDER BY id").fetchall()
            if len(rows) != self._tables.tally().embedded:
                raise corrupt(self.path, "items are missing, or there twice")
        return np.array(rows, np.int64).reshape(-1)

    def embeddings(self, ids: Sequence[int] | None = None) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Ids and embeddings as they were put, in chunks: of all items ordered by id, or of these."""
        for chunk in self._tables.embedded(ids):
            yield self._tables.checked(chunk, self.space.dim)

    def count(self) -> tuple[int, int]:
        """How many items have an embedding, and how many have none."""
        tally = self._tables.tally()
        return tally.embedded, tally.items - tally.embedded

    def prepare(self) -> Searcher:
        """What is searched, as new as the store."""
        return self._newest.prepare()

    def search(
        self, query: NDArray[np.float32], k: int, *, among: NDArray[np.int64] | None = None, exact: bool = False
    ) -> Near:
        """The k nearest items to float32 (dim,), nearest first, ties by id."""
        return self.search_many(query[None], k, among=among, exact=exact)[0]

    def search_many(
        self, queries: NDArray[np.float32], k: int, *, among: NDArray[np.int64] | None = None, exact: bool = False
    ) -> list[Near]:
        """`search` for each of float32 (m, dim), at once."""
        return self._newest.search_many(queries, k, among=among, exact=exact)

    def search_stretched(
        self,
        query: NDArray[np.float32],
        k: int,
        stretch: NDArray[np.float32],
        *,
        among: NDArray[np.int64] | None = None,
    ) -> Near:
        """`search`, always exact, of numbers that are multiplied by float32 (width,) before they are compared."""
        return self._newest.search_stretched(query, k, stretch, among=among)

    def rows(self, ids: Sequence[int], *, stretch: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """What a search compares of these items, float32 (n, w)."""
        return self._newest.rows(ids, stretch)

    def search_as_put(
        self, query: NDArray[np.float32], k: int, columns: slice, *, among: NDArray[np.int64] | None = None
    ) -> Near:
        """The k nearest by cosine, of embeddings as they were put."""
        return self._newest.search_as_put(query, k, columns, among=among)

    def neighbours(self, k: int, *, exact: bool = False) -> Iterator[tuple[int, Near]]:
        """Every item with its k nearest others."""
        return self._newest.neighbours(k, exact=exact)

    def check(self) -> list[str]:
        """What is wrong with the stored data, a line each; empty when all is well."""
        looks = [*damage.looks(self._db, self.space.dim), self._check_count, self._check_load]
        return [problem for look in looks for problem in damage.problems(look, self.path)]

    def close(self) -> None:
        """Give back files and locks; the store cannot be used any more."""
        self._newest.close()
        self._tables.connection.close()

    # Opening

    @property
    def _db(self) -> sqlite3.Connection:
        return self._tables.db

    def _is_at_its_place(self) -> bool:
        """Or else the database is one that was put aside by a repair or an import."""
        try:
            return os.path.samestat(self._file, os.stat(self.path))
        except FileNotFoundError:
            return False

    def _create(self, space: Space) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock.held(wait=layout.PATIENCE):
            if os.path.lexists(self.path):
                return  # another process was first
            self._lock.forget()
            layout.create(self.path, lambda db: _fill(db, space))

    def _migrate(self) -> None:
        with named_errors(self.path):
            if layout.needs_migration(self._db):
                with self._lock.held(wait=layout.PATIENCE):
                    layout.migrate(self._db, self.path)

    @contextlib.contextmanager
    def _reading_newest(self) -> Iterator[None]:
        """`reading`, unless what was written last is missing."""
        with self.reading():
            if self._noted > self.generation:
                raise corrupt(self.path, "what was written last is missing: index the pictures again")
            yield

    # Looking for damage

    def _check_count(self) -> Iterator[str]:
        with self.reading():
            rows, expected = (
                self._db.execute("SELECT count(*) FROM item NOT INDEXED").fetchone()[0],
                self._tables.tally().items,
            )
        if rows != expected:
            yield f"{rows:,} items are there, {expected:,} were written"

    def _check_load(self) -> list[str]:
        with self._reading_newest():
            for _ in RowsSource(self._tables, self.space).rows():  # from the database, whatever the cache says
                pass
        return []

    # Writing

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        if not self._is_writing:
            raise RuntimeError("a store is written to inside `with store.writing():`")
        with named_errors(self.path):
            with layout.transaction(self._db):
                yield
                generation = self._next_generation()
                self._tables.set_entry("generation", generation)
                self._newest.look_again()
            self._lock.note(generation)

    def _next_generation(self) -> int:
        return max(self.generation, self._lock.noted_generation()) + 1

    def _note_changes(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Remember whose rows are no longer what a cache has; new items are known by their ids."""
        generation = self._next_generation()
        self._db.executemany("INSERT OR IGNORE INTO change VALUES (?, ?)", [(generation, row[0]) for row in rows])

    def _settle(self) -> None:
        """Leave the log empty: what was written is then in the database itself, and the note has served."""
        with contextlib.suppress(sqlite3.Error):  # a reader is in the way, or the disk is full: later, then
            self._db.execute("PRAGMA busy_timeout = 200")
            blocked, _, _ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self._db.execute(f"PRAGMA busy_timeout = {layout.PATIENCE * 1000:.0f}")
            if not blocked:
                self._lock.forget()

    def _keep(self, projection: Projection) -> Summary:
        """Write the numbers of a projection; what is to be known of them."""
        summary, numbers = to_entries(projection)
        for name, content in numbers.items():
            self._tables.set_meta(name, content)
        return summary

    def _set_roots(self, roots: Mapping[bytes, Mapping[str, Any]]) -> None:
        self._tables.set_entry("roots", [[key.decode("latin-1"), dict(info)] for key, info in roots.items()])

    def _drop_orphans(self, digests: Iterable[bytes | None]) -> None:
        """Forget embeddings that no item has any more."""
        self._db.executemany(
            "DELETE FROM content WHERE digest = ?1 AND NOT EXISTS (SELECT 1 FROM item WHERE digest = ?1)",
            [(digest,) for digest in digests if digest is not None],
        )


def _fill(db: sqlite3.Connection, space: Space) -> None:
    first = {"space": asdict(space), "generation": 0, "next_id": 1, "tally": Tally(), "projection": None, "roots": []}
    for key, value in first.items():
        write_meta(db, key, json.dumps(value).encode())
