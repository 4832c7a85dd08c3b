"""The tables of an open database, row by row: what is read is checked against its checksum."""

from __future__ import annotations

import json
import os
from itertools import islice, pairwise, takewhile
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from lookalike.adaptation.serialize import from_entries, read_summary
from lookalike.store.keys import to_path
from lookalike.store.sqlite.errors import corrupt, named_errors
from lookalike.store.sqlite.float16 import from_blobs
from lookalike.store.sqlite.rows import (
    COLUMNS,
    ID,
    ITEM,
    KEY,
    Row,
    Tally,
    checksum,
    find_unsound,
    is_sound,
    is_sound_content,
    to_records,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.adaptation.projection import Projection
    from lookalike.store import Record
    from lookalike.store.sqlite.connections import Connections

__all__ = ["Tables", "write_meta"]

_CHUNK = 512  # rows with embeddings read at once: 2.5 MiB of 1,280 float32, which a cache of the processor holds
_ITEMS = 8192  # rows of items read at once: most of their values are not met for the first time
_VARIABLES = 500  # in one statement; SQLite's own limit is 999 in old builds
_WIDTH = COLUMNS.count(",") + 1
_QUALIFIED = ", ".join(f"item.{name.strip()}" for name in COLUMNS.split(","))
_EMBEDDED = f"SELECT {_QUALIFIED}, embedding, content.crc FROM item JOIN content ON content.digest = item.digest"  # noqa: S608

_T = TypeVar("_T")


class Tables:
    """The database at `path`. Methods raise StoreError and its kinds: Corrupt for what is not as it was written.

    base: the folder that keys are relative to.
    """

    def __init__(self, connections: Connections, path: Path, base: bytes) -> None:
        self.path = path
        self.base = base
        self._connections = connections

    @property
    def db(self) -> sqlite3.Connection:
        """This thread's connection. Raises ClosedGallery."""
        return self._connections.own()

    def data_version(self) -> int:
        """Another whenever another connection has committed: https://sqlite.org/pragma.html#pragma_data_version."""
        with named_errors(self.path):
            return int(self.db.execute("PRAGMA data_version").fetchone()[0])

    # Entries

    def meta(self, key: str) -> bytes:
        """The entry of this name."""
        with named_errors(self.path):
            row = self.db.execute("SELECT value, crc FROM meta WHERE key = ?", (key,)).fetchone()
        if row is None or not is_sound(row[1], key.encode(), row[0]):
            raise corrupt(self.path, f"the entry {key!r} does not match its checksum")
        return bytes(row[0])

    def entry(self, key: str, of: Callable[[Any], _T]) -> _T:
        """A small value, as `of` makes it from JSON."""
        try:
            return of(json.loads(self.meta(key)))
        except (TypeError, ValueError, OverflowError):
            raise corrupt(self.path, f"the entry {key!r} makes no sense") from None

    def number(self, key: str) -> int:
        """A whole number."""
        return self.entry(key, int)

    def tally(self) -> Tally:
        """What all rows add up to."""
        return self.entry("tally", lambda parts: Tally(*map(int, parts)))

    def projection(self, dim: int) -> Projection | None:
        """How embeddings of `dim` dimensions are adapted; read inside one transaction."""
        summary = self.entry("projection", read_summary)
        if summary is None:
            return None
        try:
            return from_entries(summary, {name: self.meta(name) for name in summary.entries}, dim)
        except ValueError as error:
            raise corrupt(self.path, str(error)) from None

    def set_meta(self, key: str, value: bytes) -> None:
        """Write an entry, in a transaction."""
        write_meta(self.db, key, value)

    def set_entry(self, key: str, value: object) -> None:
        """Write one as JSON."""
        self.set_meta(key, json.dumps(value).encode())

    # Items

    def check(self, rows: Iterable[Row]) -> None:
        """Raise Corrupt for rows of the table item of which one is not what was written."""
        if (row := find_unsound(rows)) is not None:
            raise corrupt(self.path, f"item {row[ID]} does not match its checksum")

    def records(self, rows: Sequence[Row]) -> list[Record]:
        """Checked rows of the table item as what they stand for."""
        return to_records(rows, self.base)

    def rows(self, column: str, values: Iterable[Any]) -> list[Row]:
        """Checked rows of the table item."""
        with named_errors(self.path):
            rows = list(self._in(ITEM, column, values))
        self.check(rows)
        return rows

    def ordered(self, prefix: bytes) -> Iterator[list[Row]]:
        """Checked rows of the items whose key begins with `prefix`, ordered by it, in chunks.

        Relative keys only for a prefix that is relative itself. Raises Corrupt if they are out of order.
        """
        last, others = b"", "" if prefix >= b"./" else "AND NOT (key >= x'2e2f' AND key < x'2e30')"
        with named_errors(self.path):
            rows = self.db.execute(f"{ITEM} WHERE key >= ? {others} ORDER BY key", (prefix,))
            while chunk := list(islice(rows, _CHUNK)):
                self.check(chunk)
                here = list(takewhile(lambda row: row[KEY].startswith(prefix), chunk))
                if any(one >= other for one, other in pairwise([last, *(row[KEY] for row in here)])):
                    raise corrupt(self.path, "the list of items is out of order")
                yield here
                if len(here) < len(chunk):
                    return
                last = here[-1][KEY]

    def with_embedding(self, ids: Iterable[int] | None) -> Iterator[list[Row]]:
        """Checked rows of items that have one, in chunks: of all ordered by id, or of these."""
        for chunk in self._chunks(
            f"{ITEM} WHERE digest NOTNULL ORDER BY id", ids, _ITEMS, ITEM, "digest NOTNULL AND id"
        ):
            self.check(chunk)
            yield chunk

    def changed(self, generation: int, next_id: int, most: int) -> list[int]:
        """The ids of items that may have changed since; where they are more than `most`, one more than that."""
        select = "SELECT id FROM change WHERE generation > ? UNION SELECT id FROM item WHERE id >= ? LIMIT ?"
        with named_errors(self.path):
            rows = self.db.execute(select, (generation, next_id, most + 1))
            return [int(id_) for (id_,) in rows if isinstance(id_, int)]

    # Embeddings

    def known(self, digests: Iterable[bytes]) -> set[bytes]:
        """The digests among these that have an embedding."""
        with named_errors(self.path):
            return {row[0] for row in self._in("SELECT digest FROM content", "digest", digests)}

    def embedded(self, ids: Sequence[int] | None = None) -> Iterator[list[Row]]:
        """Rows of items with their embeddings, unchecked, in chunks: of all ordered by id, or of these."""
        return self._chunks(f"{_EMBEDDED} ORDER BY item.id", ids, _CHUNK, _EMBEDDED, "item.id")

    def checked(self, rows: list[Row], dim: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Ids int64 (n,) and embeddings float32 (n, dim) of such rows."""
        self.check(row[:_WIDTH] for row in rows)
        for row in rows:
            if not is_sound_content(row[-1], row[2], row[-2], dim):
                name = os.fsdecode(to_path(row[KEY], self.base))
                raise corrupt(self.path, f"the embedding of {name!r} does not match its checksum")
        return np.array([row[ID] for row in rows], np.int64), from_blobs([row[-2] for row in rows], dim)

    def _chunks(
        self, whole: str, ids: Iterable[int] | None, size: int, select: str, column: str
    ) -> Iterator[list[Row]]:
        """Rows, `size` at a time: all that `whole` selects, or those that `select` does of these ids in `column`."""
        with named_errors(self.path):
            rows = iter(self.db.execute(whole)) if ids is None else self._in(select, column, ids)
            while chunk := list(islice(rows, size)):
                yield chunk

    def _in(self, select: str, column: str, values: Iterable[Any]) -> Iterator[Row]:
        remaining = iter(values)
        while some := list(islice(remaining, _VARIABLES)):
            yield from self.db.execute(f"{select} WHERE {column} IN ({','.join('?' * len(some))})", some)


def write_meta(db: sqlite3.Connection, key: str, value: bytes) -> None:
    """Write an entry with its checksum."""
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", (key, value, checksum(key.encode(), value)))
