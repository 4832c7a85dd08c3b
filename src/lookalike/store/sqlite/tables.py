"""The tables of an open database: every row that is read is checked against its checksum."""

from __future__ import annotations

import json
import os
from itertools import islice, pairwise, takewhile
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from lookalike.adaptation.serialize import from_entries, read_summary
from lookalike.store.blocks import BLOCK, Block
from lookalike.store.float16 import from_blobs
from lookalike.store.keys import to_path, to_paths
from lookalike.store.rows import (
    COLUMNS,
    CRC,
    DIGEST,
    ID,
    ITEM,
    KEY,
    Row,
    Tally,
    checksum,
    find_unsound,
    is_sound,
    is_sound_content,
    is_sound_description,
    to_records,
)
from lookalike.store.sqlite.errors import corrupt, named_errors

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
_ITEMS = 8192  # rows of items read at once: by then most of their values have occurred before
_VARIABLES = 500  # variables in one statement; the limit of old SQLite builds is 999
_WIDTH = COLUMNS.count(",") + 1
_QUALIFIED = ", ".join(f"item.{name.strip()}" for name in COLUMNS.split(","))
_EMBEDDED = f"SELECT {_QUALIFIED}, embedding, content.crc FROM item JOIN content ON content.digest = item.digest"  # noqa: S608
# The index of digests holds all that is needed of a content: its embedding is not read.
_DESCRIBED = (
    f"SELECT {_QUALIFIED}, described, description.crc FROM item JOIN content ON content.digest = item.digest "  # noqa: S608
    "LEFT JOIN description ON description.id = content.id"
)

_WHOLE = (
    f"SELECT {_QUALIFIED}, embedding, content.crc, described, description.crc FROM item "  # noqa: S608
    "LEFT JOIN content ON content.digest = item.digest LEFT JOIN description ON description.id = content.id "
)
_CHECKSUMS = (
    "SELECT content.digest, content.crc, description.crc FROM content "
    "LEFT JOIN description ON description.id = content.id"
)

_T = TypeVar("_T")


class Tables:
    """The tables of the database at `path`. Methods raise StoreError or a subclass, such as Corrupt for damaged rows.

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

    def fetch(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        """All rows that a statement returns, unchecked."""
        return self._connections.fetch(statement, values)

    def data_version(self) -> int:
        """A number that changes when another connection commits: https://sqlite.org/pragma.html#pragma_data_version."""
        return int(self._connections.fetch("PRAGMA data_version")[0][0])

    # Entries

    def meta(self, key: str) -> bytes:
        """The content of the entry with this name."""
        rows = self._connections.fetch("SELECT value, crc FROM meta WHERE key = ?", (key,))
        for value, crc in rows:
            if is_sound(crc, key.encode(), value):
                return bytes(value)
        raise corrupt(self.path, f"the entry {key!r} {'does not match its checksum' if rows else 'is missing'}")

    def names(self, prefix: str) -> list[str]:
        """The rest of the name of each entry that begins with `prefix`, in order."""
        keys = self._connections.fetch("SELECT key FROM meta WHERE substr(key, 1, ?) = ?", (len(prefix), prefix))
        return sorted(str(key).removeprefix(prefix) for (key,) in keys)

    def entry(self, key: str, of: Callable[[Any], _T]) -> _T:
        """The entry with this name, which `of` makes from its parsed JSON."""
        try:
            return of(json.loads(self.meta(key)))
        except (TypeError, ValueError, OverflowError):
            raise corrupt(self.path, f"the entry {key!r} has an invalid value") from None

    def number(self, key: str) -> int:
        """The entry with this name, a whole number."""
        return self.entry(key, int)

    def tally(self) -> Tally:
        """The stored tally of all rows."""
        return self.entry("tally", lambda parts: Tally(*map(int, parts)))

    def projection(self, dim: int) -> Projection | None:
        """The projection of embeddings with `dim` dimensions; call it inside a transaction."""
        summary = self.entry("projection", read_summary)
        if summary is None:
            return None
        try:
            return from_entries(summary, {name: self.meta(name) for name in summary.entries}, dim)
        except ValueError as error:
            raise corrupt(self.path, str(error)) from None

    def set_meta(self, key: str, value: bytes) -> None:
        """Write an entry; call it inside a transaction."""
        write_meta(self.db, key, value)

    def remove_meta(self, key: str) -> None:
        """Remove an entry; call it inside a transaction."""
        self.db.execute("DELETE FROM meta WHERE key = ?", (key,))

    def set_entry(self, key: str, value: object) -> None:
        """Write an entry as JSON; call it inside a transaction."""
        self.set_meta(key, json.dumps(value).encode())

    # Items

    def check(self, rows: Iterable[Row]) -> None:
        """Raise Corrupt if one of these rows of the table `item` does not match its checksum."""
        if (row := find_unsound(rows)) is not None:
            raise corrupt(self.path, f"item {row[ID]} does not match its checksum")

    def records(self, column: str, values: Iterable[Any]) -> list[Record]:
        """The records that have one of these values in a column."""
        return to_records(self.rows(column, values), self.base)

    def scan(self, prefix: bytes) -> Iterator[Record]:
        """The records whose key begins with `prefix`, ordered by key; see `ordered`."""
        for rows in self.ordered(prefix):
            yield from to_records(rows, self.base)

    def rows(self, column: str, values: Iterable[Any]) -> list[Row]:
        """Checked rows of the table `item` that have one of these values in a column."""
        rows = list(self._in(ITEM, column, values))
        self.check(rows)
        return rows

    def ordered(self, prefix: bytes) -> Iterator[list[Row]]:
        """Checked rows of the items whose key begins with `prefix`, ordered by key, in chunks.

        Items with relative keys are included only if the prefix is relative too. Raises Corrupt if the order is broken.
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
        """Checked rows of items with an embedding, in chunks: of all items ordered by id, or of these items."""
        for chunk in self._chunks(
            f"{ITEM} WHERE digest NOTNULL ORDER BY id", ids, _ITEMS, ITEM, "digest NOTNULL AND id"
        ):
            self.check(chunk)
            yield chunk

    def changed(self, generation: int, next_id: int, most: int) -> list[int]:
        """The ids of items that may have changed since; at most `most + 1` of them."""
        select = "SELECT id FROM change WHERE generation > ? UNION SELECT id FROM item WHERE id >= ? LIMIT ?"
        rows = self._connections.fetch(select, (generation, next_id, most + 1))
        return [int(id_) for (id_,) in rows if isinstance(id_, int)]

    # Embeddings

    def known(self, digests: Iterable[bytes]) -> set[bytes]:
        """The given digests for which an embedding is stored."""
        return {row[0] for row in self._in("SELECT digest FROM content", "digest", digests)}

    def contents(self, digests: Iterable[bytes], dim: int) -> list[tuple[bytes, bytes]]:
        """The digests that have an embedding, each with the bytes of that, checked."""
        rows = list(self._in("SELECT digest, embedding, crc FROM content", "digest", digests))
        for digest, blob, crc in rows:
            if not is_sound_content(crc, digest, blob, dim):
                raise corrupt(self.path, f"the embedding of content {digest.hex()[:12]} does not match its checksum")
        return [(digest, blob) for digest, blob, _ in rows]

    def embedded(self, ids: Sequence[int] | None = None) -> Iterator[list[Row]]:
        """Unchecked rows of items with their embeddings, in chunks: of all items ordered by id, or of these items."""
        return self._chunks(f"{_EMBEDDED} ORDER BY item.id", ids, _CHUNK, _EMBEDDED, "item.id")

    def checked(self, rows: list[Row], dim: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Check rows from `embedded`; return their ids int64 (n,) and embeddings float32 (n, dim)."""
        self.check(row[:_WIDTH] for row in rows)
        for row in rows:
            if not is_sound_content(row[-1], row[2], row[-2], dim):
                name = os.fsdecode(to_path(row[KEY], self.base))
                raise corrupt(self.path, f"the embedding of {name!r} does not match its checksum")
        return np.array([row[ID] for row in rows], np.int64), from_blobs([row[-2] for row in rows], dim)

    def described(self, ids: Sequence[int] | None = None) -> Iterator[list[Row]]:
        """Checked rows of items with their descriptions and the checksums of these, None where there is none.

        In chunks: of all items with an embedding, ordered by id, or of these items.
        """
        for rows in self._chunks(f"{_DESCRIBED} ORDER BY item.id", ids, _ITEMS, _DESCRIBED, "item.id"):
            self.check(row[:_WIDTH] for row in rows)
            for row in rows:
                if row[-2] is not None and not is_sound_description(row[-1], row[DIGEST], row[-2]):
                    name = os.fsdecode(to_path(row[KEY], self.base))
                    raise corrupt(self.path, f"the description of {name!r} does not match its checksum")
            yield rows

    def descriptions(self, ids: Iterable[int]) -> dict[int, bytes]:
        """The descriptions of these items, by id."""
        return {row[ID]: row[-2] for rows in self.described(list(ids)) for row in rows if row[-2] is not None}

    def blocks(self, dim: int) -> Iterator[Block]:
        """All items with what is kept of them, checked: those with an embedding ordered by id, and then the others."""
        for which in ("NOTNULL", "ISNULL"):
            for rows in self._chunks(f"{_WHOLE} WHERE item.digest {which} ORDER BY item.id", None, BLOCK, "", ""):
                yield self._to_block(rows, dim)

    def checksums(self, digests: Iterable[bytes]) -> dict[bytes, tuple[int, int | None]]:
        """The checksums of the embedding and of the description of each of these digests that has an embedding."""
        return {digest: (crc, described) for digest, crc, described in self._in(_CHECKSUMS, "content.digest", digests)}

    def _to_block(self, rows: list[Row], dim: int) -> Block:
        items = [row[:_WIDTH] for row in rows]
        self.check(items)
        contents, descriptions = {}, {}
        for (_, _, digest, *_), (blob, crc, described, crc_described) in zip(
            items, (row[_WIDTH:] for row in rows), strict=True
        ):
            if digest is not None and digest not in contents:
                self._check_content(digest, (blob, crc), (described, crc_described), dim)
                contents[digest] = blob, crc
                if described is not None:
                    descriptions[digest] = described, crc_described
        paths = to_paths([row[KEY] for row in items], self.base)
        return Block(dict(zip(paths, (row[DIGEST:CRC] for row in items), strict=True)), contents, descriptions)

    def _check_content(self, digest: bytes, embedding: Row, description: Row, dim: int) -> None:
        if not is_sound_content(embedding[1], digest, embedding[0], dim):
            raise corrupt(self.path, f"the embedding of content {digest.hex()[:12]} does not match its checksum")
        if description[0] is not None and not is_sound_description(description[1], digest, description[0]):
            raise corrupt(self.path, f"the description of content {digest.hex()[:12]} does not match its checksum")

    def _chunks(
        self, whole: str, ids: Iterable[int] | None, size: int, select: str, column: str
    ) -> Iterator[list[Row]]:
        """Rows in chunks of `size`: all that `whole` selects, or those of `select` with these ids in `column`."""
        with named_errors(self.path):
            rows = iter(self.db.execute(whole)) if ids is None else self._in(select, column, ids)
            while chunk := list(islice(rows, size)):
                yield chunk

    def _in(self, select: str, column: str, values: Iterable[Any]) -> Iterator[Row]:
        wanted = list(values)
        for start in range(0, len(wanted) or 1, _VARIABLES):  # at least once, so that a closed gallery raises
            some = wanted[start : start + _VARIABLES]
            yield from self._connections.fetch(f"{select} WHERE {column} IN ({','.join('?' * len(some))})", some)


def write_meta(db: sqlite3.Connection, key: str, value: bytes) -> None:
    """Write an entry with its checksum."""
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", (key, value, checksum(key.encode(), value)))
